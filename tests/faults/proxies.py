"""A TCP proxy in front of PostgreSQL, which can be away, and which can cut connections at a COMMIT."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from .serving import free_port

COMMIT = b"COMMIT;\0"


class Proxy:
    """Listens on loopback, for the server with the socket that ``url`` names. ``async with`` runs it."""

    def __init__(self, url: str, *, seed: int = 0) -> None:
        parts = urlsplit(url)
        self._socket = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
        self._database = parts.path
        self._random = random.Random(seed)
        self.cuts: dict[str, float] = {}
        """How often which fate befalls a COMMIT: ``before`` it gets to the server, or ``after`` it was done."""
        self.count: Counter[str] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = free_port()

    @property
    def url(self) -> str:
        """The database's URL through the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self._port}{self._database}?sslmode=disable"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def down(self) -> None:
        """Refuse connections, and drop those that there are."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Proxy:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            self._writers.discard(writer)
            writer.close()
            return
        self._writers.add(server_writer)
        answers = asyncio.create_task(_copy(server_reader, writer))
        with suppress(OSError):
            await self._requests(reader, server_reader, server_writer, answers)
        answers.cancel()
        for one in (writer, server_writer):
            self._writers.discard(one)
            one.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        while data := await reader.read(1 << 16):
            fate = self._fate() if data.endswith(COMMIT) else "nothing"
            if fate == "before":
                return
            if fate == "after":
                answers.cancel()
                await asyncio.wait([answers])
            server_writer.write(data)
            if fate == "after":
                await server_reader.read(1 << 16)  # the server's "done", which nobody gets to hear
                return

    def _fate(self) -> str:
        draw = self._random.random()
        for fate, share in self.cuts.items():
            if draw < share:
                self.count[fate] += 1
                return fate
            draw -= share
        self.count["nothing"] += 1
        return "nothing"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()
