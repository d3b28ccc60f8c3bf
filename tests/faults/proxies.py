"""A TCP proxy in front of PostgreSQL: a bad network, and one that cuts connections at a COMMIT."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from .serving import free_port

BEGIN = b"BEGIN ISOLATION"
READ_ONLY = b"READ ONLY"
COMMIT = b"COMMIT\0"
CHUNK = 1 << 16


class _Link:
    """One connection, from the client through the proxy to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = (client, server)
        self.is_silent = False
        """What either side sends gets lost, and neither side hears of it."""
        self.writes = False
        """The transaction under way may change something."""

    def close(self) -> None:
        for end in self.ends:
            end.close()

    def reset(self) -> None:
        """Both sides are told at once that there is no such connection."""
        for end in self.ends:
            sock = end.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()


class Proxy:
    """Listens on loopback, for the server with the socket that ``url`` names. ``async with`` runs it."""

    def __init__(self, url: str, *, seed: int = 0, user: str = "postgres") -> None:
        parts = urlsplit(url)
        self._socket = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
        self._database = parts.path
        self._user = user
        self._random = random.Random(seed)
        self.cuts: dict[str, float] = {}
        """How often which fate befalls the COMMIT of what was written: ``before`` it gets to the server, or ``after``
        the server has said that it is done."""
        self.count: Counter[str] = Counter()
        """Fates, and ``reset`` connections."""
        self.latency_s = 0.0
        """Of each piece, in each direction."""
        self.bytes_per_s = float("inf")
        """Of each direction of each connection."""
        self.resets = 0.0
        """The share of pieces at which their connection is reset."""
        self.is_silent = False
        """Connections are taken, and nothing gets through; those that it meets stay silent for ever."""
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._port = free_port()

    @property
    def url(self) -> str:
        """The database's URL through the proxy."""
        return f"postgresql://{self._user}@127.0.0.1:{self._port}{self._database}?sslmode=disable"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def down(self) -> None:
        """Refuse connections, and drop those that there are."""
        if self._server:
            self._server.close()
            self._server = None
        for link in self._links:
            link.reset()

    def silence(self) -> None:
        """The connections that there are fall silent for ever, as with a firewall that forgot them; new ones work."""
        for link in self._links:
            link.is_silent = True

    def heal(self) -> None:
        """From now on the network is as it should be."""
        self.latency_s, self.bytes_per_s, self.resets, self.is_silent = 0.0, float("inf"), 0.0, False

    async def __aenter__(self) -> Proxy:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.close()
            return
        link = _Link(writer, server_writer)
        self._links.add(link)
        answers = asyncio.create_task(self._copy(link, server_reader, writer))
        with suppress(OSError):
            await self._requests(link, reader, server_reader, answers)
        answers.cancel()
        self._links.discard(link)
        link.close()

    async def _requests(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        server_reader: asyncio.StreamReader,
        answers: asyncio.Task[None],
    ) -> None:
        while data := await reader.read(CHUNK):
            if BEGIN in data:
                link.writes = READ_ONLY not in data
            fate = self._fate() if link.writes and data.endswith(COMMIT) else "nothing"
            if fate == "before":
                self.count[fate] += 1
                return
            if fate == "after":
                answers.cancel()
                await asyncio.wait([answers])
            await self._pass(link, data, link.ends[1])
            if fate == "after":
                answer = await server_reader.read(CHUNK)
                assert COMMIT in answer, answer  # the server's "done", which nobody gets to hear
                self.count[fate] += 1
                return

    async def _copy(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._pass(link, data, writer)
        if not link.is_silent:
            writer.close()

    async def _pass(self, link: _Link, data: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.latency_s + len(data) / self.bytes_per_s)
        link.is_silent |= self.is_silent
        if self._random.random() < self.resets:
            self.count["reset"] += 1
            link.reset()
        elif not link.is_silent:
            writer.write(data)

    def _fate(self) -> str:
        draw = self._random.random()
        for fate, share in self.cuts.items():
            if draw < share:
                return fate
            draw -= share
        self.count["nothing"] += 1
        return "nothing"
