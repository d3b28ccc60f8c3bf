"""How the server speaks HTTP: uvicorn's protocol, but for what the network sees of it.

Owns what is done with a connection's bytes on their way out. Must not know what is answered.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which sends an answer's head and body in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop."""
        super().connection_made(transport)
        self.transport = _Joining(transport, _turn(self.loop))  # type: ignore[assignment]


class _Joining:
    """A transport that holds a piece back until the next comes, or until the turn of the event loop ends.

    The server writes the head of an answer and its body one after the other, each with a system call and
    a packet of its own. What it writes while nothing is held waits, and goes out together with the next: so
    no more than one piece is ever held, and flow control works as it does without.
    """

    __slots__ = ("_transport", "_turn", "held", "is_closing")

    def __init__(self, transport: asyncio.Transport, turn: _Turn) -> None:
        self._transport = transport
        self._turn = turn
        self.held = b""
        self.is_closing: Final = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send ``data``, at the end of this turn at the latest."""
        if self.held:
            data, self.held = self.held + data, b""
            self._transport.write(data)
        elif data:
            self.held = data
            self._turn.flush_later(self)

    def close(self) -> None:
        """Send what is held, then close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what is held, unless the client has gone meanwhile: a transport that is closed raises."""
        data, self.held = self.held, b""
        if data and not self.is_closing():
            self._transport.write(data)


class _Turn:
    """The transports of one event loop that may hold something when its turn ends: one callback for all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: list[_Joining] = []

    def flush_later(self, transport: _Joining) -> None:
        if not self._transports:
            self._loop.call_soon(self._flush)
        self._transports.append(transport)

    def _flush(self) -> None:
        transports, self._transports = self._transports, []
        for transport in transports:
            if transport.held:  # not so for nearly all: what they held went out with the next piece
                transport.flush()


@lru_cache(maxsize=1)
def _turn(loop: asyncio.AbstractEventLoop) -> _Turn:
    return _Turn(loop)
