"""HTTP/1.1 on one connection: the server's own protocol, with the limits that it does not have.

Owns the time that each part of a request may take, and its size. Must not know what is asked: a request that is within
the limits goes on as it came.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from tracker import metrics

from . import refusals
from .connections import STATE, Connections, Phase
from .refusals import Refusal
from .replies import BODILESS, ReplyingProtocol

MAX_FIELDS: Final = 200
"""Headers of a request, or trailers: as objects they take thirty times the room that they take on the wire."""
MAX_PIPELINED: Final = 16
"""Requests that wait on one connection for the answer before theirs. What mail clients send at once is one."""
SEND_BUFFER_BYTES: Final = 65536
"""Of answers that the client did not take yet, in the system's memory, which would hold some megabytes for each."""
LINGER_S: Final = 3.0
"""How long what a refused client still sends is taken in: closed at once, it would be reset, answer unseen."""

_NEVER: Final = float("inf")
_NO_LINGERING: Final = struct.pack("ii", 1, 0)

# Looking them up on the enumeration for every request takes longer than all the rest.
_IDLE, _HEAD, _BODY, _ANSWER, _LAST, _CLOSING = Phase


class Connection(ReplyingProtocol):
    """The server's protocol within the limits of `Connections`.

    Of uvicorn's own it uses what tests/unit/test_web_connections.py lists: the callbacks of the parser, ``cycle``
    (the newest request), ``pipeline`` (those that wait for their turn), ``flow``, ``send_400_response`` and
    ``_start_asgi_task``.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits: Connections = app_state[STATE]
        self.phase = _HEAD
        self.deadline = self.write_deadline = _NEVER
        self._unread_bytes = 0
        """Of what was written, when the time to read it began."""
        self.source: str | None = None
        self.url = b""
        self.headers = []
        self._in_head = True
        """Between the end of a request and the end of the next one's headers."""
        self._chunk_bytes = self._head_bytes = self._body_bytes = self._wire_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the client in, or say why not."""
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.deadline = self.limits.now + self.limits.header_s
        refusal = self.limits.enter(self, self.client[0] if self.client else "")
        if refusal:
            self._answer(refusal)
            # No time for the client to see it in any case: what is short is room for others.
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.limits.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hand what comes to the parser, and count what the parser does not report."""
        if self.phase >= _LAST:
            return
        self._chunk_bytes = len(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self.phase is _IDLE:
                self.phase = _HEAD
                self.deadline = self.limits.now + self.limits.header_s
        else:
            self._wire_bytes += len(data)
        super().data_received(data)
        if self._in_head:
            if self._head_bytes > self.limits.max_header_bytes or len(self.url) > self.limits.max_url_bytes:
                self._refuse(self._oversize() or refusals.LARGE_HEAD)
            elif len(self.headers) > MAX_FIELDS:
                self._refuse(refusals.LARGE_HEAD)
        elif len(self.headers) > MAX_FIELDS or self._wire_bytes > self._max_wire_bytes():
            self._refuse(refusals.LARGE_BODY)

    def _max_wire_bytes(self) -> int:
        """Of a body with what frames it: in chunks of one byte, that is six times as much."""
        return 6 * self.limits.max_body_bytes + self.limits.max_header_bytes

    def on_headers_complete(self) -> None:
        """Hand a request on whose headers are within the limits."""
        if self.phase >= _LAST:
            return
        refusal = self._refusal_of_head()
        if refusal:
            self._refuse(refusal)
            return
        if not self.replies():
            super().on_headers_complete()  # which may find that the URL is none
        self.headers = []  # so that trailers don't become headers
        self._in_head = False
        self._head_bytes = self._body_bytes = self._wire_bytes = 0
        self.phase = _BODY
        self.deadline = self.limits.now + self.limits.body_s

    def _refusal_of_head(self) -> Refusal | None:
        if self.parser.should_upgrade() and self._announces_body():
            return refusals.UPGRADE  # the parser would take the body for the next request
        if len(self.url) > self.limits.max_url_bytes or len(self.headers) > MAX_FIELDS:
            return self._oversize()
        # What came is more than the head where a body came along, or where requests are pipelined.
        if self._head_bytes + self._chunk_bytes > self.limits.max_header_bytes and (refusal := self._oversize()):
            return refusal
        if self.parser.get_method() not in BODILESS:
            for name, value in self.headers:
                if name == b"content-length" and int(value) > self.limits.max_body_bytes:
                    return refusals.LARGE_BODY
                if name == b"transfer-encoding" and value.lower() != b"chunked":
                    return refusals.MALFORMED  # compressed on the way, which nobody here would notice
        return None if len(self.pipeline) < MAX_PIPELINED else refusals.MANY

    def _announces_body(self) -> bool:
        headers = self.headers
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers
        )

    def _oversize(self) -> Refusal | None:
        if len(self.url) > self.limits.max_url_bytes:
            return refusals.LONG_URL
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        return refusals.LARGE_HEAD if size > self.limits.max_header_bytes or len(self.headers) > MAX_FIELDS else None

    def on_body(self, body: bytes) -> None:
        """Count a body as it streams: what the headers say of it is not believed."""
        if self.phase >= _LAST:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self.limits.max_body_bytes:
            self._refuse(refusals.LARGE_BODY)
            return
        if self.scope["method"] in ("GET", "HEAD"):
            self.cycle.keep_alive = False  # it is answered as if there were no body, and not waited for
        super().on_body(body)

    def on_message_complete(self) -> None:
        """From now on it is our time that passes."""
        if self.phase >= _LAST:
            return
        self._in_head = True
        super().on_message_complete()
        self.phase = _ANSWER
        self.deadline = _NEVER
        if self.cycle.response_complete:
            self._wait_for_request()

    def on_response_complete(self) -> None:
        """Start the next request, or wait for it.

        In place of the server's own, which would start a timer here and stop it at the next request: that takes about
        as long as all the rest of what is done in this module.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.phase is _ANSWER:
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        if self._head_bytes:
            self.phase, seconds = _HEAD, self.limits.header_s
        else:
            self.phase, seconds = _IDLE, self.limits.idle_s
        self.deadline = self.limits.now + seconds

    def pause_writing(self) -> None:
        """From now on the client has to read."""
        super().pause_writing()
        self._give_time_to_read()

    def _give_time_to_read(self) -> None:
        self.write_deadline = self.limits.now + self.limits.write_s
        self._unread_bytes = self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """It did."""
        super().resume_writing()
        self.write_deadline = _NEVER

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for what its parser does not understand."""
        self._refuse(refusals.MALFORMED)

    def expire(self) -> None:
        """Its time is over: say so to a client that may still listen, and close."""
        if self.flow.write_paused or self.phase is _CLOSING:
            if self.flow.write_paused:
                if self.transport.get_write_buffer_size() <= self._unread_bytes - SEND_BUFFER_BYTES:
                    self._give_time_to_read()  # the answer is large, or the line slow, but it does read
                    self.deadline = max(self.deadline, self.write_deadline)
                    return
                metrics.LIMITED.labels("write_time").inc()
            self._reset()
        elif self.phase is _HEAD and self._head_bytes:
            self._refuse(refusals.SLOW_HEAD)
        elif self.phase is _BODY and self.flow.read_paused:
            self.deadline = self.limits.now + 1.0  # it is we who don't read
        elif self.phase is _BODY and not self.cycle.response_started:
            self._refuse(refusals.SLOW_BODY)
        else:
            self.transport.abort()

    def _reset(self) -> None:
        """Close, and forget what was written: else the system would offer it to the client for minutes."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self.transport.abort()

    def close_within(self, seconds: float) -> None:
        """Wait for no request any more, and not for long until it is closed."""
        self.phase = _CLOSING
        self.deadline = self.limits.now + seconds

    def _refuse(self, refusal: Refusal) -> None:
        """Answer the newest request, where it is its turn, and close."""
        if self.phase >= _LAST or self.transport.is_closing():
            return
        cycle = self.cycle
        if self._in_head and cycle is not None and not cycle.response_complete:
            # Earlier requests have to be answered first, and after the last of them it is too late for this one.
            self.phase = _LAST
            self.deadline = _NEVER
            cycle.keep_alive = False
            return
        if self.pipeline or (not self._in_head and cycle.response_started):
            self.transport.abort()
            return
        if not self._in_head:
            # As if the client were gone: nothing that the application sends is written any more.
            cycle.disconnected = True
            cycle.message_event.set()
        self._answer(refusal)
        if refusal.status == refusals.SLOW_HEAD.status:
            self.transport.close()
        else:
            self.flow.resume_reading()
            self.transport.write_eof()

    def _answer(self, refusal: Refusal) -> None:
        if refusal.kind:
            metrics.LIMITED.labels(refusal.kind).inc()
        self.transport.write(refusal.answer(self.server_state.default_headers))
        self.close_within(LINGER_S)
