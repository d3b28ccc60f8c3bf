"""Which spool file belongs to which process: `spool-0.db`, `spool-1.db` ..., each under a lock of its own.

Owns the names and the locks. Must not look into a file that another process has locked, save to report on it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

import apsw

from .reading import SpoolStatus, read_status
from .rescue import draft_of


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that this process has locked. The kernel unlocks it when the process ends, however it ends."""

    path: Path
    lock: int

    def release(self) -> None:
        """Let another process have it. The lock file stays: removing it would let two hold one slot."""
        os.close(self.lock)


def take(directory: Path, number: int) -> Slot | None:
    """Slot ``number``, or None where another process has it. Raises OSError where no file can be made."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    lock = os.open(directory / f"spool-{number}.lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Slot(directory / f"spool-{number}.db", lock)


def take_lowest(directory: Path) -> Slot:
    """The free slot with the lowest number."""
    return next(slot for number in itertools.count() if (slot := take(directory, number)))


def take_left_over(directory: Path) -> list[Slot]:
    """Every slot with a file that no process has locked: they belonged to processes that are gone."""
    slots = [slot for number in _numbers(directory) if (slot := take(directory, number))]
    gone = [slot for slot in slots if not _is_there(slot.path)]  # adopted by another process since we looked
    for slot in gone:
        slot.release()
    return [slot for slot in slots if slot not in gone]


def inspect(directory: Path) -> list[SpoolStatus]:
    """What every spool file in ``directory`` holds, from any process, also while the service runs."""
    found = []
    for path in (directory / f"spool-{number}.db" for number in _numbers(directory)):
        try:
            found.append(read_status(path))
        except apsw.Error as error:
            if _is_there(path):
                found.append(SpoolStatus(path.name, 0, None, 0, 0, error=str(error)))
    return found


def _is_there(path: Path) -> bool:
    """Also while it is replaced, and where a crash broke that off, when there may be nothing but the draft."""
    return draft_of(path).exists() or path.exists()


def _numbers(directory: Path) -> list[int]:
    names = (re.fullmatch(r"spool-(\d{1,6})\.db(\.draft)?", path.name) for path in directory.glob("spool-*.db*"))
    return sorted({int(match[1]) for match in names if match})
