"""The public edge, a raw ASGI function in front of the API: pixels, clicks, unsubscribes.

Owns what mail clients and people are answered. Its only write is an append to the spool; it must not read
the store, and no answer but that to an unsubscribe may depend on the disk.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tracker import metrics
from tracker.core.accounts import Directory
from tracker.core.errors import InvalidToken, SpoolUnavailable
from tracker.core.model import Consent, EventType, Facts, RecipientChange
from tracker.core.revocations import Revoked
from tracker.core.tokens import DEFAULT_ACCOUNT, Purpose, Token, TokenCodec
from tracker.core.urls import location
from tracker.spool import Spool

from .bodies import answer_after_body
from .clients import ClientAddresses
from .limits import InvalidTraffic
from .pages import PUBLIC_HEADERS, Headers, Page, Pages, SenderPages, too_many

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of 1x1 pixels."""

MAX_USER_AGENT_CHARS: Final = 512
MAX_HEADER_CHARS: Final = 128
"""Of the Accept and prefetch headers: what is stored is cut to these lengths."""

STOP_TRACKING: Final = "/stop-tracking"
"""Behind an unsubscribe link: keep the mail, stop the tracking."""

_PREFETCH_HEADERS: Final = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
_DAY_US: Final = 86_400_000_000

# Needed for every hit: looking them up on the enumerations each time takes ten times as long.
_OPEN: Final = Purpose.OPEN
_CLICK: Final = Purpose.CLICK
_UNSUBSCRIBE: Final = Purpose.UNSUBSCRIBE
_OPENED: Final = EventType.OPENED.value
_CLICKED: Final = EventType.CLICKED.value
_REVOKED_CLICK: Final = EventType.REVOKED_CLICK.value
_UNSUBSCRIBED: Final = EventType.UNSUBSCRIBED.value
_CONSENT_CHANGED: Final = EventType.CONSENT_CHANGED.value

Handler = Callable[[Scope, str, Send], Awaitable[None]]


class Edge:
    """Answers ``/o/``, ``/c/`` and ``/u/``; everything else goes to ``app``."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        codec: TokenCodec,
        directory: Callable[[], Directory],
        spool: Spool,
        clients: ClientAddresses,
        invalid: InvalidTraffic,
        pages: Pages,
        revoked: Callable[[], Revoked],
    ) -> None:
        self._app = app
        self._codec = codec
        self._directory = directory
        self._spool = spool
        self._clients = clients
        self._invalid = invalid
        self._pages = pages
        self._revoked = revoked
        self._handlers: dict[bytes, dict[str, Handler]] = {
            b"/o/": {"GET": self._open, "HEAD": self._head_open},
            b"/c/": {"GET": self._click, "HEAD": self._head_click},
            b"/u/": {"GET": self._unsubscribe_page, "HEAD": self._unsubscribe_page, "POST": self._unsubscribe},
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The ASGI entry: picks the coroutine, without a coroutine of its own around it."""
        # The path as it was sent: with a percent escape in it, it is another spelling of the token.
        path: bytes = scope["raw_path"]
        handlers = self._handlers.get(path[:3])
        if handlers is None:
            return self._app(scope, receive, send)
        if scope["method"] == "POST":
            send = answer_after_body(receive, send)
        handler = handlers.get(scope["method"])
        if handler is None:
            return _not_allowed(send, handlers)
        return handler(scope, path[3:].decode("latin-1"), send)

    async def _open(self, scope: Scope, name: str, send: Send) -> None:
        token = self._verify(scope, _OPEN, name.removesuffix(".gif")) if name.endswith(".gif") else None
        if token:
            now = time.time_ns() // 1000
            await self._spool.append_soon(self._facts(scope, _OPENED, token, now), now)
        await send(_PIXEL_START if token or not self._invalid.wait_s(scope) else _LAST_PIXEL_START)
        await send(_PIXEL_BODY)

    async def _head_open(self, scope: Scope, name: str, send: Send) -> None:
        await send(_PIXEL_START)
        await send({"type": "http.response.body"})

    async def _click(self, scope: Scope, name: str, send: Send) -> None:
        token, target = self._destination(scope, name)
        if token is None or target is None:
            await self._refuse(scope, send, self._pages_at(scope).incomplete_link)
            return
        now = time.time_ns() // 1000
        is_revoked = self._revoked().link(token, target)
        await self._spool.append_soon(self._facts(scope, _REVOKED_CLICK if is_revoked else _CLICKED, token, now), now)
        await (_send_page(send, self._pages_at(scope).revoked) if is_revoked else _redirect(send, target))

    async def _head_click(self, scope: Scope, name: str, send: Send) -> None:
        token, target = self._destination(scope, name)
        if token is None or target is None:
            await self._refuse(scope, send, self._pages_at(scope).incomplete_link)
        elif self._revoked().link(token, target):
            await _send_page(send, self._pages_at(scope).revoked, with_body=False)
        else:
            await _redirect(send, target)

    async def _unsubscribe_page(self, scope: Scope, name: str, send: Send) -> None:
        name = name.removesuffix(STOP_TRACKING)
        token, pages = self._verify(scope, _UNSUBSCRIBE, name), self._pages_at(scope)
        if token is None:
            await self._refuse(scope, send, pages.incomplete_unsubscribe)
            return
        await _send_page(send, pages.unsubscribe(token.list, name), with_body=scope["method"] != "HEAD")

    async def _unsubscribe(self, scope: Scope, name: str, send: Send) -> None:
        # The token is all the proof there is (RFC 8058, 3.1): whatever the body says, and without a cookie.
        token, pages = self._verify(scope, _UNSUBSCRIBE, name.removesuffix(STOP_TRACKING)), self._pages_at(scope)
        if token is None:
            await self._refuse(scope, send, pages.incomplete_unsubscribe)
            return
        now = time.time_ns() // 1000
        if name.endswith(STOP_TRACKING):
            facts, done, failed = _withdrawal(token), pages.untracked, pages.not_stopped
        else:
            facts = self._facts(scope, _UNSUBSCRIBED, token, now)
            done, failed = pages.unsubscribed, pages.not_stored
        try:
            await self._spool.append(facts, now)
        except SpoolUnavailable:
            await _send_page(send, failed)
            return
        if facts.type == _UNSUBSCRIBED:
            metrics.OBJECTIONS.labels(facts.account, _UNSUBSCRIBED).inc()
        await _send_page(send, done(token.list))

    async def _refuse(self, scope: Scope, send: Send, page: Page) -> None:
        """What an invalid token is answered: ``page``, unless too many of them come from there."""
        wait_s = self._invalid.wait_s(scope)
        await _send_page(send, too_many(wait_s) if wait_s else page, with_body=scope["method"] != "HEAD")

    def _pages_at(self, scope: Scope) -> SenderPages:
        return self._pages.of(self._directory().settings(self._account(scope)).sender_name)

    def _destination(self, scope: Scope, name: str) -> tuple[Token | None, bytes | None]:
        token = self._verify(scope, _CLICK, name)
        return token, location(token.destination) if token else None

    def _verify(self, scope: Scope, purpose: Purpose, text: str) -> Token | None:
        try:
            return self._codec.verify(purpose, text, self._account(scope))
        except InvalidToken:
            metrics.INVALID_TOKENS.labels(purpose.name.lower()).inc()
            return None

    def _account(self, scope: Scope) -> str:
        """Whose links the host leads to: no other account's token is any good there."""
        directory = self._directory()
        if not directory.has_hosts:
            return DEFAULT_ACCOUNT
        return directory.at(next((value for name, value in scope["headers"] if name == b"host"), b""))

    def _facts(self, scope: Scope, type_: str, token: Token, now: int) -> Facts:
        user_agent = accept = purpose = None
        forwarded_for: tuple[str, ...] = ()
        for name, value in scope["headers"]:
            if name == b"user-agent":
                user_agent = value.decode("latin-1")[:MAX_USER_AGENT_CHARS]
            elif name == b"accept":
                accept = value.decode("latin-1")[:MAX_HEADER_CHARS]
            elif name == b"x-forwarded-for" and self._clients.behind_proxy:
                forwarded_for += (value.decode("latin-1"),)
            elif name in _PREFETCH_HEADERS:
                purpose = value.decode("latin-1")[:MAX_HEADER_CHARS]
        peer = scope["client"]
        address, source, network = self._clients.read(peer[0] if peer else "", forwarded_for, now // _DAY_US)
        unsubscribes = type_ == _UNSUBSCRIBED
        return Facts(
            token.account,
            token.message_id,
            type_,
            None if unsubscribes else token.link,
            token.destination or None,
            token.list if unsubscribes else None,
            user_agent,
            accept,
            purpose,
            address,
            source,
            network,
            honeypot=token.honeypot,
        )


def _withdrawal(token: Token) -> Facts:
    """The recipient wants no tracking: kept without any trace of the request, which would be some more of it."""
    change = RecipientChange(None, Consent.DENIED, Consent.DENIED, reason="on the unsubscribe page")
    return Facts(token.account, token.message_id, _CONSENT_CHANGED, change=change)


_PIXEL_START: Final[dict[str, Any]] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"image/gif"), (b"content-length", str(len(GIF)).encode()), *PUBLIC_HEADERS],
}
_LAST_PIXEL_START: Final[dict[str, Any]] = {
    **_PIXEL_START,
    "headers": [*_PIXEL_START["headers"], (b"connection", b"close")],
}
_PIXEL_BODY: Final[dict[str, Any]] = {"type": "http.response.body", "body": GIF}


async def _redirect(send: Send, target: bytes) -> None:
    # 302, since a browser may keep a 301 or a 308 for good.
    headers = [(b"location", target), (b"content-length", b"0"), *PUBLIC_HEADERS]
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body"})


async def _send_page(send: Send, page: Page, *, with_body: bool = True) -> None:
    await send({"type": "http.response.start", "status": page.status, "headers": page.headers})
    await send({"type": "http.response.body", "body": page.body if with_body else b""})


async def _not_allowed(send: Send, handlers: dict[str, Handler]) -> None:
    headers: Headers = [(b"allow", ", ".join(handlers).encode()), (b"content-length", b"0"), *PUBLIC_HEADERS]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body"})
