"""How many connections there may be, whose time is over, the order of answers, and what is used of the server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

from tracker.config import read
from tracker.web.server import connections, lifecycle
from tracker.web.server.connections import LOOPBACK, RESERVED_FILES, STATE, Connections, Phase
from tracker.web.server.protocol import MAX_FIELDS, Connection


def limits(open_files: int = 1024, exempt: Any = (), **settings: str) -> Connections:
    return Connections(read({f"TRACKER_{name}": value for name, value in settings.items()}), exempt, open_files)


def test_there_are_fewer_connections_where_few_files_may_be_open() -> None:
    assert limits(1 << 20).most == 10_000
    assert limits(256).most == 256 - RESERVED_FILES
    assert limits(10).most == 1
    assert limits(1 << 20, MAX_CONNECTIONS="7").most == 7


@pytest.fixture
def open_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("open_files")
def test_as_many_files_may_be_open_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(hard, lifecycle.MAX_OPEN_FILES) if hard != resource.RLIM_INFINITY else lifecycle.MAX_OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    assert lifecycle.allow_open_files() == allowed
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (allowed, hard)
    monkeypatch.setattr(lifecycle, "MAX_OPEN_FILES", 400)
    assert lifecycle.allow_open_files() == allowed, "never lowered"


def test_who_a_connection_counts_for() -> None:
    exempt = (ip_network("10.0.0.0/8"), *LOOPBACK)
    source = limits(exempt=exempt)._source
    assert source("192.0.2.1") == "192.0.2.1" == source("::ffff:192.0.2.1")
    assert source("2001:db8:1:2::3") == source("2001:db8:1:ffff::1") == "2001:db8:1::/48"
    assert not any(map(source, ("10.1.2.3", "127.0.0.1", "::1", "::ffff:127.0.0.1", "")))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, and with as many bytes as the query says."""
    if scope["method"] == "POST":
        while (await receive()).get("more_body"):
            pass
    body = scope["raw_path"] + b"x" * int(scope["query_string"] or 0)
    names = b" ".join(name for name, _ in scope["headers"])
    headers = [(b"content-length", b"%d" % len(body)), (b"names", names)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def listening(connections: Connections) -> AsyncIterator[Dial]:
    """A server of `app` within ``connections``, and how to connect to it; time stands still but for sweeps."""
    config = uvicorn.Config(
        app, http=Connection, lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(config, state, {STATE: connections}), "127.0.0.1", 0
    )
    writers = []

    async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writers.append(writer)
        return reader, writer

    try:
        yield dial
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for connection in list(connections._open):
            connection.transport.abort()
        await asyncio.sleep(0.05)


async def came(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 10)
    return b""


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


async def settle(connections: Connections, count: int) -> None:
    await until(lambda: len(connections._open) == count)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "code"), [({"CONNECTIONS_PER_SOURCE": "3"}, 503), ({"MAX_CONNECTIONS": "3"}, 503)]
)
async def test_one_connection_too_many_is_told_so(settings: dict[str, str], code: int) -> None:
    all_ = limits(1024, **settings)
    async with listening(all_) as dial:
        held = [await dial() for _ in range(3)]
        await settle(all_, 3)
        reader, writer = await dial()
        answer = await came(reader)
        assert answer.startswith(b"HTTP/1.1 %d " % code)
        assert b"\r\nconnection: close\r\n" in answer
        assert b"\r\nretry-after: " in answer
        writer.close()
        held.pop()[1].close()
        await settle(all_, 2)
        held.append(await dial())
        held[-1][1].write(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await held[-1][0].readuntil(b"/again")).startswith(b"HTTP/1.1 200 ")
        for _, writer in held:
            writer.close()
        await settle(all_, 0)
    assert not all_._sources


@pytest.mark.anyio
async def test_idle_connections_go_early_where_many_are_open() -> None:
    all_ = limits(MAX_CONNECTIONS="4")
    crowded = round(connections.CROWDED_IDLE_S) + 2
    async with listening(all_) as dial:
        clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for count in (2, 3):
            while len(clients) < count:
                clients.append(await dial())
                clients[-1][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await clients[-1][0].readuntil(b"\r\n\r\n")
            for _ in range(crowded):
                all_.sweep(1)
            await settle(all_, 2 if count == 2 else 0)


@pytest.mark.anyio
async def test_requests_that_come_at_once_are_answered_in_order() -> None:
    """The server's queue of them, which `Connection` reads."""
    all_ = limits()
    async with listening(all_) as dial:
        reader, writer = await dial()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(10)))
        for number in range(10):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n/%d" % number), 10)
        (connection,) = all_._open
        assert connection.phase is Phase.IDLE
        # The third is malformed, or too large: the two before it are answered, and then it is over.
        for bad in (b"GET /x HTTP/1.1\r\nHo st: x\r\n\r\n", b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 9000)):
            reader, writer = await dial()
            good = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(2))
            writer.write(good + bad + good)
            answers = await came(reader)
            assert answers.count(b"HTTP/1.1 ") == 2
            assert answers.endswith(b"/1")
        # Nobody may have the server keep hundreds of them.
        reader, writer = await dial()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        assert 10 < (await came(reader)).count(b"HTTP/1.1 200 ") < 30


@pytest.mark.anyio
async def test_many_small_headers_are_too_many_and_trailers_are_no_headers() -> None:
    async with listening(limits()) as dial:
        for count, code in ((MAX_FIELDS, 200), (MAX_FIELDS + 1, 431)):
            for pause_s in (0.0, 0.05):
                reader, writer = await dial()
                writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n")
                await asyncio.sleep(pause_s)
                writer.write(b"a:b\r\n" * (count - 1) + b"\r\n")
                assert (await came(reader)).startswith(b"HTTP/1.1 %d " % code)
        for count in (1, 10_000):
            reader, writer = await dial()
            writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\na\r\n")
            await asyncio.sleep(0.05)
            writer.write(b"0\r\n" + b"X-Forwarded-For: 192.0.2.1\r\n" * count + (b"\r\n" if count == 1 else b""))
            answer = await came(reader)
            assert b"x-forwarded-for" not in answer
            assert answer.startswith(b"HTTP/1.1 200 " if count == 1 else b"HTTP/1.1 413 ")


@pytest.mark.anyio
async def test_nobodys_time_runs_out_while_it_is_we_who_do_not_read() -> None:
    all_ = limits()
    async with listening(all_) as dial:
        _, writer = await dial()
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
        await settle(all_, 1)
        (connection,) = all_._open
        await until(lambda: connection.phase is Phase.BODY)
        assert isinstance(connection, Connection)
        connection.flow.pause_reading()
        for _ in range(100):
            all_.sweep(1)
        assert not connection.transport.is_closing()
        connection.flow.resume_reading()
        all_.sweep(2)
        await settle(all_, 0)


@pytest.mark.anyio
async def test_nobodys_time_runs_out_while_the_process_is_stopped() -> None:
    all_ = limits()
    async with listening(all_) as dial:
        await dial()
        await settle(all_, 1)
        all_.sweep(3600)
        await asyncio.sleep(0.05)
        assert len(all_._open) == 1
        all_.sweep(2)
        all_.sweep(2)
        await settle(all_, 0)


def test_what_is_used_of_the_server_is_still_there() -> None:
    """If this fails after an update of uvicorn, read its httptools_impl.py, then mend web/server/protocol.py."""
    overridden = {
        "connection_made": ["transport"], "connection_lost": ["exc"], "data_received": ["data"],
        "on_headers_complete": [], "on_body": ["body"], "on_message_complete": [], "on_response_complete": [],
        "pause_writing": [], "resume_writing": [], "send_400_response": ["msg"],
        "_start_asgi_task": ["cycle", "app"],
        "__init__": ["config", "server_state", "app_state", "_loop"],
    }  # fmt: skip
    for name, parameters in overridden.items():
        found = list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters)
        assert found == ["self", *parameters], name
    lines = inspect.getsource(HttpToolsProtocol.on_response_complete).splitlines()
    assert [line.strip() for line in lines if line.strip() and "#" not in line] == [
        "def on_response_complete(self) -> None:", "self.server_state.total_requests += 1",
        "if self.transport.is_closing():", "return", "self._unset_keepalive_if_required()",
        "self.flow.resume_reading()", "if self.pipeline:", "cycle, app = self.pipeline.pop()",
        "self._start_asgi_task(cycle, app)", "else:", "self.timeout_keep_alive_task = self.loop.call_later(",
        "self.timeout_keep_alive, self.timeout_keep_alive_handler", ")",
    ]  # fmt: skip
    made = inspect.getsource(HttpToolsProtocol)
    for used in ("self.url =", "self.headers", "self.pipeline", "self.cycle", "self.flow", "self.client",
                 "on_response=self.on_response_complete", "self.send_400_response(msg)",
                 "headers\": self.headers"):  # fmt: skip
        assert used in made, used
    cycle = inspect.getsource(RequestResponseCycle)
    for used in ("self.disconnected", "self.keep_alive", "self.response_started", "self.response_complete",
                 "self.message_event", "if self.disconnected:\n            return"):  # fmt: skip
        assert used in cycle, used
    assert {"read_paused", "write_paused"} <= set(vars(FlowControl(None)))  # type: ignore[arg-type]
    assert "app_state=self.lifespan.state" in inspect.getsource(Server.startup)
