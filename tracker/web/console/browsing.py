"""Lists of batches and of messages, a page at a time, and the search for messages.

Owns the paging. Must not change anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from tracker.core.errors import InvalidRequest, NotThere
from tracker.core.report import report
from tracker.core.status import Status
from tracker.stores import Store
from tracker.stores.batches import Batches
from tracker.stores.limits import is_key

from .rendering import Renderer, path
from .reporting import missing
from .requests import Form, Visit
from .words import STAGES

BATCHES_PER_PAGE: Final = 25
MESSAGES_PER_PAGE: Final = 100

_CURSOR: Final = re.compile(r"(\d{1,18}) (.+)", re.DOTALL | re.ASCII)


class Row(NamedTuple):
    """A message in a list."""

    status: Status
    recipient: str
    stage: str


class Browsing:
    """The pages with lists."""

    def __init__(self, renderer: Renderer, store: Store) -> None:
        self._renderer = renderer
        self._batches = Batches(store.database)

    async def batches(self, visit: Visit) -> Response:
        """The batches, the newest first."""
        after = _batch_cursor(visit.query)
        named = await self._batches.page(visit.account, after=after, limit=BATCHES_PER_PAGE + 1)
        more, named = len(named) > BATCHES_PER_PAGE, named[:BATCHES_PER_PAGE]
        known = await self._batches.counts(visit.account, [batch for batch, _ in named], without_keys=True)
        reports = [report(*known[batch]) for batch, _ in named if batch in known]
        next_ = path(after=_cursor(named[-1])) if more else None
        values = {"reports": reports, "missing": missing, "next": next_, "is_first": after is None}
        return self._renderer.page("batches.html", visit, values)

    async def messages(self, visit: Visit, batch: str) -> Response:
        """The messages of a batch, by their ids."""
        after = visit.query.get("after")
        found = await self._batches.messages(visit.account, batch, after=after, limit=MESSAGES_PER_PAGE + 1)
        if not found and batch not in await self._batches.counts(visit.account, [batch]):
            raise NotThere("There is no such batch.")
        values = {"batch": batch, "is_first": not after, **_page(found)}
        if values["next"]:
            values["next"] = path("batches", batch, "messages", after=values["next"])
        return self._renderer.page("messages.html", visit, values)

    async def search(self, visit: Visit) -> Response:
        """The search: by the beginning of a message's id, or by a recipient.

        Everything is posted, the next page too: a recipient may be an address, which no log should have.
        """
        form, found, error = visit.form, None, ""
        text, by = form.get("text").strip(), form.get("by", "message")
        if visit.request.method == "POST":
            if not text:
                error = "Type what to look for."
            else:
                found = await self._found(visit, text, by, form.get("after"))
        values: dict[str, Any] = {"text": text, "by": by, "error": error, "is_first": not form.get("after")}
        values |= _page(found) if found is not None else {"rows": None, "next": None}
        return self._renderer.page("search.html", visit, values, 422 if error else 200)

    async def _found(self, visit: Visit, text: str, by: str, after: str) -> list[Status]:
        if not is_key(text):  # nothing is called that
            return []
        ask = self._batches.of_recipient if by == "recipient" else self._batches.matching
        return await ask(visit.account, text, after=after, limit=MESSAGES_PER_PAGE + 1)


def _page(found: list[Status]) -> Mapping[str, Any]:
    shown = found[:MESSAGES_PER_PAGE]
    return {
        "rows": [_row(status) for status in shown],
        "next": shown[-1].message_id if len(found) > len(shown) else None,
    }


def _row(status: Status) -> Row:
    recipient = status.registration.recipient if status.registration else None
    return Row(status, recipient or "", STAGES[status.stage])


def _cursor(batch: tuple[str, int]) -> str:
    return f"{batch[1]} {batch[0]}"


def _batch_cursor(query: Form) -> tuple[int, str] | None:
    """Behind which batch the page begins: when it was made, and its name."""
    text = query.get("after")
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None or not is_key(match[2]):
        raise InvalidRequest([("after", "This is not a place in the list.")])
    return int(match[1]), match[2]
