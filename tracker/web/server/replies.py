"""Replies without a task: what stands for a request whose answer the application finds at once, and the answer's bytes.

Owns how a page is written. Must not know what is asked, nor when it is answered: that is `protocol`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tracker.web.pages import Page, Reply

REPLY: Final = "reply"
"""Where the protocol finds a `Replier` in the state that the application's lifespan hands to the server, if any."""

Replier: TypeAlias = Callable[[Scope], Reply | None]
"""What a request is answered of which the head is there; None: the application is to be called as ever."""

BODILESS: Final = (b"GET", b"HEAD")
"""Methods of requests that need no body to be answered."""


class Exchange(RequestResponseCycle):
    """In the place of the server's own: what its protocol asks of a request while the reply waits for the disk."""

    disconnected = False
    response_started = False
    response_complete = False
    keep_alive = True
    more_body = True
    body = b""  # type: ignore[assignment]  # nobody wants it
    message_event = asyncio.Event()  # nobody waits for it

    def __init__(self, method: str, page: Page) -> None:
        self.method = method
        self.page = page

    def answer(self, server_headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, with the server's own headers. Sets `keep_alive` as the page has it."""
        page = self.page
        parts = [page.head]
        for name, value in server_headers:
            parts += (name, b": ", value, b"\r\n")
        if page.closes:
            self.keep_alive = False
        elif not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if self.method != "HEAD":
            parts.append(page.body)
        return b"".join(parts)


class ReplyingProtocol(HttpToolsProtocol):
    """The server's protocol, which asks for a reply before it starts a task.

    With a task, and with the server's own way of writing, a pixel takes 1.4 times as long.
    """

    def replies(self) -> bool:
        """Whether the application replies at once; called when the head of a request is there."""
        parser, url = self.parser, self.url
        replier: Replier | None = self.app_state.get(REPLY)
        if (
            replier is None
            or parser.get_method() not in BODILESS
            or not parser.should_keep_alive()
            or parser.should_upgrade()
            or not (self.cycle is None or self.cycle.response_complete)
            or self.flow.write_paused
            or not url.startswith(b"/")
            or b"#" in url
        ):
            return False
        self.scope["method"] = parser.get_method().decode()
        self.scope["raw_path"] = url.partition(b"?")[0]
        try:
            reply = replier(self.scope)  # type: ignore[arg-type]
        except Exception:  # comes again where the server logs it, and answers: here it would be the client's fault
            return False
        if reply is None:
            return False
        self.cycle = exchange = Exchange(self.scope["method"], reply.page)
        if reply.stored is None:
            self._reply(exchange)
        else:
            reply.stored.add_done_callback(functools.partial(self._reply, exchange))
        return True

    def _reply(self, exchange: Exchange, _: object = None) -> None:
        if exchange.disconnected:
            return
        self.transport.write(exchange.answer(self.server_state.default_headers))
        exchange.response_started = exchange.response_complete = True
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()
