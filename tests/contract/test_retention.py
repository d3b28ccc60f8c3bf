"""What every store deletes when it is too old, and what it keeps."""

from __future__ import annotations

import time

import pytest
from databases import Database
from samples import AGENT, NOON, event, registered

from tracker.core.accounts import Account, AccountSettings, Directory
from tracker.core.model import Consent, Delivery, Event, RecipientChange
from tracker.retention import clock_ms, sweep
from tracker.stores import Store, removing
from tracker.stores import retention as retention_module
from tracker.stores.batches import Batches
from tracker.stores.outbox import Outbox
from tracker.stores.retention import Retention

pytestmark = pytest.mark.anyio

DAY = 86_400_000_000
TABLES = ("events", "verdicts", "messages", "changes", "reported_events")
DEFAULT = Account("default", "http://t.example")
KEPT_30_DAYS = Directory([DEFAULT], settings={"default": AccountSettings(retention_days=30)})


def life(message_id: str, at: int, recipient: str = "lead-77", account: str = "default") -> list[Event]:
    """Registered, bounced, opened: one second apart."""
    return [
        registered(message_id, recipient, at=at, account=account),
        event(
            "failed", message_id, at=at + 1_000_000, delivery=Delivery("550 5.1.1"),
            reporter="api", reported_id=f"{message_id}-1", account=account,
        ),
        event("opened", message_id, at=at + 2_000_000, user_agent=AGENT, account=account),
    ]  # fmt: skip


async def held(database: Database) -> dict[str, set[str]]:
    """The messages that each table knows of."""
    found = {}
    for table in TABLES:
        column, source = "message_id", f"tracker.{table}"
        if table == "verdicts":
            source = "tracker.verdicts JOIN tracker.events ON id = event_id"
        elif table == "reported_events":
            column = "reported_id"
        rows = await database.execute(f"SELECT {column} AS one FROM {source}")
        found[table] = {row["one"].removesuffix("-1") for row in rows}
    return found


async def test_what_is_old_goes_and_what_was_touched_since_stays(store: Store, database: Database) -> None:
    await store.record([*life("old", NOON), *life("young", NOON + 20 * DAY), *life("touched", NOON)])
    await store.record([event("clicked", "touched", at=NOON + 25 * DAY)])
    retention = Retention(store.database)
    assert await sweep(retention, KEPT_30_DAYS, (NOON + 29 * DAY) // 1000) == 0
    assert await sweep(retention, KEPT_30_DAYS, (NOON + 31 * DAY) // 1000) == 1
    assert await held(database) == {table: {"young", "touched"} for table in TABLES}
    assert await store.status("default", "old") is None
    (row,) = await database.execute("SELECT count(*) AS n FROM tracker.verdicts")
    assert row["n"] == 3
    assert await sweep(retention, KEPT_30_DAYS, (NOON + 31 * DAY) // 1000) == 0


async def test_a_suppression_outlives_the_message_it_came_from(store: Store) -> None:
    await store.record(life("old", NOON))
    await sweep(Retention(store.database), KEPT_30_DAYS, (NOON + 31 * DAY) // 1000)
    known = await store.recipient("default", "lead-77")
    assert known is not None
    assert known[0].is_invalid


async def test_accounts_that_set_nothing_keep_everything(store: Store, database: Database) -> None:
    await store.record([*life("old", NOON), *life("theirs", NOON, account="other")])
    both = Directory(
        [DEFAULT, Account("other", "http://o.example")],
        settings={"other": AccountSettings(retention_days=1)},
    )
    assert await sweep(Retention(store.database), both, (NOON + 900 * DAY) // 1000) == 1
    assert (await held(database))["messages"] == {"old"}


async def test_a_long_past_is_deleted_page_by_page(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "PAGE_EVENTS", 4)
    await store.record([each for number in range(9) for each in life(f"m-{number}", NOON + number * DAY)])
    assert await sweep(Retention(store.database), KEPT_30_DAYS, (NOON + 36 * DAY) // 1000) == 6
    assert (await held(database))["events"] == {"m-6", "m-7", "m-8"}


async def test_deliveries_and_user_agents_go_with_the_message(store: Store, database: Database) -> None:
    outbox = Outbox(store.database)
    for id_ in ("pending", "dead"):
        await outbox.add_endpoint(id_, "default", "https://hooks.example/", "secret")
    await store.record([*life("old", NOON), *life("young", NOON + 20 * DAY)])
    await store.record([event("clicked", "old", at=NOON + 1, user_agent="Rare/1.0")])
    for id_ in ("pending", "dead"):
        await outbox.fill(id_, NOON)
    await database.execute("UPDATE tracker.webhook_deliveries SET state = 'dead' WHERE endpoint = 'dead'")
    assert await sweep(Retention(store.database), KEPT_30_DAYS, (NOON + 31 * DAY) // 1000) == 1
    rows = await database.execute("SELECT endpoint, message_id FROM tracker.webhook_deliveries")
    assert {(row["endpoint"], row["message_id"]) for row in rows} == {("pending", "young"), ("dead", "young")}
    rows = await database.execute("SELECT user_agent FROM tracker.user_agents")
    assert [row["user_agent"] for row in rows] == [AGENT]


async def test_batches_keep_their_counts_also_of_messages_that_were_not_counted_yet(
    store: Store, database: Database
) -> None:
    await store.record(life("old", NOON))
    (before,) = (await Batches(store.database).counts("default", ["2026-11"])).values()
    for table in ("batches", "batch_counts"):  # as if it had been recorded before batches were counted
        await database.execute(f"DELETE FROM tracker.{table}")
    await database.execute("UPDATE tracker.messages SET is_counted = FALSE")
    await sweep(Retention(store.database), KEPT_30_DAYS, (NOON + 31 * DAY) // 1000)
    (after,) = (await Batches(store.database).counts("default", ["2026-11"])).values()
    assert after.counts == before.counts


async def test_a_key_that_names_the_recipient_does_not_outlive_the_message(store: Store, database: Database) -> None:
    """A later erasure knows no message any more that it is of."""
    own, shared = "https://a.example/?u=lead-77", "https://a.example/?from=lead-77"
    await store.record([*life("old", NOON), *life("young", NOON + 20 * DAY, "lead-1"), registered("none", None)])
    clicks = [("old", own), ("old", shared), ("young", shared), ("none", "https://a.example/?u=nobody")]
    await store.record([event("clicked", id_, at=NOON + DAY, url=url, user_agent=AGENT) for id_, url in clicks])
    assert await sweep(Retention(store.database), KEPT_30_DAYS, (NOON + 35 * DAY) // 1000) == 2
    rows = await database.execute("SELECT key, count FROM tracker.batch_counts WHERE measure = 'link_human'")
    assert {row["key"]: row["count"] for row in rows} == {
        "\N{HORIZONTAL ELLIPSIS}": 1,
        shared: 2,
        "https://a.example/?u=nobody": 1,
    }


async def test_user_agents_go_whose_hits_were_withdrawn(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "_PAGE_AGENTS", 2)
    await store.record([*life("kept", NOON), *life("withdrawn", NOON, "lead-1")])
    rare = [event("clicked", "withdrawn", at=NOON + at, user_agent=f"Rare/{at}.0") for at in range(5)]
    await store.record(rare)
    denied = RecipientChange("lead-1", Consent.DENIED, Consent.DENIED)
    await store.record([event("consent_changed", "", at=NOON - 1, change=denied)])
    await sweep(Retention(store.database), Directory([]), NOON // 1000)
    rows = await database.execute("SELECT user_agent FROM tracker.user_agents")
    assert [row["user_agent"] for row in rows] == [AGENT]


@pytest.mark.parametrize(("ahead_s", "earlier"), [(3600, "the database's"), (-3600, "this node's")])
async def test_of_two_clocks_the_earlier_one_says_what_is_old(
    store: Store, monkeypatch: pytest.MonkeyPatch, ahead_s: int, earlier: str
) -> None:
    retention = Retention(store.database)
    now_ms = time.time_ns() // 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: (now_ms + ahead_s * 1000) * 1_000_000)
    expected = now_ms if earlier == "the database's" else now_ms + ahead_s * 1000
    assert abs(await clock_ms(retention) - expected) < 60_000


async def test_ids_of_counted_hits_are_forgotten(store: Store, database: Database) -> None:
    ids = [event("opened", at=NOON + day * DAY).id for day in (0, 13)]
    for id_ in ids:
        await database.execute(f"INSERT INTO tracker.counted_hits (id) VALUES ({literal(database, id_)})")
    await sweep(Retention(store.database), Directory([]), (NOON + 15 * DAY) // 1000)
    (row,) = await database.execute("SELECT count(*) AS n FROM tracker.counted_hits")
    assert row["n"] == 1


def literal(database: Database, id_: bytes) -> str:
    return f"x'{id_.hex()}'" if type(database).__name__ == "SqliteDatabase" else f"'{id_.hex()}'"
