"""``kill -9`` under load, at random moments: what was answered is in the store after the restart, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest
from databases import Database, SqliteDatabase

from .load import Load
from .oracle import assert_kept
from .serving import Service, serves, serving, until

pytestmark = pytest.mark.anyio


async def kill_again_and_again(service: Service, database: Database, *, kills: int, clients: int, seed: int) -> None:
    moments = random.Random(seed)
    await service.start()
    load = Load([service], seed)
    await load.register(300)
    restarts = []
    async with load.running(clients) as log:
        for _ in range(kills):
            await asyncio.sleep(moments.uniform(0.05, 1.2))
            service.kill()
            restarts.append(await service.start())
        await asyncio.sleep(0.5)
    assert not log.wrong
    assert log.broken > 0
    stored = await assert_kept(database, log, [service], killed=True)
    print(f"\nkills {kills}, restart to ready {min(restarts):.2f}-{max(restarts):.2f} s, stored {stored.total()},")
    print(f"asked {log.asked.total()}, answered late {log.late.total()}, without an answer {log.broken}")
    assert log.firm.total() > log.asked.total() / 2
    assert await service.stop() == 0


async def test_kill_9_of_the_process(database: Database, tmp_path: Path) -> None:
    with serving(tmp_path / "data", database) as service:
        await kill_again_and_again(service, database, kills=5, clients=100, seed=1)


async def test_kill_9_of_all_workers_and_their_parent(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await kill_again_and_again(service, sqlite, kills=3, clients=100, seed=2)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
async def test_kill_9_twenty_times(database: Database, tmp_path: Path, workers: int) -> None:
    with serving(tmp_path / "data", database, workers=workers) as service:
        await kill_again_and_again(service, database, kills=20, clients=200, seed=10 + workers)


async def test_killed_just_after_it_made_its_file(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """A file without a table in it is nothing to wait for, and does not keep others from being adopted."""
    with serving(tmp_path / "data", sqlite, workers=1) as service:
        spool = service.data / "spool"
        await service.start()
        load = Load([service], seed=5)
        async with load.running(30, pause_s=0.01) as log:
            await asyncio.sleep(0.5)
            service.kill()
        for end in ("", "-wal"):
            if (spool / f"spool-0.db{end}").exists():
                (spool / f"spool-0.db{end}").rename(spool / f"spool-2.db{end}")
        (spool / "spool-1.db").touch()
        await service.start()
        await assert_kept(sqlite, log, [service], killed=True)
        await until(lambda: [path.name for path in spool.glob("*.db")] == ["spool-0.db"])


async def kill_workers(service: Service, database: Database, *, kills: int, clients: int, seed: int) -> None:
    moments = random.Random(seed)
    await service.start()
    load = Load([service], seed)
    await load.register(100)
    pids, replaced = await both_workers(service), []
    async with load.running(clients) as log:
        for _ in range(kills):
            await asyncio.sleep(moments.uniform(0.2, 1.2))
            dead, died = moments.choice(pids), time.monotonic()
            os.kill(dead, signal.SIGKILL)
            pids = await both_workers(service, but=dead)
            replaced.append(time.monotonic() - died)
        await asyncio.sleep(0.5)
    print(f"\nworkers killed {kills}, replaced within {min(replaced):.2f}-{max(replaced):.2f} s")
    assert not log.wrong
    await assert_kept(database, log, [service], killed=True)
    assert await service.stop() == 0


async def both_workers(service: Service, *, but: int | None = None) -> list[int]:
    """Wait until two workers serve, neither of which is ``but``."""

    def are_there() -> bool:
        pids = service.worker_pids()
        return len(pids) == 2 and but not in pids and all(map(serves, pids))

    await until(are_there)
    return service.worker_pids()


async def test_kill_9_of_one_worker(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await kill_workers(service, sqlite, kills=2, clients=100, seed=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_kill_9_of_one_worker_a_hundred_times(database: Database, tmp_path: Path) -> None:
    with serving(tmp_path / "data", database, workers=2) as service:
        await kill_workers(service, database, kills=100, clients=200, seed=4)
