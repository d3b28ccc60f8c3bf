"""Reading a request's body, and getting rid of one that nobody wants.

Owns the smaller limits on it; how large it may be at all is `protocol`'s. Must not look into it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Send

from tracker.core.errors import TooLarge

SMALL_REQUEST_BYTES: Final = 256 * 1024
"""Of a request that holds no bodies of messages, and not many of anything."""
_DISCARD_S: Final = 5.0


async def read(request: Request, max_bytes: int | None = None) -> bytes:
    """The request's body, counted as it streams in: what the headers say of its length is not believed."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        await discard(request.receive)
        raise HTTPException(415, "a compressed body is not accepted")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if max_bytes is not None and len(body) > max_bytes:
                await discard(request.receive)
                raise TooLarge(f"the request is larger than {max_bytes} bytes")
    except ClientDisconnect:  # nobody is there to read this, and it is no error of ours to log
        raise HTTPException(400, "the request ended early") from None
    return bytes(body)


async def discard(receive: Receive) -> None:
    """Take in what is left of a body, for a while.

    A connection that is closed with something unread in it is reset, and then the client may never see the answer.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return


def answer_after_body(receive: Receive, send: Send) -> Send:
    """``send``, but the answer waits for the end of the request's body."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            await discard(receive)
        await send(message)

    return answer
