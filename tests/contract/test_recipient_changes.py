"""What changed about recipients is read on from a position, page by page, and nothing is missed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from databases import Database, PostgresDatabase
from postgres import connected
from samples import NOON, event, registered

from tracker.core.model import Consent, Delivery, Event, RecipientChange, Suppression
from tracker.core.tombstones import Digests
from tracker.recall import Recall
from tracker.stores import OnList, Store
from tracker.stores.queries import load_migrations
from tracker.stores.store import Position, What

pytestmark = pytest.mark.anyio


def bounced(message_id: str = "m-1", *, at: int = NOON) -> Event:
    return event("failed", message_id, at=at, delivery=Delivery(status_code="550 5.1.1"))


def changed(recipient: str, type_: str = "consent_changed", *, at: int = NOON + 1000, **what: object) -> Event:
    change = RecipientChange(recipient=recipient, **what)  # type: ignore[arg-type]
    return event(type_, "", change=change, list="news", at=at)


async def positions(store: Store, *, what: What = What.STANDINGS, limit: int = 100) -> list[Position]:
    """All that changed so far, read page by page."""
    found = [Position()]
    while True:
        page = await store.recipient_changes(found[-1], what, limit=limit)
        assert len(page.rows) <= limit
        found += [position for position, _ in page.rows]
        if len(page.rows) < limit:
            return found[1:]


async def test_whatever_the_list(store: Store) -> None:
    await store.record([registered(), bounced(), changed("lead-78", opens=Consent.DENIED)])
    page = await store.recipient_changes(Position(), What.STANDINGS, limit=10)
    assert [(position.account, position.recipient) for position, _ in page.rows] == [
        ("default", "lead-77"),
        ("default", "lead-78"),
    ]
    assert page.rows[0][1] == (NOON, *[None] * 5)
    *others, opens, clicks = page.rows[1][1]
    assert (others, clicks) == ([None] * 4, None)
    assert json.loads(str(opens)) == [[NOON + 1000, "denied"]]
    assert 0 < page.rows[0][0].updated_at <= page.asked_at
    later = await store.recipient_changes(page.rows[-1][0], What.STANDINGS, limit=10)
    assert later.rows == []
    assert later.asked_at >= page.asked_at
    await store.record([bounced(at=NOON + 5)])
    ((position, times),) = (await store.recipient_changes(page.rows[-1][0], What.STANDINGS, limit=10)).rows
    assert (position.recipient, times[0]) == ("lead-77", NOON + 5)


async def test_on_lists_only_those_who_left_one_or_were_put_back(store: Store, database: Database) -> None:
    await store.record([registered(), registered("m-2", "lead-78"), event("unsubscribed")])
    ((position, times),) = (await store.recipient_changes(Position(), What.LIST_STANDINGS, limit=10)).rows
    assert (position.recipient, position.list, times) == ("lead-77", "news", (NOON, None))
    await store.record([registered("m-3", at=NOON + 10), event("unsubscribed", at=NOON - 10)])
    assert await positions(store, what=What.LIST_STANDINGS) == [position]  # seen again, and what was known
    await store.record([changed("lead-77", "recipient_reset", resets=(Suppression.UNSUBSCRIBED,))])
    ((later, times),) = (await store.recipient_changes(position, What.LIST_STANDINGS, limit=10)).rows
    assert (later[1:], times) == (position[1:], (NOON, NOON + 1000))
    rows = await database.execute("SELECT recipient FROM tracker.recipients WHERE updated_at IS NULL")
    assert [row["recipient"] for row in rows] == ["lead-78"]


@pytest.mark.parametrize("what", [What.STANDINGS, What.LIST_STANDINGS])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_go_on_within_a_moment(store: Store, database: Database, what: What, limit: int) -> None:
    for number in range(7):
        id_, type_ = f"m-{number}", "unsubscribed" if what else "complained"
        await store.record([registered(id_, f"lead-{number % 5}", list_=f"list-{number}"), event(type_, id_)])
    table = "recipients" if what else "standings"
    (moment,) = await database.execute(f"SELECT min(updated_at) AS at FROM tracker.{table}")
    one = f"(SELECT min(updated_at) FROM tracker.{table})"
    await database.execute(f"UPDATE tracker.{table} SET updated_at = {one} WHERE recipient <> 'lead-3'")
    found = await positions(store, what=what, limit=limit)
    assert len(found) == len(set(found)) == (7 if what else 5)
    assert found == sorted(found)
    assert {position.updated_at == moment["at"] for position in found[:-1]} == {True}


@asynccontextmanager
async def following(store: Store, path: Path) -> AsyncIterator[Recall]:
    recall = Recall(store, path, Digests([b"a key"]), source_name="a", poll_s=0.05, page_rows=2)
    task = asyncio.create_task(recall.run())
    try:
        yield recall
    finally:
        task.cancel()
        await asyncio.wait([task])


async def remembered(recall: Recall, recipient: str) -> OnList:
    """What is remembered of a recipient, once there is something."""
    async with asyncio.timeout(20):
        while True:
            if known := (await recall.known("default", "news", [recipient])).get(recipient):
                return known
            await asyncio.sleep(0.02)


async def test_the_copy_says_what_the_store_says(store: Store, tmp_path: Path) -> None:
    await store.record([registered(f"m-{n}", f"lead-{n}") for n in range(9)])
    await store.record([event(("complained", "unsubscribed")[n % 2], f"m-{n}") for n in range(8)])
    await store.record([bounced("m-0"), changed("läd-9", opens=Consent.DENIED, clicks=Consent.GRANTED)])
    await store.record([changed("läd-9", opens=Consent.GRANTED), changed("läd-9", clicks=Consent.DENIED, at=NOON + 1)])
    async with following(store, tmp_path / "recipients.db") as recall:
        for recipient in [f"lead-{n}" for n in range(8)] + ["läd-9"]:
            known = await remembered(recall, recipient)
            ((_, stored),) = (await store.standings("default", [(recipient, "news")])).items()
            assert known.standing == stored.standing
            if known.on_list is not None:
                assert stored.on_list is not None
                assert known.on_list.unsubscribed_at == stored.on_list.unsubscribed_at is not None
        assert await recall.known("default", "news", ["lead-8"]) == {}
        assert await recall.known("other", "news", ["lead-0"]) == {}
        assert (await recall.known("default", "offers", ["lead-1"])) == {}


async def test_what_is_committed_late_is_not_missed(postgres: PostgresDatabase, tmp_path: Path) -> None:
    store = postgres.store()
    await store.open()
    insert = "INSERT INTO tracker.standings (account, recipient, complained_at, updated_at) VALUES "
    async with following(store, tmp_path / "recipients.db") as recall, connected(postgres.url) as db:
        transaction = db.transaction()
        await transaction.start()
        await db.execute(insert + "('default', 'late', now(), clock_timestamp())")
        await postgres.execute(insert + "('default', 'early', now(), clock_timestamp())")
        await remembered(recall, "early")
        await asyncio.sleep(0.3)  # some rounds more
        assert await recall.known("default", "news", ["late"]) == {}
        await transaction.commit()
        known = await remembered(recall, "late")
        assert known.standing is not None
        assert known.standing.has_complained
    await store.close()


async def test_what_was_there_before_the_migration_is_found(postgres: PostgresDatabase) -> None:
    async with connected(postgres.url) as db:
        await db.execute("CREATE SCHEMA IF NOT EXISTS tracker")
        for migration in load_migrations("postgres")[:4]:
            await db.execute(migration.sql)
            await db.execute(
                "INSERT INTO tracker.migrations (number, name) VALUES ($1, $2)", migration.number, migration.name
            )
        await db.execute("INSERT INTO tracker.standings (account, recipient, invalid_at) VALUES ('a', 'r', now())")
        await db.execute(
            "INSERT INTO tracker.recipients (account, recipient, list, unsubscribed_at)"
            " VALUES ('a', 'r', 'l', now()), ('a', 's', 'l', NULL)"
        )
    store = postgres.store()
    await store.open()
    assert [position[1:] for position in await positions(store)] == [("a", "r", "")]
    assert [position[1:] for position in await positions(store, what=What.LIST_STANDINGS)] == [("a", "r", "l")]
    await store.close()
