"""Puts a sound file in the place of a corrupt one, with all rows of it that can be read.

Owns the order in which that is done: wherever it breaks off, either the old file is still in its place, and all
begins anew, or the new one is whole. Must not change the corrupt file: it is only moved away.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from tracker import snapshot

from .layout import ASIDE, NUMBERS, PAGE_BYTES, SCHEMA, SEALED
from .room import Room
from .seals import Row, is_whole, sealed, without_seal

CORRUPT: Final = (apsw.CorruptError, apsw.NotADBError)

_EVENTS: Final = f"SELECT seq, ifnull(CAST(id AS BLOB), x''), {NUMBERS}, ifnull(CAST(facts AS BLOB), x'') FROM event"  # noqa: S608
_ASIDE: Final = f"SELECT rowid, {ASIDE} FROM set_aside"  # noqa: S608
_WILL_PASS: Final = (apsw.BusyError, apsw.LockedError, apsw.CantOpenError, apsw.FullError)
_BAD_SECTOR: Final = (apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_CORRUPTFS)


def draft_of(path: Path) -> Path:
    """Where the file that is to come to ``path`` is made. While nothing is at ``path``, it is whole."""
    return Path(f"{path}.draft")


def rescue(path: Path, *, first_seq: int) -> Path:
    """Replace the file at ``path``, which nobody writes to; returns where it is now.

    Its events get numbers from ``first_seq`` on. Raises `apsw.Error` and OSError: then it is where it was.
    """
    draft = draft_of(path)
    try:
        _make(draft, path, first_seq)
        snapshot.sync_directory(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    aside = Path(f"{path}.corrupt-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}")
    path.rename(aside)
    with contextlib.suppress(FileNotFoundError):
        Path(f"{path}-wal").rename(f"{aside}-wal")
    finish(path)
    return aside


def finish(path: Path) -> None:
    """Do the rest of a `rescue` that a crash broke off, if there was one. Raises OSError."""
    draft = draft_of(path)
    if not draft.exists():
        return
    if path.exists():
        draft.unlink()
        return
    for end in ("-wal", "-shm"):  # they belong to the old file, and SQLite would take them for the new one's
        Path(f"{path}{end}").unlink(missing_ok=True)
    snapshot.sync_directory(path.parent)
    draft.rename(path)
    snapshot.sync_directory(path.parent)


def _make(draft: Path, path: Path, first_seq: int) -> None:
    """Write all that can be read of ``path`` to ``draft``, and have it on the disk, with room to go on."""
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(apsw.Connection(str(draft))) as new, _grafted(path) as graft:
        # Without a log, since it is all or nothing by its name.
        for pragma in (f"page_size = {PAGE_BYTES}", "journal_mode = OFF", "synchronous = FULL"):
            new.execute(f"PRAGMA {pragma}").fetchall()
        new.execute(f"BEGIN; {SCHEMA} PRAGMA user_version = {SEALED}").fetchall()
        events = (sealed(seq, without_seal(row[1:])) for seq, row in enumerate(_events(path, graft), first_seq))
        new.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", events)
        new.executemany("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?)", _aside(path, graft))
        new.execute("COMMIT").fetchall()
        Room(draft).check(new)


def _events(path: Path, graft: str) -> Iterator[Row]:
    """The whole rows."""
    is_sealed = False
    with _damage_ends_it(), _reading(path, graft) as connection:
        is_sealed = connection.pragma("user_version") == SEALED
    return _both_ways(path, graft, _EVENTS, "seq", functools.partial(is_whole, must_have_seal=is_sealed))


def _aside(path: Path, graft: str) -> Iterator[tuple[Any, ...]]:
    """The rows that were set aside, as they are."""
    for _, *values, reason in _both_ways(path, graft, _ASIDE, "rowid", lambda _: True):
        yield (*values, reason.decode(errors="replace"))


def _both_ways(path: Path, graft: str, select: str, number: str, is_good: Callable[[Any], bool]) -> Iterator[Any]:
    """The good rows, from the front as far as they can be read, then from the back."""
    last = -1
    for direction in ("ASC", "DESC"):
        with _damage_ends_it(), _reading(path, graft) as connection:
            for row in connection.execute(f"{select} WHERE {number} > ? ORDER BY {number} {direction}", (last,)):
                if is_good(row):
                    if direction == "ASC":
                        last = row[0]
                    yield row


@contextlib.contextmanager
def _damage_ends_it() -> Iterator[None]:
    """Raises what will pass: before it has, nobody can say what the file holds."""
    try:
        yield
    except _WILL_PASS:
        raise
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) not in _BAD_SECTOR:
            raise
    except apsw.Error:
        pass


@contextlib.contextmanager
def _reading(path: Path, graft: str) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=graft)
    try:
        yield connection
    finally:
        with contextlib.suppress(apsw.Error):  # it wants a lock at its end which only those get who may write
            connection.close()


@contextlib.contextmanager
def _grafted(path: Path) -> Iterator[str]:
    """What shows files with the first page of an empty one: all else hangs on it, and it may be damaged."""
    vfs = _Graft(f"graft-{path}")
    try:
        yield vfs.name
    finally:
        vfs.unregister()


class _Graft(apsw.VFS):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return (_GraftedFile if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else apsw.VFSFile)("", name, flags)


class _GraftedFile(apsw.VFSFile):
    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        own = super().xRead(amount, offset)
        if offset >= PAGE_BYTES or len(own) < amount:
            return own
        page = _empty_page()
        if offset == 0:  # its version is its own
            page = page[:60] + own[60:64] + page[64:]
        return page[offset : offset + amount]


@functools.cache
def _empty_page() -> bytes:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}; {SCHEMA}").fetchall()
        page = connection.serialize("main")[:PAGE_BYTES]
    return page[:28] + bytes(4) + page[32:]  # without the size of the file, which SQLite then asks for
