"""A connection that is cut between COMMIT and its acknowledgement: nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from databases import PostgresDatabase

from .load import Load
from .oracle import assert_kept
from .proxies import Proxy
from .serving import serving, until

pytestmark = pytest.mark.anyio


async def cut_at_commit(database: PostgresDatabase, tmp_path: Path, *, cuts: int) -> None:
    async with Proxy(database.url, seed=30) as proxy:
        proxy.cuts = {"after": 0.5, "before": 0.2}
        with serving(tmp_path / "data", proxy.url) as service:
            await service.start()
            load = Load([service], seed=30)
            await load.register(100)
            async with load.running(50) as log:
                await until(lambda: proxy.count["after"] >= cuts, patience_s=600)
                proxy.cuts = {}
                await asyncio.sleep(1)
            print(f"\nCOMMITs: {proxy.count}")
            assert not log.wrong
            assert log.broken == 0
            assert await assert_kept(database, log, [service]) == log.asked
            assert await service.stop() == 0


async def test_connections_cut_at_commit(postgres: PostgresDatabase, tmp_path: Path) -> None:
    await cut_at_commit(postgres, tmp_path, cuts=5)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_connections_cut_at_many_commits(postgres: PostgresDatabase, tmp_path: Path) -> None:
    await cut_at_commit(postgres, tmp_path, cuts=40)
