"""Whether the disk has room for new rows.

Owns what they must leave free: room for SQLite's log to get into the main file, and for the relay to let
go of rows. Without it a disk that the spool has filled would stay full for ever.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import apsw

SPARE_BYTES: Final = 16 << 20
"""As much as the log may hold."""
_LOOK_EVERY_S: Final = 1.0
"""Asking the disk lets go of Python's lock, which costs more than to ask, so not every commit does it."""


class Room:
    """The room on the disk of the file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_enough_until = 0.0

    def check(self, connection: apsw.Connection) -> None:
        """Raise `apsw.FullError` where new rows would leave too little; ``connection`` is one to the file."""
        now = time.monotonic()
        if now < self._is_enough_until:
            return
        disk = os.statvfs(self._path)
        room = disk.f_bavail * disk.f_frsize
        if room < SPARE_BYTES:
            # The file never shrinks: what rows left behind in it is room for others.
            free, page_bytes = (connection.execute(f"PRAGMA {name}").get for name in ("freelist_count", "page_size"))
            if room + free * page_bytes < SPARE_BYTES:
                raise apsw.FullError("the disk is nearly full")
        self._is_enough_until = now + _LOOK_EVERY_S
