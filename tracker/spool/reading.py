"""Reads a spool file, whichever process writes it: what it holds.

Owns how it is opened for that. Must not change a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

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
