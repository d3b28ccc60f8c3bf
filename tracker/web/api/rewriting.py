"""Rewriting over HTTP: one message, or one template for many recipients.

Owns the order of the steps: claim the id, ask whether the recipient may be written to and tracked, rewrite, register.
The rules are the core's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tracker import metrics
from tracker.core.accounts import AccountSettings, Directory, Scope
from tracker.core.edits import Notice
from tracker.core.errors import RecipientSuppressed, TrackerError
from tracker.core.model import Consent, EventType, Facts, Owner, Suppression
from tracker.core.recipients import suppression
from tracker.core.revocations import Revoked
from tracker.core.rewrite import Rewriter, Rewritten, Template
from tracker.core.tokens import Message, TokenCodec
from tracker.spool import Spool
from tracker.web import bodies
from tracker.web.problems import problem
from tracker.web.responses import json_response

from .answering import rewrite_answer
from .answers import BatchErrorAnswer
from .callers import Callers
from .registry import Known, Registry
from .requests import Addressee, BatchRequest, Content, RewriteRequest, decode

LARGE_CHARS: Final = 50_000
"""What amounts to more is rewritten in a thread, so that the loop goes on serving meanwhile."""
CHUNK_RECIPIENTS: Final = 100
"""Recipients of a batch that are registered in one commit, at most."""
CHUNK_CHARS: Final = 4_000_000
"""What their messages may amount to: so much of a batch is in memory at a time."""

_SUPPRESSED: Final = {
    Suppression.INVALID: "the recipient's address does not exist, as a mail server said; this one counts as dropped",
    Suppression.COMPLAINED: "the recipient called an earlier message spam; this one counts as dropped",
    Suppression.UNSUBSCRIBED: "the recipient has unsubscribed from this list; this one counts as dropped",
}
ERASED: Final = (
    "the recipient was erased, and nothing is kept of this one; a reset with PUT /v1/recipients lets them be written to"
)
_UNKNOWN: Final = Notice(
    "suppression_unknown",
    "the status store did not answer, so whether this recipient may be written to or tracked was looked up only in what"
    " this node remembers",
)
_REVOKED: Final = Notice(
    "revoked_destination", "a link leads to a revoked destination: whoever follows it sees a page that says so"
)

logger = logging.getLogger(__name__)


class Rewriters:
    """A rewriter for each account, made anew when its settings change."""

    def __init__(self, codec: TokenCodec, directory: Callable[[], Directory], revoked: Callable[[], Revoked]) -> None:
        self.codec = codec
        self.revoked = revoked
        self._directory = directory
        self._made: dict[str, tuple[AccountSettings, Rewriter]] = {}

    def of(self, account: str) -> tuple[AccountSettings, Rewriter]:
        """The account's settings, and its rewriter."""
        directory = self._directory()
        settings = directory.settings(account)
        made = self._made.get(account)
        if made is None or made[0] is not settings:
            origin = directory.accounts[account].origin
            made = self._made[account] = settings, Rewriter(self.codec, origin, settings.policy(), account)
        return made


class Call:
    """One call: its account, what its messages share, and the template made of that."""

    def __init__(self, account: str, content: Content, rewriters: Rewriters) -> None:
        self.account = account
        self.content = content
        self._revoked = rewriters.revoked()
        self.settings, rewriter = rewriters.of(account)
        self.template: Template = rewriter.prepare(content.html, content.text, content.options(self.settings))

    def message(self, one: Addressee) -> Message:
        """The message to one recipient."""
        return Message(self.account, one.message_id, self.content.batch)

    def render(self, one: Addressee, known: Known) -> Rewritten:
        """The message to one recipient."""
        standing = known.of(one.recipient).standing
        kept = (standing.opens.value, standing.clicks.value) if standing else (Consent.UNKNOWN, Consent.UNKNOWN)
        tracks = self.settings.tracks(
            self.content.tracks(), self.content.message_class, (one.consent.opens, one.consent.clicks), kept
        )
        rewritten = self.template.render(self.message(one), tracks)
        warnings = [_UNKNOWN] if one.recipient is not None and not known.is_current else []
        if any(link.tracked_url and self._revoked.destination(self.account, link.url) for link in rewritten.links):
            warnings.append(_REVOKED)
        return msgspec.structs.replace(rewritten, warnings=[*rewritten.warnings, *warnings])


class Rewriting:
    """``/v1/rewrite`` and ``/v1/rewrite/batch``."""

    def __init__(self, callers: Callers, rewriters: Rewriters, spool: Spool, registry: Registry) -> None:
        self._callers = callers
        self._rewriters = rewriters
        self._spool = spool
        self._registry = registry
        # One: of several that compute at once, each makes the loop wait its turn.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="rewriting")

    def routes(self) -> list[Route]:
        """Where these are."""
        return [
            Route("/v1/rewrite", self.rewrite, methods=["POST"]),
            Route("/v1/rewrite/batch", self.rewrite_batch, methods=["POST"]),
        ]

    async def rewrite(self, request: Request) -> Response:
        """Rewrite one message for one recipient; answered when its registration is on disk."""
        account = await self._callers.sender(request, Scope.REWRITE)
        wanted = decode(await bodies.read(request), RewriteRequest)
        wanted.check()
        rewritten, refused = await self._rewrite(Call(account, wanted, self._rewriters), [wanted.addressee()])
        for error in refused.values():
            raise error
        return json_response(rewrite_answer(rewritten[wanted.message_id]))

    async def rewrite_batch(self, request: Request) -> Response:
        """Rewrite one template for many recipients: a line of JSON for each, as it is made."""
        account = await self._callers.sender(request, Scope.REWRITE)
        wanted = decode(await bodies.read(request), BatchRequest)
        wanted.check()
        call = Call(account, wanted, self._rewriters)
        return StreamingResponse(self._lines(call, wanted.recipients), media_type="application/x-ndjson")

    async def _rewrite(
        self, call: Call, recipients: Sequence[Addressee]
    ) -> tuple[dict[str, Rewritten], dict[str, TrackerError]]:
        """Rewrite and register what may be sent; returns that, and the errors for the rest, both by message id."""
        owners = {one.message_id: Owner(one.recipient, call.content.batch) for one in recipients}
        conflicts, fresh = await self._registry.claim(call.account, owners)
        free = [one for one in recipients if one.message_id not in conflicts]
        try:
            known = await self._registry.known(call.account, call.content.list, free)
            erased = {one.message_id for one in free if known.of(one.recipient).is_erased}
            free = [one for one in free if one.message_id not in erased]
            self._registry.release(call.account, erased)
            suppressed = {one.message_id: why for one in free if (why := _suppression(call.content, known, one))}
            allowed = [one for one in free if one.message_id not in suppressed]
            rewritten = await self._render(call, allowed, known)
            now = time.time_ns() // 1000
            # What went out before this recipient was suppressed is not made to look as if it had not.
            unsent = await self._registry.unsent(call.account, suppressed.keys() - {*fresh})
            dropped = [one for one in free if one.message_id in suppressed and one.message_id in {*fresh, *unsent}]
            registrations = [_registration(call, one, rewritten.get(one.message_id)) for one in (*allowed, *dropped)]
            drops = [Facts(call.account, one.message_id, EventType.DROPPED.value) for one in dropped]
            await self._spool.append_all([(facts, now) for facts in (*registrations, *drops)])
        except BaseException:
            self._registry.release(call.account, fresh)
            raise
        reasons = {**dict.fromkeys(erased, ERASED), **{id_: _SUPPRESSED[why] for id_, why in suppressed.items()}}
        return rewritten, {**conflicts, **{id_: RecipientSuppressed(why) for id_, why in reasons.items()}}

    async def _render(self, call: Call, recipients: Sequence[Addressee], known: Known) -> dict[str, Rewritten]:
        def render() -> dict[str, Rewritten]:
            return {one.message_id: call.render(one, known) for one in recipients}

        size = len(call.content.html or "") + len(call.content.text or "")
        if size * len(recipients) > LARGE_CHARS:
            rewritten = await asyncio.get_running_loop().run_in_executor(self._aside, render)
        else:
            rewritten = render()
        metrics.REWRITES.labels("failed" if call.template.failures else "ok").inc(len(rewritten))
        while call.template.failures:
            error = call.template.failures.pop()
            logger.error("a body could not be rewritten", exc_info=error, extra={"action": "rewrite_failed"})
        return rewritten

    async def _lines(self, call: Call, recipients: Sequence[Addressee]) -> AsyncIterator[bytes]:
        """The answers of a batch, a line each. What fails from some recipient on is said in that one's line."""
        size = len(call.content.html or "") + len(call.content.text or "")
        at_once = max(1, min(CHUNK_RECIPIENTS, CHUNK_CHARS // size if size else CHUNK_RECIPIENTS))
        for start in range(0, len(recipients), at_once):
            chunk = recipients[start : start + at_once]
            ids = [one.message_id for one in chunk]
            errors: Mapping[str, Exception]
            try:
                done, errors = await self._rewrite(call, chunk)
            except TrackerError as error:
                errors = dict.fromkeys(ids, error)
            for id_ in ids:
                line = rewrite_answer(done[id_]) if id_ not in errors else BatchErrorAnswer(id_, problem(errors[id_]))
                yield msgspec.json.encode(line) + b"\n"


def _suppression(content: Content, known: Known, one: Addressee) -> Suppression | None:
    found = known.of(one.recipient)
    return suppression(found.standing, found.on_list, content.message_class)


def _registration(call: Call, one: Addressee, rewritten: Rewritten | None) -> Facts:
    registration = one.registration(call.content, rewritten)
    return Facts(call.account, one.message_id, EventType.REWRITTEN.value, registration=registration)
