"""Reading a request's body, and getting rid of one that nobody wants.

Owns the limits on it. Must not look into it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Send

from tracker.core.errors import TooLarge

MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024
"""Of a whole request: two bodies of 2 MiB, JSON's escapes, and the recipients of a batch."""
SMALL_REQUEST_BYTES: Final = 256 * 1024
"""Of a request that holds no bodies of messages, and not many of anything."""
_MAX_DISCARDED_BYTES: Final = 2 * MAX_REQUEST_BYTES
_DISCARD_S: Final = 5.0


async def read(request: Request, max_bytes: int = MAX_REQUEST_BYTES) -> bytes:
    """The request's body, counted as it streams in: what the headers say of its length is not believed."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        await discard(request.receive)
        raise HTTPException(415, "a compressed body is not accepted")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                await discard(request.receive)
                raise TooLarge(f"the request is larger than {max_bytes} bytes")
    except ClientDisconnect:  # nobody is there to read this, and it is no error of ours to log
        raise HTTPException(400, "the request ended early") from None
    return bytes(body)


async def discard(receive: Receive) -> None:
    """Take in what is left of a body, within limits.

    A connection that is closed with something unread in it is reset, and then the client may never see the answer.
    """
    left = _MAX_DISCARDED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))


def answer_after_body(receive: Receive, send: Send) -> Send:
    """``send``, but the answer waits for the end of the request's body."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            await discard(receive)
        await send(message)

    return answer
