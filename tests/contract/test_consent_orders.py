"""Hits and withdrawals at once, in any order and in any grouping: what is kept in the end is the same."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from consents import BATCH, clicked, kept, opened, says, sums, withdrawal
from databases import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import NOON, folded, registered

from tracker.core.model import Consent, Event
from tracker.stores import Store

pytestmark = pytest.mark.anyio

_accounts = (f"example-{number}" for number in itertools.count())


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_hits_and_withdrawals_at_once(database: Database, known: bool) -> None:
    stores = [database.store() for _ in range(2)]
    hits, rounds = [], 30
    try:
        await stores[0].open()
        for number in range(rounds):
            mine, other, lead = f"m-{number}", f"n-{number}", f"lead-{number}"
            people = [registered(mine, lead, at=NOON - 9), registered(other, lead, at=NOON - 9)]
            early = [opened(mine, at=NOON - 1), clicked(other, at=NOON - 1)]
            late = [opened(mine, at=NOON + 1), clicked(other, at=NOON + 1)]
            hits += [*early, *late]
            denial = withdrawal(other) if number % 2 else says(recipient=lead)
            if known:
                await stores[0].record(people)
            batches = [[*early, *late] if known else [*people, *early, *late], [denial]]
            await asyncio.gather(*(each.record(batch) for each, batch in zip(stores, batches, strict=True)))
        assert await kept(database) == {each.id for each in hits if each.facts.message_id and each.occurred_at < NOON}
        assert sum((await sums(database)).values()) == 2 * rounds
    finally:
        for each in stores:
            await each.close()


async def test_changes_at_once_are_all_remembered(database: Database) -> None:
    """Without a denial, since batches with one wait for each other from the start."""
    stores = [database.store() for _ in range(4)]
    persons, rounds = [f"lead-{number}" for number in range(6)], 15
    try:
        await stores[0].open()
        for turn in range(rounds):
            batches = [
                [
                    says(said, None, recipient=lead, at=NOON + 4 * turn + number)
                    for lead in persons[:: (1, -1)[number % 2]]
                    for said in (Consent.GRANTED, Consent.UNKNOWN)[number % 2 :]
                ]
                for number in range(len(stores))
            ]
            await asyncio.gather(*(each.record(batch) for each, batch in zip(stores, batches, strict=True)))
        for lead in persons:
            known = await stores[0].recipient("default", lead)
            assert known is not None
            assert {at for at, _ in known[0].opens.changes} == {NOON + at for at in range(4 * rounds)}
    finally:
        for each in stores:
            await each.close()


MESSAGES = {"m-0": "lead-a", "m-1": "lead-a", "m-2": "lead-b", "m-3": None}
NARROWEST_LAST = [Consent.GRANTED, Consent.UNKNOWN, Consent.DENIED]
moments = st.integers(0, 6)  # few, so that they are often equal


class History(NamedTuple):
    """Who was written to, what they did, and what they said of it; all in one account."""

    registrations: list[Event]
    hits: list[Event]
    changes: list[Event]

    @property
    def events(self) -> list[Event]:
        return [*self.registrations, *self.hits, *self.changes]


@st.composite
def histories(draw: st.DrawFn, *, grants: bool = False) -> History:
    """With ``grants``, people change their minds at any time and as often as they like."""
    said: dict[str, Any] = {"account": next(_accounts)}
    registrations = [registered(id_, lead, at=0, **said) for id_, lead in MESSAGES.items()]
    ids, leads = st.sampled_from(list(MESSAGES)), st.sampled_from(["lead-a", "lead-b"])
    made = st.lists(st.tuples(st.sampled_from([opened, clicked]), ids, moments), max_size=8)
    hits = [make(id_, at=NOON + at, **said) for make, id_, at in draw(made)]
    answers = st.sampled_from([Consent.DENIED, None, *(Consent if grants else ())])
    answered = st.lists(st.tuples(leads, answers, answers, moments), max_size=6 if grants else 2)
    changes = [says(*both, recipient=lead, at=NOON + at, **said) for lead, *both, at in draw(answered)]
    changes += [
        withdrawal(id_, at=NOON + at, **said) for id_, at in draw(st.lists(st.tuples(ids, moments), max_size=2))
    ]
    return History(registrations, hits, changes)


def is_registered(message_id: str, events: Sequence[Event]) -> bool:
    return any(each.facts.registration and each.facts.message_id == message_id for each in events)


def whose(message_id: str, events: Sequence[Event]) -> str:
    """Who got a message, as far as ``events`` tell; by the message itself where they don't."""
    return (MESSAGES[message_id] if is_registered(message_id, events) else None) or message_id


def denied_at(hit: Event, events: Sequence[Event]) -> bool:
    """Whether what was said last before the hit, or with it, is that it may not be recorded."""
    said = [(-1, NARROWEST_LAST.index(Consent.UNKNOWN))]
    for each in events:
        change = each.facts.change
        if change is None or each.occurred_at > hit.occurred_at:
            continue
        value = change.opens if hit.facts.type == "opened" else change.clicks
        concerned = change.recipient or whose(each.facts.message_id, events)
        if value is not None and concerned == whose(hit.facts.message_id, events):
            said.append((each.occurred_at, NARROWEST_LAST.index(value)))
    return NARROWEST_LAST[max(said)[1]] is Consent.DENIED


def shuffled(events: Sequence[Event], seed: int) -> list[Event]:
    return random.Random(seed).sample(events, len(events))


def in_groups(events: Sequence[Event], sizes: Sequence[int]) -> list[list[Event]]:
    rest = iter(events)
    return [group for size in [*sizes, len(events)] if (group := list(itertools.islice(rest, size)))]


async def check_what_is_left(store: Store, database: Database, history: History, gone: Sequence[Event]) -> None:
    """Whether all hits but those ``gone`` are kept, whether they make the statuses, and all others the sums."""
    account = history.registrations[0].facts.account
    assert await kept(database, account) == {each.id for each in history.hits} - {each.id for each in gone}
    counted = Counter[str]()
    for (batch, type_, actor), count in (await sums(database, account)).items():
        assert batch in (BATCH, "")
        assert actor == "human"
        counted[type_] += count
    assert counted == Counter(each.facts.type for each in gone)
    for id_ in MESSAGES:
        rest = [each for each in history.events if each.facts.message_id == id_ and each not in gone]
        assert await store.status(account, id_) == folded(*rest)


many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
groups = st.lists(st.integers(1, 4), max_size=12)
seeds = st.integers(0, 2**32)


@given(history=histories(), sizes=groups, seed=seeds)
@many
async def test_any_order_and_grouping_ends_the_same(
    store: Store, database: Database, history: History, sizes: list[int], seed: int
) -> None:
    """By batch the sums are only where the registration came first: nobody knew the batch of the others."""
    for batch in in_groups(shuffled(history.events, seed), sizes):
        await store.record(batch)
    gone = [each for each in history.hits if denied_at(each, history.events)]
    await check_what_is_left(store, database, history, gone)


@given(history=histories(grants=True), sizes=groups, hits_first=st.booleans(), seed=seeds)
@many
async def test_changes_of_mind_in_any_order_end_the_same(
    store: Store,
    database: Database,
    history: History,
    sizes: list[int],
    hits_first: bool,
    seed: int,
) -> None:
    """Hits come after all that was said, in any order, or before it.

    Not in between, since no hit may be kept on suspicion: one that finds, or is found by, a denial while the grant of
    after that is still under way is gone for good. For the same reason, what is said after the hits comes with the
    latest first, and what tells whose message it was, before. All of these are in the test below.
    """
    first, last = [*history.registrations, *history.changes], history.hits
    if hits_first:
        first, last = [*history.registrations, *history.hits], history.changes
    last = shuffled(last, seed)
    if hits_first:
        last.sort(key=lambda each: -each.occurred_at)
    for batch in in_groups([*shuffled(first, seed), *last], sizes):
        await store.record(batch)
    gone = [each for each in history.hits if denied_at(each, history.events)]
    await check_what_is_left(store, database, history, gone)


@given(history=histories(grants=True), sizes=groups, seed=seeds)
@many
async def test_a_hit_goes_as_soon_as_it_is_known_to_be_denied_and_not_otherwise(
    store: Store, database: Database, history: History, sizes: list[int], seed: int
) -> None:
    """In any order at all, against everything that was known after each batch.

    A hit is counted under its batch where its registration was known by then, and otherwise under none.
    """
    known: list[Event] = []
    gone: list[Event] = []
    expected = Counter[tuple[str, str, str]]()
    for batch in in_groups(shuffled(history.events, seed), sizes):
        await store.record(batch)
        known += batch
        for each in history.hits:
            if each in known and each not in gone and denied_at(each, known):
                gone.append(each)
                under = BATCH if is_registered(each.facts.message_id, known) else ""
                expected[under, each.facts.type, "human"] += 1
        account = batch[0].facts.account
        assert await kept(database, account) == {each.id for each in history.hits if each in known and each not in gone}
        assert await sums(database, account) == expected
    await check_what_is_left(store, database, history, gone)
