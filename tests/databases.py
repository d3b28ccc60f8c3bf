"""The databases that stores are tested on, and what a test needs to look inside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import apsw
from postgres import connected

from tracker.stores import Store
from tracker.stores.postgres import Postgres
from tracker.stores.sqlite import Sqlite

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Database(Protocol):
    """One empty database."""

    def store(self, *, patience_s: float = 30.0) -> Store:
        """A new store on it, as another process would have; it waits ``patience_s`` for locks."""

    async def execute(self, sql: str) -> list[dict[str, Any]]:
        """The rows of ``sql``, in which ``tracker.`` stands before every table; times in microseconds."""

    def locked(self) -> AbstractAsyncContextManager[None]:
        """Another program holds a lock that keeps stores from writing."""

    async def set_version(self, number: int) -> None:
        """Make it look as if migration ``number`` had been applied."""


class SqliteDatabase:
    def __init__(self, path: Path) -> None:
        self.path = path

    def store(self, *, patience_s: float = 30.0) -> Store:
        return Store(Sqlite(self.path, busy_timeout_s=patience_s))

    async def execute(self, sql: str) -> list[dict[str, Any]]:
        db = apsw.Connection(str(self.path))
        try:
            cursor = db.execute(sql.replace("tracker.", ""))
            return [dict(zip([name for name, _ in cursor.get_description()], row, strict=True)) for row in cursor]
        finally:
            db.close()

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        db = apsw.Connection(str(self.path))
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            db.close()

    async def set_version(self, number: int) -> None:
        await self.execute(f"PRAGMA user_version = {number}")


class PostgresDatabase:
    def __init__(self, url: str) -> None:
        self.url = url

    def store(self, *, patience_s: float = 30.0) -> Store:
        return Store(Postgres(self.url, statement_timeout_s=patience_s))

    async def execute(self, sql: str) -> list[dict[str, Any]]:
        async with connected(self.url) as db:
            return [{name: _plain(value) for name, value in row.items()} for row in await db.fetch(sql)]

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        async with connected(self.url) as db, db.transaction():
            await db.execute("LOCK TABLE tracker.messages IN EXCLUSIVE MODE")
            yield

    async def set_version(self, number: int) -> None:
        await self.execute(f"INSERT INTO tracker.migrations (number, name) VALUES ({number}, 'later')")


def _plain(value: Any) -> Any:
    return (value - _EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value
