"""``tracker reclassify``, while the service runs: what was judged under other settings is judged anew."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from raw import ask
from serving import Service, eventually, run, serving

pytest_plugins = ["service_fixtures"]

BATCH = "2026-11-judged"
HTML = '<a href="https://shop.example/a">A</a> <a href="https://shop.example/b">B</a>'
MESSAGES = 510  # more than are judged in one transaction
NO_NEWER_LIST = (
    "tracker: a network list holds from when a hit is recorded, since its whole address is not kept:"
    " no newer list was applied to older hits\n"
)
Mails = dict[str, dict[str, Any]]


@pytest.fixture
def service(own_store_url: str, tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "data", STORE_URL=own_store_url, TRUSTED_PROXIES="127.0.0.1") as service:
        yield service


def reclassify(service: Service, store_url: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    ran = run(service.data_dir, "reclassify", *arguments, STORE_URL=store_url)
    assert ran.returncode == code, ran.stderr
    return ran


def summary(ran: subprocess.CompletedProcess[bytes]) -> tuple[int, ...]:
    """How many messages were judged, how many corrected, and how many stages moved, as it says at the end."""
    assert ran.stderr.decode() == NO_NEWER_LIST
    said = re.fullmatch(
        r"(\d+) messages judged by rules version 2: (\d+) corrected, (\d+) stages moved\n", ran.stdout.decode()
    )
    assert said, ran.stdout
    return tuple(map(int, said.groups()))


def classified(service: Service, **values: Any) -> None:
    assert service.call("PUT", "/v1/settings", json={"classifier": values}).status_code == 200


def register(service: Service, count: int) -> Mails:
    people = [{"message_id": f"m-{number:03}"} for number in range(count)]
    call = {"html": HTML, "batch": BATCH, "recipients": people}
    lines = service.call("POST", "/v1/rewrite/batch", json=call).iter_lines()
    mails = {mail["message_id"]: mail for mail in map(json.loads, lines)}
    eventually(lambda: service.message(list(mails)[-1]))  # or its click would be one change with its registration
    return mails


def click(service: Service, mail: dict[str, Any], *links: int, address: str = "192.0.2.1") -> None:
    for link in links:
        path = mail["links"][link]["tracked_url"].removeprefix(service.url)
        assert ask(service.port, "GET", path, [("X-Forwarded-For", address)]).status == 302


def clicks(service: Service) -> tuple[int, dict[str, int]]:
    """In how many messages of the batch people clicked, and how often who did."""
    found = service.call("GET", f"/v1/batches/{BATCH}").json()
    return found["rates"]["click_rate"]["count"], found["clicks"]["total"]


def stage(service: Service, message_id: str) -> str:
    return str((service.message(message_id) or {}).get("stage"))


def verdicts(service: Service, message_id: str) -> list[tuple[str, list[str], int]]:
    events = [event for event in service.events(message_id) if event["type"] == "clicked"]
    return [(event["actor"], event["reasons"], event["rule_version"]) for event in events]


def changes(service: Service, message_id: str) -> list[tuple[str | None, str, bool]]:
    found = service.call("GET", "/v1/changes", params={"after": "0"}).json()["changes"]
    return [
        (one["previous_stage"], one["stage"], one["correction"]) for one in found if one["message_id"] == message_id
    ]


def test_what_was_judged_under_other_settings_is_judged_anew(service: Service, own_store_url: str) -> None:
    classified(service, bursts=False)
    mails = register(service, MESSAGES)
    first, middle, last, unsubscribed, *_, other = mails
    last = f"m-{MESSAGES - 2:03}"  # on the second page
    for id_ in (first, middle, last, unsubscribed):
        click(service, mails[id_], 0, 1)
    click(service, mails[middle], 0, address="198.51.100.2")
    click(service, mails[other], 0)
    assert service.client.post(mails[unsubscribed]["unsubscribe_url"]).status_code == 200
    eventually(lambda: stage(service, unsubscribed), "unsubscribed".__eq__)
    assert [stage(service, id_) for id_ in (first, middle, last, other)] == ["clicked"] * 4
    assert clicks(service) == (5, {"human": 10, "proxy": 0, "machine": 0})

    classified(service)
    assert [stage(service, id_) for id_ in (first, last)] == ["clicked"] * 2, "settings by themselves change no verdict"
    assert summary(reclassify(service, own_store_url)) == (MESSAGES, 4, 2)
    burst = ("machine", ["burst_from_one_source"], 2)
    assert verdicts(service, first) == verdicts(service, last) == [burst] * 2
    assert verdicts(service, middle) == [burst, burst, ("human", [], 2)]
    found = [stage(service, id_) for id_ in (first, middle, last, unsubscribed, other)]
    assert found == ["sent", "clicked", "sent", "unsubscribed", "clicked"]
    assert clicks(service) == (2, {"human": 2, "proxy": 0, "machine": 8})
    assert changes(service, first) == [(None, "sent", False), ("sent", "clicked", False), ("clicked", "sent", True)]
    assert changes(service, other) == [(None, "sent", False), ("sent", "clicked", False)]

    assert summary(reclassify(service, own_store_url)) == (MESSAGES, 0, 0), "once is enough"
    classified(service, bursts=False)
    assert summary(reclassify(service, own_store_url, "--account", "default")) == (MESSAGES, 4, 2)
    assert changes(service, first)[3:] == [("sent", "clicked", False)]
    assert clicks(service) == (5, {"human": 10, "proxy": 0, "machine": 0})


def test_clicks_that_come_meanwhile_are_judged_by_the_same_settings(service: Service, own_store_url: str) -> None:
    classified(service, bursts=False)
    mails = register(service, 60)
    old = dict(list(mails.items())[:30])
    for mail in old.values():
        click(service, mail, 0, 1)
    eventually(lambda: clicks(service)[0], len(old).__eq__)
    classified(service)
    clicked = 2 * len(old)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(reclassify, service, own_store_url) for _ in range(2)]
        for mail in itertools.cycle(mails.values()):
            click(service, mail, 0, 1)
            clicked += 2
            if all(each.done() for each in running):
                break
    assert [summary(each.result())[0] for each in running] == [len(mails)] * 2
    expected = (0, {"human": 0, "proxy": 0, "machine": clicked})
    assert eventually(lambda: clicks(service), expected.__eq__) == expected
    assert {stage(service, id_) for id_ in mails} == {"sent"}
    for id_ in old:
        assert changes(service, id_)[2] == ("clicked", "sent", True)
