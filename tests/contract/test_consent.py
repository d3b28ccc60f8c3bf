"""Who withdrew leaves no row: hits after that are counted by batch, whichever comes first, hit or withdrawal."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from databases import Database, SqliteDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import AGENT, NOON, PROXY, event, folded, registered

from tracker.core.model import Consent, Event, RecipientChange
from tracker.stores import Store

pytestmark = pytest.mark.anyio

LEAD = "lead-77"
BATCH = "2026-11"
SECOND = 1_000_000
SECRET = "Mozilla/5.0 (X11) OnlyTheirs/150.0"
SECRET_URL = "https://only-theirs.example/"
KINDS = ("opened", "clicked")

_accounts = (f"example-{number}" for number in itertools.count())


def says(
    opens: Consent | None = Consent.DENIED,
    clicks: Consent | None = Consent.DENIED,
    *,
    recipient: str = LEAD,
    at: int = NOON,
    **more: Any,
) -> Event:
    """A recipient's consent, as ``PUT /v1/recipients`` records it."""
    return event("consent_changed", "", at=at, change=RecipientChange(recipient, opens, clicks), **more)


def withdrawal(message_id: str = "m-1", *, at: int = NOON, **more: Any) -> Event:
    """The same as the unsubscribe page records it."""
    change = RecipientChange(None, Consent.DENIED, Consent.DENIED, reason="on the unsubscribe page")
    return event("consent_changed", message_id, at=at, change=change, **more)


WITHDRAWALS = {"put": says(), "page": withdrawal()}
both_ways = pytest.mark.parametrize("denial", WITHDRAWALS.values(), ids=WITHDRAWALS)


def opened(message_id: str = "m-1", *, at: int, **more: Any) -> Event:
    return event("opened", message_id, at=at, **{"user_agent": SECRET, **more})


def clicked(message_id: str = "m-1", *, at: int, **more: Any) -> Event:
    return event("clicked", message_id, at=at, **{"user_agent": SECRET, "link": 0, "url": SECRET_URL, **more})


async def tables(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Everything that the database holds."""
    sqlite = isinstance(database, SqliteDatabase)
    listing = "SELECT name FROM sqlite_schema WHERE type = 'table'" if sqlite else (
        "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'tracker'"
    )  # fmt: skip
    names = [row["name"] for row in await database.execute(listing)]
    return {name: await database.execute(f"SELECT * FROM tracker.{name}") for name in names}


async def kept(database: Database, account: str = "default") -> set[bytes]:
    """The ids of the hits that have a row."""
    rows = await database.execute(
        f"SELECT id FROM tracker.events WHERE account = '{account}' AND type IN ('opened', 'clicked')"
    )
    return {_id(row["id"]) for row in rows}


def _id(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(value.bytes)


async def sums(database: Database, account: str = "default") -> Counter[tuple[str, str, str]]:
    """The anonymous counts, by batch, type and actor."""
    rows = await database.execute(f"SELECT * FROM tracker.anonymous_hits WHERE account = '{account}'")
    return Counter({(row["batch"], row["type"], row["actor"]): row["count"] for row in rows})


@both_ways
async def test_later_hits_are_counted_and_leave_no_row(store: Store, database: Database, denial: Event) -> None:
    first, second = registered(at=NOON - 9), registered("m-2", at=NOON - 8)
    before = opened(at=NOON - 1, user_agent=AGENT)
    await store.record([first, second, before])
    await store.record([denial])
    rows = await tables(database)
    late = [
        opened(at=NOON + 1, count=3), opened("m-2", at=NOON, user_agent=PROXY), clicked(at=NOON + 2),
        clicked("m-2", at=NOON + 9 * SECOND, purpose="prefetch"),
    ]  # fmt: skip
    await store.record(late)
    after = await tables(database)
    assert await sums(database) == {
        (BATCH, "opened", "human"): 3, (BATCH, "opened", "proxy"): 1,
        (BATCH, "clicked", "human"): 1, (BATCH, "clicked", "machine"): 1,
    }  # fmt: skip
    assert {_id(row["id"]) for row in after.pop("counted_hits")} == {each.id for each in late}
    assert after.pop("anonymous_hits")
    messages = [{**row, "updated_at": 0, "version": 0} for row in after.pop("messages")]
    assert messages == [{**row, "updated_at": 0, "version": 0} for row in rows.pop("messages")]
    assert after == {name: rows[name] for name in after}, "nothing else was written"
    assert await kept(database) == {before.id}
    others = [denial] if denial.facts.message_id else []
    assert await store.status("default", "m-1") == folded(first, before, *others)


@pytest.mark.parametrize("first", ["hits", "denial"])
@pytest.mark.parametrize("kind", KINDS)
async def test_opens_and_clicks_are_apart(store: Store, database: Database, kind: str, first: str) -> None:
    denial = says(Consent.DENIED, None) if kind == "opened" else says(None, Consent.DENIED)
    hits = [opened(at=NOON + 1), clicked(at=NOON + 2)]
    await store.record([registered(at=NOON - 9)])
    for batch in (hits, [denial]) if first == "hits" else ([denial], hits):
        await store.record(batch)
    assert await kept(database) == {each.id for each in hits if each.facts.type != kind}
    assert await sums(database) == {(BATCH, kind, "human"): 1}


@both_ways
@pytest.mark.parametrize("again", [Consent.GRANTED, Consent.UNKNOWN])
async def test_who_lifts_the_withdrawal_is_recorded_again(
    store: Store, database: Database, denial: Event, again: Consent
) -> None:
    hits = [opened(at=NOON + at * SECOND) for at in (-1, 1, 3)]
    await store.record([registered(at=NOON - 9 * SECOND), hits[0]])
    await store.record([denial])
    await store.record([hits[1]])
    await store.record([says(again, again, at=NOON + 2 * SECOND)])
    await store.record([hits[2]])
    assert await kept(database) == {hits[0].id, hits[2].id}
    assert await sums(database) == {(BATCH, "opened", "human"): 1}


@pytest.mark.parametrize("hits_first", [True, False])
@both_ways
async def test_others_are_left_alone(store: Store, database: Database, denial: Event, hits_first: bool) -> None:
    others = [
        registered("m-8", "lead-8", at=NOON - 9), opened("m-8", at=NOON + 1), clicked("m-8", at=NOON + 2),
        registered("m-9", None, at=NOON - 9), opened("m-9", at=NOON + 1),
        registered(at=NOON - 9, account="other"), opened(at=NOON + 1, account="other"),
        opened("never-registered", at=NOON + 1),
    ]  # fmt: skip
    batches = [[registered(at=NOON - 9), denial], others]
    for batch in reversed(batches) if hits_first else batches:
        await store.record(batch)
    for account, message_id in (
        ("default", "m-8"),
        ("default", "m-9"),
        ("other", "m-1"),
        ("default", "never-registered"),
    ):
        expected = [one for one in others if (one.facts.account, one.facts.message_id) == (account, message_id)]
        assert await store.status(account, message_id) == folded(*expected)
    assert await sums(database) == await sums(database, "other") == {}


@both_ways
async def test_a_batch_delivered_twice_counts_once(store: Store, database: Database, denial: Event) -> None:
    await store.record([registered(at=NOON - 9)])
    early, late = [opened(at=NOON + 1, count=2)], [opened(at=NOON + 2), clicked(at=NOON + 3)]
    batches = [early, [denial], early, late, [*late, denial, *early], [denial]]
    for batch in batches:
        await store.record(batch)
    assert await kept(database) == set()
    assert await sums(database) == {(BATCH, "opened", "human"): 3, (BATCH, "clicked", "human"): 1}


@both_ways
async def test_a_withdrawal_that_arrives_late_takes_back(store: Store, database: Database, denial: Event) -> None:
    registration, before = registered(at=NOON - 9), opened(at=NOON - 1, user_agent=AGENT)
    await store.record([registration, before])
    await store.record([clicked(at=NOON, count=2), opened(at=NOON + 1)])
    await store.record([denial])
    others = [denial] if denial.facts.message_id else []
    assert await store.status("default", "m-1") == folded(registration, before, *others)
    assert await kept(database) == {before.id}
    assert await sums(database) == {(BATCH, "clicked", "human"): 2, (BATCH, "opened", "human"): 1}
    changes = await store.changes("default")
    assert [(c.previous_stage, c.stage, c.is_correction) for c in changes] == [
        (None, "opened", False), ("opened", "clicked", False), ("clicked", "opened", True),
    ]  # fmt: skip
    (view,) = await database.execute("SELECT * FROM tracker.message_status")
    assert (view["stage"], view["clicks_human"], view["opens_human"]) == ("opened", 0, 1)
    assert len((await tables(database))["verdicts"]) == 1


@both_ways
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_the_registration_may_come_last(
    store: Store, database: Database, denial: Event, order: Sequence[int]
) -> None:
    events = [[registered(at=NOON - 9)], [denial], [opened(at=NOON + 1), opened(at=NOON - 1, user_agent=AGENT)]]
    for index in order:
        await store.record(events[index])
    assert await kept(database) == {events[2][1].id}
    assert sum((await sums(database)).values()) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
async def test_a_withdrawal_concerns_all_messages_of_a_person(
    store: Store, database: Database, order: Sequence[int]
) -> None:
    events = [registered(at=NOON - 9), registered("m-2", at=NOON - 9), withdrawal(), opened("m-2", at=NOON + 1)]
    for index in order:
        await store.record([events[index]])
    assert await kept(database) == set()
    assert sum((await sums(database)).values()) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_a_message_without_a_recipient(store: Store, database: Database, order: Sequence[int]) -> None:
    events = [[registered(recipient=None, at=NOON - 9)], [withdrawal()], [opened(at=NOON + 1), clicked(at=NOON - 1)]]
    await store.record([registered("m-2", None, at=NOON - 9), other := opened("m-2", at=NOON + 1)])
    for index in order:
        await store.record(events[index])
    assert await kept(database) == {other.id, events[2][1].id}
    assert sum((await sums(database)).values()) == 1


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
