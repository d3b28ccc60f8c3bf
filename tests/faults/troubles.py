"""What a PostgreSQL that is there can do to its clients: each trouble begins, lasts, and is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from databases import PostgresDatabase
from postgres import connected

Trouble = Callable[[PostgresDatabase], AbstractAsyncContextManager[Any]]

CUT_OFF = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'tracker'"
)


def failing(sqlstate: str) -> Trouble:
    """Whatever is to be stored is refused with this error."""
    return _triggered(f"RAISE EXCEPTION 'test' USING ERRCODE = '{sqlstate}'")


def slow(seconds: float) -> Trouble:
    """The statement that stores events takes so long."""
    return _triggered(f"PERFORM pg_sleep({seconds})")


def _triggered(action: str) -> Trouble:
    @asynccontextmanager
    async def trouble(database: PostgresDatabase) -> AsyncIterator[None]:
        await database.execute(
            f"CREATE FUNCTION public.trouble() RETURNS trigger AS $$ BEGIN {action}; RETURN NULL; END $$"
            " LANGUAGE plpgsql"
        )
        await database.execute(
            "CREATE TRIGGER trouble BEFORE INSERT ON tracker.events EXECUTE FUNCTION public.trouble()"
        )
        try:
            yield
        finally:
            # It may have to wait for a statement that it slows down.
            await database.execute("DROP FUNCTION public.trouble CASCADE")

    return trouble


@asynccontextmanager
async def locked(database: PostgresDatabase) -> AsyncIterator[None]:
    """Someone holds a table, and waits for something else."""
    async with connected(database.url) as db, db.transaction():
        await db.execute("LOCK TABLE tracker.events IN ACCESS EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def deadlocked(database: PostgresDatabase) -> AsyncIterator[None]:
    """Someone takes tables in the other order, again and again. Who waited first, the service, must yield."""
    async with connected(database.url) as db:
        for _ in range(2):
            async with db.transaction():
                await db.execute("LOCK TABLE tracker.user_agents IN EXCLUSIVE MODE")
                waits = (
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'tracker.user_agents'::regclass"
                    " AND pid <> pg_backend_pid()"
                )
                while not await db.fetchval(waits):  # noqa: ASYNC110 (only the server knows)
                    await asyncio.sleep(0.02)
                await db.execute("LOCK TABLE tracker.messages IN ACCESS EXCLUSIVE MODE")
        yield


@asynccontextmanager
async def failed_over(database: PostgresDatabase) -> AsyncIterator[None]:
    """The server at the other end of every connection has become a replica; only new connections lead elsewhere."""
    name = database.url.partition("?")[0].rpartition("/")[2]
    await database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await database.execute(CUT_OFF)
    try:
        yield
    finally:
        async with connected(database.url) as db:
            await db.execute(f"BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT")


@asynccontextmanager
async def crowded(database: PostgresDatabase) -> AsyncIterator[None]:
    """All of the server's connections are taken."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(connected(database.url))
        (first,) = await database.execute("SHOW max_connections")
        guard = await stack.enter_async_context(connected(database.url))
        for _ in range(int(first["max_connections"]) + 1):
            try:
                await stack.enter_async_context(connected(database.url))
            except asyncpg.TooManyConnectionsError:
                break
        else:
            raise AssertionError("there was always room for one more")
        await guard.execute(CUT_OFF)
        while True:  # and for those that the service had
            try:
                await stack.enter_async_context(connected(database.url))
            except asyncpg.TooManyConnectionsError:
                if not await guard.fetchval(CUT_OFF.replace("pg_terminate_backend(pid)", "count(*)")):
                    break
                await guard.execute(CUT_OFF)
        yield


@asynccontextmanager
async def mislaid(database: PostgresDatabase) -> AsyncIterator[None]:
    """A table that some events need, and others do not, is not there."""
    await database.execute("ALTER TABLE tracker.recipients RENAME TO mislaid")
    try:
        yield
    finally:
        await database.execute("ALTER TABLE tracker.mislaid RENAME TO recipients")


@asynccontextmanager
async def cut_off(database: PostgresDatabase) -> AsyncIterator[None]:
    """An administrator ends every connection, again and again."""

    async def end_them() -> None:
        while True:
            await database.execute(CUT_OFF)
            await asyncio.sleep(0.05)

    ending = asyncio.create_task(end_them())
    try:
        yield
    finally:
        ending.cancel()
        await asyncio.wait([ending])
