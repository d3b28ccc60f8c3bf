"""The kill switch over HTTP and in a terminal: revoked links lead to a page without the link, and all else goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from raw import Raw, ask
from serving import API_KEY, Service, eventually, free_port, run, serving

pytest_plugins = ["service_fixtures"]

NOWHERE = "postgresql://nobody@127.0.0.1:{}/nothing"
HEADERS = {"cache-control": b"no-store, private", "referrer-policy": b"no-referrer", "x-robots-tag": b"noindex"}


def revoke(service: Service, kind: str, value: str, **more: Any) -> dict[str, Any]:
    answer = service.call("POST", "/v1/revocations", json={"kind": kind, "value": value, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def listed(service: Service) -> dict[tuple[str, str], dict[str, Any]]:
    answer = service.call("GET", "/v1/revocations")
    assert answer.status_code == 200, answer.text
    return {(one["kind"], one["value"]): one for one in answer.json()["revocations"]}


def follow(service: Service, link: str, method: str = "GET") -> Raw:
    return ask(service.port, method, link.removeprefix(service.url))


def command(service: Service, *arguments: str) -> str:
    ran = run(service.data_dir, *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode()


def is_off(answer: Raw) -> bool:
    return answer.status == 410 and not answer.all("location")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("host", "{id}.evil.example"), ("host", "*.evil.example"), ("url", "https://{id}.evil.example/a?b=c#d"),
        ("message", "{id}"), ("batch", "batch of {id}"),
    ],
)  # fmt: skip
def test_a_revoked_link_leads_to_a_page_without_it_and_back_when_that_is_lifted(
    service: Service, kind: str, value: str
) -> None:
    message_id = f"off-{kind}-{len(value)}"
    url, value = f"https://{message_id}.evil.example/a?b=c#d", value.format(id=message_id)
    html = f'<a href="{url}">Go</a>'
    mail = service.rewrite(message_id, html=html, batch=f"batch of {message_id}")
    other = service.link("https://good.example/", f"good-{kind}-{len(value)}")
    link = mail["links"][0]["tracked_url"]
    assert follow(service, link).one("location") == url.encode()
    made = revoke(service, kind, value, reason="phishing <b>")
    assert (made["kind"], made["value"], made["revoked"], made["actor"]) == (kind, value, True, "environment")
    page = follow(service, link)
    assert is_off(page)
    assert page.one("content-type") == b"text/html; charset=utf-8"
    assert all(page.one(name) == expected for name, expected in HEADERS.items())
    assert not page.all("set-cookie")
    assert b"evil.example" not in page.body
    assert b"phishing" not in page.body
    assert b"<h1>This link is switched off</h1>" in page.body
    head = follow(service, link, "HEAD")
    assert is_off(head)
    assert head.body == b""
    assert follow(service, other).status == 302
    assert listed(service)[kind, value]["reason"] == "phishing <b>"
    assert revoke(service, kind, value, revoked=False)["revoked"] is False
    assert follow(service, link).one("location") == url.encode()
    assert (kind, value) not in listed(service)
    service.reached(message_id, "rewritten", "clicked", "revoked_click", "clicked")


def test_what_a_revoked_click_is_and_is_not(service: Service) -> None:
    mail = service.rewrite("recorded", html='<a href="https://bad.example/x">Go</a>', batch="recorded")
    revoke(service, "message", "recorded")
    for _ in range(3):
        assert is_off(follow(service, mail["links"][0]["tracked_url"]))
    assert is_off(follow(service, mail["links"][0]["tracked_url"], "HEAD"))
    service.reached("recorded", "rewritten", *["revoked_click"] * 3)
    found = next(event for event in service.events("recorded") if event["type"] == "revoked_click")
    assert (found["link"], found["url"]) == (0, "https://bad.example/x")
    assert found["user_agent"]
    assert found["actor"] is None
    message = service.message("recorded")
    assert message is not None
    assert (message["stage"], message["clicks"], message["links"]) == (
        "sent", {"human": 0, "proxy": 0, "machine": 0}, [],
    )  # fmt: skip
    counts = service.call("GET", "/v1/batches/recorded").json()
    assert set(counts["clicks"]["total"].values()) | set(counts["clicks"]["unique"].values()) == {0}
    assert ask(service.port, "GET", mail["open_url"].removeprefix(service.url)).body.startswith(b"GIF89a")
    assert ask(service.port, "POST", mail["unsubscribe_url"].removeprefix(service.url)).status == 200
    service.reached("recorded", "rewritten", *["revoked_click"] * 3, "opened", "unsubscribed")


def test_a_message_with_a_link_to_a_revoked_destination_is_warned_of(service: Service) -> None:
    revoke(service, "host", "warned.example")
    html = '<a href="https://warned.example/x">Go</a><a href="https://fine.example/">Fine</a>'
    mail = service.rewrite("warned", html=html)
    assert [notice["code"] for notice in mail["warnings"]].count("revoked_destination") == 1
    assert [link["action"] for link in mail["links"][:2]] == ["rewritten", "rewritten"]
    assert is_off(follow(service, mail["links"][0]["tracked_url"]))
    assert follow(service, mail["links"][1]["tracked_url"]).status == 302
    assert service.rewrite("fine", html='<a href="https://fine.example/">Fine</a>')["warnings"] == []


@pytest.mark.parametrize(
    "body",
    [
        {}, {"kind": "host"}, {"kind": "session", "value": "abc"}, {"kind": "host", "value": "a b"},
        {"kind": "url", "value": "javascript:alert(1)"}, {"kind": "message", "value": ""},
        {"kind": "host", "value": "a.example", "until": 1}, {"kind": "host", "value": "a.example", "reason": "a\nb"},
        {"kind": "host", "value": "a.example", "reason": "x" * 201},
        {"kind": "host", "value": "a.example", "revoked": 1},
    ],
)  # fmt: skip
def test_what_is_not_a_revocation(service: Service, body: dict[str, Any]) -> None:
    before = listed(service)
    answer = service.call("POST", "/v1/revocations", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]
    assert listed(service) == before


def test_only_administrators_may(service: Service) -> None:
    key = command(service, "keys", "add", "--name", "no admin", "--scope", "read", "--scope", "rewrite").strip()
    headers = {"Authorization": f"Bearer {key}"}
    eventually(lambda: service.client.get("/v1/settings", headers=headers).status_code, lambda status: status != 401)
    body = {"kind": "host", "value": "a.example"}
    assert service.client.post("/v1/revocations", headers=headers, json=body).status_code == 403
    assert service.client.get("/v1/revocations", headers=headers).status_code == 403
    assert service.client.post("/v1/revocations", json=body).status_code == 401


def test_another_accounts_links_are_not_touched(service: Service) -> None:
    command(service, "accounts", "add", "shop", "--origin", "http://t.shop.example")
    key = command(service, "keys", "add", "--account", "shop", "--name", "all", *["--scope", "admin"]).strip()
    headers = {"Authorization": f"Bearer {key}"}
    body = {"kind": "host", "value": "shared.example"}
    eventually(
        lambda: service.client.post("/v1/revocations", headers=headers, json=body).status_code, lambda s: s == 200
    )
    link = service.link("https://shared.example/", "shared")
    assert follow(service, link).status == 302
    assert ("host", "shared.example") not in listed(service)
    assert len(service.client.get("/v1/revocations", headers=headers).json()["revocations"]) == 1


def test_the_command_revokes_lists_and_lifts_beside_the_service(service: Service) -> None:
    link = service.link("https://by-command.example/", "by-command")
    command(service, "revoke", "host", "By-Command.example", "--reason", "spam")
    eventually(lambda: is_off(follow(service, link)))
    (one,) = [
        one for one in json.loads(command(service, "revoke", "list", "--json")) if one["value"] == "by-command.example"
    ]
    assert (one["kind"], one["actor"], one["reason"]) == ("host", "cli", "spam")
    assert "by-command.example" in command(service, "revoke", "list")
    command(service, "revoke", "lift", "host", "by-command.example")
    eventually(lambda: follow(service, link).status == 302)
    ran = run(service.data_dir, "revoke", "host", "a b")
    assert ran.returncode == 2
    assert b"not a host name" in ran.stderr
    assert run(service.data_dir, "revoke", "host", "a.example", "--account", "nobody").returncode == 1


def test_it_outlives_restarts_without_the_store_and_the_command_works_on_a_stopped_node(tmp_path: Path) -> None:
    away = NOWHERE.format(free_port())
    with serving(tmp_path / "data") as service:
        first, second = (service.link(f"https://{name}.example/", name) for name in ("first", "second"))
        revoke(service, "host", "first.example")
    paths = [link.partition("/c/")[2] for link in (first, second)]
    ran = run(tmp_path / "data", "revoke", "message", "second", API_KEY=API_KEY, STORE_URL=away)
    assert ran.returncode == 0, ran.stderr
    assert b"other nodes follow" in ran.stderr
    with serving(tmp_path / "data", STORE_URL=away) as service:
        assert all(is_off(ask(service.port, "GET", f"/c/{path}")) for path in paths)
        began = time.monotonic()
        revoke(service, "host", "first.example", revoked=False)
        assert ask(service.port, "GET", f"/c/{paths[0]}").status == 302
        assert time.monotonic() - began < 5
        assert set(listed(service)) == {("message", "second")}
    with serving(tmp_path / "data") as service:
        assert ask(service.port, "GET", f"/c/{paths[0]}").status == 302
        assert is_off(ask(service.port, "GET", f"/c/{paths[1]}"))


def test_a_disk_that_cannot_take_it_is_said_and_nothing_is_in_force(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        link = service.link("https://a.example/")
        (service.data_dir / "revocations.lock").unlink(missing_ok=True)
        (service.data_dir / "revocations.lock").mkdir()
        answer = service.call("POST", "/v1/revocations", json={"kind": "message", "value": "m-1"})
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/disk_unavailable")
        assert answer.headers["retry-after"]
        assert follow(service, link).status == 302
        (service.data_dir / "revocations.lock").rmdir()
        revoke(service, "message", "m-1")
        assert is_off(follow(service, link))
