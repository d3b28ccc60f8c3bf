"""The public edge, a raw ASGI function in front of the API: pixels, clicks, unsubscribes.

Owns what mail clients and people are answered. Its only write is an append to the spool; it must not read
the store, and no answer but that to an unsubscribe may depend on the disk. All but that one are found in one go,
without a coroutine, so that a server that knows `Edge.reply` answers without a task.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Final

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
from .pages import PUBLIC_HEADERS, Page, Pages, Reply, SenderPages, too_many

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

_METHODS: Final = {b"/o/": ("GET", "HEAD"), b"/c/": ("GET", "HEAD"), b"/u/": ("GET", "HEAD", "POST")}
"""What may be done at the paths that begin with these."""

Handler = Callable[[Scope, str], Reply]


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
        self._handlers: dict[tuple[bytes, str], Handler] = {
            (b"/o/", "GET"): self._open,
            (b"/o/", "HEAD"): self._head_open,
            (b"/c/", "GET"): self._click,
            (b"/c/", "HEAD"): self._head_click,
            (b"/u/", "GET"): self._unsubscribe_page,
            (b"/u/", "HEAD"): self._unsubscribe_page,
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The ASGI entry: picks the coroutine, without a coroutine of its own around it."""
        reply = self.reply(scope)
        if reply is None and scope["raw_path"][:3] not in _METHODS:
            return self._app(scope, receive, send)
        if scope["method"] == "POST":
            send = answer_after_body(receive, send)
        return self._unsubscribe(scope, send) if reply is None else _send(send, reply)

    def reply(self, scope: Scope) -> Reply | None:
        """What a request is answered, where that takes no more than a look at it.

        Of ``scope``, which is ASGI's, it needs ``method``, ``raw_path``, ``headers`` and ``client``.
        """
        # The path as it was sent: with a percent escape in it, it is another spelling of the token.
        path: bytes = scope["raw_path"]
        kind = path[:3]
        handler = self._handlers.get((kind, scope["method"]))
        if handler:
            return handler(scope, path[3:].decode("latin-1"))
        methods = _METHODS.get(kind)
        return None if methods is None or scope["method"] in methods else Reply(_not_allowed(methods))

    def _open(self, scope: Scope, name: str) -> Reply:
        token = self._verify(scope, _OPEN, name.removesuffix(".gif")) if name.endswith(".gif") else None
        if token is None:
            return Reply(LAST_PIXEL if self._invalid.wait_s(scope) else PIXEL)
        return Reply(PIXEL, self._append(scope, _OPENED, token))

    def _head_open(self, scope: Scope, name: str) -> Reply:
        return Reply(PIXEL)

    def _click(self, scope: Scope, name: str) -> Reply:
        token, target = self._destination(scope, name)
        if token is None or target is None:
            return Reply(self._refusal(scope, self._pages_at(scope).incomplete_link))
        if self._revoked().link(token, target):
            return Reply(self._pages_at(scope).revoked, self._append(scope, _REVOKED_CLICK, token))
        return Reply(_redirect(target), self._append(scope, _CLICKED, token))

    def _head_click(self, scope: Scope, name: str) -> Reply:
        token, target = self._destination(scope, name)
        if token is None or target is None:
            return Reply(self._refusal(scope, self._pages_at(scope).incomplete_link))
        return Reply(self._pages_at(scope).revoked if self._revoked().link(token, target) else _redirect(target))

    def _append(self, scope: Scope, type_: str, token: Token) -> asyncio.Future[bool]:
        now = time.time_ns() // 1000
        return self._spool.append_soon(self._facts(scope, type_, token, now), now)

    def _unsubscribe_page(self, scope: Scope, name: str) -> Reply:
        name = name.removesuffix(STOP_TRACKING)
        token, pages = self._verify(scope, _UNSUBSCRIBE, name), self._pages_at(scope)
        if token is None:
            return Reply(self._refusal(scope, pages.incomplete_unsubscribe))
        return Reply(pages.unsubscribe(token.list, name))

    async def _unsubscribe(self, scope: Scope, send: Send) -> None:
        # The token is all the proof there is (RFC 8058, 3.1): whatever the body says, and without a cookie.
        name = scope["raw_path"][3:].decode("latin-1")
        token, pages = self._verify(scope, _UNSUBSCRIBE, name.removesuffix(STOP_TRACKING)), self._pages_at(scope)
        if token is None:
            await _send(send, Reply(self._refusal(scope, pages.incomplete_unsubscribe)))
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
            await _send(send, Reply(failed))
            return
        if facts.type == _UNSUBSCRIBED:
            metrics.OBJECTIONS.labels(facts.account, _UNSUBSCRIBED).inc()
        await _send(send, Reply(done(token.list)))

    def _refusal(self, scope: Scope, page: Page) -> Page:
        """What an invalid token is answered: ``page``, unless too many of them come from there."""
        wait_s = self._invalid.wait_s(scope)
        return too_many(wait_s) if wait_s else page

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


PIXEL: Final = Page(200, [(b"content-type", b"image/gif"), (b"content-length", b"%d" % len(GIF)), *PUBLIC_HEADERS], GIF)
LAST_PIXEL: Final = Page(200, [*PIXEL.headers, (b"connection", b"close")], GIF)
"""For a network that sends too many tokens that are none."""


@lru_cache(maxsize=512)
def _redirect(target: bytes) -> Page:
    # 302, since a browser may keep a 301 or a 308 for good.
    return Page(302, [(b"location", target), (b"content-length", b"0"), *PUBLIC_HEADERS], b"")


def _not_allowed(methods: Sequence[str]) -> Page:
    return Page(405, [(b"allow", ", ".join(methods).encode()), (b"content-length", b"0"), *PUBLIC_HEADERS], b"")


async def _send(send: Send, reply: Reply) -> None:
    page, stored = reply
    if stored is not None:
        await stored
    await send({"type": "http.response.start", "status": page.status, "headers": page.headers})
    await send({"type": "http.response.body", "body": page.body})
