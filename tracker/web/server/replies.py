"""Replies without a task: what stands for a request whose answer the application finds at once, and the answer's bytes.

Owns how a page is written. Must not know what is asked, nor when it is answered: that is `protocol`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tracker.web.pages import Page, Reply

REPLY: Final = "reply"
"""Where the protocol finds a `Replier` in the state that the application's lifespan hands to the server, if any."""

Replier: TypeAlias = Callable[[Scope], Reply | None]
"""What a request is answered of which the head is there; None: the application is to be called as ever."""


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
