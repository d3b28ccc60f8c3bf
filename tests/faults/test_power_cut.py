"""Power cuts at random moments: what was answered was synced before, so it is in the store afterwards, once.

A test of these tests: with a sync now and then, as SQLite does by default in this mode, they find what is lost.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from databases import Database, SqliteDatabase

from . import oracle
from .disk import cut_power, program_on, syncs
from .load import Load, Log
from .oracle import assert_kept
from .outages import AwayDatabase
from .serving import Service, serving, until

pytestmark = pytest.mark.anyio

ON_A_REAL_DISK = ["-m", "tracker"]


async def cut_again_and_again(
    service: Service, *, cuts: int, clients: int, seed: int, full: bool = True, written_back: float = 0.0
) -> Log:
    """Load, and a power cut every now and then; at the end the service runs on what the last one left."""
    folder = service.data / "spool"
    service.launch = program_on(folder, only_synced=True, written_back=written_back, full=full)
    moments = random.Random(seed)
    await service.start()
    load = Load([service], seed)
    await load.register(100)
    async with load.running(clients) as log:
        for number in range(cuts):
            await asyncio.sleep(moments.uniform(0.2, 1.2))
            service.kill()
            cut_power(folder)
            if number == cuts - 1:
                service.launch = ON_A_REAL_DISK
            await service.start()
        await asyncio.sleep(0.3)
    assert not log.wrong
    assert log.broken > 0
    assert log.firm.total() > log.asked.total() / 2
    return log


async def assert_nothing_lost(service: Service, database: Database, log: Log) -> None:
    stored = await assert_kept(database, log, [service], killed=True)
    print(f"\nasked {log.asked.total()}, answered {log.firm.total()} + {log.late.total()}, stored {stored.total()}")
    assert not list((service.data / "spool").glob("*.corrupt-*")), "a power cut is no damage"
    assert await service.stop() == 0


@pytest.mark.parametrize("written_back", [0.0, 0.3])
async def test_power_cuts_lose_nothing_that_was_answered(
    away: AwayDatabase, tmp_path: Path, written_back: float
) -> None:
    """Nothing gets to the store before the last cut, so that all of it must have been in the spool."""
    with serving(tmp_path / "data", away) as service:
        log = await cut_again_and_again(service, cuts=4, clients=60, seed=101, written_back=written_back)
        away.come_back()
        await assert_nothing_lost(service, away, log)


async def test_power_cuts_of_a_node_with_two_workers(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        log = await cut_again_and_again(service, cuts=3, clients=60, seed=102, written_back=0.1)
        await assert_nothing_lost(service, sqlite, log)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
async def test_twenty_power_cuts(database: Database, tmp_path: Path, workers: int) -> None:
    with serving(tmp_path / "data", database, workers=workers) as service:
        log = await cut_again_and_again(service, cuts=20, clients=150, seed=103, written_back=0.2)
        await assert_nothing_lost(service, database, log)


async def test_power_cuts_lose_answered_hits_with_synchronous_normal(
    away: AwayDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "data", away) as service:
        log = await cut_again_and_again(service, cuts=2, clients=60, seed=104, full=False)
        away.come_back()
        await until(lambda: service.depth() == 0)
        monkeypatch.setattr(oracle, "DRAIN_S", 3.0)
        with pytest.raises(AssertionError, match="answered, and not stored"):
            await assert_kept(away, log, [service], killed=True)


@pytest.mark.parametrize("full", [True, False])
async def test_every_commit_waits_for_a_sync_of_its_own(sqlite: SqliteDatabase, tmp_path: Path, full: bool) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        service.launch = program_on(service.data / "spool", full=full)
        await service.start()
        load = Load([service], seed=105)
        before = syncs(service.data / "spool")
        await load.register(30)  # one after the other
        async with load.running(30) as log:
            await asyncio.sleep(0.5)
        commits = (await service.metrics())["spool_commit_seconds_count"]
        assert commits >= 30
        assert (syncs(service.data / "spool") - before >= commits) == full
        await assert_kept(sqlite, log, [service])
