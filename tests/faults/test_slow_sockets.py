"""Rows F-24 and F-25: thousands of slow sockets, and no file descriptor left. Real traffic goes on, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from databases import SqliteDatabase

from .load import Load
from .oracle import assert_kept
from .serving import API_KEY, Service, serving
from .wire import fetch

pytestmark = pytest.mark.anyio

GONE_S = 12.0
"""When the last slow socket has to be gone."""
SLACK_S = 8.0
"""On top of that, for a machine that is busy with other things."""
BIG_ANSWER = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
HALF_BODY = (
    b"POST /v1/rewrite HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
    + API_KEY.encode()
    + b"\r\nContent-Length: 9999\r\n\r\n"
)


class Slow:
    """One slow client. It counts as gone once the server has closed its connection."""

    KINDS = ("silent", "headers", "body", "unread")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if kind == "unread":  # so that the kernel has no room for its answers
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)

    async def connect(self, port: int) -> None:
        await asyncio.get_running_loop().sock_connect(self.socket, ("127.0.0.1", port))
        self.send(
            {"headers": b"GET /healthz HTTP/1.1\r\n", "body": HALF_BODY, "unread": 6 * BIG_ANSWER}.get(self.kind, b"")
        )

    def drip(self) -> None:
        """A little more of it, which must not win any time."""
        self.send({"headers": b"X: y\r\n", "body": b" ", "unread": BIG_ANSWER}.get(self.kind, b""))

    def send(self, data: bytes) -> None:
        with suppress(OSError):
            self.socket.send(data)

    def is_gone(self) -> bool:
        """Whether the server closed it: after what it wrote comes the end, or a reset."""
        if self.kind == "unread":  # reading would make it another kind; the kernel knows
            state = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            return state != 1  # TCP_ESTABLISHED
        try:
            while self.socket.recv(65536):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True


@asynccontextmanager
async def slow_sockets(port: int, count: int) -> AsyncIterator[list[Slow]]:
    """So many, of each kind as many; all of them drip meanwhile."""
    made = [Slow(Slow.KINDS[number % len(Slow.KINDS)]) for number in range(count)]

    async def drip() -> None:
        while True:
            for each in made:
                each.drip()
            await asyncio.sleep(0.5)

    dripping = None
    try:
        for start in range(0, count, 100):
            await asyncio.gather(*(each.connect(port) for each in made[start : start + 100]))
        dripping = asyncio.create_task(drip())
        yield made
    finally:
        if dripping:
            dripping.cancel()
        for each in made:
            each.socket.close()


async def all_gone(made: list[Slow], started: float) -> float:
    """The seconds until the server has closed each of them."""
    while left := Counter(each.kind for each in made if not each.is_gone()):
        assert time.monotonic() - started < GONE_S + SLACK_S, left
        await asyncio.sleep(0.2)
    return time.monotonic() - started


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def beset(database: SqliteDatabase, service: Service, count: int, rounds: int) -> tuple[list[float], list[float]]:
    """The p99 of opens and clicks without and with slow sockets, by turns, all at the same load."""
    await service.start()
    load = Load([service], seed=240)
    await load.register(100)
    free: list[float] = []
    under: list[float] = []
    async with load.running(20, pause_s=0.05) as log:
        await asyncio.sleep(1)
        before = descriptors(service.process.pid)
        for _ in range(rounds):
            started = time.monotonic()
            await asyncio.sleep(6)
            free.append(max(log.wait_s(kind, 0.99, started, time.monotonic()) for kind in ("opened", "clicked")))
            started = time.monotonic()
            async with slow_sockets(service.port, count) as made:
                await asyncio.sleep(1)
                assert descriptors(service.process.pid) <= before + count + 40
                took = await all_gone(made, started)
            under.append(max(log.wait_s(kind, 0.99, started, time.monotonic()) for kind in ("opened", "clicked")))
            print(f"\n{count} slow sockets gone after {took:.1f} s; p99 {free[-1] * 1e3:.0f}, {under[-1] * 1e3:.0f} ms")
    assert not log.wrong
    assert not log.broken
    assert descriptors(service.process.pid) <= before + 40
    metrics = (await fetch(service.port, "/metrics")).body.decode()
    for kind in ("head_time", "body_time", "write_time"):
        assert f'tracker_limited_total{{kind="{kind}"}}' in metrics, kind
    await assert_kept(database, log, [service])
    assert await service.stop() == 0
    return free, under


async def test_slow_sockets_f24(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        await beset(sqlite, service, 300, 1)


@pytest.mark.long
async def test_two_thousand_slow_sockets_f24(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        free, under = await beset(sqlite, service, 2000, 5)
    assert statistics.median(under) < 2 * statistics.median(free), (free, under)


# F-25.


async def start_with_few_files(service: Service, limit: int) -> None:
    command = [sys.executable, "-m", "tracker", "serve", "--port", str(service.port)]
    with service.log.open("ab") as log:
        service._process = subprocess.Popen(  # noqa: ASYNC220 - as quick as a fork
            ["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh", *command],
            env=service._environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    await service.wait_for(200)


def lower_behind_its_back(service: Service, spare: int) -> None:
    """As when something else in the process takes the files that were left."""
    limit = descriptors(service.process.pid) + spare
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (limit, limit))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def exhaust(database: SqliteDatabase, service: Service) -> None:
    load = Load([service], seed=250)
    await load.register(50)
    async with load.running(10) as log:
        await asyncio.sleep(0.5)
        silent = [Slow("silent") for _ in range(400)]
        await asyncio.gather(*(each.connect(service.port) for each in silent))
        await asyncio.sleep(0.5)
        assert sum(each.is_gone() for each in silent) > 100, "they were turned away, not kept waiting"
        # What has a connection goes on meanwhile.
        answered = log.firm.total()
        await asyncio.sleep(1)
        assert log.firm.total() > answered
    # The load has ended, the sockets are still there: nothing is to be done.
    silent += (more := [Slow("silent") for _ in range(200)])
    await asyncio.gather(*(each.connect(service.port) for each in more))
    await asyncio.sleep(0.5)
    before = cpu_s(service.process.pid)
    await asyncio.sleep(2)
    idle_s = cpu_s(service.process.pid) - before
    assert idle_s < 0.4, f"{idle_s} s of processor time in 2 s: a busy loop"
    await all_gone(silent, time.monotonic())
    for each in silent:
        each.socket.close()
    assert {status for _, status in log.wrong} <= {503}
    broken = log.broken
    async with load.running(10):
        await asyncio.sleep(1)
    assert log.broken == broken, "it takes connections again"
    await assert_kept(database, log, [service])


async def test_few_file_descriptors_f25(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        await start_with_few_files(service, 256)
        await exhaust(sqlite, service)
        metrics = (await fetch(service.port, "/metrics")).body.decode()
        assert 'tracker_limited_total{kind="connections"}' in metrics
        assert await service.stop() == 0


async def test_no_file_descriptor_left_f25(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite) as service:
        await service.start()
        lower_behind_its_back(service, 60)
        await exhaust(sqlite, service)
        assert await service.stop() == 0
