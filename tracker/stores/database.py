"""What a database must do for the stores: read one query, or carry out a procedure in one transaction.

Owns the interface and nothing else. Queries are known by name; their text, for each kind of database, is in ``sql/``.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from tracker.core.errors import StoreUnavailable

Row = Sequence[Any]
"""A row as a driver gives or takes it: its values by position."""

Result = TypeVar("Result")


class Once(NamedTuple):
    """A query that runs once, with ``parameters``."""

    query: str
    parameters: Row = ()


class Each(NamedTuple):
    """A query that runs for each of ``rows``, and not at all where there are none; what it returns comes in one list.

    In PostgreSQL that is one statement, whose parameters are columns: an array for each.
    """

    query: str
    rows: Sequence[Row]


Procedure = Generator[Once | Each, Sequence[Row], Result]
"""Steps of one transaction: yields what to run, is sent the rows that it returned, and returns a result.

Concurrent procedures must take tables in the same order, and keys within a table in theirs, or they deadlock.
"""


class Overtaken(StoreUnavailable):
    """Somebody else added a message that was not there when it was asked about. The next try finds it."""


class Database(Protocol):
    """A database with tracker's schema. Several processes may use one at the same time.

    Every method raises `StoreUnavailable` where waiting may help: the database is away, busy, full, read-only or
    silent. Whoever puts the process together calls `open` once at the start, to learn of a wrong configuration, and may
    go on when the database is away: every other method opens what is not open, so it need only be called again. All of
    them may raise `ConfigError`, then, for a database that a newer tracker has migrated. Nothing may be called after
    `close`, `open` aside.
    """

    async def open(self) -> None:
        """Connect and apply the migrations that are missing; nothing where that is done.

        Raises `ConfigError` where the database was migrated by a newer tracker or its URL is malformed.
        """

    async def close(self) -> None:
        """Let go of every connection, after what is under way. The database may be opened again."""

    async def read(self, step: Once | Each) -> list[Row]:
        """The rows of a query that changes nothing. Values that no key can have are the caller's to keep away."""

    async def write(self, procedure: Procedure[Result]) -> Result:
        """Carry out ``procedure`` in one transaction: all of it, or nothing.

        Raises `EventRejected` when the database can never take some value in it, and `Overtaken` where a message that
        it adds is there by now.
        """

    async def scrub(self) -> None:
        """Leave nothing in the files of what was removed before the call, as far as the database can do that."""
