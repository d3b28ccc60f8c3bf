"""A database in PostgreSQL: everything in the schema ``tracker``, of any database.

Owns the pool, what a transaction is, and how PostgreSQL's types are spelled. Must not decide what is written.

Every query runs in a transaction, and nothing outlives one in a session: a pooler that gives each transaction whichever
session is free (pgbouncer in transaction mode) may stand in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, cast

import asyncpg  # type: ignore[import-untyped]

from tracker.core.errors import ConfigError, StoreUnavailable

from .database import Each, Once, Overtaken, Procedure, Result, Row
from .faults import Faults, translated
from .queries import load_migrations, load_queries, missing

SQL: Final = load_queries("postgres")
MIGRATIONS: Final = load_migrations("postgres")

UNAVAILABLE: Final[Faults] = (
    OSError,  # refused, reset, a name that does not resolve; TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that the server ended a moment ago
    asyncpg.OperatorInterventionError,  # shut down, starting up, statement_timeout
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.ObjectNotInPrerequisiteStateError,  # lock_timeout
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    # Wrong now, and put right without a restart of tracker:
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.SyntaxOrAccessError,  # no privilege, no such table: the schema is not as it must be, whatever the event
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.InvalidCachedStatementError,
)
REJECTED: Final[Faults] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

_EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL counts its microseconds from the year 2000."""

_STALE: Final = (TimeoutError, asyncpg.ReadOnlySQLTransactionError)
"""What one connection meets, all of them may: the way to the server is cut, or it leads to what is now a replica."""

_POOL_SIZE: Final = 4
_CACHED_STATEMENTS: Final = 100
_SETTINGS: Final = {"application_name": "tracker"}
"""Of a session. A pooler refuses most others."""


class Postgres:
    """A `Database` in the one at ``url`` (``postgresql://...``).

    Nothing waits for ever: a connection ``connect_timeout_s`` seconds, a statement ``statement_timeout_s``
    on the server, and a little longer for a server that has fallen silent.
    """

    def __init__(self, url: str, *, connect_timeout_s: float = 5.0, statement_timeout_s: float = 20.0) -> None:
        self._url = url
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """See `Database`."""
        with translated(UNAVAILABLE):
            await self._opened()

    async def close(self) -> None:
        """See `Database`."""
        async with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await pool.close()
            except (*UNAVAILABLE, asyncpg.InterfaceError):
                pool.terminate()

    async def read(self, step: Once | Each) -> list[Row]:
        """See `Database`."""
        with translated(UNAVAILABLE):
            async with self._transaction(", READ ONLY") as db:
                return await _run(db, step)

    async def write(self, procedure: Procedure[Result]) -> Result:
        """See `Database`."""
        with translated(UNAVAILABLE, REJECTED), _noticed():
            async with self._transaction() as db:
                rows = None
                while True:
                    # In a thread: what follows from some thousand events takes longer than other requests may wait.
                    step, result = await asyncio.to_thread(_advance, procedure, rows)
                    if step is None:
                        return cast(Result, result)
                    rows = await _run(db, step)

    async def scrub(self) -> None:
        """See `Database`. Nothing: the server's vacuum, its log and its backups are the operator's."""

    @asynccontextmanager
    async def _transaction(self, mode: str = "") -> AsyncIterator[Any]:
        pool = await self._opened()
        db = await pool.acquire(timeout=self._connect_timeout_s)
        try:
            await db.execute(_beginning(mode, self._statement_timeout_s))
            yield db
            await db.execute("COMMIT")
        except BaseException as error:
            if isinstance(error, _STALE):
                await pool.expire_connections()
            lost = isinstance(error, asyncpg.InterfaceError) and _is_lost(db)
            ending = asyncio.create_task(self._end(pool, db, is_silent=isinstance(error, TimeoutError)))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            if not isinstance(error, asyncio.CancelledError):  # who gave up does not wait for what may be silence
                await asyncio.shield(ending)
            if lost:
                raise StoreUnavailable(f"the connection was lost: {error}") from error
            raise
        else:
            await pool.release(db, timeout=self._connect_timeout_s)

    async def _end(self, pool: asyncpg.Pool, db: Any, *, is_silent: bool) -> None:
        """Roll back and give ``db`` back to the pool, or end it where it does not listen."""
        try:
            if is_silent:
                db.terminate()
            else:
                async with asyncio.timeout(self._connect_timeout_s):
                    await db.execute("ROLLBACK")
        except Exception:  # whatever it was, this connection is of no more use
            with suppress(asyncpg.InterfaceError):  # the pool has taken it back already
                db.terminate()
        await pool.release(db, timeout=self._connect_timeout_s)  # or it may wait for a cancellation for ever

    async def _opened(self) -> asyncpg.Pool:
        """The pool, connected now if need be; while another call is connecting, this one waits its time too."""
        async with asyncio.timeout(self._connect_timeout_s):
            await self._opening.acquire()
        try:
            if self._pool is None:
                self._pool = await self._connect()
            return self._pool
        finally:
            self._opening.release()

    async def _connect(self) -> asyncpg.Pool:
        settings = {
            "timeout": self._connect_timeout_s,
            "command_timeout": self._statement_timeout_s + self._connect_timeout_s,
            "server_settings": _SETTINGS,
        }
        try:
            db = await asyncpg.connect(self._url, statement_cache_size=0, **settings)
        except ValueError as error:
            raise ConfigError(f"the store's URL is malformed: {type(error).__name__}") from error
        try:
            async with db.transaction():
                await _migrate(db)
                is_pooled = db.get_server_pid() != await db.fetchval("SELECT pg_backend_pid()")
            await db.close(timeout=self._connect_timeout_s)
        except asyncpg.InterfaceError as error:
            raise StoreUnavailable(f"the connection was lost: {error}") from error
        finally:
            db.terminate()
        return await asyncpg.create_pool(
            self._url,
            min_size=0,  # or it would go on connecting in the background while the server is away
            max_size=_POOL_SIZE,
            statement_cache_size=0 if is_pooled else _CACHED_STATEMENTS,
            init=_set_codecs,
            reset=_leave,
            **settings,
        )


async def _run(db: Any, step: Once | Each) -> list[Row]:
    match step:
        case Once(query, parameters):
            return [tuple(row) for row in await db.fetch(SQL[query], *parameters)]
        case Each(query, rows):
            return [tuple(row) for row in await db.fetch(SQL[query], *zip(*rows, strict=True))] if rows else []


def _advance(procedure: Procedure[Result], rows: Sequence[Row] | None) -> tuple[Once | Each | None, Result | None]:
    """The next step, or what the procedure came to; ``rows`` are those of the step before, None for the first."""
    try:
        return (next(procedure) if rows is None else procedure.send(rows)), None
    except StopIteration as done:
        return None, done.value


@contextmanager
def _noticed() -> Iterator[None]:
    """Tells a message that somebody else added first from what can never be stored."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "messages_pkey":
            raise
        raise Overtaken("somebody else added a message just now") from error


def _is_lost(db: Any) -> bool:
    """Whether the connection in use is gone; every call on one that is gone is an InterfaceError."""
    try:
        return bool(db.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken it back already
        return True


def _beginning(mode: str, statement_timeout_s: float) -> str:
    """What begins a transaction."""
    timeout_ms = int(statement_timeout_s * 1000)
    # The size of the arrays and of young tables decides between an index and a scan: plan anew each time.
    # A frozen process must not keep its locks. The level is what `recording` counts on, whatever the server's default.
    return f"""
        BEGIN ISOLATION LEVEL READ COMMITTED{mode};
        SET LOCAL statement_timeout = {timeout_ms};
        SET LOCAL idle_in_transaction_session_timeout = {timeout_ms};
        SET LOCAL plan_cache_mode = force_custom_plan
    """


async def _leave(_: Any) -> None:
    """Nothing is to be reset in a session."""


async def _set_codecs(db: Any) -> None:
    """Ids are 16 bytes and times are microseconds since the Unix epoch, as everywhere in tracker."""
    await db.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
    await db.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda time: (time - _EPOCH_US,),
        decoder=lambda wire: wire[0] + _EPOCH_US,
        format="tuple",
    )


async def _migrate(db: Any) -> None:
    await db.execute(SQL["lock_migrations"])
    applied = await db.fetchval(SQL["applied_migration"]) if await db.fetchval(SQL["has_migrations"]) else 0
    for migration in missing(MIGRATIONS, applied):
        await db.execute(migration.sql)
        await db.execute(SQL["note_migration"], migration.number, migration.name)
