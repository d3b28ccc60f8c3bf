"""Syncs that take seconds: only who must waits for them, and what was answered before is exactly what is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from databases import SqliteDatabase

from .disk import Trouble, cut_power, program_on, set_trouble
from .load import Load, Log
from .oracle import assert_kept
from .outages import AwayDatabase
from .serving import Service, serving
from .test_full import REFUSED
from .wire import fetch

pytestmark = pytest.mark.anyio

NOISE_S = 0.5
"""What a busy machine may add to an answer; much less than a sync takes here."""


@asynccontextmanager
async def slow_load(service: Service, seed: int, sync_s: tuple[float, float]) -> AsyncIterator[Log]:
    """A load that begins when syncs are slow already, while ``/healthz`` is watched."""
    folder = service.data / "spool"
    await service.start()
    load = Load([service], seed)
    await load.register(50)
    load.log.waits.clear()
    load.rewrites = 0.02
    set_trouble(folder, Trouble(sync_s=sync_s))
    stop = asyncio.Event()
    watching = asyncio.create_task(watch(service, stop))
    async with load.running(60, pause_s=0.1) as log:
        yield log
    stop.set()
    waits = sorted(await watching)
    print(f"\nhealthz p99 {waits[int(0.99 * len(waits))]:.3f} s, clicks p99 {log.wait_s('clicked', 0.99):.3f} s")
    assert waits[int(0.99 * len(waits))] < NOISE_S, "the event loop stood still"
    for type_ in ("clicked", "opened"):
        assert log.wait_s(type_, 0.5) < 0.25 + NOISE_S / 4
        assert log.wait_s(type_, 0.99) < 0.25 + NOISE_S
    assert not [hit for hit in log.firm if hit.type in ("clicked", "opened")], "answered after a sync, of this length?"


async def watch(service: Service, stop: asyncio.Event) -> list[float]:
    waits = []
    while not stop.is_set():
        started = time.monotonic()
        assert (await fetch(service.port, "/healthz")).status == 200
        waits.append(time.monotonic() - started)
        await asyncio.sleep(0.02)
    return waits


async def early(service: Service) -> int:
    return int((await service.metrics())["answered_before_stored"])


SLOW = [
    pytest.param((1.0, 2.0), 5.0, id="1-2 s"),
    pytest.param((0.5, 5.0), 60.0, id="0.5-5 s", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
]


@pytest.mark.parametrize(("sync_s", "load_s"), SLOW)
async def test_slow_syncs_delay_nobody_by_more_than_a_quarter_of_a_second(
    sqlite: SqliteDatabase, tmp_path: Path, sync_s: tuple[float, float], load_s: float
) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        service.launch = program_on(service.data / "spool")
        async with slow_load(service, 121, sync_s) as log:
            await asyncio.sleep(load_s)
        assert set(log.wrong) <= REFUSED
        assert log.broken == 0
        assert min(wait for _, wait in log.waits["unsubscribed"]) > sync_s[0] * 0.9, "confirmed before it was synced"
        assert await early(service) == log.late.total() > 100
        set_trouble(service.data / "spool", Trouble())
        await assert_kept(sqlite, log, [service])
        assert (await service.metrics())["unstored"] == 0
        assert await early(service) == log.late.total()
        assert await service.stop() == 0


async def test_a_power_cut_during_slow_syncs_loses_no_more_than_was_counted(away: AwayDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "spool"
    with serving(tmp_path / "data", away) as service:
        service.launch = program_on(folder, only_synced=True)
        await service.start()
        load = Load([service], seed=122)
        await load.register(50)
        set_trouble(folder, Trouble(sync_s=(1.5, 2.5)))
        async with load.running(60) as log:
            await asyncio.sleep(4)
            counted = await early(service)
            service.kill()
            answered = log.late.total()
            cut_power(folder)
            set_trouble(folder, Trouble())
            service.launch = ["-m", "tracker"]
            await service.start()
        away.come_back()
        assert counted <= answered <= counted + 60, "one more for each client, after it was asked"
        stored = await assert_kept(away, log, [service], killed=True)  # so that all that is missing was counted
        lost = (log.late - stored).total()
        print(f"\nlost {lost} of {counted} that were counted as answered before they were stored")
        assert 0 < lost <= answered


async def test_an_unsubscribe_is_refused_when_a_sync_takes_too_long(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        service.launch = program_on(service.data / "spool")
        async with slow_load(service, 123, (11.0, 11.5)) as log:
            await asyncio.sleep(3)
        assert ("unsubscribed", 503) in log.wrong
        assert set(log.wrong) <= REFUSED
        assert not [hit for hit in log.firm if hit.type == "unsubscribed"]
        set_trouble(service.data / "spool", Trouble())
        await assert_kept(sqlite, log, [service])
        assert await early(service) == log.late.total()
