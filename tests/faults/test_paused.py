"""Processes that stand still (SIGSTOP) and go on: what was answered is kept, and nobody is killed for a short nap."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from databases import Database, SqliteDatabase

from .load import Load
from .oracle import assert_kept
from .serving import Service, serving, until

pytestmark = pytest.mark.anyio

NAP_S = 3.0
LONG_S = 30.0
"""Longer than a supervisor waits for a worker's answer, and as long as a client waits for its own."""


async def pause(pids: Sequence[int], seconds: float) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    for pid in pids:
        with suppress(ProcessLookupError):  # its parent may not have waited for it
            os.kill(pid, signal.SIGCONT)


async def both(service: Service) -> list[int]:
    await until(lambda: len(service.worker_pids()) == 2)
    await asyncio.sleep(1)  # for the second one to be ready
    return service.worker_pids()


async def assert_goes_on(service: Service, database: Database, load: Load, *, killed: bool = False) -> None:
    log = load.log
    assert not log.wrong
    before = log.asked.total()
    broken = log.broken
    async with load.running(20):
        await asyncio.sleep(1)
    assert log.asked.total() - before > 20, "it does not go on"
    assert log.broken == broken
    stored = await assert_kept(database, log, [service], killed=killed)
    if not log.broken:
        assert stored == log.asked
    assert await service.stop() == 0


@pytest.mark.parametrize("seconds", [NAP_S, pytest.param(LONG_S, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_sigstop_of_the_process(sqlite: SqliteDatabase, tmp_path: Path, seconds: float) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        await service.start()
        load = Load([service], seed=90)
        await load.register(50)
        async with load.running(40):
            await asyncio.sleep(0.5)
            await pause([service.process.pid], seconds)
            await asyncio.sleep(0.5)
        await assert_goes_on(service, sqlite, load)


async def test_sigstop_of_one_worker(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """The other one goes on, and the one that stood still is not killed for it."""
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await service.start()
        load = Load([service], seed=91)
        await load.register(50)
        pids = await both(service)
        async with load.running(40):
            await asyncio.sleep(0.5)
            before = load.log.asked.total()
            await pause(pids[:1], NAP_S)
            assert load.log.asked.total() > before + 100
            await asyncio.sleep(0.5)
        assert service.worker_pids() == pids
        await assert_goes_on(service, sqlite, load)


async def test_sigstop_of_all_processes(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await service.start()
        load = Load([service], seed=92)
        await load.register(50)
        pids = await both(service)
        async with load.running(40):
            await asyncio.sleep(0.5)
            await pause([service.process.pid, *pids], NAP_S)
            await asyncio.sleep(0.5)
        assert service.worker_pids() == pids
        await assert_goes_on(service, sqlite, load)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["one", "all"])
async def test_sigstop_for_long(sqlite: SqliteDatabase, tmp_path: Path, who: str) -> None:
    """The supervisor replaces a worker that stands still for longer than it waits. Nothing is lost by that."""
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await service.start()
        load = Load([service], seed=93)
        await load.register(50)
        pids = await both(service)
        async with load.running(40):
            await asyncio.sleep(0.5)
            await pause(pids[:1] if who == "one" else [service.process.pid, *pids], LONG_S)
            await until(lambda: len(service.worker_pids()) == 2)
            await asyncio.sleep(2)
        await assert_goes_on(service, sqlite, load, killed=True)
