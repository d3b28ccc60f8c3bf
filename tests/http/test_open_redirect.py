"""Threats 1 and 22: nothing in a request says where it leads but the signed token, and no header what our URLs are."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote

import pytest
from raw import Raw, ask, connected, received
from serving import API_KEY, Service

pytest_plugins = ["service_fixtures"]

EVIL = "evil.example"
TARGETS = [
    f"https://{EVIL}/", f"//{EVIL}/", f"/\\{EVIL}", f"https:/\\{EVIL}", f"\\\\{EVIL}", f"https://good.example@{EVIL}/",
    f"javascript:alert('{EVIL}')", f"data:text/html,{EVIL}", f"%68ttps://{EVIL}", f"\thttps://{EVIL}", EVIL,
]  # fmt: skip
PARAMETERS = [
    "u", "url", "URL", "uri", "l", "link", "href", "src", "next", "redirect", "redirect_to", "redirect_uri",
    "redirect_url", "redir", "redir_url", "return", "return_to", "returnTo", "returnUrl", "return_url", "r", "rurl",
    "dest", "destination", "to", "target", "goto", "go", "out", "view", "continue", "forward", "location", "ref",
    "callback", "data", "page", "site", "domain", "host", "path", "ct", "c", "q", "d", "e", "x", "list", "token",
    "base", "utm_source", "mauticform[return]", "__proto__",
]  # fmt: skip
HEADERS = [
    "Host", "X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-HTTP-Host-Override", "X-Original-Host",
    "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded",
    "X-Original-URL", "X-Rewrite-URL", "Referer", "Origin", "Location", "Destination", "X-Redirect", "Refresh",
    "Cookie", "X-Forwarded-For", "Front-End-Https", "X-Url-Scheme", "Content-Location", "Link", "Via", "Alt-Used",
]  # fmt: skip
OPEN = [
    "/",
    "/healthz",
    "/readyz",
    "/robots.txt",
    "/openapi.json",
    "/nothing",
    "/console",
    "/console/sign-in",
    "/v1/rewrite",
]
OPEN += ["/v1/settings", "/o/x.gif", "/c/x", "/u/x", "/u/x/stop-tracking", "/c/", "/console/batches/x", "//c/x"]
_ids = (f"led-{number}" for number in itertools.count())


def links(service: Service) -> dict[str, str]:
    """The paths of a message's links."""
    mail = service.rewrite(next(_ids))
    urls = {"o": mail["open_url"], "c": mail["links"][0]["tracked_url"], "u": mail["unsubscribe_url"]}
    paths = {kind: url.removeprefix(service.url) for kind, url in urls.items()}
    return {**paths, "s": paths["u"] + "/stop-tracking"}


def leads_nowhere_else(answer: Raw) -> None:
    """Neither a header nor the page knows of the host; the console may take its own path along."""
    for name, value in answer.headers:
        assert EVIL.encode() not in value or value.startswith(b"/console/sign-in?next=%2Fconsole"), (name, value)
    assert EVIL.encode() not in answer.body
    assert b"http-equiv" not in answer.body


def same(answer: Raw) -> tuple[int, list[tuple[str, bytes]], bytes]:
    return answer.status, [header for header in answer.headers if header[0] != "date"], answer.body


@pytest.mark.parametrize("place", ["query", "form", "path"])
def test_no_parameter_says_where_to_go(service: Service, place: str) -> None:
    names = zip(PARAMETERS, itertools.cycle(TARGETS))
    for name, target in names:
        pair = f"{quote(name, safe='[]')}={quote(target, safe='')}"
        for path in OPEN:
            if place == "query":
                answer = ask(service.port, "GET", f"{path}?{pair}")
            elif place == "form":
                form = [("Content-Type", "application/x-www-form-urlencoded")]
                answer = ask(service.port, "POST", path, form, pair.encode())
            else:
                answer = ask(service.port, "GET", f"{path.rstrip('/')}/{quote(target, safe='/:@')}")
            leads_nowhere_else(answer)
            assert answer.status < 500, (path, pair)


def test_a_link_leads_where_it_leads_whatever_is_added(service: Service) -> None:
    paths = links(service)
    for kind in ("c", "o", "u"):
        plain = same(ask(service.port, "GET", paths[kind]))
        for name, target in zip(PARAMETERS, itertools.cycle(TARGETS)):
            for query in (f"?{quote(name, safe='[]')}={quote(target, safe='')}", f"?{target.strip()}", f"?{name}"):
                assert same(ask(service.port, "GET", paths[kind] + query)) == plain, query
        for name, target in itertools.product(HEADERS, (EVIL, TARGETS[0], TARGETS[1])):
            answer = ask(service.port, "GET", paths[kind], [(name, target)])
            # A second Host is no request at all; one that has no account leads to the default one.
            assert same(answer) == plain or (name == "Host" and answer.status == 400), (name, target)


def test_no_header_says_what_our_urls_are(service: Service) -> None:
    def mail(*headers: tuple[str, str]) -> bytes:
        body = b'{"message_id": "urls", "html": "<a href=https://shop.example/>x</a>", "text": "x"}'
        given = [("Authorization", f"Bearer {API_KEY}"), ("Content-Type", "application/json"), *headers]
        answer = ask(service.port, "POST", "/v1/rewrite", given, body)
        assert answer.status == 200 or (answer.status == 400 and any(name == "Host" for name, _ in headers))
        return answer.body if answer.status == 200 else plain

    plain = b""
    plain = mail()
    document = service.client.get("/openapi.json").content
    for name in HEADERS:
        for value in (EVIL, f"https://{EVIL}/", f"host={EVIL};proto=https"):
            assert mail((name, value)) == plain, name
            if name == "Host":
                assert service.client.get("/openapi.json", headers={name: EVIL}).content == document


@pytest.mark.parametrize(
    "host", [EVIL, f"{EVIL}:443", "", "127.0.0.1, " + EVIL, f"127.0.0.1@{EVIL}", "[::1", "a" * 300]
)
def test_whatever_the_host_is_called_the_pages_stay_on_it(service: Service, host: str) -> None:
    paths: dict[str, Any] = links(service)
    for path in [*paths.values(), *OPEN]:
        for version in ("1.1", "1.0"):
            head = f"GET {path} HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            answer = raw_request(service, head.encode())
            leads_nowhere_else(answer)
            assert answer.status < 500
            for value in answer.all("location"):
                assert value == b"https://shop.example/" or value.startswith(b"/console"), value


def raw_request(service: Service, request: bytes) -> Raw:
    with connected(service.port) as connection:
        connection.sendall(request)
        return received(connection)
