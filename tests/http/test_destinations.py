"""Where a tracked link leads: the caller's URL, byte for byte."""

from __future__ import annotations

import itertools

import pytest
from raw import ask
from serving import Service

pytest_plugins = ["service_fixtures"]

_ids = (f"to-{number}" for number in itertools.count())

SAME = [
    "https://shop.example",
    "https://shop.example/",
    "http://shop.example:8080/a/../b/./c//d",
    "HTTPS://Shop.Example/Path",
    "https://shop.example/a%20b%2Fc%c3%a9%7Edone%",
    "https://shop.example/it's?q='quoted'&r=(1)*!$,;:@",
    "https://shop.example/a b?c=d e",
    "https://shop.example/?a=1&b=2&a=3&copy=4&empty=&=x&&",
    "https://shop.example/page#section/2?not=query",
    "https://shop.example/?next=https%3A%2F%2Fother.example%2F%3Fa%3Db",
    "https://shop.example/?next=https://other.example/",
    "https://shop.example/|{}^`[]<>",
    "https://shop.example/+plus+plus",
    "https://[2001:db8::1]:8443/six",
    "https://192.0.2.7/four",
    "https://xn--bcher-kva.example/",
    "https://shop.example/" + "long/" * 200,
]

ENCODED = [
    ("https://bücher.example/", b"https://xn--bcher-kva.example/"),
    ("https://bücher.example:8443/x", b"https://xn--bcher-kva.example:8443/x"),
    ("https://例え.テスト/", b"https://xn--r8jz45g.xn--zckzah/"),
    ("https://shop.example/café", b"https://shop.example/caf%C3%A9"),
    ("https://shop.example/café/a%20b%C3%BC", b"https://shop.example/caf%C3%A9/a%20b%C3%BC"),
    ("https://shop.example/?q=größe&n=1#übersicht", b"https://shop.example/?q=gr%C3%B6%C3%9Fe&n=1#%C3%BCbersicht"),
    ("https://shop.example/\U0001f381", b"https://shop.example/%F0%9F%8E%81"),
    ("//shop.example/no-scheme", b"https://shop.example/no-scheme"),
]

NEVER = [
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "mailto:a@b.example",
    "tel:+123",
    "https:\\\\evil.example",
    "https:/evil.example",
    "https://user:password@shop.example/",
    "https://shop.example\\@evil.example/",
    "https://",
    "https://shop.example:99999/",
    "/relative",
    "#anchor",
    "https://shop.example/{{first_name}}",
]


@pytest.mark.parametrize("url", SAME, ids=lambda url: url[:60])
def test_a_destination_comes_back_as_it_was(service: Service, url: str) -> None:
    answer = ask(service.port, "GET", service.link(url, next(_ids)).removeprefix(service.url))
    assert (answer.status, answer.one("location"), answer.body) == (302, url.encode(), b"")


@pytest.mark.parametrize(("url", "location"), ENCODED)
def test_what_is_not_ascii_is_encoded_and_the_rest_is_left(service: Service, url: str, location: bytes) -> None:
    answer = ask(service.port, "GET", service.link(url, next(_ids)).removeprefix(service.url))
    assert (answer.status, answer.one("location")) == (302, location)


@pytest.mark.parametrize("url", NEVER)
def test_what_is_no_safe_link_to_the_web_is_left_alone(service: Service, url: str) -> None:
    html = f'<a href="{url}">x</a>'
    rewritten = service.rewrite(next(_ids), html=html, unsubscribe={"footer": "never"}, track={"opens": False})
    (link,) = rewritten["links"]
    assert (link["action"], link["index"], link["tracked_url"]) == ("skipped", None, None)
    assert link["reason"]
    assert rewritten["html"] == html


@pytest.mark.parametrize(
    "injected", ["\r\nSet-Cookie: a=b", "\nX: y", "\t", "\r", "%0d%0aSet-Cookie:%20a=b", "&#13;&#10;X: y"]
)
def test_no_destination_injects_a_header(service: Service, injected: str) -> None:
    rewritten = service.rewrite(next(_ids), html=f'<a href="https://shop.example/{injected}">x</a>')
    tracked = rewritten["links"][0]["tracked_url"]
    if tracked is None:
        return
    answer = ask(service.port, "GET", tracked.removeprefix(service.url))
    assert answer.status == 302
    assert not answer.all("set-cookie")
    assert not answer.all("x")
    assert answer.one("location") == rewritten["links"][0]["url"].encode()
