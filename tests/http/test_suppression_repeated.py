"""Odd histories of suppression: calls repeated after it, and reports from clocks that run ahead."""

from __future__ import annotations

from typing import Any

import pytest
from serving import Service, eventually

pytest_plugins = ["service_fixtures"]

NOON = "2026-10-01T12:00:00Z"


def report(service: Service, *events: tuple[str, str], **fields: Any) -> None:
    said = [
        {"event_id": f"{id_} {type_}", "message_id": id_, "type": type_, "occurred_at": NOON, **fields}
        for id_, type_ in events
    ]
    assert service.call("POST", "/v1/events", json={"events": said}).status_code == 202


def stage(service: Service, message_id: str) -> str | None:
    return (service.message(message_id) or {}).get("stage")


@pytest.mark.parametrize(("reported", "after"), [("sent", "sent"), ("delivered", "delivered"), (None, "failed")])
def test_a_message_from_before(any_service: Service, reported: str | None, after: str) -> None:
    service, recipient = any_service, f"lead-{reported}"
    first, other = f"first-{reported}", f"other-{reported}"
    for id_ in (first, other):
        service.rewrite(id_, recipient=recipient)
    if reported:
        report(service, (first, reported))
        eventually(lambda: len(service.events(first)) == 2)
    report(service, (other, "failed"), status_code="550 5.1.1")
    eventually(lambda: stage(service, other), lambda now: now == "failed")
    body = {"message_id": first, "html": '<a href="https://shop.example/">Shop</a>', "recipient": recipient}
    for _ in range(2):
        answer = service.call("POST", "/v1/rewrite", json=body)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/recipient_suppressed")
    service.rewrite("a-mark-" + first)
    eventually(lambda: stage(service, "a-mark-" + first))
    message = eventually(lambda: service.message(first), lambda found: found and found["stage"] == after)
    assert message is not None
    assert message["status"] == ("Dropped" if reported is None else None)
    assert ("dropped" in service.types(first)) is (reported is None)


def test_what_is_dated_in_the_future_can_be_lifted_too(any_service: Service) -> None:
    service = any_service
    service.rewrite("future", recipient="lead-future", list="news")
    for type_, fields in (("complained", {}), ("failed", {"status_code": "550 5.1.1"}), ("unsubscribed", {})):
        event = {"event_id": f"future {type_}", "message_id": "future", "type": type_}
        said = {"events": [event | {"occurred_at": "2199-01-01T00:00:00Z"} | fields]}
        assert service.call("POST", "/v1/events", json=said).status_code == 202
    eventually(lambda: len(service.events("future")) == 4)
    wanted = {"message_id": "after-future", "text": "Hello", "recipient": "lead-future", "list": "news"}
    assert service.call("POST", "/v1/rewrite", json={**wanted, "message_id": "before"}).status_code == 409
    reset = {"suppressions": ["invalid", "complained", "unsubscribed"], "list": "news", "reason": "a clock ran ahead"}
    answer = service.call("PUT", "/v1/recipients", json={"recipient": "lead-future", "reset": reset})
    assert (answer.status_code, answer.json()["state"]) == (200, "active")
    assert service.call("POST", "/v1/rewrite", json=wanted).status_code == 200
