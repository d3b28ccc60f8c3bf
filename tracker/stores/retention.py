"""Deletes messages that nothing has happened to for longer than their account keeps them, with all their events.

Owns what goes and what stays: what is known of recipients outlives their messages, or they would be written to again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

from .database import Database, Each, Once, Row
from .removing import FIRST_AGENT, locking, removing, removing_agents

PAGE_EVENTS: Final = 2000
"""As many old events are looked at in one transaction."""

_NO_ID: Final = bytes(16)
_DAY_MS: Final = 86_400_000
_COUNTED_DAYS: Final = 14
"""A hit that was counted without being kept may be delivered again while its spool waits for the store."""


class Page(NamedTuple):
    """What a page came to."""

    messages: int
    """How many were deleted."""
    after: bytes | None
    """The event to go on after; None: that was the last page."""


class Retention:
    """The deletion, page by page, so that it never holds much of the database for long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_page(self, account: str, days: int, now_ms: int, after: bytes = _NO_ID) -> Page:
        """Delete those messages of the page whose last event is over ``days`` days old at ``now_ms``."""
        return await self._database.write(_deleting(account, _id_at(now_ms - days * _DAY_MS), after))

    async def clock_ms(self) -> int:
        """What time it is for the database, in milliseconds."""
        ((now,),) = await self._database.read(Once("clock"))
        return int(now // 1000)

    async def delete_agents_page(self, after: int = FIRST_AGENT) -> int | None:
        """Delete those of a page of user agents that nothing has any more; returns what to go on after, if anything."""
        return await self._database.write(removing_agents(after))

    async def forget_counted(self, now_ms: int) -> None:
        """Forget the ids of hits that were counted without being kept, once they can't come again."""
        await self._database.write(_forgetting(_id_at(now_ms - _COUNTED_DAYS * _DAY_MS)))


def _id_at(milliseconds: int) -> bytes:
    """The least id that an event of that time may have (RFC 9562, 5.7)."""
    return max(0, milliseconds).to_bytes(6, "big") + bytes(10)


def _deleting(account: str, before: bytes, after: bytes) -> Generator[Once | Each, Sequence[Row], Page]:
    yield from locking()
    old = yield Once("old_events", (account, after, before, PAGE_EVENTS))
    next_ = bytes(old[-1][0]) if len(old) == PAGE_EVENTS else None
    keys = sorted({(account, row[1]) for row in old if row[1]})
    last = yield Each("last_events", keys)
    gone = sorted((row[0], row[1]) for row in last if row[2] is not None and bytes(row[2]) < before)
    yield from removing(gone)
    return Page(len(gone), next_)


def _forgetting(before: bytes) -> Generator[Once | Each, Sequence[Row], None]:
    yield Once("remove_counted", (before,))
