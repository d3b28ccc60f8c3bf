"""How long a client may take over headers, a body, its next request, and the answer, on raw connections."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from raw import connected, received_until_closed
from serving import API_KEY, Service, serving

HEAD = f"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n".encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limited = serving(
        tmp_path_factory.mktemp("limits") / "data",
        HEADER_TIMEOUT_S="2", BODY_TIMEOUT_S="3", IDLE_TIMEOUT_S="2", WRITE_TIMEOUT_S="2",
    )  # fmt: skip
    with limited as service:
        yield service


def seconds_until_closed(connection: socket.socket) -> float:
    started = time.monotonic()
    received_until_closed(connection)
    return time.monotonic() - started


def test_headers_that_drip_and_connections_that_are_silent(service: Service) -> None:
    with connected(service.port) as silent, connected(service.port) as dripping:
        started = time.monotonic()
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        dripping.settimeout(0.2)
        data = b""
        while not data and time.monotonic() < started + 20:
            dripping.sendall(b"X: y\r\n")
            try:
                data = dripping.recv(65536)
            except TimeoutError:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started > 1.9
        assert received_until_closed(silent) == b"", "no answer to who asked nothing"
    with connected(service.port) as kept:
        # The time of a request that comes later on the same connection starts with its first byte.
        for _ in range(3):
            kept.sendall(b"GET /healthz HTTP/1.1\r\n")
            time.sleep(1.2)
            kept.sendall(b"Host: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"ok\n"):
                answer += kept.recv(1)
            assert answer.startswith(b"HTTP/1.1 200 ")
        kept.sendall(b"GET /hea")
        assert received_until_closed(kept).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips(service: Service) -> None:
    with connected(service.port) as connection:
        connection.sendall(HEAD + b"Content-Length: 60000\r\n\r\n{")
        connection.settimeout(0.2)
        started = time.monotonic()
        data = b""
        while not data and time.monotonic() < started + 20:
            connection.sendall(b" ")
            try:
                data = connection.recv(65536)
            except TimeoutError:
                continue
        assert data.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started > 2.9
    assert '"level":"error"' not in service.output()


def test_an_idle_connection_and_stray_bytes_on_one(service: Service) -> None:
    for stray in (b"", b"\r\n"):
        with connected(service.port) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            connection.sendall(stray)
            assert 1.5 < seconds_until_closed(connection) < 15


def test_who_does_not_read_the_answers(service: Service) -> None:
    before = service.metric("tracker_limited_total")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    with connection:
        connection.connect(("127.0.0.1", service.port))
        connection.settimeout(0.5)
        ask_for_much = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 4
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    connection.sendall(ask_for_much)
        except ConnectionError:
            pass
        assert time.monotonic() < deadline
    assert service.metric("tracker_limited_total") > before
