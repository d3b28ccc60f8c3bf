"""Who withdrew leaves no row: hits after that are counted by batch, whichever comes first, hit or withdrawal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from consents import BATCH, KINDS, clicked, kept, opened, row_id, says, sums, tables, withdrawal
from databases import Database
from samples import AGENT, NOON, PROXY, event, folded, registered

from tracker.core.model import Consent, Event
from tracker.stores import Store

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
WITHDRAWALS = {"put": says(), "page": withdrawal()}
both_ways = pytest.mark.parametrize("denial", WITHDRAWALS.values(), ids=WITHDRAWALS)


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
    assert {row_id(row["id"]) for row in after.pop("counted_hits")} == {each.id for each in late}
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


MIND = {
    "registration": registered(at=NOON - 9),
    "denial": says(at=NOON + 1),
    "denied": clicked(at=NOON + 4),
    "grant": says(Consent.GRANTED, Consent.GRANTED, at=NOON + 5),
    "granted": opened(at=NOON + 7, user_agent=AGENT),
    "second denial": withdrawal(at=NOON + 9),
    "denied again": opened(at=NOON + 9),
}


@pytest.mark.parametrize(
    "batches",
    [
        [list(MIND)],
        [[name] for name in MIND],
        [["registration"], ["denial", "grant", "granted", "denied"], ["second denial", "denied again"]],
        [["registration", "denial", "grant", "second denial"], ["granted"], ["denied", "denied again"]],
        [["second denial"], ["grant"], ["denial"], ["registration"], ["denied again", "granted", "denied"]],
        [["granted", "denied"], ["denied again", "registration"], ["second denial"], ["grant"], ["denial"]],
        [["granted", "denied", "denied again"], ["registration"], ["denial", "grant", "second denial"]],
    ],
    ids=["at once", "one by one", "in three", "hits late", "changes from the last on", "hits first", "changes at once"],
)
async def test_what_came_while_it_was_allowed_stays(
    store: Store, database: Database, batches: Sequence[Sequence[str]]
) -> None:
    for batch in batches:
        await store.record([MIND[name] for name in batch])
    assert await kept(database) == {MIND["granted"].id}
    assert await sums(database) == {(BATCH, "clicked", "human"): 1, (BATCH, "opened", "human"): 1}
    rest = [MIND[name] for name in ("registration", "granted", "second denial")]
    assert await store.status("default", "m-1") == folded(*rest)


@pytest.mark.parametrize("again", [Consent.GRANTED, Consent.UNKNOWN])
async def test_a_change_that_denies_nothing_takes_nothing_back(
    store: Store, database: Database, again: Consent
) -> None:
    for name in ("registration", "denial", "grant", "granted"):
        await store.record([MIND[name]])
    await store.record([says(again, again, at=NOON + 10), event("delivered", at=NOON + 11), registered(at=NOON + 12)])
    assert await kept(database) == {MIND["granted"].id}
    await store.record([says(again, None, at=NOON + 13), event("complained", at=NOON + 14), withdrawal(at=NOON + 15)])
    assert await kept(database) == {MIND["granted"].id}
    assert await sums(database) == {}


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
        (None, "opened", False), (None, "opened", True),
    ]  # fmt: skip
    assert [c.sequence for c in changes] == [1, 3]  # the second said that the link was clicked
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
