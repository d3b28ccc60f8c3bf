"""A corrupt file is replaced with all that can be read of it, wherever the process dies over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import pytest
from rescues import ALL, ASIDE, CHANGED, change_a_row, fill, overwrite_the_header
from spools import hit, messages, opened, run, until

from tracker.spool import rescue as rescue_module
from tracker.spool.file import SpoolFile

DAMAGES = [pytest.param(change_a_row, CHANGED, id="row"), pytest.param(overwrite_the_header, ALL, id="header")]


async def aside(folder: Path) -> tuple[list[str], list[str]]:
    """What is in the spool: messages that wait, and those that were set aside."""
    async with opened(folder) as spool:
        waiting = messages(spool)
        found, _ = await spool.aside(b"", 100)
        assert await spool.append_soon(hit("new"), 1)
        assert messages(spool) == [*waiting, "m-new"]
    return waiting, [event.facts.message_id for event in found]


def killed_at_line(number: int, path: Path) -> bool:
    """Let a process of its own replace the file, and kill it before that many different lines; False: it ended."""
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL)
        return status != 0
    lines = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != rescue_module.__file__:
            return None
        if event == "line":
            lines.add(frame.f_lineno)
        if len(lines) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        SpoolFile(path, max_bytes=64 << 20).replace()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize(("damage", "expected"), DAMAGES)
def test_killed_at_every_line_of_it(tmp_path: Path, damage: Any, expected: list[str]) -> None:
    original, folder = tmp_path / "original", tmp_path / "s"

    async def main() -> None:
        await fill(original)
        damage(original / "spool-0.db")
        lines, was_killed = 0, True
        while was_killed:
            lines += 1
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(original, folder)
            was_killed = killed_at_line(lines, folder / "spool-0.db")
            assert await aside(folder) == (expected, ASIDE), f"killed at line {lines}"
            names = {path.name for path in folder.iterdir()}
            assert not [name for name in names if "draft" in name]
            assert len([name for name in names if "corrupt" in name and not name.endswith("-wal")]) == 1
        assert lines > 50

    run(main())


def test_killed_between_the_two_names_of_a_file_that_is_left_behind(tmp_path: Path) -> None:
    """Nobody would ask for it by its name, which is not there."""
    folder = tmp_path / "s"

    async def main() -> None:
        await fill(folder)
        (folder / "spool-0.db").rename(folder / "spool-3.db.draft")
        (folder / "spool-0.db-wal").unlink()
        with contextlib.closing(apsw.Connection(str(folder / "spool-3.db.draft"))) as connection:
            rows = connection.execute("SELECT count(*) FROM event").get
        async with opened(folder) as spool:
            await until(lambda: not list(folder.glob("spool-3.db*")))
            assert len(messages(spool)) == rows

    run(main())


def test_an_acknowledgement_from_before_removes_nothing_unread(tmp_path: Path) -> None:
    """Not even of rows that were read of a file which could not be opened for writing."""

    async def main() -> None:
        await fill(folder := tmp_path / "s")
        file = SpoolFile(folder / "spool-0.db", max_bytes=64 << 20)
        through = file.read(3)[-1][0]
        file.replace()
        assert file.delete(through) == 0
        assert file.rows == len(ALL)
        file.close()

    run(main())


def test_rows_set_aside_come_along_whatever_is_in_them(tmp_path: Path) -> None:
    async def main() -> None:
        await fill(folder := tmp_path / "s")
        path = folder / "spool-0.db"
        wild = "INSERT INTO set_aside VALUES (CAST(x'ff' AS TEXT), NULL, 1.5, 'x', x'', 7, CAST(x'fe' AS TEXT))"
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            connection.execute(wild).fetchall()
        change_a_row(path)
        async with opened(folder) as spool:
            assert messages(spool) == CHANGED
            assert spool.status().set_aside == len(ASIDE) + 1
        path.rename(folder / "spool-1.db")
        async with opened(folder) as spool:
            await until(lambda: not (folder / "spool-1.db").exists())
            assert spool.status().set_aside == len(ASIDE) + 1

    run(main())
