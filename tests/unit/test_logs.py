"""One line of JSON for each record, and nothing in it that an exception happens to quote."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tracker import logs


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = []  # else pytest's own would be closed
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("INFO")
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_a_line(stream: io.StringIO) -> None:
    logging.getLogger("tracker.x").warning("%d of %s", 3, "é\n\"'\U0001f600", extra={"action": "x", "n": {1, 2}})
    logging.getLogger("tracker.x").debug("not this")
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    assert line == {
        "level": "warning", "logger": "tracker.x", "message": "3 of é\n\"'\U0001f600", "action": "x", "n": [1, 2]
    }  # fmt: skip


def test_an_exception_is_its_kind_and_its_place_but_not_its_words(stream: io.StringIO) -> None:
    words = "jane@" + "person.example"  # in two, since the trace quotes these very lines
    try:
        try:
            raise KeyError(words)
        except KeyError as error:
            raise ValueError(words) from error
    except ValueError:
        logging.getLogger("x").exception("it broke")
    (line,) = lines(stream)
    assert (line["message"], line["exception"]) == ("it broke", "ValueError")
    assert "test_logs.py" in line["trace"][0]
    assert words not in stream.getvalue()


def test_text_that_is_no_unicode_is_logged_all_the_same(stream: io.StringIO) -> None:
    logging.getLogger("x").warning("%s", "file \udcff.db", extra={"path": "\udcff", "data": b"x", "other": object()})
    (line,) = lines(stream)
    assert line["message"] == "file \udcff.db"


def test_no_exception_at_hand(stream: io.StringIO) -> None:
    logging.getLogger("x").error("no", exc_info=True)
    assert "exception" not in lines(stream)[0]


def test_no_text_makes_a_second_line_or_rules_a_terminal(stream: io.StringIO) -> None:
    words = "a\nb\r\x85c\u2028d\u2029e\x1b[2J\x9b2J\u202ef\x00"
    logging.getLogger("x").warning("%s", words, extra={"detail": {"name": words}})
    (line,) = lines(stream)
    assert line["message"] == line["detail"]["name"] == words
    assert re.fullmatch(r"[ -~]+\n", stream.getvalue())
