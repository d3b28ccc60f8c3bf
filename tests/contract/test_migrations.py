"""Opening a store: its schema is there afterwards, once, whoever else opens it; or it says why not."""

from __future__ import annotations

import asyncio

import pytest
from databases import Database
from samples import event, folded

from tracker.core.errors import ConfigError
from tracker.stores import Store
from tracker.stores.postgres import SQL as POSTGRES_SQL
from tracker.stores.queries import Migration, load_migrations, missing, split_queries
from tracker.stores.sqlite import SQL as SQLITE_SQL

pytestmark = pytest.mark.anyio


async def test_a_database_is_opened_again_as_it_was(database: Database) -> None:
    opened = event("opened")
    for _ in range(2):
        store = database.store()
        await store.open()
        await store.open()
        await store.record([opened])
        assert await store.status("default", "m-1") == folded(opened)
        await store.close()


async def test_a_closed_store_may_be_opened_again(store: Store) -> None:
    opened = event("opened")
    await store.record([opened])
    await store.close()
    await store.open()
    assert await store.status("default", "m-1") == folded(opened)


async def test_many_open_an_empty_database_at_once(database: Database) -> None:
    stores = [database.store() for _ in range(4)]
    try:
        await asyncio.gather(*(each.open() for each in stores))
        opened = event("opened")
        await asyncio.gather(*(each.record([opened]) for each in stores))
        assert await stores[0].status("default", "m-1") == folded(opened)
    finally:
        for each in stores:
            await each.close()


async def test_the_schema_of_a_newer_tracker_is_refused(store: Store, database: Database) -> None:
    await database.set_version(99)
    older = database.store()
    with pytest.raises(ConfigError, match="at version 99"):
        await older.open()
    with pytest.raises(ConfigError, match="at version 99"):
        await older.record([event("opened")])
    await older.close()


def test_both_stores_name_the_same_steps() -> None:
    assert SQLITE_SQL.keys() <= POSTGRES_SQL.keys()
    assert [step.name for step in load_migrations("sqlite")] == [step.name for step in load_migrations("postgres")]


def test_queries_are_split_at_their_names() -> None:
    text = "-- about the file\n\n-- name: one\nSELECT 1\n\n-- name: two\n-- why\nSELECT 2\n"
    assert split_queries(text) == {"one": "SELECT 1", "two": "-- why\nSELECT 2"}
    with pytest.raises(ValueError, match="twice"):
        split_queries("-- name: one\nSELECT 1\n-- name: one\nSELECT 2\n")


def test_only_what_was_not_applied_is_missing() -> None:
    steps = [Migration(number, f"{number:04}.sql", "") for number in (1, 2, 3)]
    assert missing(steps, 1) == steps[1:]
    assert missing(steps, 3) == []
