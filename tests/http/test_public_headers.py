"""Threats 28, 29, 31 and 32: the whole head of every kind of public answer, whatever a cache asks for."""

from __future__ import annotations

import itertools
import re

import pytest
from raw import Raw, ask
from serving import Service

pytest_plugins = ["service_fixtures"]

EVERY = {"cache-control": "no-store, private", "referrer-policy": "no-referrer", "x-robots-tag": "noindex"}
PAGE = {
    **EVERY, "content-type": "text/html; charset=utf-8", "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'sha256-*'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
}  # fmt: skip
PIXEL = {**EVERY, "content-type": "image/gif"}
CONDITIONS = [
    ("If-None-Match", "*"), ("If-None-Match", '"x"'), ("If-None-Match", 'W/"x", "y"'), ("If-Match", "*"),
    ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT"), ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("Range", "bytes=0-0"), ("Range", "bytes=" + ",".join("0-" for _ in range(500))), ("If-Range", '"x"'),
    ("Cache-Control", "only-if-cached"), ("Cache-Control", "max-stale"), ("Pragma", "no-cache"),
    ("Accept-Encoding", "gzip, br"), ("Accept", "application/json"), ("Accept-Language", "de"),
    ("Upgrade-Insecure-Requests", "1"), ("Expect", "100-continue"), ("Cookie", "tracker_console=x; a=b"),
    ("Authorization", "Bearer wrong"), ("DNT", "1"), ("Save-Data", "on"),
]  # fmt: skip
_ids = (f"headed-{number}" for number in itertools.count())


def kinds(service: Service) -> dict[str, tuple[str, str, int, dict[str, str]]]:
    """Each kind of public answer: method, path, status, headers."""
    mail = service.rewrite(next(_ids))
    open_, click, leave = (
        url.removeprefix(service.url)
        for url in (mail["open_url"], mail["links"][0]["tracked_url"], mail["unsubscribe_url"])
    )
    not_allowed = {**EVERY, "allow": "GET, HEAD"}
    return {
        "pixel": ("GET", open_, 200, PIXEL),
        "pixel of no mail": ("GET", "/o/x.gif", 200, PIXEL),
        "click": ("GET", click, 302, {**EVERY, "location": "https://shop.example/"}),
        "bad click": ("GET", "/c/x", 404, PAGE),
        "form": ("GET", leave, 200, PAGE),
        "bad form": ("GET", "/u/x", 404, PAGE),
        "second form": ("GET", f"{leave}/stop-tracking", 200, PAGE),
        "stopped": ("POST", f"{leave}/stop-tracking", 200, PAGE),
        "unsubscribed": ("POST", leave, 200, PAGE),
        "bad unsubscribe": ("POST", "/u/x", 404, PAGE),
        "posted pixel": ("POST", open_, 405, not_allowed),
        "posted click": ("POST", click, 405, not_allowed),
        "deleted form": ("DELETE", leave, 405, {**EVERY, "allow": "GET, HEAD, POST"}),
        "asked about": ("OPTIONS", click, 405, not_allowed),
        "health": ("GET", "/healthz", 200, EVERY),
        "readiness": ("GET", "/readyz", 200, EVERY),
        "robots": ("GET", "/robots.txt", 200, {}),
        "nothing": ("GET", "/nothing", 404, EVERY),
    }


def head(answer: Raw) -> dict[str, str]:
    """The headers, less what HTTP itself has."""
    names = [name for name, _ in answer.headers]
    assert len(names) == len({*names}), names
    left = {name: value.decode() for name, value in answer.headers}
    assert left.pop("content-length") == str(len(answer.body))
    policy = left.get("content-security-policy")
    if policy:
        left["content-security-policy"] = re.sub(r"sha256-[\w+/=]{44}", "sha256-*", policy)
    return {name: value for name, value in left.items() if name not in ("date", "connection")}


def test_the_whole_head_of_every_kind_of_answer(service: Service) -> None:
    for kind, (method, path, status, headers) in kinds(service).items():
        answer = ask(service.port, method, path)
        assert answer.status == status, kind
        found = head(answer)
        if kind in ("health", "readiness", "robots", "nothing"):
            found.pop("content-type")
        assert found == headers, kind


@pytest.mark.parametrize("name", range(len(CONDITIONS)))
def test_no_condition_makes_it_another_answer(service: Service, name: int) -> None:
    """Least of all a 304 or a part: each open and each click is answered in full, and so is counted."""
    for kind, (method, path, status, _) in kinds(service).items():
        plain = ask(service.port, method, path)
        answer = ask(service.port, method, path, [CONDITIONS[name]])
        assert (answer.status, head(answer), answer.body) == (status, head(plain), plain.body), kind


def test_a_repeat_with_a_condition_is_recorded(service: Service) -> None:
    message_id = next(_ids)
    mail = service.rewrite(message_id)
    for condition in CONDITIONS[:7]:
        for url in (mail["open_url"], mail["links"][0]["tracked_url"]):
            ask(service.port, "GET", url.removeprefix(service.url), [condition])
    service.reached(message_id, "rewritten", *["opened", "clicked"] * 7)
