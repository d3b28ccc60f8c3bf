"""Everything that goes wrong, at random, for long: nothing is lost, and at the end it is as it was at the beginning.

``SOAK_MINUTES`` says for how long the long form runs: 20 unless told otherwise.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest
from databases import PostgresDatabase
from postgres import Server

from . import outages
from .load import Load, Log
from .oracle import assert_kept
from .serving import Service, serving, until
from .test_memory import disk_bytes, resident_bytes

pytestmark = pytest.mark.anyio

CYCLE_S = 10.0
SPARE_DESCRIPTORS = 30
"""For a pool of connections to the store, which has more or fewer of them."""
ALLOWED_BYTES = 60 << 20


async def footprint(service: Service) -> tuple[int, int, int]:
    """Bytes resident and descriptors of the workers, and bytes on disk, once it is quiet."""
    await until(lambda: len(service.worker_pids()) == 2)
    await until(lambda: service.depth() == 0)
    await until(lambda: disk_bytes(service) < 4 << 20)  # what was relayed is wiped after some seconds
    pids = service.worker_pids()
    return sum(map(resident_bytes, pids)), sum(map(descriptors, pids)), disk_bytes(service)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def kill_all(service: Service, server: Server, chance: random.Random) -> None:
    service.kill()
    await service.start()


async def kill_one(service: Service, server: Server, chance: random.Random) -> None:
    await until(lambda: len(service.worker_pids()) == 2)
    os.kill(chance.choice(service.worker_pids()), signal.SIGKILL)


async def store_away(service: Service, server: Server, chance: random.Random) -> None:
    await outages.stop(server)
    await asyncio.sleep(chance.uniform(0.5, CYCLE_S / 2))
    await outages.start(server)


async def store_crashes(service: Service, server: Server, chance: random.Random) -> None:
    await outages.restart_at_once(server)


async def roll(service: Service, server: Server, chance: random.Random) -> None:
    service.process.send_signal(signal.SIGHUP)


FAULTS = (kill_all, kill_one, store_away, store_crashes, roll)


async def under_load(service: Service, log: Log, number: int, seconds: float) -> None:
    """Some clients with messages of their own, so that no message gets hits for ever."""
    load = Load([service], seed=number, name=f"soak{number}")
    load.log = log
    async with load.running(20):
        await asyncio.sleep(seconds)


async def soak(service: Service, server: Server, database: PostgresDatabase, seconds: float, seed: int) -> None:
    chance = random.Random(seed)
    log = Log()
    done: list[str] = []
    await service.start()
    await under_load(service, log, 0, 2)
    before = await footprint(service)
    deadline, number = time.monotonic() + seconds, 0
    while time.monotonic() < deadline or len(done) < 3:
        number += 1
        async with asyncio.TaskGroup() as together:
            together.create_task(under_load(service, log, number, min(CYCLE_S, seconds / 4)))
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            fault = chance.choice(FAULTS) if done else kill_all
            done.append(fault.__name__)
            await fault(service, server, chance)
    assert not log.wrong
    await assert_kept(database, log, [service], killed=True)
    await under_load(service, log, number + 1, 2)
    after = await footprint(service)
    print(f"\n{done}\n{log.asked.total()} asked; bytes, descriptors, bytes on disk: {before}, then {after}")
    await assert_kept(database, log, [service], killed=True)
    assert after[0] < 1.2 * before[0] + ALLOWED_BYTES
    assert after[1] < before[1] + SPARE_DESCRIPTORS
    assert after[2] < before[2] + (4 << 20)
    assert await service.stop() == 0


async def test_soak_for_a_while(postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", postgres, workers=2) as service:
        await soak(service, postgres_server, postgres, 16, seed=110)


@pytest.mark.long
@pytest.mark.timeout(48 * 3600)
async def test_soak(postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path) -> None:
    minutes = float(os.environ.get("SOAK_MINUTES", "20"))
    with serving(tmp_path / "data", postgres, workers=2) as service:
        await soak(service, postgres_server, postgres, 60 * minutes, seed=111)
