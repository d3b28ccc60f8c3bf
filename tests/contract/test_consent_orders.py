"""Hits and withdrawals at once, in any order and in any grouping: what is kept in the end is the same."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from consents import BATCH, KINDS, clicked, kept, opened, says, sums, withdrawal
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


MESSAGES = {"m-0": "lead-a", "m-1": "lead-a", "m-2": "lead-b", "m-3": None}
moments = st.integers(0, 6)  # few, so that they are often equal


@st.composite
def histories(draw: st.DrawFn, *, grants: bool = False) -> list[Event]:
    """Registrations, hits, and withdrawals, in one account and in any order; with ``grants``, then lifted again."""
    account = next(_accounts)
    said: dict[str, Any] = {"account": account}
    events = [registered(id_, lead, at=0, **said) for id_, lead in MESSAGES.items()]
    for make, id_, at in draw(
        st.lists(st.tuples(st.sampled_from([opened, clicked]), st.sampled_from(list(MESSAGES)), moments), max_size=8)
    ):
        events.append(make(id_, at=NOON + at, **said))
    leads, answers = st.sampled_from(["lead-a", "lead-b"]), st.sampled_from([Consent.DENIED, None])
    for lead, opens, clicks, at in draw(st.lists(st.tuples(leads, answers, answers, moments), max_size=2)):
        events.append(says(opens, clicks, recipient=lead, at=NOON + at, **said))
        if grants:
            events.append(says(Consent.GRANTED, Consent.GRANTED, recipient=lead, at=NOON + 4, **said))
    for id_, at in draw(st.lists(st.tuples(st.sampled_from(list(MESSAGES)), moments), max_size=0 if grants else 2)):
        events.append(withdrawal(id_, at=NOON + at, **said))
    return draw(st.permutations(events))


def denied_at(hit: Event, events: Sequence[Event]) -> bool:
    """Whether anybody said before the hit, or with it, that it may not be recorded; nothing was lifted."""
    lead = MESSAGES[hit.facts.message_id]
    for each in events:
        change = each.facts.change
        if change is None or each.occurred_at > hit.occurred_at:
            continue
        said_of = change.recipient or MESSAGES[each.facts.message_id]
        concerned = said_of == lead if said_of else each.facts.message_id == hit.facts.message_id
        if concerned and (change.opens if hit.facts.type == "opened" else change.clicks) is Consent.DENIED:
            return True
    return False


async def record_in_groups(store: Store, events: Sequence[Event], sizes: Sequence[int]) -> None:
    rest = iter(events)
    for size in [*sizes, len(events)]:
        await store.record(list(itertools.islice(rest, size)))


many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
groups = st.lists(st.integers(1, 4), max_size=12)


@given(events=histories(), sizes=groups)
@many
async def test_any_order_and_grouping_ends_the_same(
    store: Store, database: Database, events: list[Event], sizes: list[int]
) -> None:
    account = events[0].facts.account
    await record_in_groups(store, events, sizes)
    hits = [each for each in events if each.facts.type in KINDS]
    gone = [each for each in hits if denied_at(each, events)]
    assert await kept(database, account) == {each.id for each in hits} - {each.id for each in gone}
    # By batch only where the registration came first: nobody knew the batch of the others.
    counted = Counter[str]()
    for (batch, type_, actor), count in (await sums(database, account)).items():
        assert batch in (BATCH, "")
        assert actor == "human"
        counted[type_] += count
    assert counted == Counter(each.facts.type for each in gone)
    for id_ in MESSAGES:
        rest = [each for each in events if each.facts.message_id == id_ and each not in gone]
        assert await store.status(account, id_) == folded(*rest)


@given(events=histories(grants=True), sizes=groups)
@many
async def test_what_is_lifted_is_not_lifted_for_what_came_before(
    store: Store, database: Database, events: list[Event], sizes: list[int]
) -> None:
    """No hit between a withdrawal and its lifting stays, whatever the order; one of later may be lost to the sums."""
    account = events[0].facts.account
    await record_in_groups(store, events, sizes)
    hits = [each for each in events if each.facts.type in KINDS]
    remaining = await kept(database, account)
    assert len(hits) == len(remaining) + sum((await sums(database, account)).values())
    for each in hits:
        if not denied_at(each, events):
            assert each.id in remaining
        elif each.occurred_at < NOON + 4:
            assert each.id not in remaining
