"""Batches over HTTP: what was sent, opened, clicked and refused is what the reports say."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sending import METRICS, Batch
from serving import Service, eventually, run, serving

pytest_plugins = ["service_fixtures"]

PROXY = {"User-Agent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}
MACHINE = {"User-Agent": "Mozilla/5.0"}
NOT_KNOWN = {"count": 0, "of": 0, "rate": None, "low": None, "high": None}


def counts(human: int = 0, proxy: int = 0, machine: int = 0) -> dict[str, int]:
    return {"human": human, "proxy": proxy, "machine": machine}


def share(rate: dict[str, Any]) -> tuple[int, int, float]:
    assert 0 <= rate["low"] <= rate["rate"] <= rate["high"] <= 1
    return rate["count"], rate["of"], rate["rate"]


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return dict(answer.json())


def compare(service: Service, *names: str) -> dict[str, Any]:
    answer = service.call("GET", "/v1/reports", params={"batch": names})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_what_a_batch_came_to(any_service: Service) -> None:
    batch = Batch(any_service)
    a, b, c, d, e, f, g, h, i, j = batch.send(10)
    batch.report("sent", *batch.mails)
    batch.report("delivered", a, b, c, d, e, f, g, h)
    batch.report("failed", i, status_code="550 5.1.1")
    batch.report("dropped", j)
    batch.open(a, a, b)
    batch.open(b, c, headers=PROXY)
    batch.open(d, headers=MACHINE)
    batch.click(a, a)
    batch.click(e, link=1)
    batch.report("replied", f)
    batch.report("complained", g)
    assert any_service.client.post(batch.mails[h]["unsubscribe_url"]).status_code == 200
    found = batch.read()
    names = ("batch", "messages", "sent", "delivered", "failed", "reached", "replied", "unsubscribed", "complained")
    assert [found[name] for name in names] == [batch.name, 10, 10, 8, 2, 8, 1, 1, 1]
    assert found["failures"] == [{"status": "550 5.1.1", "count": 1}, {"status": "Dropped", "count": 1}]
    assert found["opens"] == {
        "tracked": 10, "unique": counts(2, 2, 1), "total": counts(3, 2, 1), "withdrawn": counts()
    }  # fmt: skip
    assert found["clicks"] == {"tracked": 10, "unique": counts(2), "total": counts(3), "withdrawn": counts()}
    assert found["opened_by"] == {"human": 2, "proxy": 1, "implied": 1, "machine_only": 1, "proxy_share": 0.25}
    assert list(found["rates"]) == METRICS
    assert [share(found["rates"][name]) for name in METRICS] == [
        (4, 8, 0.5), (2, 8, 0.25), (2, 4, 0.5), (8, 10, 0.8), (2, 10, 0.2), *[(1, 8, 0.125)] * 3,
    ]  # fmt: skip
    assert found["links"] == [
        {"url": "https://shop.example/a", "unique": 1, "total": counts(2)},
        {"url": "https://shop.example/b", "unique": 1, "total": counts(1)},
    ]
    assert {part: [one["count"] for one in rows] for part, rows in found["devices"].items()} == {
        "device": [3], "os": [3], "client": [3]
    }  # fmt: skip
    assert found["step_s"] == 3600
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:00:00\.000000Z", point["at"]) for point in found["series"])
    assert [sum(point[name] for point in found["series"]) for name in ("opened", "clicked")] == [4, 2]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["created_at"])


def test_what_is_not_tracked_is_null(service: Service) -> None:
    batch = Batch(service)
    batch.send(2, track={"opens": False})
    found = batch.read()
    assert (found["opens"], found["opened_by"], found["clicks"]["tracked"]) == (None, None, 2)
    assert found["rates"]["open_rate"] == found["rates"]["click_to_open"] == NOT_KNOWN
    assert share(found["rates"]["click_rate"]) == (0, 2, 0)
    assert found["rates"]["delivery_rate"] == NOT_KNOWN, "nobody reports deliveries"
    assert found["series"] == []
    batch.click(*batch.mails)
    (point,) = batch.read()["series"]
    assert (point["opened"], point["clicked"]) == (None, 2)
    only_opens = Batch(service)
    only_opens.open(*only_opens.send(1, track={"clicks": False}))
    (point,) = only_opens.read()["series"]
    assert (point["opened"], point["clicked"]) == (1, None)
    neither = Batch(service)
    neither.send(1, track={"opens": False, "clicks": False})
    found = neither.read()
    assert (found["opens"], found["clicks"]) == (None, None)


def test_without_consent_nothing_is_known_of_that_message(service: Service) -> None:
    batch = Batch(service)
    batch.send(1, consent={"opens": "denied", "clicks": "denied"})
    assert (batch.read()["opens"], batch.read()["rates"]["click_rate"]) == (None, NOT_KNOWN)
    a, *_ = batch.send(2, consent={"opens": "granted"})
    batch.open(a)
    found = batch.read()
    assert (found["messages"], found["opens"]["tracked"], found["clicks"]["tracked"]) == (3, 2, 2)
    assert share(found["rates"]["open_rate"]) == (1, 2, 0.5)


def test_consent_that_is_withdrawn_leaves_numbers_alone(service: Service) -> None:
    batch = Batch(service)
    a, b = batch.send(2)
    batch.open(a, a, b)
    assert batch.read()["rates"]["open_rate"]["count"] == 2
    body = {"recipient": f"lead-{a}", "consent": {"opens": "denied", "clicks": "denied"}}
    assert service.call("PUT", "/v1/recipients", json=body).status_code in (200, 202)
    batch.open(a)
    found = eventually(batch.read, lambda found: sum(found["opens"]["withdrawn"].values()))
    assert sum(found["opens"]["total"].values()) + sum(found["opens"]["withdrawn"].values()) == 4


def test_batches_compared(any_service: Service) -> None:
    few, many, blind = Batch(any_service), Batch(any_service), Batch(any_service)
    few.send(60)
    many.send(60)
    blind.send(3, track={"opens": False})
    few.open(*list(few.mails)[:10])
    many.open(*list(many.mails)[:30])
    reports = [few.read(), many.read(), blind.read()]
    found = compare(any_service, few.name, many.name)
    assert found["batches"] == reports[:2]
    assert (found["baseline"], found["confidence"], found["comparisons"]) == (few.name, 0.95, 1)
    assert [one["metric"] for one in found["differences"]] == METRICS
    opens, clicks, *_ = found["differences"]
    assert (opens["batch"], opens["verdict"]) == (many.name, "higher")
    assert opens["difference"] == pytest.approx(1 / 3)
    assert 0 < opens["low"] < opens["difference"] < opens["high"]
    assert opens["sentence"].startswith(
        f"The open rate of {many.name} is higher than that of {few.name}: 50.0 % against 16.7 %, a difference of 33.3"
    )
    assert clicks["verdict"] == "no_difference_shown"
    assert f"{few.name} and {many.name} are less than 48 hours old, so their numbers may still grow." in found["notes"]
    back = compare(any_service, many.name, few.name)["differences"][0]
    assert (back["verdict"], back["difference"]) == ("lower", -opens["difference"])
    three = compare(any_service, few.name, many.name, blind.name)
    assert three["batches"] == reports
    assert three["confidence_each"] == pytest.approx(0.975)
    assert len(three["differences"]) == 2 * len(METRICS)
    assert three["differences"][len(METRICS)] == {
        "metric": "open_rate", "batch": blind.name, "verdict": "not_comparable",
        "difference": None, "low": None, "high": None,
        "sentence": f"The open rates of {few.name} and {blind.name} cannot be compared:"
        f" opens were not tracked in {blind.name}.",
    }  # fmt: skip


def test_a_comparison_takes_two_to_ten_different_batches(service: Service) -> None:
    for path, least in (("/v1/reports", 2), ("/v1/reports.csv", 1)):
        for names in (["a"] * (least - 1), ["a", "b", "a"], [str(number) for number in range(11)]):
            (error,) = problem(service.call("GET", path, params={"batch": names}), 422)["errors"]
            assert error["path"] == "batch"
        named = problem(service.call("GET", path, params={"batch": ["new", "unheard-of"]}), 404)
        assert named["detail"].endswith(": 'new', 'unheard-of'")


def test_a_batch_that_is_not_there(service: Service) -> None:
    for name in ("unheard-of", "%00", "%FF", "x" * 2000, "a%2Fb", "..%2F..", "messages"):
        for rest in ("", "/messages", "/messages?after=m", "/messages.csv"):
            problem(service.call("GET", f"/v1/batches/{name}{rest}"), 404)


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a/messages",
        "messages",
        "messages.csv",
        "/",
        "a b+c%2F?#&",
        "-1",
        "\u00fcber \u2603",
        "x" * 128,
        "a:b;c,d=e",
    ],
)
def test_a_batch_may_have_any_name(service: Service, name: str) -> None:
    batch = Batch(service, name)
    ids = batch.send(1)
    assert batch.read()["batch"] == name
    found = service.call("GET", f"{batch.path}/messages").json()["messages"]
    assert [one["message_id"] for one in found] == ids
    assert ids[0] in batch.csv().text


def pages(service: Service, path: str, key: str, limit: int) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        params = {"limit": limit} | ({"after": after} if after is not None else {})
        answer = service.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert set(found) == {key, "next"}
        assert len(found[key]) <= limit
        yield from found[key]
        if (after := found["next"]) is None:
            return


def test_every_batch_is_listed_once_the_newest_first(any_service: Service) -> None:
    names = []
    for _ in range(7):
        batch = Batch(any_service)
        batch.send(1)
        batch.read()
        names.append(batch.name)
    everything = list(pages(any_service, "/v1/batches", "batches", 1000))
    assert [one["batch"] for one in everything[:7]] == names[::-1]
    times = [one["created_at"] for one in everything]
    assert times == sorted(times, reverse=True)
    for limit in (1, 2, 3, 7):
        assert list(pages(any_service, "/v1/batches", "batches", limit)) == everything


def test_the_messages_of_a_batch(any_service: Service) -> None:
    batch, other = Batch(any_service), Batch(any_service)
    ids = batch.send(7)
    other.send(2)
    batch.open(ids[3])
    batch.read()
    everything = list(pages(any_service, f"/v1/batches/{batch.name}/messages", "messages", 1000))
    assert [one["message_id"] for one in everything] == sorted(ids)
    assert everything == [any_service.message(id_) for id_ in sorted(ids)]
    assert [one["stage"] for one in everything].count("opened") == 1
    for limit in (1, 2, 7):
        path = f"/v1/batches/{batch.name}/messages"
        assert list(pages(any_service, path, "messages", limit)) == everything


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/batches/any/messages"])
def test_bad_pages_are_refused(service: Service, path: str) -> None:
    for bad in ("0", "-1", "1001", "x", ""):
        (error,) = problem(service.call("GET", f"{path}?limit={bad}"), 422)["errors"]
        assert error["path"] == "limit"
    cursors = [base64.urlsafe_b64encode(json.dumps(bad).encode()).decode() for bad in (["a"], ["\0", 1], ["a", -1], 7)]
    for bad in ("%00", *(["", "x", "!", "%C3%A9", *cursors] if path == "/v1/batches" else ["x" * 600])):
        (error,) = problem(service.call("GET", f"{path}?after={bad}"), 422)["errors"]
        assert error["path"] == "after"


PATHS = (
    "/v1/batches",
    "/v1/batches/x",
    "/v1/batches/x/messages",
    "/v1/batches/x/messages.csv",
    "/v1/reports?batch=x&batch=y",
    "/v1/reports.csv?batch=x",
)


def test_a_key_is_needed_that_may_read_and_sees_its_own_account(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        for name in "xy":
            batch = Batch(service, name)
            batch.send(1)
            batch.read()
        for path in PATHS:
            assert service.call("GET", path).status_code == 200
            problem(service.client.get(path), 401)
        assert run(service.data_dir, "accounts", "add", "shop", "--origin", "https://t.shop.example").returncode == 0
        keys = {scope: new_key(service, scope) for scope in ("read", "rewrite")}
        for path in PATHS:
            missing = 200 if path == "/v1/batches" else 404
            for scope, status in (("read", missing), ("rewrite", 403)):
                headers = {"Authorization": f"Bearer {keys[scope]}"}
                ask = lambda: service.client.get(path, headers=headers).status_code  # noqa: B023, E731
                assert eventually(ask, lambda found: found != 401) == status
        listed = service.client.get("/v1/batches", headers={"Authorization": f"Bearer {keys['read']}"}).json()
        assert listed == {"batches": [], "next": None}


def new_key(service: Service, scope: str) -> str:
    ran = run(service.data_dir, "keys", "add", "--account", "shop", "--name", "test", "--scope", scope)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode().strip()
