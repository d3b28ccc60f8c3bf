"""One spool file: an SQLite database in WAL mode that is synced at every commit.

Owns what is done to its rows. Must not know about threads' work, waiting or slots: one thread calls the
methods that write; `read` and `status` may be called from any thread, since each opens a connection of its own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from .layout import ASIDE, COLUMNS, NUMBERS, PAGE_BYTES, SCHEMA, SEALED, check
from .reading import BUSY_MS, SpoolStatus, read_status, reading
from .rescue import finish, rescue
from .room import Room
from .seals import NewRow, Row, is_whole, sealed, without_seal

_INSERT_ROWS: Final = 64
"""Rows of one statement at most: a statement for each number of rows, which apsw keeps prepared. With 256 of them that
takes 29 MB, and is no faster."""
_READ: Final = f"""
    SELECT json_group_array(json_array(seq, hex(id), {NUMBERS}, hex(facts)))
    FROM (SELECT * FROM event ORDER BY seq LIMIT ?)
"""  # noqa: S608
_WAL_BYTES: Final = 16 << 20
_SPARE_PAGES: Final = 64
"""Room past the limit for setting rows aside, which is how a full spool gets moving again."""


class SpoolFile:
    """The file at ``path``, of at most ``max_bytes``. Every method raises the `apsw.Error` it meets."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.rows = 0
        self.generation = 0
        """Grows when the file is replaced, so that damage seen in the old one is not blamed on the new."""
        self._room = Room(path)
        self._max_pages = max(max_bytes // PAGE_BYTES, 8)
        self.rescue_failed_at: float | None = None
        """When it could not be replaced, which is still to be done: by the monotonic clock."""
        self._next_seq = 1
        self._read_through = 0
        self._writing: apsw.Connection | None = None
        self._version = SEALED
        self._removed = True

    def open(self) -> apsw.Connection:
        """The connection that writes; opens and checks the file, or creates it, where that is still to do."""
        if self._writing is not None:
            return self._writing
        finish(self.path)
        # Created here for its mode, which SQLite then gives to the files beside it.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(self.path), statementcachesize=_INSERT_ROWS + 32)
        try:
            connection.set_busy_timeout(BUSY_MS)
            for pragma in (
                f"page_size = {PAGE_BYTES}",
                "journal_mode = WAL",
                "synchronous = FULL",
                f"journal_size_limit = {_WAL_BYTES}",
                f"max_page_count = {self._max_pages}",
            ):
                _run(connection, f"PRAGMA {pragma}")
            check(connection)
            _run(connection, SCHEMA)
            self.rows, last = _run(connection, "SELECT count(*), ifnull(max(seq), 0) FROM event")[0]
            self._keep_version(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, apsw.SQLError):  # what was asked is right for every file of ours
                raise apsw.CorruptError(str(error)) from error
            if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
                raise apsw.FullError("the disk is full") from error
            raise
        # Never counts down, not even over a replaced file: who read a row may acknowledge it later on.
        self._next_seq = max(self._next_seq, last + 1)
        self._writing = connection
        return connection

    def close(self) -> None:
        """Bring everything into the main file. The next method that writes opens it again."""
        if self._writing is not None:
            connection, self._writing = self._writing, None
            connection.close()

    def insert(self, rows: Sequence[NewRow]) -> None:
        """Add ``rows`` behind all others: all of them on disk when this returns, or none."""
        if not rows:
            return
        self._room.check(connection := self.open())
        first = self._next_seq
        self._next_seq += len(rows)
        # One step of SQLite for a whole group, its commit included. Python's lock is let go for each step, and
        # to get it back from a busy event loop takes longer than to insert a row.
        statements = [
            (_insert(len(chunk)), [value for seq, row in chunk for value in sealed(seq, row)])
            for chunk in _chunks(list(enumerate(rows, first)), _INSERT_ROWS)
        ]
        with _transaction(connection) if len(statements) > 1 else contextlib.nullcontext():
            for sql, values in statements:
                _run(connection, sql, values)
        self.rows += len(rows)

    def probe(self) -> None:
        """Commit a change that changes nothing: raises what a commit of rows would meet."""
        self._room.check(connection := self.open())
        with _transaction(connection):
            _run(connection, f"PRAGMA user_version = {self._version}")

    def delete(self, through: int) -> int:
        """Remove the rows up to and with the sequence number ``through``; returns how many they were."""
        connection = self.open()
        _run(connection, "DELETE FROM event WHERE seq <= ?", (through,))
        removed = connection.changes()
        self.rows -= removed
        self._removed = self._removed or removed > 0
        return removed

    def wipe(self) -> bool:
        """Leave nothing of acknowledged rows in an empty file, which keeps them as free space otherwise.

        False where the file is not empty. What somebody who reads it keeps from being done is left to the next time.
        """
        if self.rows:
            return False
        if self._removed:
            _run(connection := self.open(), "VACUUM")
            [(is_busy, *_)] = _run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
            self._removed = bool(is_busy)
        return True

    def set_aside(self, seq: int, reason: str) -> bool:
        """Move one row to the table of those that can never be stored; False where there is no such row."""
        connection = self.open()
        copy = f"INSERT INTO set_aside SELECT {COLUMNS}, ? FROM event WHERE seq = ?"  # noqa: S608
        with self._spare_room(connection), _transaction(connection):
            _run(connection, copy, (reason, seq))
            _run(connection, "DELETE FROM event WHERE seq = ?", (seq,))
            moved = connection.changes()
        self.rows -= moved
        return moved > 0

    def aside(self, after: bytes, limit: int) -> list[tuple[Any, ...]]:
        """Rows that can never be stored, in the order of their ids: id, ``occurred_at`` and facts.

        Those whose id is not of bytes can't be read, and are left out.
        """
        # By the id, not the row's number, which is another one after a `wipe`.
        return _run(
            self.open(),
            "SELECT id, occurred_at, facts FROM set_aside WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )

    def remove_aside(self, ids: Sequence[bytes]) -> int:
        """Remove the rows of those events, and return how many they were; `wipe` leaves nothing of them."""
        connection = self.open()
        _run(connection, f"DELETE FROM set_aside WHERE id IN ({', '.join('?' * len(ids))})", ids)  # noqa: S608
        self._removed = True
        return connection.changes()

    def move_from(self, other: SpoolFile, limit: int) -> bool:
        """Move the ``limit`` oldest rows of ``other`` here; False when nothing was left there to move.

        They are on disk here before they go there, so a crash in between makes doubles, with equal ids.
        """
        other.open()  # where its process was killed before it made the tables, this does
        if rows := other.read(limit):
            self.insert([without_seal(row[1:]) for row in rows])
            other.delete(rows[-1][0])
            return True
        connection = self.open()
        aside = _run(other.open(), f"SELECT {ASIDE} FROM set_aside")  # noqa: S608
        rows = [(*values, reason.decode(errors="replace")) for *values, reason in aside]
        with self._spare_room(connection), _transaction(connection):
            connection.executemany("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        return False

    def remove(self) -> None:
        """Delete the file."""
        self.close()
        for end in ("-wal", "-shm", ""):
            Path(f"{self.path}{end}").unlink(missing_ok=True)

    def replace(self) -> Path:
        """Put a new file with its readable rows in the place of the file, which is corrupt; returns where that is now.

        The rows come back under new sequence numbers, so a late acknowledgement can't remove them unread. Where
        it fails, for want of room above all, the file stays where it is.
        """
        with contextlib.suppress(apsw.Error):
            self.close()
        try:
            aside = rescue(self.path, first_seq=max(self._next_seq, self._read_through + 1))
        except BaseException:
            self.rescue_failed_at = time.monotonic()
            raise
        self.rescue_failed_at = None
        self.generation += 1
        self.open()
        return aside

    def read(self, limit: int) -> list[Row]:
        """The ``limit`` oldest rows, seals included. A row that is not what was written is corruption."""
        # As one value, since every row stepped to costs a chance to lose Python's lock for 5 ms.
        with reading(self.path) as connection:
            must_have_seal = connection.pragma("user_version") == SEALED
            found = msgspec.json.decode(connection.execute(_READ, (limit,)).get)
        rows: list[Row] = [
            (seq, bytes.fromhex(id_), occurred_at, last_at, count, recorded_at, bytes.fromhex(facts))
            for seq, id_, occurred_at, last_at, count, recorded_at, facts in found
        ]
        for row in rows:
            if not is_whole(row, must_have_seal=must_have_seal):
                raise apsw.CorruptError(f"row {row[0]} is not what was written")
        if rows:
            self._read_through = max(self._read_through, rows[-1][0])
        return rows

    def status(self) -> SpoolStatus:
        """What the file holds."""
        return read_status(self.path, rows=self.rows)

    def _keep_version(self, connection: apsw.Connection) -> None:
        """A file with rows that may be without a seal keeps its version until it is opened without any."""
        version = connection.pragma("user_version")
        self._version = version if self.rows else SEALED
        if version != self._version:
            _run(connection, f"PRAGMA user_version = {self._version}")

    @contextlib.contextmanager
    def _spare_room(self, connection: apsw.Connection) -> Iterator[None]:
        _run(connection, f"PRAGMA max_page_count = {self._max_pages + _SPARE_PAGES}")
        try:
            yield
        finally:
            _run(connection, f"PRAGMA max_page_count = {self._max_pages}")


@contextlib.contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    # Not apsw's own, which fails to roll back, and hides the error, where SQLite has done it already.
    _run(connection, "BEGIN IMMEDIATE")
    try:
        yield
        _run(connection, "COMMIT")
    finally:
        if connection.in_transaction:
            _run(connection, "ROLLBACK")


def _run(connection: apsw.Connection, sql: str, values: Sequence[apsw.SQLiteValue] = ()) -> list[Any]:
    # apsw runs a statement only as far as its rows are fetched.
    return connection.execute(sql, values).fetchall()


def _chunks(rows: Sequence[tuple[int, NewRow]], size: int) -> Iterator[Sequence[tuple[int, NewRow]]]:
    return (rows[at : at + size] for at in range(0, len(rows), size))


@functools.cache
def _insert(rows: int) -> str:
    return "INSERT INTO event VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * rows)  # noqa: S608
