"""Workers and nodes that are replaced, added, taken away or die under load: nobody is refused, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from databases import Database, PostgresDatabase, SqliteDatabase

from tracker.cli.serve import WORKER_SILENCE_S

from .load import Load
from .oracle import assert_kept
from .outages import AwayDatabase
from .serving import Service, serves, serving, until
from .wire import BROKEN, fetch

pytestmark = pytest.mark.anyio

DRAIN_S = 1.0


async def workers(service: Service, count: int, *, but: Sequence[int] = ()) -> list[int]:
    """Wait until there are ``count`` workers, none of them among ``but``, and each of them serves."""

    def are_there() -> bool:
        pids = service.worker_pids()
        return len(pids) == count and not {*pids} & {*but} and all(map(serves, pids))

    await until(are_there)
    return service.worker_pids()


async def assert_all_kept(service: Service, database: Database, load: Load) -> None:
    """Every request was answered, as it should be, and is stored."""
    assert not load.log.wrong
    assert load.log.broken == 0
    assert await assert_kept(database, load.log, [service]) == load.log.asked
    assert await service.stop() == 0


async def test_workers_replaced_on_sighup(postgres: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", postgres, workers=2, drain_s=str(DRAIN_S)) as service:
        await service.start()
        load = Load([service], seed=80)
        await load.register(100)
        old = await workers(service, 2)
        async with load.running(60):
            await asyncio.sleep(0.5)
            service.process.send_signal(signal.SIGHUP)
            began = time.monotonic()
            await workers(service, 2, but=old)
            print(f"\nworkers replaced in {time.monotonic() - began:.1f} s")
            await asyncio.sleep(0.5)
        await assert_all_kept(service, postgres, load)


async def test_what_replaced_workers_leave_behind_is_relayed(away: AwayDatabase, tmp_path: Path) -> None:
    """With the store away, each leaves a spool with rows in it; the workers that go on find all of them."""
    with serving(tmp_path / "data", away, workers=2) as service:
        await service.start()
        load = Load([service], seed=81)
        await load.register(50)
        old = await workers(service, 2)
        async with load.running(40) as log:
            await asyncio.sleep(1)
            service.process.send_signal(signal.SIGHUP)
            await workers(service, 2, but=old)
        away.come_back()
        await assert_kept(away, log, [service])
        assert await service.stop() == 0


async def test_workers_added_and_taken_away(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2, drain_s=str(DRAIN_S)) as service:
        await service.start()
        load = Load([service], seed=82)
        await load.register(50)
        await workers(service, 2)
        async with load.running(40):
            service.process.send_signal(signal.SIGTTIN)
            await workers(service, 3)
            await asyncio.sleep(0.5)
            service.process.send_signal(signal.SIGTTOU)
            await workers(service, 2)
            await asyncio.sleep(0.5)
        await assert_all_kept(service, sqlite, load)


async def test_a_worker_dies_and_is_replaced(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """The other one goes on meanwhile, and what the dead one had in its spool is relayed."""
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await service.start()
        load = Load([service], seed=83)
        await load.register(100)
        old = await workers(service, 2)
        async with load.running(60) as log:
            for dead in old:  # one after the other
                await asyncio.sleep(0.5)
                os.kill(dead, signal.SIGKILL)
                died = time.monotonic()
                await workers(service, 2, but=[dead])
                print(f"\nreplaced {time.monotonic() - died:.1f} s after its death")
                assert any(at > died for at, _ in log.waits["opened"]), "the other one did not go on"
        assert not log.wrong
        await assert_kept(sqlite, log, [service], killed=True)
        # What it said of itself as long as it lived is not said any more, and what it counted still is.
        pids = {path.stem.rpartition("_")[2] for path in (service.data / "metrics").glob("gauge_live*.db")}
        assert pids == {str(pid) for pid in service.worker_pids()}
        assert (await service.metrics())["spool_appended"] >= log.firm.total()
        assert await service.stop() == 0


async def test_a_worker_dies_while_it_is_asked_whether_it_lives(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """Its parent hears of it, and does not wait for the answer as long as it would for one that is slow."""
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await service.start()
        pid, other = await workers(service, 2)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        died = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{pid}").exists())  # which is so when its parent has heard of it
        assert time.monotonic() - died < WORKER_SILENCE_S / 2
        assert other in await workers(service, 2, but=[pid])
        assert await service.stop() == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_sigint_under_load(sqlite: SqliteDatabase, tmp_path: Path, count: int) -> None:
    with serving(tmp_path / "data", sqlite, workers=count) as service:
        await service.start()
        load = Load([service], seed=84)
        await load.register(50)
        async with load.running(40) as log:
            await asyncio.sleep(0.5)
            service.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(service.process.wait, 60) == 0, service.last_words()
        assert not log.wrong
        await service.start()
        await assert_kept(sqlite, log, [service])
        assert await service.stop() == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_nobody_is_refused_while_it_drains(sqlite: SqliteDatabase, tmp_path: Path, count: int) -> None:
    """From the moment on that it says that it is not ready, connections are accepted for the drain time at least."""
    with serving(tmp_path / "data", sqlite, workers=count, drain_s="2") as service:
        await service.start()
        if count > 1:
            await workers(service, count)
        service.process.terminate()
        seen: list[tuple[float, int]] = []
        with suppress(*BROKEN):
            while True:
                seen.append((time.monotonic(), (await fetch(service.port, "/readyz")).status))
                assert (await fetch(service.port, "/o/x.gif")).status == 200
                await asyncio.sleep(0.02)
        refused = time.monotonic()
        assert refused - min(at for at, status in seen if status == 503) >= 0.9 * 2
        assert await asyncio.to_thread(service.process.wait, 60) == 0


class Balanced(Load):
    """The clients of a balancer that sends nobody to a node which is not ready."""

    def __init__(self, services: Sequence[Service], seed: int) -> None:
        super().__init__(services, seed)
        self.ready = [service.port for service in services]

    def port(self, number: int) -> int:
        return self.ready[number % len(self.ready)]

    async def watch(self, service: Service) -> None:
        """Ask a node for ever whether it is ready."""
        while True:
            is_ready = False
            with suppress(*BROKEN):
                is_ready = (await fetch(service.port, "/readyz")).status == 200
            if is_ready and service.port not in self.ready:
                self.ready.append(service.port)
            if not is_ready and service.port in self.ready:
                self.ready.remove(service.port)
            await asyncio.sleep(0.05)


async def test_two_nodes_restarted_one_after_the_other(postgres: PostgresDatabase, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "a", postgres, drain_s="1.5") as a,
        serving(tmp_path / "b", postgres, drain_s="1.5") as b,
    ):
        await asyncio.gather(a.start(), b.start())
        load = Balanced([a, b], seed=85)
        await load.register(100)
        watches = [asyncio.create_task(load.watch(service)) for service in (a, b)]
        async with load.running(50) as log:
            for service in (a, b):
                await asyncio.sleep(0.5)
                assert await service.stop() == 0
                await service.start()
                await until(lambda: len(load.ready) == 2)
            await asyncio.sleep(0.5)
        for watch in watches:
            watch.cancel()
        assert not log.wrong
        assert log.broken == 0
        assert await assert_kept(postgres, log, [a, b]) == log.asked
        assert [await service.stop() for service in (a, b)] == [0, 0]
