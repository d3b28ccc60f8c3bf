"""``POST /v1/events``: all of it is durable, or nothing is stored and each fault is named."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import Service, eventually, serving

pytest_plugins = ["service_fixtures"]

AT = "2026-10-01T12:00:00Z"
_numbers = itertools.count()


def event(type_: str = "delivered", **fields: Any) -> dict[str, Any]:
    made = {"event_id": f"e-{next(_numbers)}", "message_id": "m-1", "type": type_, "occurred_at": AT, **fields}
    return {name: value for name, value in made.items() if value is not None}


def post(service: Service, *events: Any) -> httpx2.Response:
    return service.call("POST", "/v1/events", json={"events": events})


def settled(service: Service) -> None:
    """What was stored until now has reached the store."""
    message_id = f"settled-{next(_numbers)}"
    service.rewrite(message_id)
    eventually(lambda: service.message(message_id))


def paths(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].endswith("/invalid_request")
    assert all(error["message"] for error in problem["errors"])
    return [error["path"] for error in problem["errors"]]


def test_what_is_reported_is_accepted_and_shown(service: Service) -> None:
    service.rewrite("shown", list="news")
    answer = post(
        service,
        event("sent", message_id="shown"),
        event("deferred", message_id="shown", status_code="452 4.2.2", reason="mailbox full", event_id="é \U0001f600"),
        event("unsubscribed", message_id="shown", list="other", occurred_at="2026-10-01T14:30:00.000001+02:00"),
    )
    assert (answer.status_code, answer.json()) == (202, {"accepted": 3})
    service.reached("shown", "rewritten", "sent", "deferred", "unsubscribed")
    by_type = {one["type"]: one for one in service.events("shown")}
    assert {by_type[name]["reporter"] for name in ("sent", "deferred", "unsubscribed")} == {"api"}
    assert by_type["deferred"]["delivery"] == {"status_code": "452 4.2.2", "reason": "mailbox full"}
    assert by_type["deferred"]["event_id"] == "é \U0001f600"
    assert by_type["unsubscribed"]["list"] == "other"
    assert by_type["unsubscribed"]["occurred_at"] == "2026-10-01T12:30:00.000001Z"
    assert by_type["sent"]["delivery"] is None


FAULTS: dict[str, tuple[str, Any]] = {
    "a type of ours": ("type", event("opened")),
    "no such type": ("type", event("bounced")),
    "a type that is no text": ("type", {**event(), "type": 5}),
    "no offset": ("occurred_at", event(occurred_at="2026-10-01T12:00:00")),
    "a date": ("occurred_at", event(occurred_at="2026-10-01")),
    "a number": ("occurred_at", event(occurred_at=1790000000)),
    "before 1970": ("occurred_at", event(occurred_at="1969-12-31T23:59:59Z")),
    "before 1970 by its offset": ("occurred_at", event(occurred_at="1970-01-01T00:00:00+01:00")),
    "after 9999 by its offset": ("occurred_at", event(occurred_at="9999-12-31T23:59:59-01:00")),
    "an empty event_id": ("event_id", event(event_id="")),
    "a control character": ("event_id", event(event_id="a\nb")),
    "an event_id of 256": ("event_id", event(event_id="x" * 256)),
    "an event_id of 600 bytes": ("event_id", event(event_id="\U0001f600" * 150)),
    "a message_id with a space": ("message_id", event(message_id="a b")),
    "a message_id too long": ("message_id", event(message_id="m" * 129)),
    "a code for delivered's kin": ("status_code", event("sent", status_code="250")),
    "a reason for replied": ("reason", event("replied", reason="x")),
    "a list for failed": ("list", event("failed", list="news")),
    "an empty list": ("list", event("unsubscribed", list="")),
    "a NUL in the reason": ("reason", event("failed", reason="a\0b")),
    "a reason too long": ("reason", event("failed", reason="x" * 1001)),
    "a status_code too long": ("status_code", event("failed", status_code="5" * 65)),
    "no event_id": ("", event(event_id=None)),
    "no message_id": ("", event(message_id=None)),
    "no type": ("", {"event_id": "x", "message_id": "m", "occurred_at": AT}),
    "no time": ("", event(occurred_at=None)),
    "an unknown field": ("", event(recipient="x@y.example")),
    "null": ("", None),
    "a list of nothing": ("", []),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_event_is_named_and_nothing_is_stored(service: Service, fault: str) -> None:
    field, bad = FAULTS[fault]
    message_id = f"faults-{next(_numbers)}"
    service.rewrite(message_id)
    good = [event(message_id=message_id) for _ in range(4)]
    expected = f"$.events[3].{field}" if field else "$.events[3]"
    assert paths(post(service, *good[:3], bad, good[3])) == [expected]
    settled(service)
    assert service.types(message_id) == ["rewritten"]


def test_every_bad_event_is_named(service: Service) -> None:
    bad = [one for _, one in FAULTS.values()]
    answer = post(service, *(each for one in bad for each in (event(), one)))
    expected = [
        f"$.events[{2 * number + 1}]" + (f".{field}" if field else "")
        for number, (field, _) in enumerate(FAULTS.values())
    ]
    assert paths(answer) == expected
    two = event("sent", status_code="250", list="news")
    assert paths(post(service, two)) == ["$.events[0].status_code", "$.events[0].list"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"[]", "$"),
        (b"{}", "$"),
        (b'{"events": []}', "$.events"),
        (b'{"events": {}}', "$.events"),
        (b'{"events": [{}], "more": 1}', "$"),
        (b'{"events": [{"event_id": "\\ud800"}]}', "$"),
        (b'{"events": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "$"),
        (b'{"events": [{"a": ' + b"[" * 100_000, "$"),
        (b"\xff\xfe", "$"),
    ],
)
def test_what_is_no_list_of_events(service: Service, body: bytes, path: str) -> None:
    assert paths(service.call("POST", "/v1/events", content=body)) == [path]


def test_ten_thousand_events_and_not_one_more(service: Service) -> None:
    service.rewrite("many")
    events = [event(message_id="many", event_id=f"many-{number}") for number in range(10_001)]
    assert paths(post(service, *events)) == ["$.events"]
    settled(service)
    assert service.types("many") == ["rewritten"]
    answer = post(service, *events[:-1])
    assert (answer.status_code, answer.json()) == (202, {"accepted": 10_000})
    eventually(lambda: len(service.events("many")) == 1000)  # a page
    answer = service.call("POST", "/v1/events", content=b" " * (17 << 20))
    assert answer.status_code == 413


@pytest.mark.parametrize("key", [None, "", "Bearer wrong", "Basic {key}", "Bearer {key}x", "{key}"])
def test_a_wrong_key(service: Service, key: str | None) -> None:
    message_id = f"no-key-{next(_numbers)}"
    service.rewrite(message_id)
    headers = {} if key is None else {"Authorization": key.format(key=service.api_key)}
    for path in ("/v1/events", "/v1/events/report"):
        body = json.dumps({"events": [event(message_id=message_id)]})
        answer = service.client.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    settled(service)
    assert service.types(message_id) == ["rewritten"]


def test_an_event_id_counts_once(any_service: Service) -> None:
    service = any_service
    service.rewrite("once")
    service.rewrite("once-other")
    first = event("delivered", message_id="once", event_id="the-id")
    assert post(service, first, first).json() == {"accepted": 2}
    service.reached("once", "rewritten", "delivered")
    others: tuple[dict[str, str], ...] = (
        {"type": "complained"},
        {"occurred_at": "2026-09-01T00:00:00Z"},
        {"message_id": "once-other"},
        {},
    )
    for changed in others:
        assert post(service, {**first, **changed}).status_code == 202
    settled(service)
    assert service.types("once") == ["delivered", "rewritten"]
    assert service.types("once-other") == ["rewritten"]
    message = service.message("once")
    assert message
    assert (message["stage"], message["delivered_at"]) == ("delivered", "2026-10-01T12:00:00.000000Z")
    assert post(service, event("failed", message_id="once", event_id="the-id-2", status_code="550")).status_code == 202
    service.reached("once", "rewritten", "delivered", "failed")


def test_events_of_a_message_nobody_knows_are_kept(any_service: Service) -> None:
    service = any_service
    assert post(service, event("failed", message_id="later", status_code="550 5.7.1")).status_code == 202
    message = eventually(lambda: service.message("later"))
    assert message
    assert (message["stage"], message["rewritten_at"], message["recipient"]) == ("failed", None, None)
    service.rewrite("later", recipient="lead-9", batch="b")
    message = eventually(lambda: service.message("later"), lambda found: found and found["rewritten_at"])
    assert message
    assert (message["stage"], message["recipient"], message["batch"]) == ("failed", "lead-9", "b")


def test_accepted_events_outlive_a_kill(tmp_path: Path) -> None:
    """Whatever the moment: nothing is asked of the store before the process is gone."""
    kept = []
    for _ in range(3):
        with serving(tmp_path / "data") as service:
            for number in range(20):
                answer = post(service, event(message_id=f"kill-{number}"))
                assert answer.status_code == 202
                kept.append(f"kill-{number}")
            service.process.kill()
            service.process.wait()
    with serving(tmp_path / "data") as service:
        for number in range(20):
            service.reached(f"kill-{number}", *["delivered"] * kept.count(f"kill-{number}"))


def test_a_request_is_answered_quickly_whatever_is_in_it(service: Service) -> None:
    started = time.monotonic()
    assert paths(post(service, *[{"a": 1}] * 10_000))[-1] == "$.events[9999]"
    assert paths(post(service, event(event_id="x" * 10_000_000))) == ["$.events[0].event_id"]
    assert time.monotonic() - started < 10
