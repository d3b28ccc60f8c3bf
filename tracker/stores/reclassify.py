"""Judges what is stored anew, under the rules and settings of now; everybody who was told of a stage is told again.

Owns the pages and what is counted of them. Facts stay: what a network list says of an address was settled when the hit
was recorded, so a newer list cannot be applied to it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

from tracker.core.status import Status

from . import changing
from .before import before
from .counting import counting
from .database import Database, Each, Once, Row
from .judging import classifiers, rejudging
from .rows import Key, status_in, status_row

PAGE_MESSAGES = 500
"""As many are locked and judged in one transaction."""


class Page(NamedTuple):
    """What a page came to."""

    messages: int
    corrected: int
    """Messages of which any count or the stage is another one now."""
    stages: int
    """Messages of which the stage is."""
    after: str | None
    """The message to go on after; None: that was the last page."""


class Reclassify:
    """The work, page by page, so that it holds up nothing else for long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def number(self, account: str) -> int:
        """How many messages there are."""
        ((number,),) = await self._database.read(Once("number_of_messages", (account,)))
        return int(number)

    async def page(self, account: str, after: str = "") -> Page:
        """Judge the next messages after the one called ``after``, by id."""
        return await self._database.write(_reclassifying(account, after))


def _reclassifying(account: str, after: str) -> Generator[Once | Each, Sequence[Row], Page]:
    ids = yield Once("message_ids_after", (account, after, PAGE_MESSAGES))
    keys = [(account, row[0]) for row in ids]
    rows = yield Each("lock_messages", keys)
    old: dict[Key, Status] = {(row[0], row[1]): status_in(row) for row in rows}
    stored = {(row[0], row[1]): before(old[row[0], row[1]], is_counted=bool(row[-1])) for row in rows}
    uncounted = {(row[0], row[1]) for row in rows if not row[-1]}
    known = yield from classifiers(old)
    statuses = yield from rejudging(old, old, known)
    changed = [statuses[key] for key in sorted(statuses) if statuses[key] != old[key]]
    only_counted = [statuses[key] for key in sorted(uncounted) if statuses[key] == old[key]]
    yield Each("put_messages", [status_row(status) for status in (*changed, *only_counted)])
    yield from counting(stored, (*changed, *only_counted))
    yield from changing.noting(stored, changed)
    stages = sum(status.stage is not old[status.account, status.message_id].stage for status in changed)
    return Page(len(keys), len(changed), stages, keys[-1][1] if len(keys) == PAGE_MESSAGES else None)
