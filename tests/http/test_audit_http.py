"""The audit log as administrators read it: every act over the API, the console, the commands, and nobody's secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from operating import Operator
from serving import API_KEY, Service, eventually, run

pytest_plugins = ["service_fixtures"]


def tracker(service: Service, *arguments: str) -> str:
    ran = run(service.data_dir, *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode().strip()


def acts(service: Service, key: str = API_KEY, **query: Any) -> list[dict[str, Any]]:
    answer = service.client.get("/v1/audit", params=query, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["acts"])


def names(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(act["act"], act["actor"]) for act in found]


def test_everything_that_administrators_do_is_in_it(service: Service) -> None:
    person = "somebody@private.example"
    assert service.call("PUT", "/v1/settings", json={"sender_name": "Shop"}).status_code == 200
    with Operator(service) as operator:
        operator.sign_in(API_KEY)
        assert operator.send("/console/settings", {"sender_name": "Shop 2", "footer": "auto"}).status_code in (303, 422)
        assert operator.send("/console/sign-out", {}).status_code == 303
    key = tracker(service, "keys", "add", "--name", "reader", "--scope", "read")
    reset = {"recipient": person, "reset": {"suppressions": ["complained"], "reason": f"{person} asked"}}
    assert service.call("PUT", "/v1/recipients", json=reset).status_code in (200, 202)
    revocation = {"kind": "host", "value": "evil.example", "reason": "phishing"}
    assert service.call("POST", "/v1/revocations", json=revocation).status_code == 200
    tracker(service, "revoke", "lift", "host", "evil.example")
    tracker(service, "sessions", "end", "environment")
    tracker(service, "reclassify")
    expected = {
        ("settings_changed", "environment"), ("session_ended", "environment"), ("key_added", "cli"),
        ("recipient_reset", "environment"), ("revoked", "environment"), ("lifted", "cli"), ("sessions_ended", "cli"),
        ("reclassified", "cli"),
    }  # fmt: skip
    found = eventually(lambda: acts(service), lambda found: expected <= set(names(found)))
    assert set(names(found)) == expected
    by_act = {act["act"]: act for act in found}
    assert by_act["revoked"]["subject"] == "host evil.example"
    assert by_act["revoked"]["detail"] == {"reason": "phishing"}
    assert by_act["recipient_reset"]["detail"] == {"suppressions": ["complained"], "list": "default"}
    assert [act["id"] for act in found] == sorted(act["id"] for act in found)
    everything = json.dumps(found) + tracker(service, "audit") + tracker(service, "audit", "--json")
    logged = [line for line in service.output().splitlines() if '"action":"audit"' in line]
    assert {json.loads(line)["act"] for line in logged} >= {"settings_changed", "recipient_reset", "revoked"}
    for secret in (person, API_KEY, key):
        assert secret not in everything
        assert secret not in "".join(logged)


def test_it_is_read_a_page_at_a_time(service: Service) -> None:
    for number in range(5):
        assert service.call("PUT", "/v1/settings", json={"sender_name": f"Shop {number}"}).status_code == 200
    whole = acts(service)
    seen: list[dict[str, Any]] = []
    after, more = "0", True
    while more:
        page = service.call("GET", "/v1/audit", params={"after": after, "limit": 2}).json()
        assert len(page["acts"]) <= 2
        seen += page["acts"]
        after, more = page["next"], page["more"]
    assert seen == whole
    assert service.call("GET", "/v1/audit", params={"after": after}).json() == {
        "acts": [],
        "next": after,
        "more": False,
    }
    latest = json.loads(tracker(service, "audit", "--limit", "2", "--json"))
    assert [act["id"] for act in latest] == [whole[-1]["id"], whole[-2]["id"]]


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "-1"}, {"limit": "0"}, {"limit": "101"}])
def test_what_is_no_page(service: Service, query: dict[str, str]) -> None:
    assert service.call("GET", "/v1/audit", params=query).status_code == 422


def test_each_account_sees_its_own_and_administrators_alone(service: Service) -> None:
    tracker(service, "accounts", "add", "shop", "--origin", "https://t.shop.example")
    key = tracker(service, "keys", "add", "--account", "shop", "--name", "admin", "--scope", "admin")
    reader = tracker(service, "keys", "add", "--account", "shop", "--name", "reader", "--scope", "read")
    headers = {"Authorization": f"Bearer {reader}"}
    eventually(lambda: service.client.get("/v1/audit", headers=headers).status_code, lambda status: status == 403)
    assert names(acts(service, key)) == [("account_added", "cli"), ("key_added", "cli"), ("key_added", "cli")]
    assert not any("shop" in json.dumps(act) for act in acts(service))
    assert "account_added" in tracker(service, "audit", "--account", "shop")
    assert "settings_changed" not in tracker(service, "audit", "--account", "shop")
