"""The spool's files: one a process, for their owner alone, adopted by the next, and open to a look from outside."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

from spools import hit, opened, run, until

from tracker.spool import inspect


def test_each_process_has_a_slot_and_the_next_adopts_what_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        directory = tmp_path / "spool"
        async with opened(directory) as zero, opened(directory) as one, opened(directory) as two:
            for number, spool in enumerate((zero, one, two)):
                await spool.append_all([(hit(f"{number}-{n}"), n) for n in range(1500)])
            await two.set_aside(1, "kept")
            ids = {event.id for spool in (zero, one, two) for _, event in spool.read(5000)}
            assert [status.rows for status in inspect(directory)] == [1500, 1500, 1499]
            await one.close()
            await two.close()
            async with opened(directory) as heir:
                await until(lambda: heir.depth == 2999 and len(inspect(directory)) == 2)
                assert heir.status().file == "spool-1.db"
                assert heir.status().set_aside == 1
                assert await heir.append_soon(hit("new"), 0)
                adopted = {event.id for _, event in heir.read(5000)[:-1]}
                assert adopted | {event.id for _, event in zero.read(5000)} == ids

    run(main())


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "a" / "spool") as spool:
            await spool.append(hit(), 0)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in spool.directory.iterdir()}
            assert set(modes) == {f"spool-0.{end}" for end in ("lock", "db", "db-wal", "db-shm")}
            assert set(modes.values()) == {0o600}
            assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700

    run(main())


def test_another_process_can_look_while_the_service_runs(tmp_path: Path) -> None:
    look = f"import tracker.spool as s, pathlib; print(s.inspect(pathlib.Path({str(tmp_path)!r}))[0].rows)"

    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(7)])
            shown = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", look], capture_output=True, check=True
            )
            assert shown.stdout.split() == [b"7"]
            assert await spool.append_soon(hit(), 0)

    run(main())
    [status] = inspect(tmp_path)
    assert (status.rows, status.set_aside, status.error) == (8, 0, None)
    assert status.oldest_at is not None
