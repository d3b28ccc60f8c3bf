"""Reads a spool file, whichever process writes it: what it holds, and what can be saved of one that is corrupt.

Owns how its rows are read. Must not change a file, but for the first page of one that was moved away.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from .seals import NewRow, is_whole, without_seal

SEALED: Final = 2
"""The version of files whose rows are all sealed. In those of another one, rows may be without a seal."""
# A damaged row may hold values of any type: each is forced into the one that belongs there.
NUMBERS: Final = ", ".join(
    f"ifnull(CAST({name} AS INTEGER), 0)" for name in ("occurred_at", "last_at", "count", "recorded_at")
)
_SALVAGE: Final = f"""
    SELECT seq, ifnull(CAST(id AS BLOB), x''), {NUMBERS}, ifnull(CAST(facts AS BLOB), x'')
    FROM event WHERE seq > ? ORDER BY seq
"""  # noqa: S608
_SALVAGE_ROWS: Final = 1000
BUSY_MS: Final = 5000


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """What one spool file holds."""

    file: str
    rows: int
    """Rows that the store has not acknowledged."""
    oldest_at: int | None
    """When the oldest of them was recorded: microseconds since the epoch."""
    bytes: int
    """What is in use; the file itself shrinks when it has been empty for a while."""
    set_aside: int
    """Rows that the store can never take."""
    error: str | None = None
    """Why the file could not be read, if so. The numbers are 0 then."""


def read_status(path: Path, *, rows: int | None = None) -> SpoolStatus:
    """What the file at ``path`` holds, also while another process writes to it. ``rows`` saves counting."""
    with reading(path) as connection:
        pages, free, page_bytes = (
            connection.execute(f"PRAGMA {name}").get for name in ("page_count", "freelist_count", "page_size")
        )
        oldest_at = connection.execute("SELECT recorded_at FROM event ORDER BY seq LIMIT 1").get
        set_aside = connection.execute("SELECT count(*) FROM set_aside").get
        if rows is None:
            rows = connection.execute("SELECT count(*) FROM event").get
    return SpoolStatus(path.name, rows or 0, oldest_at, (pages - free) * page_bytes, set_aside)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """A connection of its own that can't change the file."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(BUSY_MS)
        yield connection
    finally:
        connection.close()


def salvage(path: Path, page_1: bytes) -> Iterator[list[NewRow]]:
    """The whole rows of a corrupt file in chunks: from the front as far as it can be read, then from the back.

    Its first page, which all else hangs on, is replaced by ``page_1``, that of an empty file, and kept beside it.
    """
    _graft(path, page_1)
    rows = _both_ways(path)
    while chunk := list(itertools.islice(rows, _SALVAGE_ROWS)):
        yield chunk


def _both_ways(path: Path) -> Iterator[NewRow]:
    last = -1
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(apsw.Error), reading(path) as connection:
            must_have_seal = connection.pragma("user_version") == SEALED
            for row in connection.execute(f"{_SALVAGE} {direction}", (last,)):
                if is_whole(row, must_have_seal=must_have_seal):
                    if direction == "ASC":
                        last = row[0]
                    yield without_seal(row[1:])


def _graft(path: Path, page_1: bytes) -> None:
    with path.open("r+b") as file:
        own = file.read(len(page_1))
        Path(f"{path}.head").write_bytes(own)
        if len(own) == len(page_1):
            file.seek(0)
            # With the version that stood there, and no size of the file, which SQLite then asks for.
            file.write(page_1[:28] + bytes(4) + page_1[32:60] + own[60:64] + page_1[64:])
