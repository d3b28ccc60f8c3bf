from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.core.model import Consent, Delivery, Event, EventType, Facts, RecipientChange, Suppression
from tracker.core.recipients import (
    ADDRESS_FAILURES,
    CHANGES_KEPT,
    ConsentHistory,
    Standing,
    is_address_failure,
    merged,
    standing_after,
)

times = st.integers(0, 12)  # few, so that they are often equal
said = st.none() | st.sampled_from(Consent)
Statement = tuple[int, Consent]
statements = st.lists(st.tuples(times, st.sampled_from(Consent)), max_size=8)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event that says something of its recipient, or not."""
    at = draw(st.integers(0, 3))
    change = draw(
        st.none()
        | st.builds(
            RecipientChange,
            st.none() | st.just("lead"),
            said,
            said,
            st.lists(st.sampled_from(Suppression), max_size=3).map(tuple),
        )
    )
    delivery = draw(st.none() | st.builds(Delivery, st.sampled_from(["550 5.1.1", "5.2.1", "550 5.7.1", None])))
    type_ = draw(st.sampled_from(["failed", "complained", "recipient_reset"]) | st.sampled_from([*EventType, "other"]))
    return Event(b"0" * 16, "n", at, at, at, 1, Facts("a", "m", str(type_), delivery=delivery, change=change))


def together(deltas: Iterable[Standing]) -> Standing:
    return functools.reduce(merged, deltas, Standing())


def grouped(deltas: Sequence[Standing], chance: random.Random) -> Standing:
    """All of them, merged in groups of any shape."""
    if len(deltas) < 2:
        return deltas[0] if deltas else Standing()
    at = chance.randrange(1, len(deltas))
    return merged(grouped(deltas[:at], chance), grouped(deltas[at:], chance))


def deltas_of(happened: Iterable[Event]) -> list[Standing]:
    return [delta for event in happened if (delta := standing_after(event)) is not None]


@given(st.lists(events(), max_size=10), st.integers(0, 2**32))
def test_order_grouping_and_repeats_do_not_matter(happened: list[Event], seed: int) -> None:
    chance = random.Random(seed)
    deltas = deltas_of(happened)
    mixed = deltas + [chance.choice(deltas) for _ in range(chance.randrange(5)) if deltas]
    chance.shuffle(mixed)
    assert grouped(mixed, chance) == together(deltas)


@given(st.lists(events(), min_size=2, max_size=16))
def test_a_standing_is_what_the_events_say(happened: list[Event]) -> None:
    """Against the whole history, looked at in the order of its times; a reset lifts what was said with it."""
    standing = together(deltas_of(happened))
    invalid = complained = False
    resets = dict.fromkeys(Suppression, -1)
    for event in happened:
        if event.facts.type in ("recipient_reset", "consent_changed"):
            for each in event.facts.change.resets if event.facts.change else ():
                resets[each] = max(resets[each], event.occurred_at)
    for event in happened:
        code = (event.facts.delivery.status_code if event.facts.delivery else None) or ""
        if event.facts.type == "failed" and code.split()[-1:] in (["5.1.1"], ["5.2.1"]):
            invalid |= event.occurred_at > resets[Suppression.INVALID]
        if event.facts.type == "complained":
            complained |= event.occurred_at > resets[Suppression.COMPLAINED]
    assert (standing.is_invalid, standing.has_complained) == (invalid, complained)


@given(st.lists(events(), max_size=10))
def test_merging_changes_neither(happened: list[Event]) -> None:
    deltas = deltas_of(happened)
    before = msgspec.msgpack.encode(deltas)
    total = together(deltas)
    assert msgspec.msgpack.encode(deltas) == before
    assert all(merged(total, delta) == total for delta in deltas)


def kept_of(history: Iterable[Statement]) -> ConsentHistory:
    """What the core keeps of a history of consent."""
    changes = (RecipientChange("lead", opens=value) for _, value in history)
    facts = (Facts("a", "", "consent_changed", change=change) for change in changes)
    return together(
        deltas_of(Event(b"0" * 16, "n", at, at, at, 1, one) for one, (at, _) in zip(facts, history, strict=True))
    ).opens


def value_at(history: Sequence[Statement], at: int) -> Consent:
    """What held at that time: what was said last, the narrowest of what was said at once."""
    before = [moment for moment, _ in history if moment <= at]
    last = {value for moment, value in history if before and moment == max(before)}
    return next(
        (value for value in (Consent.DENIED, Consent.UNKNOWN, Consent.GRANTED) if value in last), Consent.UNKNOWN
    )


@given(statements)
def test_what_holds_is_what_was_said_last(history: list[Statement]) -> None:
    kept = kept_of(history)
    assert kept.value is value_at(history, 1000)
    assert kept.changed_at == max((at for at, _ in history), default=None)


@given(statements, times)
@example([(1, Consent.DENIED), (5, Consent.GRANTED), (9, Consent.DENIED)], 7)
@example([(1, Consent.DENIED), (5, Consent.GRANTED), (10, Consent.GRANTED)], 7)
@example([(9, Consent.DENIED), (1, Consent.DENIED), (5, Consent.UNKNOWN)], 7)
def test_a_hit_may_be_kept_unless_it_was_denied_just_then(history: list[Statement], at: int) -> None:
    kept = kept_of(history)
    assert kept.at(at) is value_at(history, at)
    assert kept.covers(at) is (value_at(history, at) is Consent.DENIED)


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(Consent)), max_size=140), st.integers(0, 2**32))
@settings(max_examples=30)
@example([(at, said) for at in range(60) for said in Consent], 0)
def test_the_latest_changes_stay_whatever_the_order(history: list[Statement], seed: int) -> None:
    chance = random.Random(seed)
    deltas = [Standing(opens=ConsentHistory((one,))) for one in history]
    mixed = deltas + [chance.choice(deltas) for _ in range(chance.randrange(5)) if deltas]
    chance.shuffle(mixed)
    kept = grouped(mixed, chance).opens
    assert kept == together(deltas).opens
    assert set(kept.changes) <= set(history)
    assert len(kept.changes) == len(set(kept.changes)) == min(len(set(history)), CHANGES_KEPT)
    oldest = min((at for at, _ in kept.changes), default=0)
    assert {one for one in history if one[0] > oldest} <= set(kept.changes)
    assert all(kept.at(at) is value_at(history, at) for at in range(oldest, 61))


@given(
    st.sampled_from("245"), st.integers(0, 12), st.integers(0, 12), st.sampled_from(["", "550 ", "550-", "smtp; 5 "])
)
def test_exactly_the_failures_of_the_table_condemn(kind: str, subject: int, detail: int, before: str) -> None:
    code = f"{kind}.{subject}.{detail}"
    assert is_address_failure(Delivery(f"{before}{code} said the server")) is (code in CONDEMNED)


CONDEMNED = {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}


def test_the_table_is_that_of_the_contract() -> None:
    assert ADDRESS_FAILURES == CONDEMNED
