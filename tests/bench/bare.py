"""The least that can answer a pixel: a bare ASGI function with the same bytes, on the same server and options.

What the service is compared with. Must not import tracker.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import uvicorn

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"image/gif"),
        (b"content-length", str(len(GIF)).encode()),
        (b"cache-control", b"no-store, private"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-robots-tag", b"noindex"),
    ],
}
BODY = {"type": "http.response.body", "body": GIF}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer anything with the pixel."""
    await send(START)
    await send(BODY)


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
