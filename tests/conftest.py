"""Fixtures that several kinds of tests share: the databases, and the stores on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from databases import Database, PostgresDatabase, SqliteDatabase
from postgres import Server, postgres_server

from tracker.stores import Store

__all__ = ["postgres_server"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long forms run only when asked for: ``pytest -m long``."""
    if config.getoption("markexpr"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests are marked ``anyio``; they run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteDatabase:
    """An SQLite file that does not exist yet."""
    return SqliteDatabase(tmp_path / "status.db")


@pytest.fixture
def postgres(postgres_server: Server) -> Iterator[PostgresDatabase]:
    """An empty PostgreSQL database."""
    with postgres_server.new_database() as url:
        yield PostgresDatabase(url)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Each kind of database in turn."""
    chosen: Database = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """An open store on `database`."""
    store = database.store()
    await store.open()
    yield store
    await store.close()
