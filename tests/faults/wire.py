"""HTTP/1.1 over a raw connection that is kept alive: what a load generator needs, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, Self

TIMEOUT_S = 30.0

BROKEN = (OSError, EOFError, asyncio.LimitOverrunError)
"""What a request raises when its answer did not come, or not whole."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.is_last = False
        """The server said that it closes the connection after this answer."""

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request and its whole answer; raises one of `BROKEN`."""
        self.writer.write(encoded(method, path, headers, body))
        async with asyncio.timeout(TIMEOUT_S):
            return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        self.is_last = headers.get("connection") == "close"
        return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(length))

    def close(self) -> None:
        self.writer.close()


def encoded(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def fetch(
    port: int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request over a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.request(method, path, headers, body)
    finally:
        connection.close()
