"""The networks that hits come from: recorded from the whole address, whatever of it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from raw import ask
from serving import Service, free_port, run, serving

MICROSOFT, BARRACUDA = "40.107.218.12", "209.222.82.5"
OWN = """
# version: 2026-12-24
203.0.113.77 one-address any probable
203.0.113.64/26 our-range clicks certain
209.222.82.0/24 ours opens probable
2001:db8:77:88::/64 six any certain
"""


def hit(service: Service, message_id: str, address: str, kind: str = "opened") -> dict[str, Any]:
    """The event of one hit from ``address``."""
    mail = service.rewrite(message_id)
    url = {
        "opened": mail["open_url"],
        "clicked": mail["links"][0]["tracked_url"],
        "unsubscribed": mail["unsubscribe_url"],
    }
    method = "POST" if kind == "unsubscribed" else "GET"
    ask(service.port, method, url[kind].removeprefix(service.url), [("X-Forwarded-For", address)])
    service.reached(message_id, "rewritten", kind)
    return service.events(message_id)[-1]


@pytest.mark.parametrize("keep", ["none", "truncated", "full"])
def test_the_network_is_found_before_the_address_is_cut(tmp_path: Path, keep: str) -> None:
    file = tmp_path / "networks.txt"
    file.write_text(OWN)
    data_dir = tmp_path / "data"
    with serving(data_dir, CLIENT_IP=keep, TRUSTED_PROXIES="127.0.0.1", NETWORKS_FILE=str(file)) as service:
        found = {
            MICROSOFT: "microsoft-defender/any/certain/2026-11-23",
            "203.0.113.77": "one-address/any/probable/2026-12-24",
            "203.0.113.78": "our-range/clicks/certain/2026-12-24",
            "203.0.113.1": None,
            BARRACUDA: "ours/opens/probable/2026-12-24",
            "2001:db8:77:88::1": "six/any/certain/2026-12-24",
            "2001:db8:77:89::1": None,
            "::ffff:203.0.113.77": "one-address/any/probable/2026-12-24",
            "not an address": None,
        }
        events = {address: hit(service, f"{keep}-{at}", address) for at, address in enumerate(found)}
        assert {address: event["network"] for address, event in events.items()} == found
        assert events["203.0.113.77"]["address"] == {
            "none": None, "truncated": "203.0.113.0/24", "full": "203.0.113.77"
        }[keep]  # fmt: skip
        for kind in ("clicked", "unsubscribed"):
            assert hit(service, f"{keep}-{kind}", MICROSOFT, kind)["network"] == found[MICROSOFT]
        service.stop()
        disk = b"".join(path.read_bytes() for path in service.data_dir.rglob("*") if path.is_file())
        assert (b"203.0.113.77" in disk) == (keep == "full")


def test_the_built_in_list_needs_no_setting_and_nobody_can_claim_a_network(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        assert hit(service, "claimed", MICROSOFT)["network"] is None
    with serving(tmp_path / "data", TRUSTED_PROXIES="127.0.0.1") as service:
        assert hit(service, "barracuda", BARRACUDA, "clicked")["network"] == "barracuda/any/certain/2026-11-23"


@pytest.mark.parametrize(
    ("text", "says"),
    [("192.0.2.0/24 a any certain", "line 1: "), (OWN + "192.0.2.1/24 a any certain\n" + "#\n" * 1000, "192.0.2.1/24")],
)
def test_a_list_that_is_not_valid_stops_the_start_with_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "networks.txt").write_text(text)
    file = str(tmp_path / "networks.txt")
    ran = run(tmp_path / "data", "serve", "--port", str(free_port()), cwd=tmp_path, NETWORKS_FILE=file)
    assert (ran.returncode, ran.stdout) == (3, b"")
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith("tracker: ")
    assert "TRACKER_NETWORKS: " in line
    assert says in line
    assert len(line) < 300
