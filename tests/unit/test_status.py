from __future__ import annotations

import pytest

from tracker.core.model import Actor, Delivery, Event, EventType, Facts, Registration, Verdict
from tracker.core.status import DROPPED, Counts, Stage, Status, whole_fold


def event(type_: str, at: int = 1, *, id_: int = 0, count: int = 1, **facts: object) -> Event:
    id_ = id_ or at * 100 + sum(type_.encode())
    return Event(id_.to_bytes(16, "big"), "n", at, at + count - 1, at, count, Facts("default", "m", type_, **facts))  # type: ignore[arg-type]


def status(*events: Event, actor: Actor = Actor.HUMAN) -> Status:
    hits = (EventType.OPENED, EventType.CLICKED)
    return whole_fold("default", "m", [(e, Verdict(actor, (), 1) if e.facts.type in hits else None) for e in events])


@pytest.mark.parametrize(
    ("types", "stage", "label", "last_action"),
    [
        ([], Stage.SENT, None, "Sent"),
        (["rewritten"], Stage.SENT, None, "Sent"),
        (["deferred"], Stage.SENT, None, "Sent"),
        (["sent", "delivered"], Stage.DELIVERED, "Delivered", "Delivered"),
        (["delivered", "failed"], Stage.FAILED, "Failed", "Failed"),
        (["dropped"], Stage.FAILED, "Failed", "Failed"),
        (["failed", "opened"], Stage.OPENED, "Opened", "Opened"),
        (["clicked", "opened"], Stage.CLICKED, "Clicked", "Clicked"),
        (["clicked"], Stage.CLICKED, "Clicked", "Clicked"),
        (["opened", "replied"], Stage.REPLIED, "Opened", "Replied"),
        (["replied"], Stage.REPLIED, None, "Replied"),
        (["unsubscribed", "clicked", "replied"], Stage.UNSUBSCRIBED, "Unsubscribed", "Unsubscribed"),
        (["complained", "unsubscribed"], Stage.SPAM, "Spam", "Spam"),
        (["revoked_click"], Stage.SENT, None, "Sent"),
    ],
)
def test_the_stage_is_the_highest_one_reached(
    types: list[str], stage: Stage, label: str | None, last_action: str
) -> None:
    for order in (types, types[::-1]):
        folded = status(*map(event, order))
        assert (folded.stage, folded.label, folded.last_action) == (stage, label, last_action)


def test_what_machines_and_proxies_do() -> None:
    hits = [event("opened", 5, count=2), event("clicked", 6, link=1, url="http://a/")]
    machine, proxy = status(*hits, actor=Actor.MACHINE), status(*hits, actor=Actor.PROXY)
    assert (machine.stage, machine.first_opened_at, machine.opens) == (Stage.SENT, None, Counts(machine=2))
    assert (proxy.stage, proxy.first_opened_at, proxy.last_opened_at) == (Stage.OPENED, 5, 6)
    assert machine.links == {(1, "http://a/"): Counts(machine=1)}


def test_times_are_the_first_and_the_last() -> None:
    folded = status(event("opened", 7, count=3), event("opened", 3), event("clicked", 5, count=9))
    assert (folded.first_opened_at, folded.last_opened_at) == (3, 9)
    assert (folded.first_clicked_at, folded.last_clicked_at) == (5, 13)
    assert status(event("sent", 9), event("sent", 4)).sent_at == 4


def test_the_earliest_registration_and_failure_hold() -> None:
    registrations = [event("rewritten", at, registration=Registration(f"lead-{at}")) for at in (3, 2)]
    folded = status(*registrations)
    assert (folded.rewritten_at, folded.registration) == (2, Registration("lead-2"))
    failures = [
        event("failed", 4, delivery=Delivery("421")),
        event("failed", 3, id_=2, delivery=Delivery("550 5.1.1")),
        event("failed", 3, id_=1, delivery=Delivery("550 5.7.1")),
    ]
    assert (status(*failures).failed_at, status(*failures).failure) == (3, "550 5.7.1")
    assert status(event("dropped")).failure == DROPPED
    assert status(event("failed")).failure is None


def test_an_event_that_comes_twice_counts_once() -> None:
    hit = event("opened", count=2)
    assert status(hit, hit).opens == Counts(human=2)
