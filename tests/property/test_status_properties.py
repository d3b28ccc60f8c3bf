from __future__ import annotations

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.agents import classify
from tracker.core.model import Actor, Delivery, Event, EventType, Facts, MessageClass, Registration, Verdict
from tracker.core.status import Counts, Stage, Status, fold, whole_fold

Judged = tuple[Event, Verdict | None]

verdicts = st.builds(Verdict, st.sampled_from(Actor), st.just(()), st.just(1))
times = st.integers(0, 20)  # few, so that they are often equal


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    """An event of any type, known or not, with a verdict where there is one."""
    type_ = draw(st.sampled_from([*EventType, "revoked_click", "consent_changed"]))
    hit = type_ in (EventType.OPENED, EventType.CLICKED)
    at = draw(times)
    facts = Facts(
        "default",
        "m-1",
        str(type_),
        link=draw(st.none() | st.integers(0, 2)),
        url=draw(st.none() | st.sampled_from(["http://a/", "http://b/"])),
        registration=draw(
            st.builds(Registration, st.none() | st.just("lead"), message_class=st.sampled_from(MessageClass))
        ),
        delivery=draw(st.none() | st.builds(Delivery, st.sampled_from(["550 5.1.1", "421", None]))),
    )
    event = Event(
        draw(st.binary(min_size=16, max_size=16)), "n", at, at + draw(times), at, draw(st.integers(1, 3)), facts
    )
    return event, draw(verdicts) if hit else None


collections = st.lists(judged(), max_size=12, unique_by=lambda each: each[0].id)


def status_of(events: list[Judged]) -> Status:
    return whole_fold("default", "m-1", events)


@given(collections, st.randoms())
def test_order_and_repeats_do_not_matter(events: list[Judged], random: st.DataObject) -> None:
    mixed = events + events[: len(events) // 2]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert status_of(mixed) == status_of(events)


@given(collections, st.lists(st.integers(1, 4), max_size=12))
def test_folding_bit_by_bit_is_folding_the_whole(events: list[Judged], sizes: list[int]) -> None:
    status, rest = Status("default", "m-1"), iter(events)
    for size in [*sizes, len(events)]:
        status = fold(status, itertools.islice(rest, size))
        stored = msgspec.msgpack.encode(msgspec.structs.replace(status, links={}))
        assert msgspec.msgpack.decode(stored, type=Status) == msgspec.structs.replace(status, links={})
    assert status == status_of(events)


@given(collections, collections)
def test_more_events_never_take_the_stage_back(events: list[Judged], more: list[Judged]) -> None:
    assert status_of(events).stage <= status_of(events + more).stage


@given(collections)
def test_the_stage_the_label_and_the_counts_agree_with_the_events(events: list[Judged]) -> None:
    status = status_of(events)
    hits = [(event.facts.type, verdict.actor, event.count) for event, verdict in events if verdict]
    for type_, counts in ((EventType.OPENED, status.opens), (EventType.CLICKED, status.clicks)):
        expected = Counts(*(sum(n for t, a, n in hits if t == type_ and a is actor) for actor in Actor))
        assert counts == expected
    assert sum(counts.human for counts in status.links.values()) == status.clicks.human
    assert (status.stage >= Stage.CLICKED) >= bool(status.clicks.human)
    assert status.label != "Replied"
    assert status.last_action == status.stage.name.capitalize()


@given(collections)
def test_machines_do_not_move_the_stage(events: list[Judged]) -> None:
    without = [(event, verdict) for event, verdict in events if not (verdict and verdict.actor is Actor.MACHINE)]
    assert status_of(events).stage is status_of(without).stage


@given(st.sampled_from([*EventType, "x"]), st.none() | st.text(max_size=40), st.none() | st.text(max_size=20))
def test_exactly_opens_and_clicks_are_judged(type_: str, agent: str | None, purpose: str | None) -> None:
    verdict = classify(Facts("default", "m", type_, user_agent=agent, purpose=purpose))
    assert (verdict is not None) == (type_ in ("opened", "clicked"))
