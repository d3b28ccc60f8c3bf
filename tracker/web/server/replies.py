"""Replies without a task: what stands for a request whose answer the application finds at once, and the answer's bytes.

Owns how a page is written. Must not know what is asked, nor when it is answered: that is `protocol`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

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

    def answer(self, server_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, with the server's own headers. Leaves `keep_alive` as the page has it."""
        page = self.page
        headers = [*server_headers, *page.headers]
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        return encode(page.status, headers, b"" if self.method == "HEAD" else page.body)


def encode(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """An answer as it is sent. Raises `ValueError` where a header would be more than one line."""
    parts = [STATUS_LINE[status]]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    head = b"".join(parts)
    lines = 1 + len(parts) // 4
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise ValueError("a header is not one line")
    return b"".join((head, b"\r\n", body))
