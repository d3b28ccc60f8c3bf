"""A spool at its bound, and a disk without room: the public side goes on, what is lost is counted to the hit."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import SqliteDatabase

from .load import Load, Log
from .oracle import assert_kept
from .outages import AwayDatabase
from .serving import Service, serving, until

pytestmark = pytest.mark.anyio

REFUSED = {("unsubscribed", 503), ("rewritten", 503)}
"""What may be refused, since who asks learns of it."""


async def until_refused(log: Log, kinds: int = 2) -> None:
    """Wait until registrations and unsubscribes have been refused some times."""
    log.wrong.clear()
    await until(lambda: sum(count > 5 for count in log.wrong.values()) >= kinds)


async def assert_counted(database: SqliteDatabase, log: Log, service: Service) -> None:
    """Everything is well again, and what was lost is what was counted."""
    unstored = int((await service.metrics())["unstored"])
    await assert_kept(database, log, [service], unstored=unstored)
    assert unstored > 0
    print(f"\nlost and counted: {unstored} of {log.asked.total()}")
    fresh = Load([service], seed=59, name="fresh")
    await fresh.register(20)
    async with fresh.running(20) as healthy:
        await asyncio.sleep(0.5)
    assert not healthy.wrong
    assert int((await service.metrics())["unstored"]) == unstored
    await service.wait_for(200)
    assert await service.stop() == 0


async def test_a_spool_at_its_bound(away: AwayDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", away, spool_max_bytes=str(1 << 20)) as service:
        await service.start()
        load = Load([service], seed=50)
        await load.register(100)
        async with load.running(60, pause_s=0.02) as log:
            await until_refused(log)
            await service.wait_for(503)
            await asyncio.sleep(0.5)
            assert 0.8 < (await service.metrics())["spool_fill_ratio"] <= 1
            assert set(log.wrong) == REFUSED
            away.come_back()
            await asyncio.wait_for(service.wait_for(200), 60)
        assert set(log.wrong) == REFUSED
        assert log.broken == 0
        await assert_counted(away, log, service)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data dir on a disk of its own, of 40 MB."""
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_others_fill(away: AwayDatabase, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with serving(small_disk, away) as service:
        await service.start()
        load = Load([service], seed=51)
        await load.register(100)
        async with load.running(60, pause_s=0.02) as log:
            await asyncio.sleep(0.5)
            assert not log.wrong
            fill(ballast)
            await until_refused(log)
            await asyncio.sleep(0.5)
            ballast.unlink()
            await asyncio.sleep(0.5)
            log.wrong.clear()
            await asyncio.sleep(0.5)
            assert not log.wrong
            away.come_back()
        assert log.broken == 0
        await assert_counted(away, log, service)


async def test_a_disk_that_the_spool_fills(away: AwayDatabase, small_disk: Path) -> None:
    """Of a size, like many a volume, at which the file's bound is never reached; nobody makes room but the relay."""
    with serving(small_disk, away) as service:
        await service.start()
        fill(small_disk / "ballast", but=20 << 20)
        load = Load([service], seed=52)
        await load.register(100)
        async with load.running(60, pause_s=0.01) as log:
            await until_refused(log)
            await asyncio.sleep(0.5)
            assert set(log.wrong) == REFUSED
            away.come_back()
            await asyncio.wait_for(service.wait_for(200), 60)
        assert log.broken == 0
        await assert_counted(away, log, service)


def fill(path: Path, *, but: int = 0) -> None:
    """Take all the room that there is ``but`` some bytes."""
    block = bytes(1 << 16)
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - but))
