"""What leaves a connection, and when: an answer in one piece, and nothing held for longer than a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from spools import run
from uvicorn.server import ServerState

from tracker.web.protocol import Protocol, _Joining, _Turn

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LENGTH_5 = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}


def serve(app: Any, client: Client, writes: list[bytes] | None = None) -> None:
    class Watched(Protocol):
        def connection_made(self, transport: Any) -> None:
            write = transport.write

            def noted(data: bytes) -> None:
                if writes is not None:
                    writes.append(data)
                write(data)

            transport.write = noted
            super().connection_made(transport)

    async def main() -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
        config.load()
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(lambda: Watched(config, state, {}, loop), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with asyncio.timeout(10):
            await client(reader, writer)
        writer.close()
        await writer.wait_closed()
        server.close()

    run(main())


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send(LENGTH_5)
    await send({"type": "http.response.body", "body": b"hello"})


def test_an_answer_goes_out_in_one_piece() -> None:
    writes: list[bytes] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)  # pipelined
        answers = [await reader.readuntil(b"hello") for _ in range(3)]
        assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers)
        writer.write(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n")

    serve(hello, client, writes)
    assert len([data for data in writes if data]) == 7


def test_what_is_held_does_not_wait_for_the_next_piece() -> None:
    goes_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"abc"
        await send(LENGTH_5)
        await goes_on.wait()
        await send({"type": "http.response.body", "body": b"hello"})

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        goes_on.set()
        assert await reader.readexactly(5) == b"hello"

    serve(app, client)


def test_a_failure_after_the_head_sends_the_head_and_closes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(LENGTH_5)
        raise RuntimeError("broken")

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")

    serve(app, client)


def test_a_client_that_has_gone_harms_no_other() -> None:
    class Transport:
        def __init__(self, *, closed: bool) -> None:
            self.closed, self.written = closed, b""

        def is_closing(self) -> bool:
            return self.closed

        def write(self, data: bytes) -> None:
            if self.closed:
                raise RuntimeError("the handler is closed")
            self.written += data

    async def main() -> None:
        turn, gone, other = _Turn(asyncio.get_running_loop()), Transport(closed=False), Transport(closed=False)
        for transport in (gone, other):
            _Joining(transport, turn).write(b"head")  # type: ignore[arg-type]
        gone.closed = True
        await asyncio.sleep(0)
        assert (gone.written, other.written) == (b"", b"head")

    run(main())


def test_a_slow_reader_holds_the_application_back() -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await asyncio.sleep(0.5)
        assert sent < 200
        assert len(await reader.read()) > 100_000_000

    serve(app, client)
