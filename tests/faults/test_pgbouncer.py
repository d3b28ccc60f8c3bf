"""pgbouncer in transaction mode between service and PostgreSQL, with fewer sessions than it has clients."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from databases import PostgresDatabase

from .load import Load
from .oracle import assert_kept
from .poolers import BINARY, PgBouncer
from .serving import serving

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(BINARY is None, reason="no pgbouncer here (Debian: pgbouncer)")]


@pytest.fixture
async def pgbouncer(postgres: PostgresDatabase) -> AsyncIterator[PgBouncer]:
    # Not below pytest's own folder: that one is closed to the user that it runs as when we are root.
    with tempfile.TemporaryDirectory(prefix="tracker-pgbouncer-") as name:
        os.chmod(name, 0o755)  # noqa: PTH101
        async with PgBouncer(postgres.url, Path(name), sessions=2) as pooler:
            yield pooler


async def relay_through(
    pooler: PgBouncer, database: PostgresDatabase, tmp_path: Path, *, restarts: int, between_s: float
) -> None:
    with serving(tmp_path / "a", pooler.url) as a, serving(tmp_path / "b", pooler.url, workers=2) as b:
        await asyncio.gather(a.start(), b.start())  # they migrate through it, at the same time
        load = Load([a, b], seed=90)
        await load.register(50)
        async with load.running(60) as log:
            await asyncio.sleep(between_s)
            assert [(await service.metrics())["relay_failures"] for service in (a, b)] == [0, 0]
            for _ in range(restarts):
                await pooler.stop()
                await asyncio.sleep(0.5)
                await pooler.start()
                await asyncio.sleep(between_s)
        assert not log.wrong
        assert log.broken == 0
        assert await assert_kept(database, log, [a, b]) == log.asked
        assert (await a.api("/v1/messages/m-0")).status == 200
        for service in (a, b):
            metrics = await service.metrics()
            assert metrics["relay_rejected"] == metrics["unstored"] == 0
            assert metrics["relay_failures"] <= 12 * restarts  # three processes, each some times in its backoff
            assert "unexpected" not in service.log.read_text()
            assert await service.stop() == 0


async def test_load_through_pgbouncer_and_its_restart(
    pgbouncer: PgBouncer, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    await relay_through(pgbouncer, postgres, tmp_path, restarts=2, between_s=2.0)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_many_restarts_of_pgbouncer(pgbouncer: PgBouncer, postgres: PostgresDatabase, tmp_path: Path) -> None:
    await relay_through(pgbouncer, postgres, tmp_path, restarts=30, between_s=2.0)
