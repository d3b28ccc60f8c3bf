"""What others report of messages, over HTTP: the mailer, mail servers by mail, providers by their hooks.

Owns how a reported event finds its message. What a report says is read by `reporters`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker import metrics
from tracker.core.accounts import Directory, Scope
from tracker.core.errors import InvalidToken, NotThere
from tracker.core.model import EventType, Facts
from tracker.core.tokens import Purpose, TokenCodec
from tracker.reporters import Clues, Fetch, HookRequest, Reported, mail
from tracker.reporters.providers import PROVIDERS
from tracker.spool import Spool
from tracker.stores import Store
from tracker.web import bodies
from tracker.web.problems import Unrecognised
from tracker.web.responses import json_response

from .answers import AcceptedAnswer, RecordedEvent, ReportAnswer
from .callers import Callers
from .reported import decode_events
from .unrecognised import UnrecognisedReports

_OBJECTIONS: Final = frozenset({EventType.UNSUBSCRIBED.value, EventType.COMPLAINED.value})


class Finder:
    """Finds the messages that reports are of."""

    def __init__(self, codec: TokenCodec, store: Store) -> None:
        self._codec = codec
        self._store = store

    async def find(self, account: str, reports: Sequence[Clues]) -> list[str | None]:
        """The message's id for each report, or None. Raises `StoreUnavailable` where only the store could tell.

        What is signed needs no look-up. The rest must be known to the store: whoever writes a mail can write an id
        into it, so that alone is not to be believed.
        """
        signed = [self._signed(account, clues) for clues in reports]
        rest = [clues for clues, found in zip(reports, signed, strict=True) if found is None]
        ids = {id_ for clues in rest for id_ in clues.message_ids}
        rfc822_ids = {id_ for clues in rest for id_ in clues.rfc822_ids}
        owners = await self._store.owners(account, sorted(ids)) if ids else {}
        known = await self._store.messages_by_rfc822_id(account, sorted(rfc822_ids)) if rfc822_ids else {}
        return [found or _known(clues, owners, known) for found, clues in zip(signed, reports, strict=True)]

    def _signed(self, account: str, clues: Clues) -> str | None:
        for text in clues.tracker_ids:
            with contextlib.suppress(InvalidToken):
                return self._codec.verify(Purpose.HEADER, text, account).message_id
        return None


def _known(clues: Clues, owners: Container[str], by_rfc822_id: Mapping[str, str]) -> str | None:
    found = [id_ for id_ in clues.message_ids if id_ in owners]
    found += [by_rfc822_id[id_] for id_ in clues.rfc822_ids if id_ in by_rfc822_id]
    return found[0] if found else None


class Reports:
    """``/v1/events``, ``/v1/events/report`` and ``/v1/events/{provider}/{hook}``."""

    def __init__(
        self,
        callers: Callers,
        directory: Callable[[], Directory],
        spool: Spool,
        finder: Finder,
        unrecognised: UnrecognisedReports,
        fetch: Fetch,
    ) -> None:
        self._callers = callers
        self._directory = directory
        self._spool = spool
        self._finder = finder
        self._unrecognised = unrecognised
        self._fetch = fetch

    def routes(self) -> list[Route]:
        """Where these are."""
        return [
            Route("/v1/events", self.events, methods=["POST"]),
            Route("/v1/events/report", self.report, methods=["POST"]),
            Route("/v1/events/{provider}/{hook}", self.provider, methods=["POST"]),
        ]

    async def events(self, request: Request) -> Response:
        """What the mailer knows; all of it is on disk when this is answered, or none."""
        account = await self._callers.sender(request, Scope.EVENTS)
        events = decode_events(await bodies.read(request))
        await self._store([(event.facts(account), event.at()) for event in events])
        return json_response(AcceptedAnswer(len(events)), 202)

    async def report(self, request: Request) -> Response:
        """A delivery status notification, a feedback report or another bounce, as it came by mail."""
        account = await self._callers.sender(request, Scope.EVENTS)
        raw = await bodies.read(request)
        finding = await asyncio.to_thread(mail.read, raw)
        answer = await self._record(account, mail.NAME, finding.reported)
        if not answer.recorded:
            kept_as = await asyncio.to_thread(self._unrecognised.keep, raw)
            why = "no message of this account was found for it" if finding.reported else "it reports nothing we know of"
            raise Unrecognised(f"{why}; the report was kept", finding.found, kept_as)
        return json_response(answer, 202)

    async def provider(self, request: Request) -> Response:
        """What a provider reports to its hook."""
        provider = PROVIDERS.get(request.path_params["provider"])
        hook = self._directory().hook(provider.NAME, request.path_params["hook"]) if provider else None
        if provider is None or hook is None:
            await bodies.discard(request.receive)
            raise NotThere
        headers = {name.lower(): value for name, value in request.headers.items()}
        said = HookRequest(headers, await bodies.read(request), time.time_ns() // 1000)
        try:
            reported = await provider.read(said, hook.secret, self._fetch)
        except OSError as error:  # the provider asks again later
            raise HTTPException(503, f"what the signature is checked with could not be had: {error}") from error
        return json_response(await self._record(hook.account, provider.NAME, reported))

    async def _record(self, account: str, reporter: str, reported: Sequence[Reported]) -> ReportAnswer:
        now = time.time_ns() // 1000
        found: list[tuple[Facts, int]] = []
        message_ids = await self._finder.find(account, [event.clues for event in reported])
        for event, message_id in zip(reported, message_ids, strict=True):
            metrics.REPORTS.labels(reporter, "no" if message_id is None else "yes").inc()
            if message_id is not None:
                facts = Facts(
                    account,
                    message_id,
                    event.type,
                    delivery=event.delivery,
                    reporter=reporter,
                    reported_id=event.event_id,
                )
                found.append((facts, now if event.occurred_at is None else event.occurred_at))
        await self._store(found)
        recorded = [RecordedEvent(facts.message_id, facts.type) for facts, _ in found]
        return ReportAnswer(recorded, len(reported) - len(recorded))

    async def _store(self, reported: Sequence[tuple[Facts, int]]) -> None:
        await self._spool.append_all(reported)
        for facts, _ in reported:
            if facts.type in _OBJECTIONS:
                metrics.OBJECTIONS.labels(facts.account, facts.type).inc()
