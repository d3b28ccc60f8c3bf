"""Several accounts in one service: each has its own links, its own keys, and sees nothing of the others."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw import Raw, connected, received
from serving import API_KEY, Service, eventually, free_port, run, serving

pytest_plugins = ["service_fixtures"]

ORIGINS = {"shop": "https://t.shop.example", "news": "http://news.example:8080"}
HOSTS = {"default": "127.0.0.1", "shop": "t.shop.example", "news": "news.example:8080"}
SCOPES = ("rewrite", "events", "read", "admin")
GARBAGE = {"o": "/o/garbage.gif", "c": "/c/garbage", "u": "/u/garbage", "s": "/u/garbage/stop-tracking"}


def tracker(service: Service, *arguments: str) -> str:
    """What a command prints that is run beside the service, on its data dir."""
    ran = run(service.data_dir, *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode().strip()


def add_key(service: Service, account: str, *scopes: str) -> str:
    return tracker(
        service,
        "keys",
        "add",
        "--account",
        account,
        "--name",
        "test",
        *(word for s in scopes for word in ("--scope", s)),
    )


class Tenant:
    """An account as its owner uses it, with a key for everything."""

    def __init__(self, service: Service, name: str, key: str) -> None:
        self.service = service
        self.name = name
        self.key = key

    def call(self, method: str, path: str, **more: Any) -> Any:
        return self.service.call(method, path, headers={"Authorization": f"Bearer {self.key}"}, **more)

    def rewrite(self, message_id: str, **fields: Any) -> dict[str, Any]:
        body = {"message_id": message_id, "html": '<a href="https://shop.example/">Shop</a>', **fields}
        answer = self.call("POST", "/v1/rewrite", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def links(self, message_id: str) -> dict[str, str]:
        """The paths of a message's links, by kind."""
        mail = self.rewrite(message_id)
        origin = ORIGINS.get(self.name, "http://127.0.0.1:8000")
        urls = {"o": mail["open_url"], "c": mail["links"][0]["tracked_url"], "u": mail["unsubscribe_url"]}
        assert all(url.startswith(f"{origin}/{kind}/") for kind, url in urls.items())
        paths = {kind: url.removeprefix(origin) for kind, url in urls.items()}
        return {**paths, "s": paths["u"] + "/stop-tracking"}

    def types(self, message_id: str) -> list[str]:
        answer = self.call("GET", f"/v1/messages/{message_id}/events")
        return sorted(event["type"] for event in answer.json()["events"]) if answer.status_code == 200 else []


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tenant]]:
    data_dir = tmp_path_factory.mktemp("service") / "data"
    with serving(data_dir, BASE_URL="http://127.0.0.1:8000") as service:
        found = {"default": Tenant(service, "default", API_KEY)}
        for name, origin in ORIGINS.items():
            tracker(service, "accounts", "add", name, "--origin", origin)
            found[name] = Tenant(service, name, add_key(service, name, *SCOPES))
        for tenant in found.values():
            eventually(lambda: tenant.call("GET", "/v1/settings").status_code, lambda status: status == 200)  # noqa: B023
        yield found


def ask_at(service: Service, host: str, method: str, path: str, *headers: str) -> Raw:
    """One request to a host name, whatever address it has."""
    head = "\r\n".join(
        [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host else []), *headers, "Connection: close"]
    )
    with connected(service.port) as connection:
        connection.sendall(head.encode("latin-1") + b"\r\nContent-Length: 0\r\n\r\n")
        return received(connection)


def seen(answer: Raw) -> tuple[int, list[tuple[str, bytes]], bytes]:
    return answer.status, [(name, value) for name, value in answer.headers if name != "date"], answer.body


@pytest.mark.parametrize("signer", HOSTS)
def test_a_link_works_where_its_account_is_and_nowhere_else(tenants: dict[str, Tenant], signer: str) -> None:
    owner = tenants[signer]
    service, message_id = owner.service, f"matrix-{signer}"
    links = owner.links(message_id)
    methods = {"o": ("GET", "HEAD"), "c": ("GET", "HEAD"), "u": ("GET", "HEAD", "POST"), "s": ("GET", "HEAD", "POST")}
    for name, host in HOSTS.items():
        if name == signer:
            continue
        for kind, path in links.items():
            for method in methods[kind]:
                answer = ask_at(service, host, method, path)
                assert answer.status == (200 if kind == "o" else 404)
                assert seen(answer) == seen(ask_at(service, host, method, GARBAGE[kind]))
    assert ask_at(service, HOSTS[signer], "GET", links["o"]).body.startswith(b"GIF89a")
    assert ask_at(service, HOSTS[signer], "GET", links["c"]).one("location") == b"https://shop.example/"
    for path in (links["u"], links["s"]):
        assert ask_at(service, HOSTS[signer], "GET", path).status == 200
    assert ask_at(service, HOSTS[signer], "POST", links["u"]).status == 200
    expected = ["clicked", "opened", "rewritten", "unsubscribed"]
    assert eventually(lambda: owner.types(message_id), lambda types: len(types) >= 4) == expected
    assert ask_at(service, HOSTS[signer], "POST", links["s"]).status == 200
    assert "consent_changed" in eventually(lambda: owner.types(message_id), lambda types: len(types) >= 5)
    for name, other in tenants.items():
        assert name == signer or other.types(message_id) == []


@pytest.mark.parametrize(
    ("host", "account"),
    [
        ("T.Shop.EXAMPLE", "shop"), ("t.shop.example.", "shop"), ("t.shop.example:443", "shop"),
        ("t.shop.example:80", "shop"), ("T.SHOP.EXAMPLE.:443", "shop"), ("t.shop.example:8443", "shop"),
        ("x.t.shop.example", "default"), ("shop.example", "default"), ("t.shop.example.evil.example", "default"),
        ("t.shop.example@evil.example", "default"), ("NEWS.example.:8080", "news"), ("news.example", "news"),
        ("news.example:80", "news"), ("", "default"), ("\xe9\xff", "default"), ("localhost", "default"),
    ],
)  # fmt: skip
def test_how_a_host_may_be_spelled(tenants: dict[str, Tenant], host: str, account: str) -> None:
    for name, tenant in tenants.items():
        path = tenant.links("spelled")["c"]
        answer = ask_at(tenant.service, host, "GET", path)
        if not host:  # HTTP/1.1 asks for one: it may be refused, too
            assert answer.status in ((302, 400) if name == account else (400, 404))
            continue
        assert answer.status == (302 if name == account else 404)


def test_no_other_header_names_the_host(tenants: dict[str, Tenant]) -> None:
    path = tenants["shop"].links("forwarded")["c"]
    for header in ("X-Forwarded-Host: t.shop.example", "Forwarded: host=t.shop.example", "X-Host: t.shop.example"):
        assert ask_at(tenants["shop"].service, "127.0.0.1", "GET", path, header).status == 404


def bounce(tracker_id: str) -> bytes:
    """A delivery status notification with the message's headers."""
    return (
        "From: MAILER-DAEMON@mx.example\r\nSubject: failed\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nfailed\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        "Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-Tracker-Id: {tracker_id}\r\n\r\n--b--\r\n"
    ).encode()


def test_a_tracker_id_is_believed_from_its_own_account_only(tenants: dict[str, Tenant]) -> None:
    for signer, owner in tenants.items():
        report = bounce(owner.rewrite(f"bounced-{signer}")["headers"]["X-Tracker-Id"])
        for name, tenant in tenants.items():
            answer = tenant.call("POST", "/v1/events/report", content=report)
            assert answer.status_code == (202 if name == signer else 422), answer.text
        assert eventually(lambda: owner.types(f"bounced-{signer}"), lambda types: len(types) > 1) == [  # noqa: B023
            "failed", "rewritten",
        ]  # fmt: skip


def test_the_same_ids_are_other_messages_and_other_people(tenants: dict[str, Tenant]) -> None:
    for name, tenant in tenants.items():
        tenant.rewrite("same", recipient="same@person.example", batch=f"batch-{name}", list="same")
    shop = tenants["shop"]
    said = {"recipient": "same@person.example", "consent": {"opens": "denied"}}
    assert shop.call("PUT", "/v1/recipients", json=said).status_code == 200
    event = {"event_id": "e-1", "message_id": "same", "type": "complained", "occurred_at": "2026-11-23T12:00:00Z"}
    assert shop.call("POST", "/v1/events", json={"events": [event]}).status_code == 202
    assert shop.call("PUT", "/v1/settings", json={"sender_name": "Shop"}).status_code == 200
    eventually(lambda: shop.types("same"), lambda types: "complained" in types)
    for name, tenant in tenants.items():
        mine = name == "shop"
        message = eventually(lambda: tenant.call("GET", "/v1/messages/same").json(), lambda m: "batch" in m)  # noqa: B023
        assert (message["batch"], message["stage"]) == (f"batch-{name}", "spam" if mine else "sent")
        known = tenant.call("POST", "/v1/recipients/lookup", json={"recipient": "same@person.example"}).json()
        assert (known["state"], known["consent"]["opens"]) == (
            ("complained", "denied") if mine else ("active", "unknown")
        )
        changes = [c for c in tenant.call("GET", "/v1/changes").json()["changes"] if c["message_id"] == "same"]
        assert {change["batch"] for change in changes} == {f"batch-{name}"}
        assert tenant.call("GET", "/v1/settings").json()["sender_name"] == ("Shop" if mine else "")
        again = tenant.call(
            "POST", "/v1/rewrite", json={"message_id": f"x-{name}", "text": "x", "recipient": "same@person.example"}
        )
        assert again.status_code == (409 if mine else 200)


ENDPOINTS: dict[tuple[str, str], tuple[Any, set[str]]] = {
    ("POST", "/v1/rewrite"): ({}, {"rewrite"}),
    ("POST", "/v1/rewrite/batch"): ({}, {"rewrite"}),
    ("POST", "/v1/events"): ({}, {"events"}),
    ("POST", "/v1/events/report"): ({}, {"events"}),
    ("PUT", "/v1/recipients"): ({}, {"events"}),
    ("POST", "/v1/recipients/lookup"): ({}, {"read"}),
    ("GET", "/v1/messages/scoped"): (None, {"read"}),
    ("GET", "/v1/messages/scoped/events"): (None, {"read"}),
    ("GET", "/v1/changes"): (None, {"read"}),
    ("GET", "/v1/settings"): (None, {"read"}),
    ("PUT", "/v1/settings"): ({"bogus": 1}, {"admin"}),
}
RESET = {"recipient": "r", "reset": {"suppressions": ["complained"], "reason": "asked"}}


def test_a_key_is_good_for_its_scopes_only(tenants: dict[str, Tenant]) -> None:
    service = tenants["news"].service
    sets = [(scope,) for scope in SCOPES] + [("events", "admin"), SCOPES]
    keys = {scopes: add_key(service, "news", *scopes) for scopes in sets}
    for scopes, key in keys.items():
        tenant = Tenant(service, "news", key)
        eventually(lambda: tenant.call("GET", "/v1/settings").status_code, lambda status: status != 401)  # noqa: B023
        for (method, path), (body, needed) in ENDPOINTS.items():
            answer = tenant.call(method, path, **({} if body is None else {"json": body}))
            if needed <= set(scopes):
                assert answer.status_code in (200, 404, 422), (scopes, method, path)
            else:
                assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not_allowed"), (scopes, path)
        status = tenant.call("PUT", "/v1/recipients", json=RESET).status_code
        assert status == (200 if {"events", "admin"} <= set(scopes) else 403)
    assert tenants["news"].call("GET", "/v1/settings").json()["sender_name"] == ""


def test_a_revoked_key_is_refused_within_5_s(tenants: dict[str, Tenant]) -> None:
    service = tenants["shop"].service
    revoked = Tenant(service, "shop", add_key(service, "shop", "read"))
    eventually(lambda: revoked.call("GET", "/v1/settings").status_code, lambda status: status == 200)
    (id_,) = [
        key["id"] for key in json.loads(tracker(service, "keys", "list", "--account", "shop", "--json"))
        if key["scopes"] == ["read"] and key["revoked_at"] is None
    ]  # fmt: skip
    tracker(service, "keys", "revoke", id_)
    time.sleep(5)
    assert revoked.call("GET", "/v1/settings").status_code == 401
    assert tenants["shop"].call("GET", "/v1/settings").status_code == 200


def test_no_key_is_on_disk_and_all_are_known_without_the_store(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    working: Callable[[], int]
    with serving(data_dir) as service:
        tracker(service, "accounts", "add", "shop", "--origin", ORIGINS["shop"])
        key = add_key(service, "shop", *SCOPES)
        shop = Tenant(service, "shop", key)
        working = lambda: shop.call("PUT", "/v1/settings", json={"sender_name": "Kept"}).status_code  # noqa: E731
        eventually(working, lambda status: status == 200)
        eventually(lambda: b"Kept" in (data_dir / "directory.json").read_bytes())
        before = shop.links("m-1")
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        assert not any(secret in path.read_bytes() for secret in (key.encode(), key[4:].encode(), API_KEY.encode()))
    assert data_dir / "directory.json" in files
    with serving(data_dir, STORE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/nothing") as service:
        shop = Tenant(service, "shop", key)
        assert shop.links("m-1") == before
        assert shop.call("GET", "/v1/settings").json()["sender_name"] == "Kept"
        assert ask_at(service, HOSTS["shop"], "GET", before["c"]).status == 302
        assert ask_at(service, "127.0.0.1", "GET", before["c"]).status == 404
        assert b"from Kept" in ask_at(service, HOSTS["shop"], "GET", before["u"]).body
        assert shop.call("PUT", "/v1/settings", json={}).status_code == 503
        assert Tenant(service, "shop", key + "x").call("GET", "/v1/settings").status_code == 401
