"""The pages that people see, rendered from templates with everything escaped.

Owns their text, status codes and headers. Must not decide whether a token is valid.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import jinja2

Headers = list[tuple[bytes, bytes]]

PUBLIC_HEADERS: Final[Headers] = [
    (b"cache-control", b"no-store, private"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex"),
]
"""On every public answer: links are personal, so no cache may keep them and no search engine list them."""


@dataclass(frozen=True, eq=False)
class Page:
    """A complete answer: status code, headers, body."""

    status: int
    headers: Headers
    body: bytes

    @cached_property
    def head(self) -> bytes:
        """What stands before the body on the wire, without the empty line, put together once."""
        return encode_head(self.status, self.headers)

    @cached_property
    def closes(self) -> bool:
        """Whether the connection ends with it."""
        return (b"connection", b"close") in self.headers


def encode_head(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The status line and ``headers`` (RFC 9112, 4 and 5). Raises `ValueError` where one would be more than a line."""
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    data = b"\r\n".join([*lines, b""])
    if data.count(b"\n") != len(lines) or data.count(b"\r") != len(lines) or b"\0" in data:
        raise ValueError("a header is not one line")
    return data


class Reply(NamedTuple):
    """A page, and what has to happen before it is sent."""

    page: Page
    stored: asyncio.Future[bool] | None = None
    """Done when the event is on disk, or when it is not worth waiting for any longer; it never fails."""


def too_many(wait_s: int) -> Page:
    """What a network is told that sends too many invalid tokens: no page, since hardly a person is to read it."""
    body = b"Too many invalid links were followed from your network. Try again later.\n"
    headers: Headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % wait_s),
        (b"connection", b"close"),
        *PUBLIC_HEADERS,
    ]
    return Page(429, headers, body)


class Pages:
    """The pages. All of them work without JavaScript and load nothing."""

    def __init__(self) -> None:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("tracker.web"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        self._templates = {name: environment.get_template(name) for name in environment.list_templates()}
        self._style = environment.get_template("style.css").render()
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        self._headers: Headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            *PUBLIC_HEADERS,
        ]
        self.of = lru_cache(maxsize=1024)(self._of)

    def _of(self, sender_name: str) -> SenderPages:
        """The pages that say who the mail is from; the name may be empty."""
        return SenderPages(self, sender_name)

    def page(self, status: int, name: str, values: Mapping[str, Any], headers: Headers | None = None) -> Page:
        """The page of a template."""
        body = self._templates[name].render(values, style=self._style).encode()
        length = (b"content-length", str(len(body)).encode())
        return Page(status, [*self._headers, length, *(headers or [])], body)


class SenderPages:
    """The pages of one sender; those that are always the same are made once."""

    def __init__(self, pages: Pages, sender_name: str) -> None:
        self._pages = pages
        self._sender_name = sender_name
        self.incomplete_link = self._page(404, "incomplete_link.html")
        self.revoked = self._page(410, "revoked.html")
        self.incomplete_unsubscribe = self._page(404, "incomplete_unsubscribe.html")
        self.not_stored = self._page(503, "not_stored.html", [(b"retry-after", b"30")])
        self.not_stopped = self._page(503, "not_stopped.html", [(b"retry-after", b"30")])

    def unsubscribe(self, list_: str, token: str) -> Page:
        """The forms that ask before anything changes: no more mail, or no more tracking."""
        return self._page(200, "unsubscribe.html", list=list_, token=token)

    def unsubscribed(self, list_: str) -> Page:
        """What is shown when the unsubscribe is on disk."""
        return self._page(200, "unsubscribed.html", list=list_)

    def untracked(self, list_: str) -> Page:
        """What is shown when the withdrawal is on disk."""
        return self._page(200, "untracked.html", list=list_)

    def _page(self, status: int, template: str, headers: Headers | None = None, **values: str) -> Page:
        return self._pages.page(status, template, {"sender_name": self._sender_name, **values}, headers)
