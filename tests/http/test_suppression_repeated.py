"""A call that is repeated after its recipient was suppressed: refused, but what was sent is not made out as dropped."""

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
