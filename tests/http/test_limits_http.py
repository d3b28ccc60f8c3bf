"""What a client may cost: sizes and numbers, on raw connections, and requests that are not quite HTTP."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Raw, ask, connected, received, received_until_closed
from serving import API_KEY, Service, serving

PROBLEM = b"application/problem+json"
PROMISED = {"cache-control": b"no-store, private", "referrer-policy": b"no-referrer", "x-robots-tag": b"noindex"}
AUTHORIZED = f"Authorization: Bearer {API_KEY}\r\n".encode()
HEAD = b"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED
LARGEST = 65536
_ids = (f"limits-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("limits") / "data", MAX_BODY_BYTES=str(LARGEST)) as service:
        yield service


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With the limits that it has when nobody sets them."""
    with serving(tmp_path_factory.mktemp("limits") / "data") as service:
        yield service


def exchange(port: int, *pieces: bytes, pause_s: float = 0.02) -> Raw:
    """Send pieces one after the other; the answer, which has to close the connection."""
    with connected(port) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)
        return received(connection)


def check_refusal(answer: Raw, status: int) -> None:
    assert answer.status == status
    assert answer.one("connection") == b"close"
    assert answer.one("content-type") == PROBLEM
    assert int(answer.one("content-length")) == len(answer.body)
    assert json.loads(answer.body)["status"] == status
    assert answer.one("date")
    for name, value in PROMISED.items():
        assert answer.one(name) == value


# Sizes.


def test_the_longest_url_and_one_byte_more(plain: Service) -> None:
    for length, status in ((8192, 404), (8193, 414)):
        answer = ask(plain.port, "GET", "/c/" + "A" * (length - 3))
        assert answer.status == status
    check_refusal(answer, 414)
    check_refusal(exchange(plain.port, b"GET /c/", b"A" * 5000, b"A" * 5000), 414)


def test_the_longest_link_works(plain: Service) -> None:
    noise = hashlib.shake_256(b"so that it can't be compressed").hexdigest(5000)
    longest = ""
    for length in range(500, 5000, 250):
        target = "https://shop.example/?" + noise[:length]
        (link,) = plain.rewrite(next(_ids), html=f'<a href="{target}">x</a>', unsubscribe={"footer": "never"})["links"]
        if link["action"] == "rewritten":
            longest = link["tracked_url"].removeprefix(plain.url)
            assert ask(plain.port, "GET", longest).one("location") == target.encode()
    assert len(longest) > 1800


def test_the_largest_headers_and_some_more(plain: Service) -> None:
    for size, status in ((32_000, 200), (33_000, 431)):
        answer = ask(plain.port, "GET", "/o/x.gif", [("Cookie", "c" * (size // 4))] * 4)
        assert answer.status == status
    check_refusal(answer, 431)
    endless = exchange(plain.port, b"GET /healthz HTTP/1.1\r\nX: ", *[b"x" * 8000] * 5)
    check_refusal(endless, 431)


def sized(size: int) -> bytes:
    """A rewrite of so many bytes."""
    frame = json.dumps({"message_id": next(_ids), "html": ""}).encode()
    return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]


@pytest.mark.parametrize(("size", "status"), [(LARGEST, 200), (LARGEST + 1, 413)])
def test_the_largest_body_and_one_byte_more(service: Service, size: int, status: int) -> None:
    body = sized(size)
    last = HEAD + b"Connection: close\r\n"
    counted = exchange(service.port, last + b"Content-Length: %d\r\n\r\n" % size + body)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1], body[1:40_000], body[40_000:]))
    chunked = exchange(service.port, last + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, b"0\r\n\r\n")
    assert counted.status == chunked.status == status, (counted, chunked)
    if status == 413:
        check_refusal(counted, 413)
        check_refusal(chunked, 413)
        assert json.loads(counted.body)["type"] == "/problems/too_large"


def test_a_length_over_the_limit_is_refused_before_anything_is_read(service: Service) -> None:
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (LARGEST + 1)
    check_refusal(exchange(service.port, head), 413)


def test_who_sends_much_too_much_still_sees_the_answer(service: Service) -> None:
    body = b"x" * (64 * LARGEST)
    check_refusal(exchange(service.port, HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body), 413)


def test_a_body_in_the_smallest_of_chunks_and_one_without_end(service: Service) -> None:
    body = sized(2000)
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (
        exchange(service.port, head, *[b"1\r\n%c\r\n" % byte for byte in body], b"0\r\n\r\n", pause_s=0).status == 200
    )
    # Extensions of chunks are no body, and yet they are not to be without end.
    check_refusal(exchange(service.port, head, *[b"1;" + b"x" * 10_000 + b"\r\nx\r\n"] * 60, pause_s=0.002), 413)


def test_the_body_of_a_get_is_not_waited_for(service: Service) -> None:
    message_id = next(_ids)
    path = service.rewrite(message_id)["open_url"].removeprefix(service.url).encode()
    for length in (b"Content-Length: 9999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n"):
        answer = exchange(service.port, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + length + b"a body")
        assert (answer.status, answer.one("content-type")) == (200, b"image/gif")
    service.reached(message_id, "rewritten", "opened", "opened")


# What is not quite HTTP.


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        b"Content-Length: 4\r\nContent-Length: 40\r\n\r\nbody",
        b"Content-Length: 4, 4\r\n\r\nbody",
        b"Content-Length: +4\r\n\r\nbody",
        b"Content-Length: 0x4\r\n\r\nbody",
        b"Content-Length: 99999999999999999999\r\n\r\nbody",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity\r\n\r\nbody",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
        b"X: y\rContent-Length: 4\r\n\r\nbody",
        b"Content-Length: 4\n\nbody",
    ],
)
def test_a_request_whose_end_is_not_certain_is_refused(service: Service, head: bytes) -> None:
    """What a proxy and we may read differently: another's request could hide in it."""
    hidden = b"POST " + service.rewrite(next(_ids))["unsubscribe_url"].removeprefix(service.url).encode()
    check_refusal(exchange(service.port, HEAD + head + hidden + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 400)


def test_a_lying_length(service: Service) -> None:
    message_id = next(_ids)
    body = json.dumps({"message_id": message_id, "html": "x"}).encode()
    head = HEAD + b"Connection: close\r\n"
    with connected(service.port) as short:
        short.sendall(head + b"Content-Length: %d\r\n\r\n" % (len(body) + 10) + body)
        short.shutdown(socket.SHUT_WR)
        assert received_until_closed(short) == b""
    cut = exchange(service.port, head + b"Content-Length: %d\r\n\r\n" % (len(body) - 1) + body)
    assert cut.status == 422
    assert service.message(message_id) is None


def test_compressed_bodies_are_refused(service: Service) -> None:
    for encoding in (b"gzip", b"deflate", b"br", b"gzip, gzip", b"GZIP", b"x"):
        head = HEAD + b"Connection: close\r\nContent-Encoding: " + encoding + b"\r\n"
        assert exchange(service.port, head + b"Content-Length: 4\r\n\r\n\x1f\x8b\x08\x00").status == 415


# Numbers.


def test_one_key_too_often(tmp_path: Path) -> None:
    with serving(tmp_path / "data", REQUESTS_PER_KEY="2") as service:
        answers = [service.call("GET", "/v1/messages/nobody") for _ in range(14)]
        assert [answer.status_code for answer in answers[:10]] == [404] * 10
        last = answers[-1]
        assert (last.status_code, last.headers["content-type"]) == (429, PROBLEM.decode())
        assert last.json()["type"] == "/problems/too_many_requests"
        assert last.headers["retry-after"] == "1"
        time.sleep(1.5)
        assert service.call("GET", "/v1/messages/nobody").status_code == 404
        recipients = [{"message_id": f"batch-{number}"} for number in range(50)]
        time.sleep(1)
        answer = service.call("POST", "/v1/rewrite/batch", json={"html": "<p>x</p>", "recipients": recipients})
        assert answer.status_code == 200, "a batch is one call"
        assert service.metric("tracker_limited_total") >= 1


def test_invalid_traffic_is_limited_and_valid_is_not(tmp_path: Path) -> None:
    limited = serving(tmp_path / "data", INVALID_PER_MINUTE="10", TRUSTED_PROXIES="127.0.0.1")
    with limited as service:
        mail = service.rewrite("valid")
        click, pixel, leave = (
            url.removeprefix(service.url)
            for url in (mail["links"][0]["tracked_url"], mail["open_url"], mail["unsubscribe_url"])
        )
        near, far = ([("X-Forwarded-For", address)] for address in ("192.0.2.7", "192.0.3.7"))
        for _ in range(11):
            ask(service.port, "GET", "/c/bad", [("X-Forwarded-For", "192.0.2.99")])
        for method, path in (("GET", "/c/bad"), ("HEAD", "/c/bad"), ("GET", "/u/bad"), ("POST", "/u/bad")):
            answer = ask(service.port, method, path, near)
            assert answer.status == 429
            assert int(answer.one("retry-after")) > 0
            assert answer.one("connection") == b"close"
            for name, value in PROMISED.items():
                assert answer.one(name) == value
            assert ask(service.port, method, path, far).status == 404
        with connected(service.port) as connection:
            connection.sendall(b"GET /o/bad.gif HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
            answer = received(connection)
        assert (answer.status, answer.one("content-type"), answer.one("connection")) == (200, b"image/gif", b"close")
        wrong = service.call(
            "GET", "/v1/messages/x", headers={"Authorization": "Bearer no", "X-Forwarded-For": "192.0.2.7"}
        )
        assert (wrong.status_code, wrong.headers["content-type"]) == (429, PROBLEM.decode())
        for _ in range(5):
            assert ask(service.port, "GET", pixel, near).status == 200
            assert ask(service.port, "GET", click, near).status == 302
        assert ask(service.port, "GET", leave, near).status == 200
        assert ask(service.port, "POST", leave, near).status == 200
        service.reached("valid", "rewritten", *["opened"] * 5, *["clicked"] * 5, "unsubscribed")
        assert service.metric("tracker_spool_appended_total") == 12
