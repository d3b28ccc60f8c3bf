"""Batches and what they come to: lists, reports, comparisons and the messages in them, as JSON and as CSV.

Owns the paging, and how batches are chosen. Must not change anything.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope
from tracker.core.comparison import MIN_BATCHES, chosen_batches, compare
from tracker.core.errors import InvalidRequest
from tracker.core.figures import Rate
from tracker.core.status import Counts, Status
from tracker.stores.batches import Batches
from tracker.stores.limits import MAX_TIME, is_key
from tracker.web.responses import json_response, moment

from .answering import message_answer
from .answers import MessageAnswer
from .batch_answers import (
    BatchesAnswer,
    BatchMessagesAnswer,
    ListedBatch,
    batch_answer,
    comparison_answer,
)
from .callers import Callers
from .csv_export import Cell, csv_response
from .encoded import EncodedRoute
from .requests import number

PER_PAGE: Final = 100
MOST_PER_PAGE: Final = 1000
ROWS_AT_ONCE: Final = 500
"""So few that nobody else waits for long while they are written."""

_FLAT: Final = [name for name in MessageAnswer.__struct_fields__ if name not in ("opens", "clicks", "links")]
_HITS: Final = [f"{kind}_{actor}" for kind in ("opens", "clicks") for actor in Counts.__struct_fields__]
MESSAGE_COLUMNS: Final = (*_FLAT, *_HITS, "tracks_opens", "tracks_clicks")
RATE_COLUMNS: Final = ("batch", "created_at", "metric", *Rate.__struct_fields__)


class BatchesApi:
    """``/v1/batches/...`` and ``/v1/reports``."""

    def __init__(self, callers: Callers, batches: Batches) -> None:
        self._callers = callers
        self._batches = batches

    def routes(self) -> list[Route]:
        """Where these are."""
        return [
            Route("/v1/batches", self.list_batches),
            EncodedRoute("/v1/batches/{batch}", self.batch),
            EncodedRoute("/v1/batches/{batch}/messages", self.messages),
            EncodedRoute("/v1/batches/{batch}/messages.csv", self.messages_csv),
            Route("/v1/reports", self.comparison),
            Route("/v1/reports.csv", self.rates_csv),
        ]

    async def list_batches(self, request: Request) -> Response:
        """The batches of the account, the newest first, a page at a time."""
        account = self._callers.account(request, Scope.READ)
        after = _batch_cursor(request.query_params.getlist("after"))
        limit = _limit(request)
        page = await self._batches.page(account, after=after, limit=limit)
        next_ = _as_cursor(page[-1]) if len(page) == limit else None
        return json_response(BatchesAnswer([ListedBatch(batch, moment(at)) for batch, at in page], next_))

    async def batch(self, request: Request) -> Response:
        """The report on one batch."""
        account = self._callers.account(request, Scope.READ)
        (found,) = await self._batches.reports(account, [request.path_params["batch"]])
        return json_response(batch_answer(found))

    async def comparison(self, request: Request) -> Response:
        """Several batches, each of them after the first against the first."""
        account = self._callers.account(request, Scope.READ)
        chosen = chosen_batches(request.query_params.getlist("batch"), MIN_BATCHES)
        found = await self._batches.reports(account, chosen)
        return json_response(comparison_answer(found, compare(found, time.time_ns() // 1000)))

    async def rates_csv(self, request: Request) -> Response:
        """The rates of batches, a row for each."""
        account = self._callers.account(request, Scope.READ)
        found = await self._batches.reports(account, chosen_batches(request.query_params.getlist("batch"), 1))

        async def pages() -> AsyncIterator[list[list[Cell]]]:
            for one in found:
                head = [one.batch, moment(one.created_at)]
                yield [[*head, metric, *msgspec.structs.astuple(rate)] for metric, rate in one.rates.items()]

        return csv_response("reports.csv", RATE_COLUMNS, pages())

    async def messages(self, request: Request) -> Response:
        """The messages of a batch, by their ids, a page at a time."""
        account = self._callers.account(request, Scope.READ)
        after = _message_cursor(request.query_params.getlist("after"))
        limit = _limit(request)
        page = await self._messages(account, request.path_params["batch"], after, limit)
        next_ = page[-1].message_id if len(page) == limit else None
        return json_response(BatchMessagesAnswer([message_answer(status) for status in page], next_))

    async def messages_csv(self, request: Request) -> Response:
        """All the messages of a batch, by their ids."""
        account, batch = self._callers.account(request, Scope.READ), request.path_params["batch"]
        first = await self._messages(account, batch, "", ROWS_AT_ONCE)

        async def pages() -> AsyncIterator[list[list[Cell]]]:
            page = first
            while page:
                yield [_row(status) for status in page]
                page = await self._batches.messages(account, batch, after=page[-1].message_id, limit=ROWS_AT_ONCE)

        return csv_response(f"{batch}.csv", MESSAGE_COLUMNS, pages())

    async def _messages(self, account: str, batch: str, after: str, limit: int) -> Sequence[Status]:
        """A page of the messages of a batch. Raises `NotThere`."""
        page = await self._batches.messages(account, batch, after=after, limit=limit)
        if not page:
            await self._batches.reports(account, [batch])
        return page


def _limit(request: Request) -> int:
    return number("limit", request.query_params.getlist("limit"), 1, MOST_PER_PAGE, PER_PAGE)


def _row(status: Status) -> list[Cell]:
    message, registration = message_answer(status), status.registration
    tracked = (registration.tracks_opens, registration.tracks_clicks) if registration else (None, None)
    row: list[Cell] = [getattr(message, name) for name in _FLAT]
    for tracks, hits in zip(tracked, (message.opens, message.clicks), strict=True):
        counts = msgspec.structs.astuple(hits)
        row += counts if tracks else [None] * len(counts)  # what was not tracked is not zero
    return [*row, *(None if tracks is None else str(tracks).lower() for tracks in tracked)]


def _as_cursor(last: tuple[str, int]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(last)).decode().rstrip("=")


def _batch_cursor(values: Sequence[str]) -> tuple[int, str] | None:
    """The time and the name of the batch in ``?after=``. Raises `InvalidRequest`."""
    if not values:
        return None
    try:
        text = urlsafe_b64decode(values[0].encode("ascii") + b"=" * (-len(values[0]) % 4))
        batch, created_at = msgspec.json.decode(text, type=tuple[str, int])
        if is_key(batch) and 0 <= created_at <= MAX_TIME:
            return created_at, batch
    except ValueError:  # and so are all that these raise
        pass
    raise InvalidRequest([("after", "must be the next of the page before")])


def _message_cursor(values: Sequence[str]) -> str:
    """The message id in ``?after=``; nothing where it is not given. Raises `InvalidRequest`."""
    after = values[0] if values else ""
    if not is_key(after):
        raise InvalidRequest([("after", "must be the id of a message")])
    return after
