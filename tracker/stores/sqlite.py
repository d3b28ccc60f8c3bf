"""A database in one SQLite file, the embedded default. Several processes may share the file.

Owns its connections: one writer and one reader, each with a thread of its own, so that reads do not
queue behind writes. Must not decide what is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import apsw

from .database import Each, Once, Procedure, Result, Row
from .faults import Faults, translated
from .queries import load_migrations, load_queries, missing

SQL: Final = load_queries("sqlite")
MIGRATIONS: Final = load_migrations("sqlite")

# A corrupt file is the environment's fault too: its events must wait in the spool for the operator.
UNAVAILABLE: Final[Faults] = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)
REJECTED: Final[Faults] = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    OverflowError,
    UnicodeEncodeError,
)

CACHE_KB: Final = 32 * 1024
"""Of each connection, and no more than it reads. With SQLite's own 2 MB, a large store reads pages again and again."""

_RETRY_S: Final = 0.01


class Sqlite:
    """A `Database` in the file ``path``, whose folder must exist.

    Another process's transaction is waited for ``busy_timeout_s`` seconds.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 5.0) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._opening = asyncio.Lock()
        self._connections: tuple[_Connection, _Connection] | None = None
        self._scrubbing = asyncio.Lock()
        self._asked = self._scrubbed = 0

    async def open(self) -> None:
        """See `Database`."""
        await self._opened()

    async def close(self) -> None:
        """See `Database`."""
        async with self._opening:
            for connection in self._connections or ():
                await connection.close()
            self._connections = None

    async def read(self, step: Once | Each) -> list[Row]:
        """See `Database`."""
        _, reader = await self._opened()
        with translated(UNAVAILABLE):
            return await reader.run(_run, step)

    async def write(self, procedure: Procedure[Result]) -> Result:
        """See `Database`."""
        writer, _ = await self._opened()
        with translated(UNAVAILABLE, REJECTED):
            return await writer.run(_write, procedure)

    async def scrub(self) -> None:
        """See `Database`. Those who ask while one is at work share the next: it copies the whole file."""
        self._asked += 1
        asked = self._asked
        async with self._scrubbing:
            if self._scrubbed >= asked:
                return
            covers = self._asked
            writer, _ = await self._opened()
            with translated(UNAVAILABLE):
                await writer.run(_scrub, self._busy_timeout_s)
            self._scrubbed = covers

    async def _opened(self) -> tuple[_Connection, _Connection]:
        async with self._opening:
            if self._connections is None:
                with translated(UNAVAILABLE):
                    writer = await _Connection.open("store-writer", self._connect)
                    try:
                        await writer.run(_migrate)
                        reader = await _Connection.open("store-reader", self._connect)
                    except BaseException:
                        await writer.close()
                        raise
                self._connections = writer, reader
            return self._connections

    def _connect(self) -> apsw.Connection:
        db = apsw.Connection(str(self._path))
        try:
            db.set_busy_timeout(int(self._busy_timeout_s * 1000))
            _use_wal(db, self._busy_timeout_s)
            db.pragma("synchronous", "full")  # the spool lets go of what is committed here
            db.pragma("cache_size", -CACHE_KB)
            db.pragma("secure_delete", "on")  # what is deleted goes, or most of it: see _scrub
        except BaseException:
            db.close()
            raise
        return db


class _Connection:
    """A connection and the one thread that uses it."""

    def __init__(self, thread: ThreadPoolExecutor, db: apsw.Connection) -> None:
        self._thread = thread
        self._db = db

    @classmethod
    async def open(cls, name: str, connect: Callable[[], apsw.Connection]) -> Self:
        thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        try:
            return cls(thread, await asyncio.get_running_loop().run_in_executor(thread, connect))
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """What ``work`` returns for the connection and ``arguments``, in the connection's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._db, *arguments)

    async def close(self) -> None:
        await self.run(apsw.Connection.close)
        self._thread.shutdown()


def _use_wal(db: apsw.Connection, timeout_s: float) -> None:
    """Make the file a WAL, if it is none yet; SQLite does not always wait for others that do the same."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            db.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


@contextmanager
def _transaction(db: apsw.Connection) -> Iterator[None]:
    """A transaction around the block, after those of other processes.

    Not the connection's own ``with``: that one keeps the GIL while it waits and while it syncs, so every
    other thread of the process would stand still.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite ends it by itself on some errors
            db.execute("ROLLBACK")
        raise


def _migrate(db: apsw.Connection) -> None:
    with _transaction(db):
        applied = db.pragma("user_version")
        for migration in missing(MIGRATIONS, applied):
            db.execute(migration.sql)
            db.pragma("user_version", migration.number)


def _scrub(db: apsw.Connection, timeout_s: float) -> None:
    """Make the file anew: where pages were split or joined, some may still have a copy of a row that is gone."""
    db.execute("VACUUM")
    deadline = time.monotonic() + timeout_s
    # What is in the WAL is the new file: the old one is there until that is copied.
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:
        if time.monotonic() >= deadline:
            raise apsw.BusyError("others read the database all the time")
        time.sleep(_RETRY_S)


def _run(db: apsw.Connection, step: Once | Each) -> list[Row]:
    match step:
        case Once(query, parameters):
            return list(db.execute(SQL[query], tuple(parameters)))
        case Each(query, rows):
            return list(db.executemany(SQL[query], rows))


def _write(db: apsw.Connection, procedure: Procedure[Result]) -> Result:
    with _transaction(db):
        try:
            step = next(procedure)
            while True:
                step = procedure.send(_run(db, step))
        except StopIteration as done:
            result: Result = done.value
            return result
