"""Spool files that are corrupt, for the tests of what becomes of them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import apsw
from spools import hit, opened

ROWS = 60
"""On more pages than one, so that pages of the old file make nonsense of the new one."""
DAMAGED = 4
ASIDE = ["m-0", "m-1"]


def change_a_row(path: Path) -> None:
    """The file stays sound to SQLite."""
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"UPDATE event SET count = count + 1 WHERE seq = {DAMAGED + 1}").fetchall()


def overwrite_the_header(path: Path) -> None:
    """SQLite can't make anything of the file, and leaves its log alone."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * 4096)


CHANGED = [f"m-{n}" for n in range(2, ROWS) if n != DAMAGED]
ALL = [f"m-{n}" for n in range(2, ROWS)]


async def fill(folder: Path) -> None:
    """A folder as a killed process leaves it: some of the rows are in the log only."""
    live = folder.with_name("live")
    async with opened(live) as spool:
        for n in range(ROWS - 2):
            await spool.append(hit(n, user_agent="x" * 300), n)
        for sequence, _ in spool.read(len(ASIDE)):
            await spool.set_aside(sequence, "refused")
    async with opened(live) as spool:
        for n in range(ROWS - 2, ROWS):
            await spool.append(hit(n, user_agent="x" * 300), n)
        shutil.copytree(live, folder, ignore=shutil.ignore_patterns("*-shm"))
    shutil.rmtree(live)
