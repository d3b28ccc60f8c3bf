"""Fails where a pixel, a click, the rewriter or folding takes a third more than it did.

Usage: python -m tests.bench.regression. Each is measured in processor time against something that does not change with
our code, in turn, and the least of the rounds counts: so the ratio is the same on a slow machine and on a busy one,
within some percent.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import apsw
import uvloop
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tracker import config, datadir
from tracker.core.plan import Tracks
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import Message, MessageTokens, TokenCodec, pack
from tracker.stores.rows import event_row
from tracker.stores.sqlite import Sqlite
from tracker.stores.store import Store
from tracker.web.app import Service
from tracker.web.server.connections import STATE
from tracker.web.server.protocol import Connection
from tracker.web.server.replies import REPLY

from .bare import app as bare
from .folding import batch_events
from .load import AGENT
from .newsletter import newsletter

BASELINES: Final = {"a pixel": 1.5, "a click": 1.55, "a mail": 0.4, "an event": 10.0}
"""What the ratios were on the day on which they were last set. Lower one when it got better, and say why if higher."""
MORE: Final = 4 / 3
ROUNDS: Final = 12
TRIES: Final = 3
CONNECTIONS: Final = 256
HITS: Final = 4 * CONNECTIONS
MESSAGES: Final = 1000
ORIGIN: Final = "https://t.example.com"
DESTINATION: Final = pack("https://www.nordlicht-shop.example/p/boots?utm_source=newsletter&utm_medium=email")

Work = Callable[[], Awaitable[None]]


class Transport(asyncio.Transport):
    """A client that takes what it is sent, and counts the answers."""

    def __init__(self, answered: Callable[[], None]) -> None:
        super().__init__({"socket": socket.socket(), "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self._answered = answered

    def write(self, data: Any) -> None:
        if data.startswith(b"HTTP/1.1 "):
            self._answered()

    def is_closing(self) -> bool:
        return False


class Clients:
    """Clients of one server, each of which asks once in a round and waits for the others' answers, too."""

    def __init__(
        self, protocol: type[HttpToolsProtocol], app: Any, state: dict[str, Any], requests: Sequence[bytes]
    ) -> None:
        server = Config(app, interface="asgi3", lifespan="off", log_config=None, access_log=False, proxy_headers=False)
        server.load()
        loop = asyncio.get_running_loop()
        self._connections = [protocol(server, ServerState(), state, loop) for _ in range(CONNECTIONS)]
        for connection in self._connections:
            connection.connection_made(Transport(self._answered))
        self._requests = itertools.cycle(requests)
        self._waiting = 0
        self._all_answered = asyncio.Event()

    def _answered(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._all_answered.set()

    async def ask(self) -> None:
        """`HITS` requests."""
        for _ in range(HITS // CONNECTIONS):
            self._waiting = CONNECTIONS
            self._all_answered.clear()
            for connection in self._connections:
                connection.data_received(next(self._requests))
            await self._all_answered.wait()


async def least_ratio(work: Work, other: Work) -> float:
    """The processor time of ``work``, as a multiple of that of ``other``."""
    pairs = [(await _seconds(work), await _seconds(other)) for _ in range(ROUNDS)]
    return min(ours for ours, _ in pairs) / min(theirs for _, theirs in pairs)


async def _seconds(work: Work) -> float:
    start = time.process_time()
    await work()
    return time.process_time() - start


async def hits(folder: Path) -> dict[str, float]:
    """A pixel and a click, each on disk before its answer, to a bare ASGI function on uvicorn's own protocol."""
    settings = datadir.prepare(config.read({"TRACKER_DATA_DIR": str(folder), "TRACKER_BASE_URL": ORIGIN})).settings
    service = Service(settings)
    service._spool.open()
    state = {STATE: service._connections, REPLY: service._reply}
    codec = TokenCodec(settings.signing_keys)
    plain = Clients(HttpToolsProtocol, bare, {}, requests(codec, lambda tokens: f"/o/{tokens.open()}.gif"))
    kinds: dict[str, Callable[[MessageTokens], str]] = {
        "a pixel": lambda tokens: f"/o/{tokens.open()}.gif",
        "a click": lambda tokens: f"/c/{tokens.click(1, DESTINATION)}",
    }
    found = {}
    for name, path in kinds.items():
        clients = Clients(Connection, service, state, requests(codec, path))
        found[name] = await least_ratio(clients.ask, plain.ask)
    asked = 2 * ROUNDS * HITS
    assert service._spool.appended == asked, f"{service._spool.appended} of {asked} stored"
    await service._spool.close()
    return found


def requests(codec: TokenCodec, path: Callable[[MessageTokens], str]) -> list[bytes]:
    """Requests of messages that all are others."""
    ids = (f"0190b5b4-6a3f-7c3e-9a52-{number:012x}" for number in range(1000))
    tokens = [codec.tokens_for(Message("default", id_, "a batch")) for id_ in ids]
    head = f"HTTP/1.1\r\nHost: t.example.com\r\nUser-Agent: {AGENT}\r\nAccept: image/*\r\n\r\n"
    return [f"GET {path(one)} {head}".encode() for one in tokens]


async def mail(_: Path) -> dict[str, float]:
    """Rewriting a newsletter, to reading its tags with the standard library's parser."""
    letter = newsletter()
    rewriter = Rewriter(TokenCodec([b"a key of the benchmark, 32 bytes long"]), ORIGIN)

    async def rewrite() -> None:
        for number in range(20):
            rewriter.prepare(letter, None).render(Message("default", f"m-{number}", "a batch"), Tracks())

    async def parse() -> None:
        for _ in range(20):
            HTMLParser().feed(letter)

    return {"a mail": await least_ratio(rewrite, parse)}


async def events(folder: Path) -> dict[str, float]:
    """Folding events into SQLite, to inserting their rows into a bare table."""
    store = Store(Sqlite(folder / "store.db"))
    await store.open()
    rows = apsw.Connection(str(folder / "rows.db"))
    rows.pragma("journal_mode", "wal")
    rows.execute(f"CREATE TABLE bare ({', '.join(f'c{number}' for number in range(22))})")
    batches = iter([list(batch_events(f"b{number}", MESSAGES)) for number in range(2 * ROUNDS)])

    async def record() -> None:
        await store.record(next(batches))

    async def insert() -> None:
        values = [event_row(event) for event in next(batches)]
        with rows:
            rows.executemany(f"INSERT INTO bare VALUES ({', '.join('?' * 22)})", values)

    found = await least_ratio(record, insert)
    await store.close()
    rows.close()
    return {"an event": found}


async def measure() -> dict[str, float]:
    """All of them."""
    found: dict[str, float] = {}
    for part in (hits, mail, events):
        with tempfile.TemporaryDirectory() as folder:
            found |= await part(Path(folder))
    return found


def main() -> None:
    """Print the ratios; exits with 1 where one is too high."""
    uvloop.install()
    found: dict[str, float] = {}
    worse: list[str] = []
    for _ in range(TRIES):
        again = asyncio.run(measure())
        found = {name: min(ratio, found.get(name, ratio)) for name, ratio in again.items()}
        worse = [name for name, ratio in found.items() if ratio > BASELINES[name] * MORE]
        if not worse:
            break
    for name, ratio in found.items():
        verdict = "a third more than it was" if name in worse else "ok"
        print(f"{name:10} {ratio:6.2f} times what it is compared with, baseline {BASELINES[name]:.2f}: {verdict}")
    sys.stdout.flush()
    os._exit(1 if worse else 0)  # the transports have nothing to close


if __name__ == "__main__":
    main()
