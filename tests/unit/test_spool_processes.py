"""The spool over the lives and deaths of real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from spools import hit, messages, opened, run, until

from tracker.spool import Spool, inspect

APPENDING = """
import asyncio, pathlib, sys
from tracker.core.model import Facts
from tracker.spool import Spool

async def main(directory, life):
    spool = Spool(directory, node="n1", max_bytes=1 << 26)
    spool.open()
    async def requests(client):
        for n in range(1_000_000):
            message = f"{life}-{client}-{n}"
            if await spool.append_soon(Facts("default", message, "opened"), n):
                print(message, flush=True)
    await asyncio.gather(*(requests(client) for client in range(20)))

asyncio.run(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
"""


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: set[str] = set()
    for life in range(3):
        command = [sys.executable, "-c", APPENDING, str(tmp_path), str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(300 + 57 * life):
                answered.add(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL)
            answered.update(line.strip() for line in process.stdout if line.endswith("\n"))

    async def main() -> None:
        async with opened(tmp_path) as spool:
            found = messages(spool)
            assert len(found) == len(set(found))
            assert answered <= set(found)

    run(main())


STARTING = """
import asyncio, pathlib, sys
from tracker.spool import Spool

async def main(directory):
    spool = Spool(directory, node="n1", max_bytes=1 << 26)
    spool.open()
    print(spool.status().file, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await spool.close()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def test_processes_that_start_at_once_share_out_what_is_left(tmp_path: Path) -> None:
    async def leave_behind() -> None:
        spools = [Spool(tmp_path, node="n1", max_bytes=1 << 26) for _ in range(5)]
        for number, spool in enumerate(spools):
            spool.open()
            await spool.append_all([(hit(f"{number}-{n}"), n) for n in range(300)])
        for spool in spools:
            await spool.close()

    run(leave_behind())
    command = [sys.executable, "-c", STARTING, str(tmp_path)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    outputs = [worker.stdout.readline() for worker in workers if worker.stdout]
    assert len(set(outputs)) == 3
    assert all(output.startswith("spool-") for output in outputs)
    for worker in workers:
        worker.communicate()
        assert worker.returncode == 0

    async def count() -> None:
        async with opened(tmp_path) as spool:
            await until(lambda: len(inspect(tmp_path)) == 1)
            assert sorted(messages(spool)) == sorted(f"m-{number}-{n}" for number in range(5) for n in range(300))

    run(count())
