"""``GET /v1/changes``: whoever follows it from the start knows every message's stage, and no change twice."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import Service, eventually, serving

pytest_plugins = ["service_fixtures"]

AGENT = {"User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari"}
TYPES = ("sent", "deferred", "delivered", "failed", "dropped", "replied", "unsubscribed", "complained")
STAGES = ("sent", "delivered", "failed", "opened", "clicked", "replied", "unsubscribed", "spam")
FIELDS = {
    "sequence", "message_id", "batch", "recipient", "stage", "previous_stage", "label", "last_action", "status",
    "correction", "changed_at",
}  # fmt: skip
_numbers = itertools.count()


def page(service: Service, after: str | None = None, limit: int | None = None) -> dict[str, Any]:
    given = {name: value for name, value in (("after", after), ("limit", limit)) if value is not None}
    answer = service.call("GET", "/v1/changes", params=given)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"].startswith("no-store")
    found = dict(answer.json())
    assert set(found) == {"changes", "next", "more"}
    assert len(found["changes"]) <= (limit or 1000)
    assert found["more"] == (len(found["changes"]) == (limit or 1000))
    return found


def read_on(service: Service, after: str, limit: int = 1000) -> Iterator[dict[str, Any]]:
    """The changes after ``after``, page by page, up to an empty one."""
    while (found := page(service, after, limit))["changes"]:
        yield from found["changes"]
        after = found["next"]


def report(service: Service, *events: tuple[str, str], **fields: Any) -> None:
    """Report events, each a message and a type."""
    body = [
        {"event_id": f"e-{next(_numbers)}", "message_id": id_, "type": type_, "occurred_at": "2026-10-01T12:00:00Z"}
        for id_, type_ in events
    ]
    answer = service.call("POST", "/v1/events", json={"events": [event | fields for event in body]})
    assert answer.status_code == 202, answer.text


def staged(service: Service, message_id: str, stage: str) -> None:
    eventually(lambda: service.message(message_id), lambda found: found and found["stage"] == stage)


def test_a_message_on_its_way(any_service: Service) -> None:
    service = any_service
    start = page(service, str(2**63 - 1))["next"]
    assert start == str(2**63 - 1)
    known = [change["sequence"] for change in read_on(service, "0")]
    mail = service.rewrite("way", recipient="lead-7", batch="b-1")
    staged(service, "way", "sent")
    report(service, ("way", "deferred"))
    report(service, ("way", "delivered"))
    staged(service, "way", "delivered")
    report(service, ("way", "delivered"))  # nothing new
    service.client.get(mail["open_url"], headers=AGENT)
    staged(service, "way", "opened")
    report(service, ("way", "failed"), status_code="550 5.7.1")
    eventually(lambda: service.message("way"), lambda found: found and found["status"])
    service.client.get(mail["links"][0]["tracked_url"], headers=AGENT)
    staged(service, "way", "clicked")
    for type_, stage in (("replied", "replied"), ("unsubscribed", "unsubscribed"), ("complained", "spam")):
        report(service, ("way", type_))
        staged(service, "way", stage)
    changes = list(read_on(service, str(max(known, default=0))))
    shown = [(one["previous_stage"], one["stage"], one["label"], one["last_action"], one["status"]) for one in changes]
    assert shown == [
        (None, "sent", None, "Sent", None),
        ("sent", "delivered", "Delivered", "Delivered", None),
        ("delivered", "opened", "Opened", "Opened", None),
        ("opened", "opened", "Opened", "Opened", "550 5.7.1"),
        ("opened", "clicked", "Clicked", "Clicked", "550 5.7.1"),
        ("clicked", "replied", "Clicked", "Replied", "550 5.7.1"),
        ("replied", "unsubscribed", "Unsubscribed", "Unsubscribed", "550 5.7.1"),
        ("unsubscribed", "spam", "Spam", "Spam", "550 5.7.1"),
    ]
    for change in changes:
        assert set(change) == FIELDS
        assert (change["message_id"], change["batch"], change["recipient"]) == ("way", "b-1", "lead-7")
        assert change["correction"] is False
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", change["changed_at"])
    times = [change["changed_at"] for change in changes]
    assert times == sorted(times)
    sequences = [change["sequence"] for change in changes]
    assert sequences == sorted(set(sequences))


def test_paging(any_service: Service) -> None:
    service = any_service
    for _ in range(7):
        message_id = f"paged-{next(_numbers)}"
        service.rewrite(message_id)
        staged(service, message_id, "sent")
    everything = list(read_on(service, "0"))
    assert len(everything) >= 7
    assert page(service)["changes"] == everything
    for limit in (1, 2, 1000):
        assert list(read_on(service, "0", limit)) == everything
    last = str(everything[-1]["sequence"])
    assert page(service, "0")["next"] == last
    for end in (last, str(int(last) + 1), str(2**63 - 1)):
        for _ in range(2):
            assert page(service, end) == {"changes": [], "next": end, "more": False}
    message_id = f"paged-{next(_numbers)}"
    service.rewrite(message_id)
    staged(service, message_id, "sent")
    assert [change["message_id"] for change in page(service, last)["changes"]] == [message_id]


@pytest.mark.parametrize(
    "query",
    [
        *(
            f"after={bad}"
            for bad in ("", "-1", "x", "1.0", "1e3", "%201", "0x1", "1_0", "%D9%A1", str(2**63), "9" * 30)
        ),
        *(f"limit={bad}" for bad in ("", "0", "-1", "1001", "x", "9" * 5000)),
    ],
)
def test_a_bad_cursor_is_refused(service: Service, query: str) -> None:
    answer = service.call("GET", f"/v1/changes?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["path"] == query.partition("=")[0]


def test_the_feed_needs_a_key(service: Service) -> None:
    assert service.client.get("/v1/changes").status_code == 401


class Follower(threading.Thread):
    """Follows the feed with requests of its own, as if nobody else were there."""

    def __init__(self, service: Service, limit: int) -> None:
        super().__init__()
        self._service, self._limit = service, limit
        self.seen: list[dict[str, Any]] = []
        self.next = "0"
        self.failure: BaseException | None = None
        self._done = threading.Event()

    def run(self) -> None:
        try:
            while not self._done.is_set():
                self._read()
            while self._read():
                pass
        except BaseException as error:  # shown by the test
            self.failure = error

    def _read(self) -> int:
        found = page(self._service, self.next, self._limit)
        self.seen += found["changes"]
        self.next = found["next"]
        return len(found["changes"])

    def finish(self) -> list[dict[str, Any]]:
        self._done.set()
        self.join(60)
        if self.failure:
            raise self.failure
        return self.seen


def register(service: Service, ids: list[str]) -> dict[str, str]:
    """Register the messages; their tracked links."""
    people = [{"message_id": id_} for id_ in ids]
    call = {"html": '<a href="https://shop.example/">x</a>', "recipients": people}
    answer = service.call("POST", "/v1/rewrite/batch", json=call)
    return {line["message_id"]: line["links"][0]["tracked_url"] for line in map(json.loads, answer.iter_lines())}


def bustle(service: Service, links: dict[str, str], seed: int) -> None:
    """Much happens to all of them, in no order."""
    chance, ids = random.Random(seed), list(links)
    for _ in range(60):
        size = chance.choice((1, 5, 40))
        report(service, *((chance.choice(ids), chance.choice(TYPES)) for _ in range(size)))
        service.client.get(links[chance.choice(ids)], headers=AGENT)


def follow(service: Service) -> None:
    """Post from four sides, follow with two readers, and judge what they saw."""
    run = next(_numbers)
    links = register(service, [f"followed-{run}-{number}" for number in range(200)])
    followers = [Follower(service, limit) for limit in (1000, 7)]
    for follower in followers:
        follower.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: bustle(service, links, seed), range(4)))
    stages = settled(service, links, run)
    for follower in followers:
        check(follower.finish(), stages)


def settled(service: Service, links: dict[str, str], run: int) -> dict[str, dict[str, Any]]:
    """All the messages, as soon as nothing is on its way any more."""
    for number in range(8):  # each worker has a spool of its own
        service.rewrite(f"last-{run}-{number}")
        eventually(lambda id_=f"last-{run}-{number}": service.message(id_))  # type: ignore[misc]
    eventually(lambda: service.metric("tracker_spool_depth"), lambda rows: rows == 0)
    deadline, before = time.monotonic() + 30, -1
    while (now := len(list(read_on(service, "0")))) != before:
        assert time.monotonic() < deadline
        before = now
        time.sleep(0.3)
    return {id_: service.message(id_) or {} for id_ in links}


def check(seen: list[dict[str, Any]], stages: dict[str, dict[str, Any]]) -> None:
    """Nothing is missing, nothing comes twice, and folding the feed gives what the messages are now."""
    sequences = [change["sequence"] for change in seen]
    assert sequences == list(range(1, len(seen) + 1)), "a change was missed, or came twice"
    folded: dict[str, dict[str, Any]] = {}
    for change in seen:
        id_ = change["message_id"]
        previous = folded.get(id_)
        assert change["previous_stage"] == (previous and previous["stage"])
        if previous:
            assert STAGES.index(change["stage"]) >= STAGES.index(previous["stage"])
            told = [[one[name] for name in ("stage", "label", "status")] for one in (previous, change)]
            assert told[0] != told[1], "nothing changed"
        folded[id_] = change
    fields = ("stage", "label", "last_action", "status")
    found = {id_: {name: folded[id_][name] for name in fields} for id_ in stages}
    assert found == {id_: {name: message[name] for name in fields} for id_, message in stages.items()}


@pytest.mark.parametrize("workers", [1, 2])
def test_following_misses_nothing_and_repeats_nothing(store_url: str, tmp_path: Path, workers: int) -> None:
    arguments = ("--workers", str(workers))
    with serving(tmp_path / "data", arguments=arguments, **({"STORE_URL": store_url} if store_url else {})) as service:
        follow(service)
