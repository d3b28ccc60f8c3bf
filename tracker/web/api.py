"""The API that mailers call, and what operators' tools read: health, readiness, metrics.

Owns requests and answers. The rules of rewriting and of status are the core's.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tracker import metrics
from tracker.core.errors import MessageConflict, SpoolUnavailable, TrackerError
from tracker.core.model import EventType, Facts, Owner
from tracker.core.rewrite import Rewriter, Rewritten, Template
from tracker.core.status import Status
from tracker.core.tokens import DEFAULT_ACCOUNT, Message
from tracker.spool import Spool
from tracker.stores import Store

from . import bodies, requests
from .answers import BatchErrorAnswer, EventsAnswer, event_answer, message_answer, rewrite_answer
from .openapi import document
from .problems import UNCACHED, NotAuthorized, NotFound, answer_error, answer_http_error, problem
from .registry import Registry
from .requests import Addressee, BatchRequest, Content, RewriteRequest

LARGE_BODY_CHARS: Final = 100_000
"""Bodies larger than this are rewritten in a thread, so that the loop goes on serving meanwhile."""
CHUNK_RECIPIENTS: Final = 100
"""Recipients of a batch that are registered in one commit, at most."""
CHUNK_CHARS: Final = 4_000_000
"""What their messages may amount to: so much of a batch is in memory at a time."""
EVENTS_PER_PAGE: Final = 1000
NOT_READY_SPOOL_SHARE: Final = 0.8
"""A spool this full makes the service not ready, long before it has to refuse an event."""

logger = logging.getLogger(__name__)


class Api:
    """The handlers, and what they work with."""

    def __init__(
        self,
        *,
        api_key: str,
        rewriter: Rewriter,
        spool: Spool,
        store: Store,
        transactional_clicks: bool,
    ) -> None:
        self._key_digest = hashlib.sha256(api_key.encode()).digest()
        self._rewriter = rewriter
        self._spool = spool
        self._store = store
        self._transactional_clicks = transactional_clicks
        self._registry = Registry(store)
        self.draining = False
        """Set when the service is about to stop: it is not ready any more."""

    def app(self) -> Starlette:
        """The routes as an ASGI application."""
        routes = [
            Route("/v1/rewrite", self.rewrite, methods=["POST"]),
            Route("/v1/rewrite/batch", self.rewrite_batch, methods=["POST"]),
            Route("/v1/messages/{message_id}", self.message),
            Route("/v1/messages/{message_id}/events", self.events),
            Route("/openapi.json", self.openapi),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/robots.txt", self.robots),
        ]
        app = Starlette(
            routes=routes,
            exception_handlers={
                TrackerError: answer_error,
                HTTPException: answer_http_error,
                Exception: answer_error,
            },
        )
        # It would answer /healthz/ with a redirect to wherever the Host header says.
        app.router.redirect_slashes = False
        return app

    async def rewrite(self, request: Request) -> Response:
        """Rewrite one message for one recipient; answered when its registration is on disk."""
        account = await self._caller(request)
        wanted = requests.decode(await bodies.read(request), RewriteRequest)
        wanted.check()
        template = self._rewriter.prepare(wanted.html, wanted.text, wanted.options())
        rewritten, conflicts = await self._rewrite(template, account, wanted, [wanted.addressee()])
        for conflict in conflicts.values():
            raise conflict
        return _json(rewrite_answer(rewritten[wanted.message_id]))

    async def rewrite_batch(self, request: Request) -> Response:
        """Rewrite one template for many recipients: a line of JSON for each, as it is made."""
        account = await self._caller(request)
        wanted = requests.decode(await bodies.read(request), BatchRequest)
        wanted.check()
        template = self._rewriter.prepare(wanted.html, wanted.text, wanted.options())
        return StreamingResponse(self._lines(template, account, wanted), media_type="application/x-ndjson")

    async def message(self, request: Request) -> Response:
        """The status of one message."""
        account = self._account(request)
        return _json(message_answer(await self._status(account, request.path_params["message_id"])))

    async def events(self, request: Request) -> Response:
        """The events of one message, in the order in which they were recorded, a page at a time."""
        account = self._account(request)
        after = requests.cursor(request.query_params.getlist("after"))
        message_id = request.path_params["message_id"]
        events = await self._store.events(account, message_id, after=after, limit=EVENTS_PER_PAGE)
        if not events and not after:
            await self._status(account, message_id)
        answers = [event_answer(event, verdict) for event, verdict in events]
        return _json(EventsAnswer(answers, answers[-1].id if len(answers) == EVENTS_PER_PAGE else None))

    async def openapi(self, request: Request) -> Response:
        """The description of this API."""
        return _json(document())

    async def healthz(self, request: Request) -> Response:
        """The process is alive."""
        return PlainTextResponse("ok\n", headers=UNCACHED)

    async def readyz(self, request: Request) -> Response:
        """The service can take traffic: the spool can be written, and is not about to be full."""
        reason = await self._not_ready()
        if reason:
            return PlainTextResponse(reason + "\n", 503, headers=UNCACHED)
        return PlainTextResponse("ready\n", headers=UNCACHED)

    async def metrics(self, request: Request) -> Response:
        """Prometheus metrics, of all worker processes."""
        return Response(*metrics.exposition())

    async def robots(self, request: Request) -> Response:
        """Nothing here is for search engines."""
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    async def _status(self, account: str, message_id: str) -> Status:
        """The status of one message; raises `NotFound`."""
        status = await self._store.status(account, message_id)
        if status is None:
            raise NotFound("no such message, or not yet: what was just recorded takes a moment to get to the store")
        return status

    def _account(self, request: Request) -> str:
        """The account that the request's key names; raises `NotAuthorized`."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("latin-1", "replace")).digest()
        if scheme.lower() != "bearer" or not hmac.compare_digest(digest, self._key_digest):
            raise NotAuthorized
        return DEFAULT_ACCOUNT

    async def _caller(self, request: Request) -> str:
        """The same for a request with a body."""
        try:
            return self._account(request)
        except NotAuthorized:
            await bodies.discard(request.receive)
            raise

    async def _rewrite(
        self, template: Template, account: str, content: Content, recipients: Sequence[Addressee]
    ) -> tuple[dict[str, Rewritten], dict[str, MessageConflict]]:
        """Rewrite and register the messages that are not registered for another one already; both by id."""
        owners = {one.message_id: Owner(one.recipient, content.batch) for one in recipients}
        conflicts, fresh = await self._registry.claim(account, owners)
        free = [one for one in recipients if one.message_id not in conflicts]
        try:
            rewritten = await self._render(template, account, content, free)
            await self._register(account, content, free, rewritten)
        except BaseException:
            self._registry.release(account, fresh)
            raise
        return {one.message_id: one for one in rewritten}, conflicts

    async def _render(
        self, template: Template, account: str, content: Content, recipients: Sequence[Addressee]
    ) -> list[Rewritten]:
        def render() -> list[Rewritten]:
            return [
                template.render(
                    Message(account, one.message_id, content.batch),
                    one.tracks(content, transactional_clicks=self._transactional_clicks),
                )
                for one in recipients
            ]

        large = len(content.html or "") + len(content.text or "") > LARGE_BODY_CHARS
        rewritten = await asyncio.to_thread(render) if large else render()
        result = "failed" if template.failures else "ok"
        metrics.REWRITES.labels(result).inc(len(rewritten))
        while template.failures:
            error = template.failures.pop()
            logger.error("a body could not be rewritten", exc_info=error, extra={"action": "rewrite_failed"})
        return rewritten

    async def _register(
        self, account: str, content: Content, recipients: Sequence[Addressee], rewritten: Sequence[Rewritten]
    ) -> None:
        now = time.time_ns() // 1000
        await self._spool.append_all(
            [
                (
                    Facts(
                        account, one.message_id, EventType.REWRITTEN.value, registration=one.registration(content, done)
                    ),
                    now,
                )
                for one, done in zip(recipients, rewritten, strict=True)
            ]
        )

    async def _lines(self, template: Template, account: str, wanted: BatchRequest) -> AsyncIterator[bytes]:
        """The answers of a batch, a line each. What fails from some recipient on is said in that one's line."""
        size = len(wanted.html or "") + len(wanted.text or "")
        at_once = max(1, min(CHUNK_RECIPIENTS, CHUNK_CHARS // size if size else CHUNK_RECIPIENTS))
        for start in range(0, len(wanted.recipients), at_once):
            chunk = wanted.recipients[start : start + at_once]
            ids = [one.message_id for one in chunk]
            errors: Mapping[str, Exception]
            try:
                done, errors = await self._rewrite(template, account, wanted, chunk)
            except TrackerError as error:
                errors = dict.fromkeys(ids, error)
            for id_ in ids:
                line = rewrite_answer(done[id_]) if id_ not in errors else BatchErrorAnswer(id_, problem(errors[id_]))
                yield msgspec.json.encode(line) + b"\n"

    async def _not_ready(self) -> str | None:
        if self.draining:
            return "stopping"
        try:
            status = await asyncio.to_thread(self._spool.status)
            await self._spool.check()
        except SpoolUnavailable as error:
            return str(error)
        if status.bytes > NOT_READY_SPOOL_SHARE * self._spool.max_bytes:
            return "the spool is nearly full"
        return None


def _json(answer: Any) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json", headers=UNCACHED)
