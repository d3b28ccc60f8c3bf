"""Memory and disk while the store is away for long: the memory stays flat, the spool stops at its bound, after alarms.

Every hit differs from every other one: message, address, user agent, so that no cache has an easy life.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from pathlib import Path

import pytest

from tracker.core.tokens import DEFAULT_ACCOUNT, Message, TokenCodec
from tracker.spool import inspect

from .outages import AwayDatabase
from .serving import SIGNING_KEY, Service, serving, until
from .wire import Connection, encoded, fetch

pytestmark = pytest.mark.anyio

AGENTS = 9_000
ADDRESSES = 30_000
CLIENTS = 8
AT_ONCE = 16
"""As many as a connection may have waiting."""
ALLOWED = 0.10
ALLOWED_BYTES = 40 << 20
"""For a batch of the relay and the caches, which fill slowly, in a process of some 100 MB."""


class Blast:
    """Pixels as fast as they are answered, none like another one."""

    def __init__(self, service: Service) -> None:
        self.answered = 0
        self._asked = 0
        self._service = service
        self._codec = TokenCodec((SIGNING_KEY.encode(),))

    async def __call__(self, hits: int) -> None:
        """That many more of them, or a few more."""
        until_ = self._asked + hits
        await asyncio.gather(*(self._client(until_) for _ in range(CLIENTS)))

    async def _client(self, until_: int) -> None:
        connection = await Connection.open(self._service.port)
        while self._asked < until_:
            numbers = range(self._asked, self._asked + AT_ONCE)
            self._asked += AT_ONCE
            connection.writer.write(b"".join(map(self._request, numbers)))
            for _ in numbers:
                assert (await connection.answer()).status == 200
                self.answered += 1
        connection.close()

    def _request(self, number: int) -> bytes:
        address = number % ADDRESSES
        headers = {
            "User-Agent": f"Mozilla/5.0 (X11; Linux x86_64; rv:{number % AGENTS}.0) Gecko Firefox/{number % AGENTS}.0",
            "X-Forwarded-For": f"198.{18 + address // 250 // 250}.{address // 250 % 250}.{address % 250}",
        }
        tokens = self._codec.tokens_for(Message(DEFAULT_ACCOUNT, f"memory-{number}"))
        return encoded("GET", f"/o/{tokens.open()}.gif", headers)


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def spool_bytes(service: Service) -> int:
    """In use, without what the disk has of it besides."""
    return sum(status.bytes for status in inspect(service.data / "spool"))


def disk_bytes(service: Service) -> int:
    return sum(path.stat().st_size for path in (service.data / "spool").iterdir())


async def outlast(service: Service, database: AwayDatabase, *, max_bytes: int, step: int, over: int) -> None:
    await service.start()
    blast = Blast(service)
    pid = service.process.pid
    resident: list[int] = []
    spooled: list[tuple[int, int]] = []
    while (await fetch(service.port, "/readyz")).status == 200:
        await blast(step)
        resident.append(resident_bytes(pid))
        spooled.append((service.depth(), spool_bytes(service)))
    assert 0.75 * max_bytes < spooled[-1][1] < max_bytes
    print(f"\nnot ready at {spooled[-1]} of {max_bytes} bytes, {blast.answered} hits, MB {[r >> 20 for r in resident]}")
    assert len(spooled) >= 5, "then nothing can be said of its growth"
    assert (await service.metrics())["unstored"] == 0, "the alarm comes before anything is lost"
    sizes = [(b - a) / (n - m) for (m, a), (n, b) in itertools.pairwise(spooled)]
    assert max(sizes[1:]) < 1.5 * min(sizes[1:]), "it does not grow linearly"
    await blast(over)  # past the bound
    resident.append(resident_bytes(pid))
    unstored = int((await service.metrics())["unstored"])
    assert unstored > 0
    assert disk_bytes(service) < 1.1 * max_bytes + (40 << 20)  # SQLite's log besides
    assert spool_bytes(service) <= max_bytes
    database.come_back()
    await until(lambda: service.depth() == 0, patience_s=240 + blast.answered / 200)
    resident.append(resident_bytes(pid))
    await service.wait_for(200)
    assert int((await service.metrics())["unstored"]) == unstored
    rows = await database.execute("SELECT sum(count) AS hits FROM tracker.events")
    assert rows[0]["hits"] == blast.answered - unstored
    warm = resident[0]
    print(f"in MB: warm {warm >> 20}, then {[r >> 20 for r in resident]}; {unstored} of {blast.answered} not stored")
    assert max(resident) < (1 + ALLOWED) * warm + ALLOWED_BYTES
    assert await service.stop() == 0


async def test_memory_is_flat_while_the_store_is_away(away: AwayDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", away, spool_max_bytes=str(4 << 20)) as service:
        await outlast(service, away, max_bytes=4 << 20, step=2000, over=7000)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
async def test_memory_is_flat_for_an_hour_of_load(away: AwayDatabase, tmp_path: Path) -> None:
    """``MEMORY_HITS``: as many as 2,000 a second are in an hour, unless told otherwise."""
    hits = int(os.environ.get("MEMORY_HITS", 2000 * 3600))
    max_bytes = hits * 300
    with serving(tmp_path / "data", away, spool_max_bytes=str(max_bytes)) as service:
        await outlast(service, away, max_bytes=max_bytes, step=hits // 20, over=hits // 2)
