"""The store cannot say who may be written to: rewriting goes on, and says so where it matters."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres import Server
from serving import Service, eventually, serving

CLASSES = ("marketing", "transactional")
KNOWN, UNKNOWN = "gone", "fine"


@contextlib.contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def hidden(file: Path) -> Iterator[None]:
    """A folder has the name of the embedded store, so that it cannot be opened."""
    for side in (file, *file.parent.glob(f"{file.name}-*")):
        shutil.move(side, file.parent / f"kept.{side.name}")
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        for side in file.parent.glob("kept.*"):
            shutil.move(side, file.parent / side.name.removeprefix("kept."))


def complained(service: Service) -> None:
    service.rewrite("before", recipient=KNOWN)
    event = {"event_id": "1", "message_id": "before", "type": "complained", "occurred_at": "2026-10-01T12:00:00Z"}
    assert service.call("POST", "/v1/events", json={"events": [event]}).status_code == 202
    eventually(lambda: service.message("before"), lambda found: found and found["stage"] == "spam")
    assert service.call("POST", "/v1/rewrite", json={"message_id": "x", "text": "", "recipient": KNOWN}).is_error


def codes(answer: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


def goes_on(service: Service) -> None:
    for class_ in CLASSES:
        rewritten = service.rewrite(f"away-{class_}", recipient=UNKNOWN, **{"class": class_})
        assert codes(rewritten) == ["suppression_unknown"]
    answer = service.call("POST", "/v1/rewrite", json={"message_id": "away-known", "text": "", "recipient": KNOWN})
    if answer.status_code != 409:  # the node may remember what the store said
        assert codes(answer.json()) == ["suppression_unknown"]
    assert codes(service.rewrite("away-nobody")) == []
    people = [{"message_id": f"away-{n}", **({"recipient": UNKNOWN} if n % 2 else {})} for n in range(10)]
    answer = service.call("POST", "/v1/rewrite/batch", json={"text": "x", "recipients": people})
    lines = [json.loads(line) for line in answer.iter_lines()]
    assert [codes(line) for line in lines] == [["suppression_unknown"] if n % 2 else [] for n in range(10)]
    asked = service.call("POST", "/v1/recipients/lookup", json={"recipient": KNOWN})
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "5")
    reset = {"recipient": KNOWN, "reset": {"suppressions": ["complained"], "reason": "x"}}
    assert service.call("PUT", "/v1/recipients", json=reset).status_code == 202, "it is on disk, and not yet in force"


def is_back(service: Service) -> None:
    """What was done meanwhile arrives, and the store is asked again."""
    eventually(lambda: service.message("away-9"))
    lookup = {"recipient": KNOWN}
    eventually(lambda: service.call("POST", "/v1/recipients/lookup", json=lookup).json()["state"] == "active")
    answers = (service.rewrite(f"back-{number}", recipient=UNKNOWN) for number in range(100_000))
    eventually(lambda: codes(next(answers)) == [])


def test_postgres_stopped(postgres_server: Server, tmp_path: Path) -> None:
    with postgres_server.new_database() as url, serving(tmp_path / "data", STORE_URL=url) as service:
        complained(service)
        with stopped(postgres_server):
            goes_on(service)
        is_back(service)


def test_the_embedded_store_cannot_be_opened(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        complained(service)
    with contextlib.ExitStack() as stack:
        with hidden(tmp_path / "data" / "status.db"):
            service = stack.enter_context(serving(tmp_path / "data"))
            goes_on(service)
        is_back(service)


@pytest.mark.parametrize("recipient", [None, KNOWN])
def test_a_store_that_was_never_there(tmp_path: Path, recipient: str | None) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "status.db").mkdir()
    with serving(tmp_path / "data") as service:
        assert codes(service.rewrite("m", recipient=recipient)) == (["suppression_unknown"] if recipient else [])
