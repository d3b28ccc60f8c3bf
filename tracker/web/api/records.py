"""What has been recorded: a message's status and events, and the feed of stage changes.

Owns the paging. Must not change anything.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope
from tracker.core.errors import NotThere
from tracker.core.status import Status
from tracker.stores import Store
from tracker.web.responses import json_response

from .answering import change_answer, event_answer, message_answer
from .answers import ChangesAnswer, EventsAnswer
from .callers import Callers
from .requests import event_cursor, number

EVENTS_PER_PAGE: Final = 1000
CHANGES_PER_PAGE: Final = 1000


class Records:
    """``/v1/messages/...`` and ``/v1/changes``."""

    def __init__(self, callers: Callers, store: Store) -> None:
        self._callers = callers
        self._store = store

    def routes(self) -> list[Route]:
        """Where these are."""
        return [
            Route("/v1/messages/{message_id}", self.message),
            Route("/v1/messages/{message_id}/events", self.events),
            Route("/v1/changes", self.changes),
        ]

    async def message(self, request: Request) -> Response:
        """The status of one message."""
        account = self._callers.account(request, Scope.READ)
        return json_response(message_answer(await self._status(account, request.path_params["message_id"])))

    async def events(self, request: Request) -> Response:
        """The events of one message, in the order in which they were recorded, a page at a time."""
        account = self._callers.account(request, Scope.READ)
        after = event_cursor(request.query_params.getlist("after"))
        message_id = request.path_params["message_id"]
        events = await self._store.events(account, message_id, after=after, limit=EVENTS_PER_PAGE)
        if not events and not after:
            await self._status(account, message_id)
        answers = [event_answer(event, verdict) for event, verdict in events]
        next_ = str(UUID(bytes=events[-1][0].id)) if len(events) == EVENTS_PER_PAGE else None
        return json_response(EventsAnswer(answers, next_))

    async def changes(self, request: Request) -> Response:
        """The changes of messages' stages, from the oldest on, a page at a time; none is ever left out."""
        account = self._callers.account(request, Scope.READ)
        after = number("after", request.query_params.getlist("after"), 0, 2**63 - 1, 0)
        limit = number("limit", request.query_params.getlist("limit"), 1, CHANGES_PER_PAGE, CHANGES_PER_PAGE)
        changes = await self._store.changes(account, after=after, limit=limit)
        next_ = str(changes[-1].sequence if changes else after)
        answers = [change_answer(change) for change in changes]
        return json_response(ChangesAnswer(answers, next_, more=len(changes) == limit))

    async def _status(self, account: str, message_id: str) -> Status:
        status = await self._store.status(account, message_id)
        if status is None:
            raise NotThere("no such message, or not yet: what was just recorded takes a moment to get to the store")
        return status
