"""PostgreSQL stopped, restarted, or not there at the start: the public side does not notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from databases import PostgresDatabase
from postgres import Server

from . import outages
from .load import Load, Log
from .oracle import assert_kept
from .serving import Service, serving, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def stopped(server: Server) -> AsyncIterator[None]:
    await outages.stop(server)
    try:
        yield
    finally:
        await outages.start(server)


async def outlast(server: Server, database: PostgresDatabase, service: Service, *, away_s: float, clients: int) -> None:
    """The store goes away for ``away_s`` under load, and comes back."""
    await service.start()
    load = Load([service], seed=20)
    await load.register(300)
    async with load.running(clients) as log:
        began = time.monotonic()
        await asyncio.sleep(5)
        async with stopped(server):
            gone = time.monotonic()
            await asyncio.sleep(away_s)
            depth, back = service.depth(), time.monotonic()
        await until(lambda: service.depth() < depth)
        drains, left = time.monotonic(), service.depth()
        await until(lambda: service.depth() <= depth // 10, patience_s=120)
        drained_s = time.monotonic() - drains
        left -= service.depth()
    report(log, (("up", began, gone), ("away", gone, back)))
    intake = depth / (back - gone)
    print(f"backlog {depth} rows, {intake:.0f} came in a second, and {intake + left / drained_s:.0f} were stored")
    assert depth > away_s * 10
    assert intake + left / drained_s > 2 * intake, "the backlog goes hardly faster than it came"
    for type_ in ("clicked", "opened"):
        up, away = log.wait_s(type_, 0.99, began, gone), log.wait_s(type_, 0.99, gone, back)
        assert away < 2 * up + 0.1, f"{type_}: {1000 * up:.0f} ms before, {1000 * away:.0f} ms meanwhile"
    assert not log.wrong
    assert log.broken == 0
    stored = await assert_kept(database, log, [service])
    assert stored == log.asked
    metrics = await service.metrics()
    assert metrics["unstored"] == metrics["relay_rejected"] == 0
    assert metrics["relay_failures"] < 10 * away_s  # it waits, and longer each time
    assert await service.stop() == 0


def report(log: Log, spans: tuple[tuple[str, float, float], ...]) -> None:
    print()
    for name, start, end in spans:
        figures = []
        for type_ in ("clicked", "opened", "rewritten"):
            p50, p99 = (1000 * log.wait_s(type_, share, start, end) for share in (0.5, 0.99))
            figures.append(f"{type_} p50 {p50:.1f} p99 {p99:.1f} ms")
        print(f"store {name}: " + ", ".join(figures))


async def test_postgres_stopped_for_a_while(
    postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    with serving(tmp_path / "data", postgres) as service:
        await outlast(postgres_server, postgres, service, away_s=20, clients=60)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
async def test_postgres_stopped_for_a_minute(
    postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path, workers: int
) -> None:
    with serving(tmp_path / "data", postgres, workers=workers) as service:
        await outlast(postgres_server, postgres, service, away_s=60, clients=70)


async def crash_it(server: Server, database: PostgresDatabase, service: Service, *, times: int, clients: int) -> None:
    """The server dies at once, in the middle of batches, several times."""
    await service.start()
    load = Load([service], seed=21)
    await load.register(200)
    async with load.running(clients, pause_s=0.05) as log:
        for _ in range(times):
            await asyncio.sleep(0.7)
            await outages.restart_at_once(server)
    assert not log.wrong
    assert log.broken == 0
    assert await assert_kept(database, log, [service]) == log.asked
    assert await service.stop() == 0


async def test_postgres_crashes_while_relaying(
    postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    with serving(tmp_path / "data", postgres) as service:
        await crash_it(postgres_server, postgres, service, times=2, clients=60)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_postgres_crashes_fifty_times(
    postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    with serving(tmp_path / "data", postgres, workers=2) as service:
        await crash_it(postgres_server, postgres, service, times=50, clients=100)


async def test_postgres_away_at_the_start(postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", postgres) as service:
        load = Load([service], seed=22)
        async with stopped(postgres_server):
            await service.start()
            await load.register(50)
            async with load.running(50) as log:
                await asyncio.sleep(2)
            assert (await service.api("/v1/messages/m-0")).status == 503
            assert await service.stop() == 0  # and what is in the spool outlives the process
            await service.start()
        assert not log.wrong
        assert await assert_kept(postgres, log, [service]) == log.asked
        assert (await service.api("/v1/messages/m-0")).status == 200
        assert await service.stop() == 0


async def test_connections_ended_by_the_server(postgres: PostgresDatabase, tmp_path: Path) -> None:
    """Again and again, at any moment of their use: registrations go on, and nothing is lost."""
    end_them = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tracker'"
    with serving(tmp_path / "data", postgres) as service:
        await service.start()
        load = Load([service], seed=23)
        load.rewrites = 0.7
        async with load.running(60, pause_s=0.03) as log:
            for _ in range(100):
                await asyncio.sleep(0.02)
                await postgres.execute(end_them)
        assert not log.wrong
        assert await assert_kept(postgres, log, [service]) == log.asked
        assert await service.stop() == 0
