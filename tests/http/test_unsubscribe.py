"""Unsubscribing: a GET asks, a POST does, whatever its body, and says so only when it is stored."""

from __future__ import annotations

import itertools
from html.parser import HTMLParser

import pytest
from raw import ask, connected, received
from serving import Service

pytest_plugins = ["service_fixtures"]

_ids = (f"leaving-{number}" for number in itertools.count())
_BOUNDARY = "----b0undary"
_MULTIPART = (
    f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--{_BOUNDARY}--\r\n'
).encode()

BODIES = {
    "one-click": ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
    "multipart": (f"multipart/form-data; boundary={_BOUNDARY}", _MULTIPART),
    "own form": ("application/x-www-form-urlencoded", b""),
    "json": ("application/json", b'{"garbage": [1, 2'),
    "other field": ("application/x-www-form-urlencoded", b"List-Unsubscribe=Two-Click&csrf=x"),
    "binary": ("application/octet-stream", bytes(range(256)) * 40),
    "large": ("text/plain", b"x" * 3_000_000),
    "no type": ("", b"?"),
}


def path(service: Service, message_id: str, **fields: object) -> str:
    return str(service.rewrite(message_id, **fields)["unsubscribe_url"]).removeprefix(service.url)


@pytest.mark.parametrize("kind", BODIES)
def test_a_post_unsubscribes_whatever_its_body(service: Service, kind: str) -> None:
    type_, body = BODIES[kind]
    message_id = next(_ids)
    headers = [("Content-Type", type_)] if type_ else []
    answer = ask(service.port, "POST", path(service, message_id), headers, body)
    assert answer.status == 200
    assert not answer.all("location")
    assert not answer.all("set-cookie")
    assert b"You are unsubscribed" in answer.body
    service.reached(message_id, "rewritten", "unsubscribed")
    message = service.message(message_id)
    assert message
    assert (message["stage"], message["label"], message["last_action"]) == (
        "unsubscribed",
        "Unsubscribed",
        "Unsubscribed",
    )
    assert message["unsubscribed_at"]


def test_a_chunked_post_and_one_without_any_length(service: Service) -> None:
    message_id = next(_ids)
    target = path(service, message_id)
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    for rest in (
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nList-\r\n0\r\n\r\n",
        b"\r\n",
        b"Expect: 100-continue\r\n\r\n",
    ):
        with connected(service.port) as connection:
            connection.sendall(head + rest)
            assert received(connection).status == 200
    service.reached(message_id, "rewritten", *["unsubscribed"] * 3)


def test_twenty_repeats_leave_the_first_time(service: Service) -> None:
    message_id = next(_ids)
    target = path(service, message_id)
    assert ask(service.port, "POST", target).status == 200
    service.reached(message_id, "rewritten", "unsubscribed")
    before = service.message(message_id)
    for _ in range(19):
        assert ask(service.port, "POST", target, [], b"List-Unsubscribe=One-Click").status == 200
    service.reached(message_id, "rewritten", *["unsubscribed"] * 20)
    assert service.message(message_id) == before


def test_get_changes_nothing_however_often(service: Service) -> None:
    message_id = next(_ids)
    target = path(service, message_id)
    for agent in ("Mozilla/5.0", "Googlebot", "curl/8", ""):
        for query in ("", "?List-Unsubscribe=One-Click", "?confirm=1&_method=POST"):
            headers = [("User-Agent", agent), ("X-HTTP-Method-Override", "POST")]
            assert ask(service.port, "GET", target + query, headers).status == 200
    ask(service.port, "GET", service.link("https://shop.example/", message_id).removeprefix(service.url))
    service.reached(message_id, "rewritten", "rewritten", "clicked")


class Page(HTMLParser):
    """The elements and the words of a page."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_has_two_forms_unsubscribing_first_and_loads_nothing(service: Service) -> None:
    target = path(service, next(_ids), list="Weekly <b>deals</b> & \"more\" 'today'")
    answer = ask(service.port, "GET", target + "?utm_source=x")
    page = Page(answer.body)
    assert "“Weekly <b>deals</b> & \"more\" 'today'”" in page.words
    names = [name for name, _ in page.tags]
    assert not {"script", "img", "link", "iframe", "input", "b", "a"} & set(names)
    forms = [attributes for name, attributes in page.tags if name in ("form", "button")]
    assert forms == [
        {"method": "post", "action": target}, {"type": "submit"},
        {"method": "post", "action": f"{target}/stop-tracking"}, {"type": "submit", "class": "second"},
    ]  # fmt: skip
    assert page.words.index("Unsubscribe?") < page.words.index("Stop the tracking")
    assert dict(page.tags)["html"]["lang"]
    policy = answer.one("content-security-policy").decode()
    for directive in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    assert answer.one("content-type") == b"text/html; charset=utf-8"
    assert answer.one("x-content-type-options") == b"nosniff"


def test_a_bad_link_says_that_it_is_incomplete_and_how_to_go_on(service: Service) -> None:
    for method in ("GET", "POST"):
        answer = ask(service.port, method, "/u/" + path(service, next(_ids))[3:-4])
        assert answer.status == 404
        assert b"incomplete" in answer.body
        assert b"open the message again" in answer.body
        assert b"<form" not in answer.body
    assert b"incomplete" in ask(service.port, "GET", "/c/cut").body


def test_the_query_is_not_shown(service: Service) -> None:
    answer = ask(service.port, "GET", path(service, next(_ids)) + "?x=<script>alert(1)</script>Echo")
    assert b"Echo" not in answer.body
