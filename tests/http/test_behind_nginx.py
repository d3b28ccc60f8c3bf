"""The service behind nginx as deploy/ has it, over TLS: who gets in, where from, how much, and what is written down."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from nginx import INSIDE, NAME, NGINX, OUTSIDE, Front, fronting, request
from raw import received
from serving import API_KEY, CALL_TIMEOUT_S, Service, serving

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")

KEY = f"Authorization: Bearer {API_KEY}"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("behind") / "data"
    with serving(data_dir, BASE_URL=f"https://{NAME}", TRUSTED_PROXIES="127.0.0.1/32", CLIENT_IP="full") as service:
        yield service


@pytest.fixture
def front(behind: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """An nginx for each test: its limits remember who called."""
    with fronting(tmp_path_factory.mktemp("nginx"), behind.port) as front:
        yield front


def path(url: str) -> str:
    assert url.startswith(f"https://{NAME}/")
    return urlsplit(url).path


def pipelined(front: Front, source: str, *requests: bytes) -> list[int]:
    """The statuses of requests sent all at once on one connection; the last has to close it."""
    with front.connected(source) as connection:
        connection.sendall(b"".join(requests))
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def test_links_work_and_a_hit_has_the_address_of_its_client_whatever_it_says(behind: Service, front: Front) -> None:
    mail = behind.rewrite("m-address")
    spoofed = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=203.0.113.9"]
    opened = front.ask("GET", path(mail["open_url"]), *spoofed, "X-Real-IP: 203.0.113.9")
    assert (opened.status, opened.one("content-type")) == (200, b"image/gif")
    clicked = front.ask("GET", path(mail["links"][0]["tracked_url"]), *spoofed)
    assert (clicked.status, clicked.one("location")) == (302, b"https://shop.example/")
    form = "Content-Type: application/x-www-form-urlencoded"
    body = b"List-Unsubscribe=One-Click"
    assert front.ask("POST", path(mail["unsubscribe_url"]), form, *spoofed, body=body).status == 200
    behind.reached("m-address", "rewritten", "opened", "clicked", "unsubscribed")
    hits = [event for event in behind.events("m-address") if event["type"] != "rewritten"]
    assert [event["address"] for event in hits] == [OUTSIDE] * 3


def test_the_api_and_the_console_are_for_the_inside(behind: Service, front: Front) -> None:
    call = json.dumps({"message_id": "m-inside", "html": "<p>x</p>"}).encode()
    assert front.ask("POST", "/v1/rewrite", KEY, body=call, source=INSIDE).status == 200
    assert front.ask("POST", "/v1/rewrite", KEY, body=call).status == 403
    assert front.ask("GET", "/console/sign-in", source=INSIDE).status == 200
    assert front.ask("GET", "/console/sign-in").status == 403
    # A provider's hook is public, and an unknown one is none.
    assert front.ask("POST", "/v1/events/postmark/unknown", body=b"{}").status == 404


def test_what_has_no_key_is_closed(front: Front) -> None:
    for target in ("/metrics", "/readyz", "/healthz", "/openapi.json", "/docs", "/"):
        for source in (INSIDE, OUTSIDE):
            assert front.ask("GET", target, source=source).status in (403, 404), target


def test_no_spelling_of_a_path_gets_past_its_place(front: Front) -> None:
    for target in (
        "/metrics/../o/x.gif", "/v1/../o/x.gif", "/v1/messages/..%2f..%2f..%2fo%2fx.gif", "/%6f/x.gif", "//o/x.gif",
        "/console/%2e%2e/c/x", "/openapi.json/../u/x", "/o/%2e%2e/metrics", "/o/../v1/settings",
        "/c/..%2f..%2fconsole", "/v1/settings/../events/ses/x", "/v1/settings/..%2fevents%2fses%2fx",
    ):  # fmt: skip
        answer = front.ask("GET", target, KEY)
        assert answer.status in (400, 403, 404), target
        assert b"nginx" in answer.body, target  # its own refusal: the service was not asked


def test_no_other_host_is_answered(front: Front) -> None:
    for host in ("evil.example", "127.0.0.1", f"{NAME}.evil.example"):
        with pytest.raises(ssl.SSLError), front.connected(name=host):
            pass
        with front.connected() as connection:  # the right name for TLS, another in the request
            connection.sendall(request("GET", "/robots.txt", "Connection: close").replace(NAME.encode(), host.encode()))
            assert connection.recv(65536) == b""
    with socket.create_connection((INSIDE, front.http_port), CALL_TIMEOUT_S) as connection:
        connection.sendall(b"GET /c/x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(65536) == b""
    with socket.create_connection((INSIDE, front.http_port), CALL_TIMEOUT_S) as connection:
        connection.sendall(request("GET", "/c/x%0d%0aSet-Cookie:a=b", "Connection: close"))
        answer = received(connection)
        assert answer.one("location") == f"https://{NAME}/c/x%0d%0aSet-Cookie:a=b".encode()
        assert not answer.all("set-cookie")


def test_calls_are_limited_by_address_and_pixels_never(behind: Service, front: Front) -> None:
    pixel = path(behind.rewrite("m-many")["open_url"])
    many = [*[request("GET", pixel)] * 699, request("GET", pixel, "Connection: close")]
    assert pipelined(front, OUTSIDE, *many) == [200] * 700
    for target, at_least in (("/v1/settings", 400), ("/console", 20)):
        # Refused for where they come from, and soon for how many they are: neither asks the service.
        burst = [*[request("GET", target)] * 899, request("GET", target, "Connection: close")]
        statuses = pipelined(front, OUTSIDE, *burst)
        assert set(statuses) == {403, 429}
        assert statuses.count(403) > at_least
    assert front.ask("GET", "/console/sign-in", source=INSIDE).status == 200  # another address has its own


def test_large_requests_are_refused(front: Front) -> None:
    assert front.ask("POST", "/u/x", "Content-Length: 65537").status == 413
    assert front.ask("POST", "/u/x", body=b"x" * 65536).status == 404
    chunked = b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n"
    assert front.ask("POST", "/u/x", "Transfer-Encoding: chunked", body=chunked).status == 413
    assert front.ask("POST", "/v1/rewrite", KEY, f"Content-Length: {(16 << 20) + 1}", source=INSIDE).status == 413
    assert front.ask("GET", "/c/" + "x" * 8192).status == 414
    assert front.ask("GET", "/c/x", *[f"X-{at}: {'x' * 7000}" for at in range(6)]).status == 400


def test_a_slow_client_is_not_waited_for(front: Front) -> None:
    with front.connected() as connection:
        connection.sendall(b"GET /c/x HTTP/1.1\r\nX-Slow: ")
        assert connection.recv(65536) == b""  # in 5 s; in CALL_TIMEOUT_S this would raise


def test_http_2_has_few_streams_at_once(front: Front) -> None:
    with front.connected(OUTSIDE, NAME, "h2") as connection:
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        data = b""
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
            data += connection.recv(65536)
    pairs = [data[at : at + 6] for at in range(9, 9 + int.from_bytes(data[:3], "big"), 6)]
    assert {pair[:2]: int.from_bytes(pair[2:], "big") for pair in pairs}[b"\x00\x03"] == 32


def test_no_token_address_or_key_is_logged(behind: Service, front: Front) -> None:
    mail = behind.rewrite("m-logged")
    tokens = [path(mail["open_url"]), path(mail["links"][0]["tracked_url"]), path(mail["unsubscribe_url"])]
    for target in tokens:
        secret = target[3:]
        for variant in (target, f"/%{ord(target[1]):x}/{secret}", f"/x{target}", f"/{target[1].upper()}/{secret}",
                        f"/console{target}", f"/v1/{secret}", f"{target}?{secret}", f"/{secret}"):  # fmt: skip
            front.ask("GET", variant, f"Referer: https://x.example/{secret}", f"User-Agent: {secret}")
    front.ask("GET", "/v1/messages/jane@person.example/events", KEY, source=INSIDE)
    front.ask("POST", "/v1/events/postmark/a-hooks-secret", body=b"{}")
    behind.stop()
    assert front.ask("GET", tokens[1]).status == 502
    logged = front.logged()
    assert logged.count("\n") >= 3 * 8 + 3
    for kind in ("/o/", "/c/", "/u/", "/v1/messages", "/v1/events/postmark/", "/console", "other"):
        assert f" {kind} " in logged
    secrets = [target[3:23] for target in tokens]
    for secret in (*secrets, "person.example", "m-logged", "a-hooks-secret", API_KEY, OUTSIDE, INSIDE):
        assert secret not in logged
