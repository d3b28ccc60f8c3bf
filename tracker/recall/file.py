"""The file ``recipients.db``: what is remembered of recipients, and how far it has followed the store.

Owns the tables, the lock, and what is done with a damaged file. Must not ask the store, nor decide what follows from
what is known: that is `core.recipients`. People stand in it as keyed digests: those by which they are erased.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import msgspec

from tracker.core.tombstones import Digests
from tracker.stores import OnList
from tracker.stores.limits import is_key
from tracker.stores.rows import list_standing_in, standing_in
from tracker.stores.store import Position, RecipientChanges, What

CORRUPT: Final = (apsw.CorruptError, apsw.NotADBError)

_OVERLAP_US: Final = 300_000_000
_PASS_US: Final = 86_400_000_000
_BUSY_MS: Final = 5000

# times: JSON, so that one row fits a `Standing`, whose consents are JSON in it, a `ListStanding` and a `Tombstone`.
_VERSION: Final = 2
_SCHEMA: Final = f"""
    CREATE TABLE IF NOT EXISTS known (
        person BLOB NOT NULL, what INTEGER NOT NULL, list TEXT NOT NULL,
        times TEXT NOT NULL, updated_at INTEGER NOT NULL, pass INTEGER NOT NULL,
        PRIMARY KEY (person, what, list)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS progress (what INTEGER PRIMARY KEY, progress TEXT NOT NULL) STRICT;
    PRAGMA user_version = {_VERSION};
"""
# One statement for a whole page, and one value for all that is looked up: Python's lock is let go for each step, and
# to get it back from a busy event loop takes longer than the step.
_PUT: Final = """
    INSERT INTO known (updated_at, person, list, times, what, pass)
    SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value -> 3, ?1, ?2 FROM json_each(?3) WHERE true
    ON CONFLICT DO UPDATE SET times = excluded.times, updated_at = excluded.updated_at, pass = excluded.pass
    WHERE times <> excluded.times OR updated_at <> excluded.updated_at OR pass <> excluded.pass
"""
_FORGET: Final = """
    DELETE FROM known WHERE what <> ?1 AND person IN (
        SELECT unhex(value ->> 1) FROM json_each(?2) WHERE value ->> '$[3][1]' IS NULL
    )
"""
_LOOK_UP: Final = """
    SELECT json_group_array(json_array(lower(hex(k.person)), k.what, json(k.times)))
    FROM json_each(?2) AS wanted
    CROSS JOIN known AS k ON k.person = unhex(wanted.value)
    WHERE k.what <> ?3 OR k.list = ?1
"""
_decode_found: Final = msgspec.json.Decoder(list[tuple[str, int, list[int | str | None]]]).decode


class Progress(NamedTuple):
    """How far the file has followed the store; all times are by the database's clock.

    Every day a pass starts from the beginning. What it does not come across is gone from the store, and then from
    here; and it comes across what the rounds in between miss where the database's clock was put back, or where an
    older tracker, which does not note when it changes something, writes to the same store.
    """

    source: str
    """Tells one store from another."""
    position: Position = Position()
    pass_: int = 1
    began_at: int | None = None
    """When the pass began."""
    asked_at: int | None = None
    """When the round began that is under way."""
    is_complete: bool = False
    """Whether the pass has seen everything once."""

    def after(self, page: RecipientChanges, is_last: bool) -> Progress:
        """The progress when ``page`` is in the file, too."""
        asked_at = page.asked_at if self.asked_at is None else self.asked_at
        began_at = asked_at if self.began_at is None else self.began_at
        if not is_last:
            return self._replace(position=page.rows[-1][0], began_at=began_at, asked_at=asked_at)
        was_put_back = self.asked_at is None and asked_at < self.position.updated_at
        if asked_at - began_at >= _PASS_US or was_put_back:
            return Progress(source=self.source, pass_=self.pass_ + 1)
        # A row's time is taken before its transaction ends, so one that was still open may bring rows from before
        # asked_at. None stays open for longer than the overlap: the store and the relay give up on it long before.
        # It is not counted from the last row, or a large import would be read again and again until the next change.
        position = Position(asked_at - _OVERLAP_US)
        return self._replace(position=position, began_at=began_at, asked_at=None, is_complete=True)


class RecipientsFile:
    """The file as the process sees it that has the lock. For one thread; everything raises OSError and `apsw.Error`."""

    def __init__(self, path: Path, source: str, digests: Digests) -> None:
        self._path = path
        self._source = source
        self._digests = digests
        self._lock: int | None = None
        self._db: apsw.Connection | None = None

    def open(self) -> bool:
        """Make the file ready, or create it; False where another process has that task."""
        if not self._locked():
            return False
        if self._db is not None and not self._path.exists():
            self.remove()  # somebody removed it: what is written to it now nobody would see
        if note_of_damage(self._path).exists():
            raise apsw.CorruptError("damage was seen in it")
        if self._db is None:
            self._db = _opened(self._path)
        return True

    def close(self) -> None:
        """Let go of the file, not of the lock."""
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(apsw.Error):
                db.close()

    def release(self) -> None:
        """Leave the task to another process."""
        self.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove the file, to be filled again from the beginning."""
        self.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)
        note_of_damage(self._path).unlink(missing_ok=True)

    def progress(self, what: What) -> Progress:
        """How far it has come."""
        saved = self._run("SELECT progress FROM progress WHERE what = ?", what)
        if saved is None:
            return Progress(self._source)
        try:
            progress = msgspec.json.decode(str(saved), type=Progress)
        except msgspec.MsgspecError as error:
            raise apsw.CorruptError(str(error)) from error
        if progress.source == self._source:
            return progress
        # What the other store said stays until this one has said all.
        return Progress(self._source, pass_=progress.pass_ + 1)

    def put(self, what: What, page: RecipientChanges, before: Progress, after: Progress) -> None:
        """Take in a page, and what is then the progress."""
        rows = msgspec.json.encode([self._row(what, *row) for row in page.rows]).decode()
        self._run("BEGIN IMMEDIATE")
        try:
            self._run(_PUT, what, before.pass_, rows)
            if what is What.ERASURES:
                self._run(_FORGET, what, rows)
            if after.is_complete and not before.is_complete:
                self._run("DELETE FROM known WHERE what = ? AND pass <> ?", what, before.pass_)
            # Without the person whom the next page begins after: from a file, what is of the same moment is read again.
            saved = after._replace(position=Position(after.position.updated_at - (after.asked_at is not None)))
            self._run("INSERT OR REPLACE INTO progress VALUES (?, ?)", what, msgspec.json.encode(saved).decode())
            self._run("COMMIT")
        finally:
            if self._db is not None and self._db.in_transaction:
                self._run("ROLLBACK")

    def _row(self, what: What, position: Position, times: Sequence[int | str | None]) -> tuple[object, ...]:
        if what is What.ERASURES:
            return position.updated_at, position.recipient, "", times
        newest = self._digests.of_person(position.account, position.recipient)[-1]
        return position.updated_at, newest.hex(), position.list, times

    def _run(self, sql: str, *values: apsw.SQLiteValue) -> apsw.SQLiteValue:
        """The first value that ``sql`` gives, if any."""
        if self._db is None:
            raise apsw.CantOpenError("it is closed")
        rows = self._db.execute(sql, values).fetchall()
        return rows[0][0] if rows else None

    def _locked(self) -> bool:
        if self._lock is not None:
            return True
        # A file of its own, which stays: removing it would let two hold the lock.
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True


def note_of_damage(path: Path) -> Path:
    """The note of a process that saw damage for the one that has the lock."""
    return path.with_suffix(".damaged")


def _opened(path: Path) -> apsw.Connection:
    # Created here for its mode, which SQLite then gives to the files beside it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(_BUSY_MS)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "normal")  # what a power cut loses is read from the store again
        db.pragma("secure_delete", "on")
        if (found := db.pragma("quick_check", 1)) != "ok":
            raise apsw.CorruptError(str(found))
        if (version := db.pragma("user_version")) not in (0, _VERSION):
            raise apsw.CorruptError(f"it has the form {version} of another tracker")
        db.execute(_SCHEMA).fetchall()
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    # A connection for each look-up, so that a file made anew is seen, and any thread will do.
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.set_busy_timeout(_BUSY_MS)
        yield db
    finally:
        db.close()


def look_up(path: Path, digests: Digests, account: str, list_: str, recipients: Sequence[str]) -> dict[str, OnList]:
    """What the file at ``path`` has of ``recipients`` with a view to a list; raises `apsw.Error`."""
    people = {digest.hex(): one for one in set(recipients) if is_key(one) for digest in digests.of_person(account, one)}
    with _reading(path) as db:
        wanted = msgspec.json.encode(list(people)).decode()
        ((found,),) = db.execute(_LOOK_UP, (list_, wanted, What.LIST_STANDINGS)).fetchall()
    known: dict[str, OnList] = {}
    for person, what, times in _decode_found(str(found)):
        recipient = people[person]
        before = known.get(recipient, OnList(None, None))
        if what == What.STANDINGS:
            known[recipient] = before._replace(standing=standing_in((account, recipient, *times)))
        elif what == What.LIST_STANDINGS:
            row = (account, recipient, list_, None, None, *times)
            known[recipient] = before._replace(on_list=list_standing_in(row))
        elif times[1] is None:
            known[recipient] = before._replace(is_erased=True)
    return known
