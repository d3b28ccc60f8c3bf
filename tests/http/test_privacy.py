"""What becomes of addresses and names: in the store as the setting says, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from raw import ask
from serving import API_KEY, Service, serving

pytest_plugins = ["service_fixtures"]

VISITOR4, VISITOR6 = "203.0.113.77", "2001:db8:77:88:99:aa:bb:cc"
KEPT: dict[str, dict[str, str | None]] = {
    "none": {VISITOR4: None, VISITOR6: None},
    "truncated": {VISITOR4: "203.0.113.0/24", VISITOR6: "2001:db8:77::/48"},
    "full": {VISITOR4: VISITOR4, VISITOR6: VISITOR6},
}


def opened_from(service: Service, message_id: str, *forwarded: str) -> dict[str, Any]:
    """The event of one open with these X-Forwarded-For headers."""
    path = service.rewrite(message_id)["open_url"].removeprefix(service.url)
    ask(service.port, "GET", path, [("X-Forwarded-For", value) for value in forwarded])
    service.reached(message_id, "rewritten", "opened")
    return service.events(message_id)[-1]


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("keep", KEPT)
def test_of_a_visitors_address_reaches_the_disk_what_the_setting_allows(tmp_path: Path, keep: str) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir, CLIENT_IP=keep, TRUSTED_PROXIES="127.0.0.0/8, 10.0.0.0/8") as service:
        events = {}
        for number, visitor in enumerate((VISITOR4, VISITOR6)):
            shapes = [(visitor,), (f"6.6.6.6, {visitor}, 10.1.2.3",), ("6.6.6.6", visitor, "10.1.2.3")]
            shapes.append((f"[{visitor}]:4711",) if ":" in visitor else (f"{visitor}:4711",))
            seen = [opened_from(service, f"ip-{number}-{n}", *shape) for n, shape in enumerate(shapes)]
            assert {event["address"] for event in seen} == {KEPT[keep][visitor]}
            assert len({event["source"] for event in seen}) == 1, "one visitor is one source, whatever is kept"
            events[visitor] = seen[0]
            while_running = everything_on_disk(data_dir)
            assert (visitor.encode() in while_running) == (keep == "full")
        assert events[VISITOR4]["source"] != events[VISITOR6]["source"]
        assert opened_from(service, "ip-garbage", "unknown, not an address")["address"] == {
            "none": None, "truncated": "127.0.0.0/24", "full": "127.0.0.1"
        }[keep]  # fmt: skip
        assert VISITOR4 not in service.output()
    for visitor in (VISITOR4, VISITOR6):
        assert (visitor.encode() in everything_on_disk(data_dir)) == (keep == "full")


def test_nobody_is_believed_who_is_not_a_trusted_proxy(service: Service) -> None:
    event = opened_from(service, "ip-untrusted", VISITOR4)
    assert event["address"] == "127.0.0.0/24"


def test_logs_and_metrics_hold_no_token_no_address_and_no_name(tmp_path: Path) -> None:
    recipient, reference = "jane.doe@person.example", "<unique-reference@mail.example>"
    with serving(tmp_path / "data", TRUSTED_PROXIES="127.0.0.1", CLIENT_IP="full", LOG_LEVEL="debug") as service:
        mail = service.rewrite("private-id", recipient=recipient, rfc822_message_id=reference, text="Hello")
        urls = [mail["open_url"], mail["links"][0]["tracked_url"], mail["unsubscribe_url"]]
        headers = [("X-Forwarded-For", VISITOR4), ("User-Agent", "AgentOfJaneDoe/1"), ("Cookie", "secret=cookie")]
        for method in ("GET", "HEAD", "POST", "PUT"):
            for url in urls:
                for suffix in ("", "?email=" + recipient, "x"):
                    ask(service.port, method, url.removeprefix(service.url) + suffix, headers)
        service.call("POST", "/v1/rewrite", json={"message_id": "private-id", "html": "x", "recipient": "other"})
        service.call("POST", "/v1/rewrite", content=b'{"recipient": "jane.doe@person.example"')
        service.call("GET", "/v1/messages/private-id", headers={"Authorization": "Bearer wrong-key"})
        ask(service.port, "GET", b"/o/\xff" + recipient.encode(), headers)
        service.message("private-id")
        metrics = service.client.get("/metrics").text
        service.stop()
        logs = service.output()
    tokens = [url.rpartition("/")[2].removesuffix(".gif") for url in urls] + [mail["headers"]["X-Tracker-Id"]]
    secrets = [*tokens, VISITOR4, "203.0.113", recipient, "jane", reference, "AgentOfJaneDoe", "cookie", API_KEY]
    for secret in [*secrets, "wrong-key", "private-id", "shop.example"]:
        assert secret not in metrics, secret
        assert secret not in logs, secret
    for line in logs.splitlines():
        entry = json.loads(line)
        assert {"time", "level", "logger", "message"} <= set(entry)
        assert entry["level"] in ("debug", "info", "warning"), line
