"""Replies without a task, on a real socket: their order, their end, and what is left to the application."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tracker.web.pages import Page, Reply, encode_head
from tracker.web.server.replies import REPLY, Exchange, ReplyingProtocol


class Protocol(ReplyingProtocol):
    """Asks for a reply first, and nothing else."""

    def on_headers_complete(self) -> None:
        if not self.replies():
            super().on_headers_complete()


class Edge:
    """Replies to /now and /soon, the latter when it is told to; breaks at /broken; the application has the rest."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[bool]] = []
        self.state = ServerState()

    def reply(self, scope: Scope) -> Reply | None:
        path = b"/" + scope["raw_path"].rpartition(b"/")[2].partition(b"#")[0]
        if path == b"/broken":
            raise LookupError
        if path not in (b"/now", b"/soon", b"/last"):
            return None
        headers = [(b"content-length", b"%d" % len(path)), *([(b"connection", b"close")] if path == b"/last" else [])]
        page = Page(200, headers, path)
        if path != b"/soon":
            return Reply(page)
        self.waiting.append(asyncio.get_running_loop().create_future())
        return Reply(page, self.waiting[-1])

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"] == b"/broken":
            raise LookupError
        body = b"app " + scope["raw_path"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Edge, asyncio.StreamReader, asyncio.StreamWriter]]:
    edge = Edge()
    config = uvicorn.Config(
        edge.app, interface="asgi3", lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: Protocol(config, edge.state, {REPLY: edge.reply}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield edge, reader, writer
    finally:
        writer.close()
        server.close()


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


async def line_after_head(reader: asyncio.StreamReader, size: int) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    return await reader.readexactly(size)


@pytest.mark.anyio
async def test_answers_come_in_the_order_of_the_requests() -> None:
    async with served() as (edge, reader, writer):
        writer.write(get("/soon") + get("/now") + get("/app") + get("/soon"))
        await until(lambda: len(edge.waiting) == 1)
        await asyncio.sleep(0.05)
        assert not reader._buffer, "/now waits for /soon"  # type: ignore[attr-defined]
        edge.waiting[0].set_result(True)
        assert await line_after_head(reader, 5) == b"/soon"
        # What had to wait is answered by the application, as ever.
        assert await line_after_head(reader, 8) == b"app /now"
        assert await line_after_head(reader, 8) == b"app /app"
        assert await line_after_head(reader, 9) == b"app /soon"
        writer.write(get("/now?a=1"))
        assert await line_after_head(reader, 4) == b"/now"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "request_",
    [
        get("/now", version="1.0"),
        get("/now", "Connection: close"),
        get("/now", method="POST"),
        get("http://x/now"),
        get("/now#part"),
    ],
)
async def test_what_is_out_of_the_ordinary_is_the_applications(request_: bytes) -> None:
    async with served() as (_, reader, writer):
        writer.write(request_)
        assert await line_after_head(reader, 4) == b"app "


@pytest.mark.anyio
async def test_a_head_request_has_no_body_and_a_page_may_be_the_last() -> None:
    async with served() as (_, reader, writer):
        writer.write(get("/now", method="HEAD") + get("/last"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b"content-length: 4\r\n" in head
        rest = await asyncio.wait_for(reader.read(), 5)
        assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in rest
        assert rest.endswith(b"/last")


@pytest.mark.anyio
async def test_an_error_of_ours_is_told_as_one() -> None:
    async with served() as (_, reader, writer):
        writer.write(get("/broken"))
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 500 ")


@pytest.mark.anyio
async def test_nobody_is_left_to_answer() -> None:
    async with served() as (edge, _, writer):
        writer.write(get("/soon"))
        await until(lambda: bool(edge.waiting))
        writer.close()
        await asyncio.sleep(0.05)
        edge.waiting[0].set_result(True)
        await asyncio.sleep(0.05)
        assert edge.state.total_requests == 0


@pytest.mark.anyio
async def test_the_server_stops_while_a_reply_waits() -> None:
    async with served() as (edge, reader, writer):
        writer.write(get("/soon"))
        await until(lambda: bool(edge.waiting))
        for protocol in list(edge.state.connections):
            protocol.shutdown()
        edge.waiting[0].set_result(True)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"/soon")


def test_an_exchange_has_what_the_server_asks_of_a_request() -> None:
    """If this fails after an update of uvicorn, read its httptools_impl.py, then mend web/server/replies.py."""
    asked = set(re.findall(r"(?:self\.|existing_)cycle\.(\w+)", inspect.getsource(HttpToolsProtocol)))
    assert {"response_complete", "disconnected", "message_event", "keep_alive", "more_body", "body"} <= asked
    assert all(hasattr(Exchange("GET", Page(200, [], b"")), name) for name in asked)


def test_a_header_that_would_be_two_is_none() -> None:
    assert encode_head(302, [(b"location", b"https://a.example/")]) == (
        b"HTTP/1.1 302 Found\r\nlocation: https://a.example/\r\n"
    )
    for value in (b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"):
        with pytest.raises(ValueError, match="not one line"):
            encode_head(302, [(b"location", value)])
