"""What the service connects to, and what it never does: real sockets on loopback, and a resolver that lies."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tracker import __version__, outgoing
from tracker.outgoing import Network, Outgoing, Resolve, Unreachable

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PUBLIC = "93.184.216.34"

HOSTS_ON_LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "::1",
    "::ffff:127.0.0.1",
    "2130706433",
    "0x7f000001",
    "127.1",
    "017700000001",
    "0",
]
OTHER_PRIVATE_HOSTS = ["169.254.169.254", "10.0.0.1", "0xa9fea9fe", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::"]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Receiver:
    """A server on 127.0.0.1 (and ::1) that keeps the requests it gets, and answers each as told."""

    def __init__(self, answer: Callable[[asyncio.StreamWriter], Awaitable[None]] | bytes) -> None:
        self.answer = answer
        self.port = 0
        self.connections = 0
        self.accepted = asyncio.Event()
        self.asked = asyncio.Event()
        self.tasks: list[asyncio.Task[None] | None] = []
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.accepted.set()
        self.tasks.append(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.respond(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        self.requests.append(head + await reader.readexactly(length))
        self.asked.set()
        if isinstance(self.answer, bytes):
            writer.write(self.answer)
            await writer.drain()
        else:
            await self.answer(writer)
        await reader.read()


@contextlib.asynccontextmanager
async def receiving(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]] | bytes = OK, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    if tls is not None:
        # In its debug mode asyncio reports a client's refusal as an error of the server.
        asyncio.get_running_loop().set_debug(False)
    servers = [await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)]
    receiver.port = servers[0].sockets[0].getsockname()[1]
    with contextlib.suppress(OSError):  # a machine without IPv6
        servers.append(await asyncio.start_server(receiver.serve, "::1", receiver.port, ssl=tls))
    try:
        yield receiver
    finally:
        for server in servers:
            server.close()
        await asyncio.gather(*filter(None, receiver.tasks))


@contextlib.asynccontextmanager
async def sending(
    *,
    private_allowed: bool = True,
    timeout_s: float = 5.0,
    resolve: Resolve = outgoing.system_addresses,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Outgoing]:
    sender = Outgoing(private_allowed=private_allowed, timeout_s=timeout_s, resolve=resolve, tls=tls)
    try:
        yield sender
    finally:
        await sender.close()


def resolving(*answers: Sequence[str]) -> Resolve:
    """A resolver that gives one of ``answers`` after the other, and the last one for ever."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses connected to, none of which takes the connection."""
    addresses: list[str] = []

    async def connect_tcp(self: object, host: str, *rest: object, **more: object) -> httpcore2.AsyncNetworkStream:
        addresses.append(host)
        raise httpcore2.ConnectError("not here")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    return addresses


# What is sent.


async def test_a_request_is_delivered_as_it_was_signed() -> None:
    async with receiving() as receiver, sending() as sender:
        url = f"http://127.0.0.1:{receiver.port}/a;b/c?d=e;f"
        assert await sender.post(url, {"webhook-id": "1", "content-type": "application/json"}, b'{"a":1}') == 200
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first == "POST /a;b/c?d=e;f HTTP/1.1"
    assert {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)} == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": f"tracker/{__version__}",
        "connection": "close",
        "content-type": "application/json",
        "content-length": "7",
        "webhook-id": "1",
    }
    assert body == b'{"a":1}'


async def test_no_connection_is_kept() -> None:
    async with receiving() as receiver, sending() as sender:
        for _ in range(3):
            await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}")
    assert receiver.connections == 3


async def test_the_host_of_an_ipv6_address_is_in_brackets() -> None:
    async with receiving() as receiver, sending(resolve=resolving(["127.0.0.1"])) as sender:
        await sender.post(f"http://[::1]:{receiver.port}/", {}, b"{}")
    assert f"host: [::1]:{receiver.port}\r\n".encode() in receiver.requests[0].lower()


async def test_a_proxy_in_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver, sending() as sender:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}")
    assert (proxy.connections, receiver.connections) == (0, 1)


@pytest.mark.parametrize("status", [204, 404, 410, 429, 500, 503])
async def test_any_status_is_returned(status: int) -> None:
    async with receiving(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()) as receiver, sending() as sender:
        assert await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}") == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with receiving() as target:
        location = f"http://127.0.0.1:{target.port}/"
        answer = f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        async with receiving(answer) as receiver, sending() as sender:
            assert await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}") == status
    assert target.connections == 0


# Where it never goes.


@pytest.mark.parametrize("host", HOSTS_ON_LOOPBACK + OTHER_PRIVATE_HOSTS)
async def test_a_private_url_is_not_connected_to(host: str) -> None:
    async with receiving() as receiver, sending(private_allowed=False) as sender:
        shown = f"[{host}]" if ":" in host else host
        for scheme in ("https", "http"):
            with pytest.raises(Unreachable):
                await sender.post(f"{scheme}://{shown}:{receiver.port}/", {}, b"{}")
        with pytest.raises(Unreachable):
            await sender.get(f"https://{shown}:{receiver.port}/")
    assert receiver.connections == 0


@pytest.mark.parametrize("host", HOSTS_ON_LOOPBACK + OTHER_PRIVATE_HOSTS)
async def test_a_private_host_is_not_connected_to_in_any_spelling(host: str, dialled: list[str]) -> None:
    with pytest.raises(Unreachable, match="leads to a private address"):
        await Network(private_allowed=False).connect_tcp(host, 443)
    assert dialled == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "017700000001"])
async def test_every_spelling_would_have_reached_the_server(host: str) -> None:
    network = Network(private_allowed=True)
    async with receiving() as receiver:
        await network.connect_tcp(host, receiver.port)
        await network.close()
        await receiver.accepted.wait()


async def test_a_name_that_comes_to_lead_elsewhere_is_refused(dialled: list[str]) -> None:
    async with sending(private_allowed=False, resolve=resolving([PUBLIC], ["127.0.0.1"])) as sender:
        with pytest.raises(Unreachable, match=r"rebind\.example cannot be connected to"):
            await sender.post("https://rebind.example/", {}, b"{}")
        with pytest.raises(Unreachable, match=r"rebind\.example leads to a private address"):
            await sender.post("https://rebind.example/", {}, b"{}")
    assert dialled == [PUBLIC]


async def test_a_name_is_resolved_once_for_each_request() -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    async with receiving() as receiver, sending(resolve=resolve) as sender:
        await sender.post(f"http://receiver.example:{receiver.port}/", {}, b"{}")
        assert asked == [("receiver.example", receiver.port)]
    assert f"host: receiver.example:{receiver.port}".encode() in receiver.requests[0]


async def test_of_mixed_addresses_only_the_public_ones_are_used(dialled: list[str]) -> None:
    mixed = ["::1", "127.0.0.1", PUBLIC, "10.0.0.1", "1.1.1.1", "2606:4700:4700::1111"]
    async with sending(private_allowed=False, resolve=resolving(mixed)) as sender:
        with pytest.raises(Unreachable):
            await sender.post("https://mixed.example/", {}, b"{}")
    assert dialled == [PUBLIC, "2606:4700:4700::1111"]


async def test_the_other_family_is_tried_where_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    connect_tcp = httpcore2.AnyIOBackend.connect_tcp

    async def without_ipv6(
        self: httpcore2.AnyIOBackend, host: str, port: int, *rest: float | None
    ) -> httpcore2.AsyncNetworkStream:
        if ":" in host:
            raise httpcore2.ConnectTimeout
        return await connect_tcp(self, host, port)

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", without_ipv6)
    addresses = ["2001:db8::1", "2001:db8::2", "127.0.0.1"]
    async with receiving() as receiver, sending(resolve=resolving(addresses)) as sender:
        assert await sender.post(f"http://receiver.example:{receiver.port}/", {}, b"{}") == 200


# What goes wrong on the way.


async def test_a_name_that_is_not_resolved_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    async def hangs(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(outgoing, "RESOLVE_TIMEOUT_S", 0.05)
    for resolve, reason in ((fails, "cannot be resolved"), (hangs, "no answer in time")):
        async with sending(resolve=resolve) as sender:
            with pytest.raises(Unreachable, match=reason):
                await sender.post("https://nowhere.example/", {}, b"{}")
    async with sending(resolve=resolving([])) as sender:
        with pytest.raises(Unreachable, match="has no address"):
            await sender.post("https://nowhere.example/", {}, b"{}")


async def test_a_closed_port_is_unreachable() -> None:
    async with receiving() as receiver:
        port = receiver.port
    async with sending() as sender:
        with pytest.raises(Unreachable, match="cannot be connected to: Connection refused"):
            await sender.post(f"http://127.0.0.1:{port}/", {}, b"{}")


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", "https://user@example.com/", "https://example.com/#a"])
async def test_what_is_no_url_is_unreachable(url: str) -> None:
    async with sending() as sender:
        with pytest.raises(Unreachable, match=r"^The URL "):
            await sender.post(url, {}, b"{}")


async def silence(writer: asyncio.StreamWriter) -> None:
    """Says nothing until the other side has gone."""


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 16_384)
        await writer.drain()
        await asyncio.sleep(0)


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def dripping_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("answer", [silence, dripping_head])
async def test_a_silent_server_is_given_up_in_time(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    async with receiving(answer) as receiver, sending(timeout_s=0.3) as sender:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"^no answer in time$"):
            await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}")
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("answer", [endless, dripping])
async def test_a_body_without_end_ends_in_time(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    async with receiving(answer) as receiver, sending(timeout_s=0.3) as sender:
        began = time.monotonic()
        assert await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}") == 200
        assert time.monotonic() - began < 1.5


async def test_a_huge_body_is_cut() -> None:
    written = 0

    async def huge(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while written < 1_000_000_000:
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    async with receiving(huge) as receiver, sending() as sender:
        assert await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}") == 200
    assert written < 50_000_000  # what the kernel's buffers held


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-secret\r\n\r\n",
        b"HTTP/1.1 secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\0secret: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Secret: " + b"x" * 200_000,
    ],
    ids=["nothing", "ssh", "status", "header", "long"],
)
async def test_what_is_not_http_is_unreachable_and_not_repeated(answer: bytes) -> None:
    async def once(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()

    async with receiving(once) as receiver, sending() as sender:
        with pytest.raises(Unreachable, match=r"^the connection was lost, or the answer is not HTTP$") as caught:
            await sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_closing_ends_what_is_under_way() -> None:
    async with receiving(silence) as receiver, sending(timeout_s=60) as sender:
        task = asyncio.create_task(sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}"))
        await receiver.asked.wait()
        await sender.close()
        with pytest.raises(Unreachable):
            await task


async def test_a_cancelled_request_leaves_no_connection() -> None:
    async with receiving(silence) as receiver, sending() as sender:
        task = asyncio.create_task(sender.post(f"http://127.0.0.1:{receiver.port}/", {}, b"{}"))
        await receiver.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# TLS.


class Certificate:
    """A self-signed certificate of receiver.example, the server's context with it, and a client's that trusts it."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.example")])
        names = [x509.DNSName("receiver.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = made.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = folder / "server.pem"
        path.write_bytes(pem + secret)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(path)
        self.client = ssl.create_default_context(cadata=pem.decode())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


async def test_a_certificate_is_checked_against_the_name_and_not_the_address(certificate: Certificate) -> None:
    async with (
        receiving(tls=certificate.server) as receiver,
        sending(tls=certificate.client, resolve=resolving(["127.0.0.1"])) as sender,
    ):
        assert await sender.post(f"https://receiver.example:{receiver.port}/", {}, b"{}") == 200
        assert await sender.post(f"https://127.0.0.1:{receiver.port}/", {}, b"{}") == 200
        with pytest.raises(Unreachable, match="certificate is not valid: Hostname mismatch"):
            await sender.post(f"https://other.example:{receiver.port}/", {}, b"{}")
    assert len(receiver.requests) == 2


async def test_a_self_signed_certificate_is_refused(certificate: Certificate) -> None:
    async with receiving(tls=certificate.server) as receiver, sending(resolve=resolving(["127.0.0.1"])) as sender:
        with pytest.raises(Unreachable, match="certificate is not valid: self-signed"):
            await sender.post(f"https://receiver.example:{receiver.port}/", {}, b"{}")
        with pytest.raises(Unreachable, match="certificate is not valid"):
            await sender.get(f"https://receiver.example:{receiver.port}/")
    assert receiver.requests == []


async def test_a_server_without_tls_is_unreachable() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with sending() as sender:
        with pytest.raises(Unreachable, match="TLS cannot be agreed on"):
            await sender.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
    server.close()
    await server.wait_closed()


async def test_a_server_that_is_silent_in_the_handshake_is_given_up_in_time() -> None:
    closed = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with sending(timeout_s=0.2) as sender:
        with pytest.raises(Unreachable, match="no answer in time"):
            await sender.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
        async with asyncio.timeout(2):
            await closed.wait()
    server.close()
    await server.wait_closed()


# Getting.


async def got(certificate: Certificate, answer: bytes, max_bytes: int = 100) -> bytes:
    async with (
        receiving(answer, certificate.server) as receiver,
        sending(tls=certificate.client, timeout_s=0.5, resolve=resolving(["127.0.0.1"])) as sender,
    ):
        return await sender.get(f"https://receiver.example:{receiver.port}/cert.pem", max_bytes=max_bytes)


async def test_a_body_is_got_up_to_its_limit(certificate: Certificate) -> None:
    assert await got(certificate, OK) == b"ok"
    exact = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
    assert await got(certificate, exact) == b"x" * 100


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, "longer than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"x" * 49, "incomplete"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "the answer is 404, not 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "the answer is 302, not 200"),
    ],
)
async def test_any_other_answer_is_not_got(certificate: Certificate, answer: bytes, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason):
        await got(certificate, answer)


async def test_nothing_is_got_over_plain_http() -> None:
    async with receiving() as receiver, sending() as sender:
        with pytest.raises(Unreachable, match="https://"):
            await sender.get(f"http://127.0.0.1:{receiver.port}/")
    assert receiver.connections == 0
