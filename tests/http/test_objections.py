"""Unsubscribes and complaints are counted by account as they are stored: a sudden rise is an alarm (threat 15)."""

from __future__ import annotations

from urllib.parse import urlsplit

from raw import ask
from serving import Service

pytest_plugins = ["service_fixtures"]


def counted(service: Service) -> dict[str, float]:
    """What the metric says of the account ``default``, by type."""
    lines = [
        line for line in service.client.get("/metrics").text.splitlines() if line.startswith("tracker_objections_t")
    ]
    assert all('account="default"' in line for line in lines)
    return {line.partition('type="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_a_rise_of_unsubscribes_and_complaints_can_be_seen(service: Service) -> None:
    at = "2026-01-01T00:00:00Z"
    for number in range(5):
        mail = service.rewrite(f"objects-{number}", recipient=f"lead-{number}")
        target = urlsplit(mail["unsubscribe_url"]).path
        assert ask(service.port, "GET", target).status == 200  # nothing yet
        assert ask(service.port, "POST", target).status == 200
    reports = [
        {"event_id": f"{type_}-{number}", "message_id": "objects-0", "type": type_, "occurred_at": at}
        for type_, often in (("complained", 3), ("unsubscribed", 2), ("delivered", 4))
        for number in range(often)
    ]
    assert service.call("POST", "/v1/events", json={"events": reports}).status_code == 202
    assert counted(service) == {"unsubscribed": 7.0, "complained": 3.0}
