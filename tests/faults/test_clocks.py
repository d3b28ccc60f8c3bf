"""Clocks that jump, and clocks that differ: links verify, events count once, no age is negative."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from databases import Database, PostgresDatabase, SqliteDatabase

from .load import BATCH, Load
from .oracle import assert_kept
from .outages import AwayDatabase
from .serving import Service, serving

pytestmark = pytest.mark.anyio

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Clock:
    """The wall clock of a service's processes. The one that timers go by is left alone, as the kernel leaves it."""

    def __init__(self, service: Service, path: Path, offset: str = "+0") -> None:
        if LIBRARY is None:
            pytest.skip("there is no faketime")
        self._path = path
        self.set(offset)
        service._environment |= {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """As ``-1h``, from the true time."""
        new = self._path.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(self._path)  # at once: it is read for every question for the time


async def assert_no_negative_age(service: Service) -> None:
    metrics = await service.metrics()
    assert metrics["spool_oldest_seconds"] >= 0
    assert metrics["spool_depth"] >= 0


async def assert_reports(service: Service) -> None:
    """What tells of times can be asked for."""
    for path in ("/v1/messages/m-0", "/v1/messages/m-0/events", f"/v1/batches/{BATCH}", "/v1/changes"):
        answer = await service.api(path)
        assert answer.status == 200, answer


async def stepped(service: Service, database: Database, clock: Clock, offsets: tuple[str, ...], seed: int) -> None:
    await service.start()
    load = Load([service], seed)
    await load.register(100)
    async with load.running(40, pause_s=0.05) as log:
        for offset in offsets:
            await asyncio.sleep(0.7)
            clock.set(offset)
            await assert_no_negative_age(service)
        await asyncio.sleep(0.7)
        await assert_no_negative_age(service)
    assert not log.wrong
    assert log.broken == 0
    assert await assert_kept(database, log, [service]) == log.asked
    await assert_no_negative_age(service)
    await assert_reports(service)
    times = [row["at"] for row in await database.execute("SELECT occurred_at AS at FROM tracker.events")]
    assert max(times) - min(times) > 3_000_000_000, "no clock was stepped"
    assert await service.stop() == 0


async def test_the_clock_steps_back_and_forth(
    sqlite: SqliteDatabase, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    for database in (sqlite, postgres):
        name = type(database).__name__
        with serving(tmp_path / name, database) as service:
            clock = Clock(service, tmp_path / f"{name}.clock")
            await stepped(service, database, clock, ("-1h", "+0", "+1h", "-1s", "+0"), seed=100)


async def test_the_clock_steps_while_the_store_is_away(away: AwayDatabase, tmp_path: Path) -> None:
    """And over a restart: the rows in the spool keep their order, their ids differ, and their age is not negative."""
    with serving(tmp_path / "data", away) as service:
        clock = Clock(service, tmp_path / "clock", "+1h")
        await service.start()
        load = Load([service], seed=101)
        await load.register(50)
        async with load.running(30) as log:
            await asyncio.sleep(0.7)
        clock.set("-1h")  # everything in the spool is two hours ahead now
        assert await service.stop() == 0
        await service.start()
        async with load.running(30):
            await asyncio.sleep(0.7)
            await assert_no_negative_age(service)
            away.come_back()
        assert not log.wrong
        assert await assert_kept(away, log, [service]) == log.asked
        await assert_no_negative_age(service)
        assert await service.stop() == 0


async def test_a_node_that_is_ahead(postgres: PostgresDatabase, tmp_path: Path) -> None:
    """Its links work on the other one, 30 s before they were made, and both work on the same messages."""
    with serving(tmp_path / "ahead", postgres) as ahead, serving(tmp_path / "right", postgres) as right:
        Clock(ahead, tmp_path / "clock", "+30s")
        await asyncio.gather(ahead.start(), right.start())
        load = Load([ahead, right], seed=102)
        load.rewrites = 0.02
        await load.register(60)
        async with load.running(60, pause_s=0.06) as log:
            await asyncio.sleep(3)
        assert not log.wrong
        assert await assert_kept(postgres, log, [ahead, right]) == log.asked
        for service in (ahead, right):
            await assert_no_negative_age(service)
            assert (await service.metrics())["relay_failures"] == 0
            status = msgspec.json.decode((await service.api("/v1/messages/m-0")).body)
            assert status["rewritten_at"]
            assert await service.stop() == 0
