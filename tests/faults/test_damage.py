"""Spool files damaged between two runs and under a running service: it starts, serves, counts and keeps a copy."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tracker.spool import inspect
from tracker.spool.reading import read_status

from .load import Hit, Load
from .outages import AwayDatabase
from .serving import Service, serving, until

pytestmark = pytest.mark.anyio

Damage = Callable[[Path, random.Random], None]


def overwrite(start: float, length: int) -> Damage:
    """Random bytes over a part of the file that begins at the share ``start`` of it."""

    def damage(path: Path, rng: random.Random) -> None:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(min(int(start * size), max(size - length, 0)))
            file.write(rng.randbytes(min(length, size)))

    return damage


def cut(share: float) -> Damage:
    """The file ends at ``share`` of it."""

    def damage(path: Path, rng: random.Random) -> None:
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * share))

    return damage


DAMAGES = {
    "header": overwrite(0, 100),
    "first page": overwrite(0, 4096),
    "many pages": overwrite(0.2, 200_000),
    "all of it": overwrite(0, 1 << 30),
    "cut short": cut(0.61),
    "cut to a stump": cut(0.001),
}


def copies(service: Service) -> list[Path]:
    return [path for path in (service.data / "spool").glob("*.corrupt-*") if path.name[-1].isdigit()]


async def fill(service: Service, seed: int, seconds: float = 0.3) -> Counter[Hit]:
    """Load for a moment; returns what was asked. All of it must be answered as ever."""
    load = Load([service], seed, name=f"m{seed}")
    await load.register(50)
    async with load.running(50, pause_s=0.02) as log:
        await asyncio.sleep(seconds)
    assert not log.wrong
    assert log.broken == 0
    return log.asked


async def test_files_damaged_between_two_runs(away: AwayDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", away) as service:
        await service.start()
        for number, (name, damage) in enumerate(DAMAGES.items(), 1):
            await fill(service, number)
            assert await service.stop() == 0
            damage(service.data / "spool" / "spool-0.db", random.Random(number))
            await service.start()
            assert (await service.metrics())["spool_corrupt"] == 1, name
            assert len(copies(service)) == number, name
        await assert_works(away, service)


async def test_a_log_damaged_by_a_crash(away: AwayDatabase, tmp_path: Path) -> None:
    """SQLite's own log, of a process that was killed: the part before the damage counts, and that is no corruption."""
    with serving(tmp_path / "data", away) as service:
        await service.start()
        for number, damage in enumerate((overwrite(0.5, 5000), cut(0.3), overwrite(0, 32), cut(0)), 1):
            await fill(service, number)
            service.kill()
            damage(service.data / "spool" / "spool-0.db-wal", random.Random(number))
            await service.start()
        await assert_works(away, service)


async def assert_works(away: AwayDatabase, service: Service) -> None:
    """What comes now gets to the store, whatever became of what was there before."""
    before = service.depth()
    load = Load([service], seed=69, name="after")
    await load.register(50)
    away.come_back()
    async with load.running(50) as log:
        await asyncio.sleep(0.5)
    assert not log.wrong
    await until(lambda: service.depth() == 0)
    rows = await away.execute("SELECT sum(count) AS n FROM tracker.events WHERE message_id LIKE 'after-%'")
    assert rows == [{"n": log.asked.total()}]
    print(f"\nof what was there before, {before} rows were left")
    assert await service.stop() == 0


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("first page", "many pages", "cut short") else pytest.mark.long)
        for name in DAMAGES
    ],
)
async def test_a_file_damaged_while_it_is_in_use(away: AwayDatabase, tmp_path: Path, name: str) -> None:
    with serving(tmp_path / "data", away) as service:
        await service.start()
        await fill(service, 1)
        path = service.data / "spool" / "spool-0.db"
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # it all stands in the main file now
        DAMAGES[name](path, random.Random(5))
        await fill(service, 2)
        if name not in ("header", "first page"):  # which every commit writes anew: that mends them
            await found_corrupt(service)
        await assert_works(away, service)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(overwrite(0.3, 50_000), id="overwritten", marks=pytest.mark.long),
        pytest.param(cut(0.3), id="cut"),
        pytest.param(cut(0), id="emptied", marks=pytest.mark.long),
    ],
)
async def test_a_log_damaged_while_it_is_in_use(away: AwayDatabase, tmp_path: Path, damage: Damage) -> None:
    with serving(tmp_path / "data", away) as service:
        await service.start()
        await fill(service, 1)
        damage(service.data / "spool" / "spool-0.db-wal", random.Random(6))
        await fill(service, 2)
        await found_corrupt(service)
        await assert_works(away, service)


async def found_corrupt(service: Service) -> None:
    async def found() -> bool:
        return (await service.metrics())["spool_corrupt"] > 0

    await until(found)
    assert len(copies(service)) == (await service.metrics())["spool_corrupt"]


async def test_damage_to_one_worker_s_file_does_nothing_to_the_other_s(away: AwayDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", away, workers=2) as service:
        await service.start()
        asked = await fill(service, 1)
        service.kill()
        folder = service.data / "spool"
        whole = read_status(folder / "spool-0.db").rows
        for end in ("", "-wal"):
            DAMAGES["all of it"](folder / f"spool-1.db{end}", random.Random(1))
        await service.start()
        # One worker may be ready while the other is yet to find the damage.
        await until(lambda: bool(copies(service)) and not any(status.error for status in inspect(folder)))
        assert len(copies(service)) == 1
        assert asked.total() > service.depth() >= whole > 0
        await assert_works(away, service)
