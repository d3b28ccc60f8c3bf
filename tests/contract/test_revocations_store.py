"""What is revoked, as all nodes have it: merged, versioned, and its acts noted once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from consents import clicked, opened, row_id, says
from databases import Database
from samples import NOON, folded, registered

from tracker.core.model import Event
from tracker.core.revocations import LIFTED_US, SESSION_US, Revocation
from tracker.stores import Store
from tracker.stores.audit import Act, Audit, LateAct
from tracker.stores.reclassify import Reclassify
from tracker.stores.revocations import StoredRevocations

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000_000
LONG = "https://a.example/" + "ä" * 4000


@pytest.fixture
def stored(store: Store) -> StoredRevocations:
    return StoredRevocations(store.database)


def entry(kind: str, value: str, at: int = NOW, *, on: bool = True, account: str = "default") -> Revocation:
    return Revocation(account, kind, value, on, at, "key_1", "why ☃")


async def merge(stored: StoredRevocations, *entries: Revocation, acts: tuple[LateAct, ...] = ()) -> set[Revocation]:
    return set((await stored.merge({one.key: one for one in entries}, acts, NOW)).values())


async def read(stored: StoredRevocations) -> set[Revocation]:
    found = await stored.read()
    assert all(key == one.key for key, one in found.items())
    return set(found.values())


async def test_nothing_at_first(stored: StoredRevocations) -> None:
    assert await stored.version() == 0
    assert await stored.read() == {}


async def test_everything_comes_back_as_it_was(stored: StoredRevocations) -> None:
    entries = {
        entry("host", "*.a.example"), entry("url", LONG), entry("url", LONG + "x"),
        entry("batch", "spring ☃", on=False), entry("session", "abc"), entry("hologram", "of a newer tracker"),
        entry("host", "*.a.example", account="shop"),
    }  # fmt: skip
    assert await merge(stored, *entries) == entries
    assert await read(stored) == entries
    assert await stored.version() == 1


async def test_the_later_change_holds_whichever_comes_first(stored: StoredRevocations) -> None:
    first, second = entry("host", "a.example"), entry("host", "a.example", NOW + 1, on=False)
    await merge(stored, second)
    assert await merge(stored, first) == {second}
    await merge(stored, entry("host", "b.example"))
    assert await merge(stored, entry("host", "b.example", NOW + 1)) == {second, entry("host", "b.example", NOW + 1)}
    assert await read(stored) == {second, entry("host", "b.example", NOW + 1)}


async def test_what_is_of_no_more_use_goes(stored: StoredRevocations) -> None:
    old = [entry("session", "abc", NOW - SESSION_US + 10), entry("host", "a.example", NOW - LIFTED_US + 10, on=False)]
    await merge(stored, *old, entry("host", "b.example", 0))
    assert len(await stored.read()) == 3
    await stored.merge({}, (), NOW + 10)
    assert await read(stored) == {entry("host", "b.example", 0)}


async def test_many_nodes_at_once_lose_nothing(stored: StoredRevocations, database: Database) -> None:
    stores = [database.store() for _ in range(4)]
    try:
        for one in stores:
            await one.open()
        entries = [entry("host", f"h{number}.example") for number in range(40)]
        await asyncio.gather(
            *(
                merge(StoredRevocations(stores[number % 4].database), entries[number], entries[-number - 1])
                for number in range(40)
            )
        )
    finally:
        for one in stores:
            await one.close()
    assert await read(stored) == set(entries)
    assert await stored.version() == 40


def revoked_click(*, at: int, count: int = 1) -> Event:
    made = clicked(at=at, count=count)
    return msgspec.structs.replace(made, facts=msgspec.structs.replace(made.facts, type="revoked_click"))


async def test_a_revoked_click_is_kept_and_counts_as_nothing(store: Store, database: Database) -> None:
    events = [registered(at=NOON - 9), opened(at=NOON), revoked_click(at=NOON + 1, count=3), clicked(at=NOON + 2)]
    for event in (*events, events[2]):
        await store.record([event])
    assert await store.status("default", "m-1") == folded(*events)
    stored = {event.id: (event, verdict) for event, verdict in await store.events("default", "m-1", after=b"", limit=9)}
    event, verdict = stored[events[2].id]
    assert (event.facts.type, event.count, event.facts.url) == ("revoked_click", 3, events[2].facts.url)
    assert verdict is None
    counts = await database.execute("SELECT measure, key, count FROM tracker.batch_counts WHERE count <> 0")
    await Reclassify(store.database).page("default")
    assert await store.status("default", "m-1") == folded(*events)
    assert await database.execute("SELECT measure, key, count FROM tracker.batch_counts WHERE count <> 0") == counts


async def test_a_revoked_click_alone_makes_a_message_and_nothing_of_it(store: Store) -> None:
    event = revoked_click(at=NOON)
    await store.record([event])
    assert await store.status("default", "m-1") == folded(event)


async def test_whoever_withdrew_leaves_no_revoked_click_either(store: Store, database: Database) -> None:
    before, after = revoked_click(at=NOON - 1), revoked_click(at=NOON + 1)
    await store.record([registered(at=NOON - 9), says()])
    await store.record([before, after])
    rows = await database.execute("SELECT id FROM tracker.events WHERE type = 'revoked_click'")
    assert {row_id(row["id"]) for row in rows} == {before.id}


async def test_an_act_is_noted_once_however_often_it_is_told(stored: StoredRevocations, store: Store) -> None:
    acts = tuple(
        LateAct(
            bytes([number]) * 16, NOW + number, Act("default", "key_1", "revoked", f"host {number}", {"reason": "☃"})
        )
        for number in range(3)
    )
    await merge(stored, acts=acts[:2])
    await asyncio.gather(*(merge(stored, acts=acts) for _ in range(3)))
    kept = await Audit(store.database).page("default")
    assert [one.act for one in kept] == [late.act for late in acts]
    assert [one.at for one in kept] == [late.at for late in acts], "when it was done, not when it got here"
