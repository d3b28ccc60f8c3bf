"""A bad network between the service and PostgreSQL, or a receiver of webhooks: nothing waits for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from databases import PostgresDatabase
from postgres import Server

from .load import Load
from .oracle import assert_kept
from .proxies import Proxy
from .serving import Service, serving, until
from .wire import BROKEN, Connection

pytestmark = [
    pytest.mark.anyio,
    # A client of the test that was cut off may leave its socket to the collector: not what is tested here.
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]

NOTICED_S = 30.0
"""A connection over which nothing comes back is given up before that."""


@pytest.fixture
def other_postgres(postgres_server: Server) -> Iterator[PostgresDatabase]:
    with postgres_server.new_database() as url:
        yield PostgresDatabase(url)


@asynccontextmanager
async def under_load(
    database: PostgresDatabase, folder: Path, *, clients: int, pause_s: float = 0.1
) -> AsyncIterator[tuple[Service, Proxy]]:
    """A service behind a proxy to its store, which the public side must not notice. Afterwards the oracle judges."""
    async with Proxy(database.url, seed=50) as proxy:
        with serving(folder, proxy.url) as service:
            await service.start()
            load = Load([service], seed=50)
            await load.register(50)
            async with load.running(clients, pause_s=pause_s) as log:
                yield service, proxy
            proxy.heal()
            assert not log.wrong
            assert log.broken == 0
            assert await assert_kept(database, log, [service]) == log.asked
            metrics = await service.metrics()
            assert metrics["relay_rejected"] == metrics["unstored"] == 0
            assert "unexpected" not in service.log.read_text()
            assert await service.stop() == 0


async def figure(service: Service, name: str) -> float:
    return (await service.metrics())[name]


async def bad_network(database: PostgresDatabase, folder: Path, *, lasts_s: float, patience_s: float) -> None:
    """High latency, resets, and next to no bandwidth: each for a while, and the store is still reached each time."""
    async with under_load(database, folder, clients=10, pause_s=0.5) as (service, proxy):
        for fault, value in (("latency_s", 0.3), ("resets", 0.01), ("bytes_per_s", 10_000.0)):
            setattr(proxy, fault, value)
            before, began = await figure(service, "relayed"), time.monotonic()
            await asyncio.sleep(lasts_s)
            await until(partial(_more, service, "relayed", before), patience_s)
            relayed = await figure(service, "relayed") - before
            print(f"\n{fault} {value}: {relayed / (time.monotonic() - began):.1f} rows/s, depth {service.depth()}")
            proxy.heal()
            await until(lambda: service.depth() < 50)


async def test_latency_resets_and_little_bandwidth(postgres: PostgresDatabase, tmp_path: Path) -> None:
    await bad_network(postgres, tmp_path / "data", lasts_s=4, patience_s=60)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_latency_resets_and_little_bandwidth_for_long(postgres: PostgresDatabase, tmp_path: Path) -> None:
    await bad_network(postgres, tmp_path / "data", lasts_s=90, patience_s=120)


async def half_open(database: PostgresDatabase, folder: Path) -> None:
    """All connections fall silent, in both directions; new ones would work."""
    async with under_load(database, folder, clients=20) as (service, proxy):
        await asyncio.sleep(1)
        failures, began = await figure(service, "relay_failures"), time.monotonic()
        proxy.silence()
        await until(lambda: service.depth() > 100)
        await until(lambda: _more(service, "relay_failures", failures))
        noticed_s = time.monotonic() - began
        relayed = await figure(service, "relayed")
        await until(lambda: _more(service, "relayed", relayed))
        print(f"\nhalf-open: noticed after {noticed_s:.1f} s, relaying after {time.monotonic() - began:.1f} s")
        assert noticed_s < NOTICED_S
        await until(lambda: service.depth() < 200)
        assert await figure(service, "relay_failures") <= failures + 2  # the other connections are not tried in turn


async def _more(service: Service, name: str, than: float) -> bool:
    return await figure(service, name) > than


async def black_hole(database: PostgresDatabase, folder: Path, *, lasts_s: float) -> None:
    """Nothing gets through in either direction, over new connections neither."""
    async with under_load(database, folder, clients=20) as (service, proxy):
        await asyncio.sleep(1)
        proxy.is_silent = True
        await asyncio.sleep(lasts_s)
        depth, failures = service.depth(), await figure(service, "relay_failures")
        answer = await service.api("/v1/messages/m-0")
        assert answer.status == 503
        proxy.heal()
        healed = time.monotonic()
        await until(lambda: service.depth() < depth // 2)
        recovered_s = time.monotonic() - healed
        print(f"\nblack hole: {depth} rows, {failures:.0f} failures, relaying {recovered_s:.1f} s after its end")
        assert recovered_s < NOTICED_S + 10


async def test_connections_fall_silent(
    postgres: PostgresDatabase, other_postgres: PostgresDatabase, tmp_path: Path
) -> None:
    # At once, since most of it is waiting.
    await asyncio.gather(
        half_open(postgres, tmp_path / "half-open"), black_hole(other_postgres, tmp_path / "black-hole", lasts_s=8)
    )


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_black_hole_for_two_minutes(postgres: PostgresDatabase, tmp_path: Path) -> None:
    await black_hole(postgres, tmp_path / "data", lasts_s=120)


class Receiver:
    """Takes webhooks; while it ``is_silent`` it reads none and answers none."""

    def __init__(self, *, is_silent: bool) -> None:
        self.is_silent = is_silent
        self.got: list[str] = []
        self.asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.asked += 1
        try:
            while self.is_silent:  # noqa: ASYNC110 (as a firewall, it does not tell)
                await asyncio.sleep(0.1)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            self.got.append(head.partition("webhook-id: ")[2].partition("\r\n")[0])
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        except BROKEN:
            pass
        connection.close()

    @asynccontextmanager
    async def listening(self, add: Callable[[str], None]) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with server:
            add(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook")
            yield
            self.is_silent = False


async def test_a_receiver_of_webhooks_that_falls_silent(postgres: PostgresDatabase, tmp_path: Path) -> None:
    """It is given up after 15 s each time, tried again later, and holds up nobody else."""
    silent, sound = Receiver(is_silent=True), Receiver(is_silent=False)
    with serving(tmp_path / "data", postgres, webhook_private_addresses="true") as service:

        def add(url: str) -> None:
            command = [sys.executable, "-m", "tracker", "webhooks", "add", url]
            subprocess.run(command, env=service._environment, check=True, capture_output=True)

        async with silent.listening(add), sound.listening(add):
            await service.start()
            load = Load([service], seed=51)
            async with load.running(10) as log:
                await until(lambda: silent.asked > 0 and len(sound.got) > 20)
                assert await figure(service, "webhooks_failed") == 0
                await until(lambda: _more(service, "webhooks_failed", 0))
                assert silent.asked <= 16  # eight at once, not one for each change
                silent.is_silent = False
                await until(lambda: len(set(silent.got)) > 20)
            assert not log.wrong
            assert log.broken == 0
            assert await assert_kept(postgres, log, [service]) == log.asked
            assert await service.stop() == 0
