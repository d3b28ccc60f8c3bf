"""What the console shows where something goes wrong that nobody thought of: a page, and nothing of what it was."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from tracker.core.accounts import Account, Directory
from tracker.core.errors import StoreUnavailable
from tracker.core.tokens import TokenCodec
from tracker.web.api.api import build
from tracker.web.console import Console
from tracker.web.console.rendering import HEADERS, Renderer

SECRET = "somebody@private.example"


def answered(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    async def fail(self: Renderer, request: object) -> Response:
        raise error

    monkeypatch.setattr(Renderer, "style", fail)
    watch: Any = SimpleNamespace(current=Directory([Account("default", "https://t.example")], []))
    store: Any = SimpleNamespace(database=None)
    nothing: Any = None
    console = Console(TokenCodec([b"k" * 32]), watch, nothing, store, nothing, nothing, "https://t.example")
    return TestClient(build([console]), base_url="https://t.example").get("/console/style.css")


def test_an_unexpected_error_is_a_page_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answered(monkeypatch, RuntimeError(SECRET))
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert "Something went wrong here; it was logged." in answer.text
    assert SECRET not in answer.text
    (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError
    assert SECRET not in record.getMessage(), "the formatter leaves out what the exception itself says"


def test_a_store_that_is_away_is_not_logged_as_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answered(monkeypatch, StoreUnavailable("the driver says"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the driver says" not in answer.text
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
