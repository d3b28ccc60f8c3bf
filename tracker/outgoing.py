"""The only place from which the service itself connects over HTTP: it looks at where a name leads before it goes there.

Owns that check, the limits and the reasons of failure. Must not follow redirects, use proxies, or keep connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

import httpcore2

from . import __version__
from .core.webhooks import check_url, is_public

USER_AGENT: Final = f"tracker/{__version__}"
MAX_BYTES: Final = 64 * 1024
RESOLVE_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 5.0

_TIMEOUTS: Final = (TimeoutError, httpcore2.TimeoutException)
_FAILURES: Final = (*_TIMEOUTS, OSError, httpcore2.NetworkError, httpcore2.RemoteProtocolError)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host's name, or an address in any spelling, and a port to IP addresses, the best first. OSError for none."""


class Unreachable(OSError):
    """The request was not sent, or not answered. The message is one short reason, and nothing the other side said."""


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """The addresses of ``host`` as the system finds them, which knows spellings such as 127.1 too."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Network(httpcore2.AsyncNetworkBackend):
    """Connects to the very addresses it has checked, so that a name can't lead elsewhere in between.

    For one request: `close` closes its connection, in whatever state that was left.
    """

    def __init__(self, *, private_allowed: bool, resolve: Resolve = system_addresses) -> None:
        self._private_allowed = private_allowed
        self._resolve = resolve
        self._backend = httpcore2.AnyIOBackend()
        self._stream: httpcore2.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to an allowed address of ``host``: the first, or else the first of the other family.

        Unreachable if there is no such address, or none of them takes the connection.
        """
        failure: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                self._stream = await self._backend.connect_tcp(
                    str(address), port, timeout or CONNECT_TIMEOUT_S, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = failure or error
            else:
                return self._stream
        raise Unreachable(f"{host} cannot be connected to: {_reason(failure)}") from None

    async def close(self) -> None:
        """Close the connection, if there is one."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    async def _addresses(self, host: str, port: int) -> list[IPv4Address | IPv6Address]:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = [ip_address(text) for text in await self._resolve(host, port)]
        except TimeoutError:
            raise Unreachable(f"{host} cannot be resolved: no answer in time") from None
        except (OSError, ValueError):
            raise Unreachable(f"{host} cannot be resolved") from None
        allowed = [address for address in found if self._private_allowed or is_public(address)]
        if not allowed:
            raise Unreachable(f"{host} leads to a private address" if found else f"{host} has no address")
        # Where one family does not work from here, the other one still may.
        first: dict[int, IPv4Address | IPv6Address] = {}
        for address in allowed:
            first.setdefault(address.version, address)
        return list(first.values())


class Outgoing:
    """Sends requests to URLs that someone else has chosen.

    ``timeout_s`` bounds each request as a whole. ``private_allowed`` allows plain http, and addresses that are not
    public: for tests, and for receivers beside the service. ``resolve`` and ``tls`` stand in for the system's own.
    """

    def __init__(
        self,
        *,
        private_allowed: bool,
        timeout_s: float = 15.0,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._private_allowed = private_allowed
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()
        self._under_way: set[asyncio.Timeout] = set()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post ``body``, and return the status code of the answer: any, a redirect's too.

        Unreachable without an answer. Once there is a status code, what becomes of the answer's body is no matter.
        """
        status, _ = await self._exchange("POST", url, headers, body, MAX_BYTES)
        return status

    async def get(self, url: str, *, max_bytes: int = MAX_BYTES) -> bytes:
        """The body of a 200 answer over https. Unreachable for any other, and for more than ``max_bytes``."""
        if not url.lower().startswith("https://"):
            raise Unreachable("The URL does not begin with https://.")
        status, body = await self._exchange("GET", url, {}, None, max_bytes)
        if status != 200:
            raise Unreachable(f"the answer is {status}, not 200")
        if body is None:
            raise Unreachable(f"the answer is incomplete, or longer than {max_bytes} bytes")
        return body

    async def close(self) -> None:
        """End what is under way, as if its time were up."""
        for limit in self._under_way:
            if not limit.expired():
                limit.reschedule(0)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, max_bytes: int
    ) -> tuple[int, bytes | None]:
        """The answer's status and its body; None for a body that is not complete within the limits."""
        request = self._request(method, url, headers, content)
        network = Network(private_allowed=self._private_allowed, resolve=self._resolve)
        # Without a pool there is no connection to be used again after its name has come to lead elsewhere.
        connection = httpcore2.AsyncHTTPConnection(request.url.origin, self._tls, network_backend=network)
        status: int | None = None
        body: bytes | None = None
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                with self._listed(limit):
                    response = await connection.handle_async_request(request)
                    status = response.status
                    body = await _read(response, max_bytes)
        except Unreachable:
            raise
        except _FAILURES as error:
            if status is None:
                raise Unreachable(_reason(error)) from None
        finally:
            await network.close()
        return status, body

    @contextlib.contextmanager
    def _listed(self, limit: asyncio.Timeout) -> Iterator[None]:
        self._under_way.add(limit)
        try:
            yield
        finally:
            self._under_way.discard(limit)

    def _request(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpcore2.Request:
        try:
            checked = check_url(url, private_allowed=self._private_allowed)
        except ValueError as error:
            raise Unreachable(str(error)) from None
        parts = urlsplit(checked)
        # Put together here: httpcore2's own parser loses what follows a semicolon in the path.
        target = checked.removeprefix(f"{parts.scheme}://{parts.netloc}")
        where = httpcore2.URL(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, target=target)
        sent = {"user-agent": USER_AGENT, **headers, "host": parts.netloc, "connection": "close"}
        if content is not None:
            sent["content-length"] = str(len(content))
        return httpcore2.Request(method, where, headers=list(sent.items()), content=content)


async def _read(response: httpcore2.Response, max_bytes: int) -> bytes | None:
    """The body; None as soon as it is longer than ``max_bytes``."""
    body = bytearray()
    async with contextlib.aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                return None
    return bytes(body)


def _reason(error: BaseException | None) -> str:
    """Why a request failed, in a few words of ours or the system's: never those of the other side."""
    while error is not None and error.__cause__ is not None and not isinstance(error, _TIMEOUTS):
        error = error.__cause__
    match error:
        case _ if isinstance(error, _TIMEOUTS):
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            return "TLS cannot be agreed on"
        case OSError(errno=int(number)):
            return os.strerror(number)
        case _:
            return "the connection was lost, or the answer is not HTTP"
