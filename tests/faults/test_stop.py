"""SIGTERM under load, with clients that have sent half of something: exit 0 in time, and nothing answered is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from databases import Database, PostgresDatabase, SqliteDatabase

from .load import Load
from .oracle import assert_kept
from .serving import API_KEY, Service, is_running, serving, until
from .wire import BROKEN, Connection, encoded, fetch

pytestmark = pytest.mark.anyio

GRACE_S = 20.0
"""What a stop may take: the drain, 10 s for requests in flight, 3 s of relaying, and some for a slow machine."""


async def half_sent(service: Service) -> list[Connection]:
    """An idle connection, half a request line, half of the headers, and half a body on two kinds of paths."""
    body = encoded("POST", "/v1/rewrite", {"Authorization": f"Bearer {API_KEY}"}, b'{"message_id": "half"' + b" " * 99)
    pieces = (b"", b"GET /c/abc", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-", body[:-50])
    connections = []
    for piece in pieces:
        connections.append(connection := await Connection.open(service.port))
        connection.writer.write(piece)
        await connection.writer.drain()
    connections.append(idle := await Connection.open(service.port))
    assert (await idle.request("GET", "/healthz")).status == 200
    return connections


async def stop_under_load(service: Service, database: Database) -> None:
    await service.start()
    load = Load([service], seed=70)
    await load.register(100)
    held = await half_sent(service)
    async with load.running(40) as log:
        await asyncio.sleep(1)
        started = time.monotonic()
        service.process.terminate()
        if service.workers == 1:
            await not_ready_first(service)
        code = await asyncio.to_thread(service.process.wait, 60)
        took = time.monotonic() - started
    for connection in held:
        connection.close()
    assert code == 0, service.last_words()
    assert took < GRACE_S
    assert not log.wrong
    left = service.depth()
    print(f"\nstopped in {took:.1f} s, {left} rows left in the spool")
    await service.start()
    await assert_kept(database, log, [service])
    assert await service.stop() == 0


async def not_ready_first(service: Service) -> None:
    """Until the port is closed, it says that it is not ready, so that load balancers look elsewhere."""
    seen = []
    try:
        while True:
            answer = await fetch(service.port, "/readyz")
            assert (answer.headers.get("connection") == "close") == (answer.status == 503)
            seen.append(answer.status)
            await asyncio.sleep(0.01)
    except BROKEN:
        pass
    assert 503 in seen
    assert seen == sorted(seen)


async def test_stopped_under_load(sqlite: SqliteDatabase, postgres: PostgresDatabase, tmp_path: Path) -> None:
    cases: tuple[tuple[Database, int], ...] = ((sqlite, 1), (postgres, 1), (SqliteDatabase(tmp_path / "two.db"), 2))
    with ExitStack() as stack:
        services = [
            stack.enter_context(serving(tmp_path / f"data-{number}", database, workers=workers, drain_s="0.5"))
            for number, (database, workers) in enumerate(cases)
        ]
        # All at once, since most of it is waiting for the half that never comes.
        databases = [database for database, _ in cases]
        await asyncio.gather(*map(stop_under_load, services, databases))


async def test_a_signal_to_each_process_of_the_group(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    """As systemd stops a service: every worker gets a second signal, from its parent, and drains all the same."""
    with serving(tmp_path / "data", sqlite, workers=2, drain_s="2") as service:
        await service.start()
        await until(lambda: len(service.worker_pids()) == 2)
        await asyncio.sleep(1)  # for the second one to be ready
        os.killpg(service.process.pid, signal.SIGTERM)
        unready: list[float] = []
        while len(unready) < 2 or unready[-1] - unready[0] < 1.2:
            if (await fetch(service.port, "/readyz")).status == 503:
                unready.append(time.monotonic())
            await asyncio.sleep(0.02)
        assert await asyncio.to_thread(service.process.wait, 60) == 0


async def test_workers_do_not_outlive_their_parent(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await service.start()
        load = Load([service], seed=71)
        await load.register(50)
        pids = service.worker_pids()
        async with load.running(20) as log:
            await asyncio.sleep(0.3)
            service.process.kill()
            service.process.wait()
            await until(lambda: not any(map(is_running, pids)))
        assert not log.wrong
        await service.start()
        await assert_kept(sqlite, log, [service])
