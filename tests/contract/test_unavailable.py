"""A store that is away says so, in time, and works again when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import apsw
import pytest
from databases import Database, PostgresDatabase, SqliteDatabase
from postgres import Server, connected
from samples import event, folded

from tracker.core.errors import ConfigError, StoreUnavailable
from tracker.stores import Store
from tracker.stores.postgres import Postgres
from tracker.stores.sqlite import Sqlite

pytestmark = pytest.mark.anyio

OURS = "FROM pg_stat_activity WHERE application_name = 'tracker' AND datname = current_database()"


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def assert_away(store: Store) -> None:
    """Every method says that the store is away."""
    for call in (store.record([event("opened")]), store.status("default", "m-1"), store.events("default", "m-1")):
        with pytest.raises(StoreUnavailable):
            await call


async def assert_works(store: Store) -> None:
    clicked = event("clicked", f"m-{uuid.uuid4()}")
    await store.record([clicked])
    assert await store.status("default", clicked.facts.message_id) == folded(clicked)


async def test_a_locked_database_is_waited_for(database: Database) -> None:
    async with opened(database.store(patience_s=0.2)) as store:
        await store.record([event("opened")])
        async with database.locked():
            with pytest.raises(StoreUnavailable):
                await store.record([event("opened")])
            assert await store.status("default", "m-1") is not None  # reading does not wait
        await assert_works(store)


async def test_sqlite_without_its_folder(sqlite: SqliteDatabase) -> None:
    folder = sqlite.path.parent / "later"
    store = Store(Sqlite(folder / "status.db"))
    with pytest.raises(StoreUnavailable):
        await store.open()
    await assert_away(store)
    folder.mkdir()
    await assert_works(store)
    await store.close()


async def test_sqlite_on_a_full_disk(sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = []

    def limit(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", 100)
        limited.append(connection)

    monkeypatch.setattr(apsw, "connection_hooks", [limit])
    async with opened(sqlite.store()) as store:
        with pytest.raises(StoreUnavailable, match="FullError"):
            await store.record([event("clicked", url="https://a/" + "x" * 500_000)])
        assert await store.status("default", "m-1") is None
        limited[0].pragma("max_page_count", 10_000)
        await assert_works(store)


async def test_sqlite_with_a_file_that_is_no_database(sqlite: SqliteDatabase) -> None:
    sqlite.path.write_bytes(b"not a database at all " * 100)
    store = sqlite.store()
    with pytest.raises(StoreUnavailable):
        await store.open()
    await assert_away(store)
    sqlite.path.unlink()
    await assert_works(store)
    await store.close()


async def test_sqlite_waits_without_stopping_the_process(sqlite: SqliteDatabase) -> None:
    async with opened(sqlite.store(patience_s=0.5)) as store, sqlite.locked():
        waiting = asyncio.create_task(store.record([event("opened")]))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 5
        with pytest.raises(StoreUnavailable):
            await waiting


async def test_postgres_stopped_and_started_again(postgres_server: Server, postgres: PostgresDatabase) -> None:
    async with opened(postgres.store()) as store:
        late = postgres.store()
        await store.record([event("opened")])
        postgres_server.stop()
        try:
            await assert_away(store)
            with pytest.raises(StoreUnavailable):
                await late.open()
            await assert_away(late)
        finally:
            postgres_server.start()
        await assert_works(store)
        assert await late.status("default", "m-1") is not None
        await assert_works(late)
        await late.close()


async def test_postgres_cut_off_in_the_middle(postgres: PostgresDatabase) -> None:
    async with opened(postgres.store()) as store, connected(postgres.url) as db:
        await db.execute("BEGIN; LOCK TABLE tracker.messages IN EXCLUSIVE MODE")
        recording = asyncio.create_task(store.record([event("opened")]))
        cut_off = f"SELECT count(pg_terminate_backend(pid)) {OURS} AND wait_event_type = 'Lock'"
        while not await db.fetchval(cut_off):  # until the server says that it waits for our lock
            await asyncio.sleep(0.01)
            await db.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees what it saw first
        with pytest.raises(StoreUnavailable):
            await recording
        await db.execute("ROLLBACK")
        await assert_works(store)


async def test_postgres_that_falls_silent(postgres: PostgresDatabase) -> None:
    store = Store(Postgres(postgres.url, connect_timeout_s=1, statement_timeout_s=0.5))
    async with opened(store), connected(postgres.url) as db:
        await assert_works(store)  # over the connection that is to fall silent
        pid = await db.fetchval(f"SELECT pid {OURS}")
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                with pytest.raises(StoreUnavailable):
                    await store.record([event("opened")])
            await assert_works(store)  # over another connection
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_postgres_that_accepts_and_says_nothing() -> None:
    held = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = Store(Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable", connect_timeout_s=0.2))
    async with server, asyncio.timeout(20):
        with pytest.raises(StoreUnavailable):
            await store.open()
        waiting = [store.status("default", "m-1") for _ in range(20)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
        for writer in held:
            writer.close()


async def test_postgres_that_is_read_only(postgres: PostgresDatabase) -> None:
    async with opened(postgres.store()) as store:
        await store.record([event("opened")])
    (row,) = await postgres.execute("SELECT current_database() AS name")
    await postgres.execute(f"ALTER DATABASE {row['name']} SET default_transaction_read_only = on")
    async with opened(postgres.store()) as store:
        assert await store.status("default", "m-1") is not None
        with pytest.raises(StoreUnavailable):
            await store.record([event("opened")])


async def test_postgres_without_the_database(postgres: PostgresDatabase) -> None:
    store = Store(Postgres(postgres.url.replace("/test_", "/absent_")))
    with pytest.raises(StoreUnavailable):
        await store.open()


@pytest.mark.parametrize("url", ["postgresql://host:port/db", "nonsense", "postgresql:///db?sslmode=maybe"])
async def test_postgres_with_a_malformed_url(url: str) -> None:
    with pytest.raises(ConfigError):
        await Postgres(url).open()
