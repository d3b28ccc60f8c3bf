"""Requests and answers byte for byte, for what an HTTP client would tidy up on the way.

Owns one connection a call. Must not know what is asked.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import NamedTuple

from serving import BROWSER, CALL_TIMEOUT_S


class Raw(NamedTuple):
    """An answer as it came: status, headers in order with lower-case names, body."""

    status: int
    headers: list[tuple[str, bytes]]
    body: bytes

    def all(self, name: str) -> list[bytes]:
        """The values of all headers called ``name``."""
        return [value for header, value in self.headers if header == name]

    def one(self, name: str) -> bytes:
        """The value of the only header called ``name``."""
        (value,) = self.all(name)
        return value


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection to the service."""
    with socket.create_connection(("127.0.0.1", port), timeout=CALL_TIMEOUT_S) as connection:
        yield connection


def received(connection: socket.socket) -> Raw:
    """What comes until the other side closes, as one answer."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    head, _, body = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    pairs = [line.partition(b": ") for line in lines]
    return Raw(int(status.split(b" ")[1]), [(name.decode().lower(), value) for name, _, value in pairs], body)


def received_until_closed(connection: socket.socket) -> bytes:
    """All that comes until the other side closes or resets, which may be nothing."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionError:
        pass
    return data


def ask(
    port: int, method: str, target: bytes | str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
) -> Raw:
    """One request on its own connection, its target and headers exactly as given; a browser's, if they don't say."""
    target = target.encode() if isinstance(target, str) else target
    lines = [("Host", "127.0.0.1"), ("Connection", "close"), *(headers or [])]
    if all(name.lower() != "user-agent" for name, _ in lines):
        lines.append(("User-Agent", BROWSER))
    if body:
        lines.append(("Content-Length", str(len(body))))
    head = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in lines)
    with connected(port) as connection:
        connection.sendall(method.encode() + b" " + target + b" HTTP/1.1\r\n" + head + b"\r\n" + body)
        return received(connection)
