"""The same events delivered twice, and two services that deliver at the same time: all of it counts once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import apsw
import pytest
from databases import Database, PostgresDatabase

from tracker.spool.seals import sealed, without_seal

from .load import Load
from .oracle import assert_kept, corrections
from .proxies import Proxy
from .serving import Service, serving

pytestmark = pytest.mark.anyio


async def assert_no_deadlock(database: PostgresDatabase) -> None:
    rows = await database.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert rows == [{"deadlocks": 0}]


async def test_two_services_with_one_store(postgres: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "a", postgres) as a, serving(tmp_path / "b", postgres) as b:
        await asyncio.gather(a.start(), b.start())  # they migrate at the same time, too
        load = Load([a, b], seed=40)
        load.rewrites = 0.02
        await load.register(60)
        async with load.running(80, pause_s=0.06) as log:
            await asyncio.sleep(4)
        assert not log.wrong
        assert await assert_kept(postgres, log, [a, b]) == log.asked
        assert await corrections(postgres) > 0, "then this was no test of them"
        for service in (a, b):
            assert (await service.metrics())["relay_failures"] == 0
            assert await service.stop() == 0
        await assert_no_deadlock(postgres)


def turn_round(service: Service) -> None:
    """The oldest event in its spool is the newest now, and so on: it is stopped."""
    turned = 0
    for path in (service.data / "spool").glob("*.db"):
        db = apsw.Connection(str(path))
        last: Any = db.execute("SELECT max(seq) FROM event").get
        if last:
            rows: list[Any] = db.execute("SELECT * FROM event").fetchall()
            db.execute("DELETE FROM event").fetchall()
            # The seal is over the number, too.
            turned_rows = [sealed(last + 1 - row[0], without_seal(row[1:])) for row in rows]
            db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", turned_rows)
            turned += len(rows)
        db.close()
    assert turned == service.depth()


async def test_a_spool_relayed_twice_at_once_in_opposite_order(postgres: PostgresDatabase, tmp_path: Path) -> None:
    async with Proxy(postgres.url) as proxy:
        await proxy.down()
        with serving(tmp_path / "a", proxy.url) as a, serving(tmp_path / "b", proxy.url) as b:
            await a.start()
            load = Load([a], seed=41)
            await load.register(200)
            async with load.running(80, pause_s=0.03) as log:
                await asyncio.sleep(3)
            a.kill()
            shutil.copytree(a.data, b.data)
            turn_round(b)
            await asyncio.gather(a.start(), b.start())
            assert a.depth() == b.depth() > 3000
            await proxy.up()
            assert await assert_kept(postgres, log, [a, b]) == log.asked
            assert [await service.stop() for service in (a, b)] == [0, 0]
        await assert_no_deadlock(postgres)
        # An old copy, restored after everything is done.
        with serving(tmp_path / "c", postgres) as c:
            shutil.copytree(b.data, c.data)
            await c.start()
            assert await assert_kept(postgres, log, [c]) == log.asked


async def test_an_old_copy_of_the_spool_restored_after_it_was_relayed(database: Database, tmp_path: Path) -> None:
    """From a snapshot of the running service; its rows were stored long ago, and others since."""
    spool, copy = tmp_path / "data" / "spool", tmp_path / "copy"
    with serving(tmp_path / "data", database) as service:
        await service.start()
        load = Load([service], seed=42)
        await load.register(50)
        async with load.running(60, pause_s=0.03) as log:
            while service.depth() < 20:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
            os.kill(service.process.pid, signal.SIGSTOP)  # so that the copy is of one moment
            shutil.copytree(spool, copy)
            os.kill(service.process.pid, signal.SIGCONT)
            await asyncio.sleep(0.5)
        stored = await assert_kept(database, log, [service])
        assert await service.stop() == 0
        shutil.rmtree(spool)
        copy.rename(spool)
        assert service.depth() > 0
        await service.start()
        assert await assert_kept(database, log, [service]) == stored
        relayed = (await service.metrics())["relayed"]
        assert relayed > 0, "the store was not asked to take them again"
        assert await service.stop() == 0
