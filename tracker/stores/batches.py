"""What is known of batches: their counts, and which messages are in them.

Owns these questions to the database. Must not change anything. What the counts mean is `core.report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from tracker.core.batches import Key
from tracker.core.errors import NotThere
from tracker.core.figures import BatchReport
from tracker.core.report import report
from tracker.core.status import Status

from .database import Database, Each, Once
from .limits import MAX_TIME, is_key
from .rows import status_in

_LAST_CHARACTER: Final = "\U0010ffff"


class BatchCounts(NamedTuple):
    """The counts of one batch."""

    batch: str
    created_at: int
    """When the store first had a message of it: microseconds since the epoch."""
    counts: Counter[Key]
    withdrawn: dict[tuple[str, str], int]
    """Hits of people who withdrew their consent, by event type and actor."""


class Batches:
    """The batches in ``database``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(
        self, account: str, batches: Sequence[str], *, without_keys: bool = False
    ) -> dict[str, BatchCounts]:
        """The counts of those of ``batches`` that are known, by name. Takes as long for a batch of any size.

        ``without_keys`` leaves out those by link, device and the like, of which there may be thousands.
        """
        keys = sorted((account, batch) for batch in set(batches) if is_key(batch))
        named = await self._database.read(Each("batches_named", keys))
        found = {batch: BatchCounts(batch, created_at, Counter(), {}) for batch, created_at in named}
        query = "batch_counts_without_keys" if without_keys else "batch_counts"
        for batch, measure, key, count in await self._database.read(Each(query, keys)):
            if batch in found:
                found[batch].counts[Key(measure, key)] = count
        for batch, type_, actor, count in await self._database.read(Each("anonymous_hits", keys)):
            if batch in found:
                found[batch].withdrawn[type_, actor] = count
        return found

    async def reports(self, account: str, batches: Sequence[str]) -> list[BatchReport]:
        """The reports on ``batches``, in that order. Raises `NotThere`."""
        found = await self.counts(account, batches)
        if unknown := [repr(name) for name in batches if name not in found]:
            raise NotThere(f"no such batch, or not yet: {', '.join(unknown)}")
        return [report(*found[name]) for name in batches]

    async def page(
        self, account: str, *, after: tuple[int, str] | None = None, limit: int = 50
    ) -> list[tuple[str, int]]:
        """Batches and when the store first had a message of them, the newest first.

        ``after`` is the time and the name of the last one of the page before.
        """
        created_at, batch = after or (MAX_TIME, "")
        rows = await self._database.read(Once("batches_before", (account, created_at, batch, limit)))
        return [(name, at) for name, at in rows]

    async def messages(self, account: str, batch: str, *, after: str = "", limit: int = 100) -> list[Status]:
        """The messages of a batch whose ids come after ``after``, in the order of their ids."""
        return await self._messages("messages_of_batch", (account, batch), after, limit)

    async def of_recipient(self, account: str, recipient: str, *, after: str = "", limit: int = 100) -> list[Status]:
        """The messages to a recipient, in the same way."""
        return await self._messages("messages_of_recipient", (account, recipient), after, limit)

    async def matching(self, account: str, prefix: str, *, after: str = "", limit: int = 100) -> list[Status]:
        """The messages whose ids begin with ``prefix``, in the same way."""
        return await self._messages("messages_between", (account, prefix, prefix + _LAST_CHARACTER), after, limit)

    async def _messages(self, query: str, bounds: tuple[str, ...], after: str, limit: int) -> list[Status]:
        """As many as ``limit``, unless there are no more: some may be deleted between the two queries."""
        found: list[Status] = []
        if not (is_key(after) and all(map(is_key, bounds))):
            return found
        while True:
            wanted = limit - len(found)
            ids = await self._database.read(Once(query, (*bounds, after, wanted)))
            rows = await self._database.read(Each("messages", [(bounds[0], row[0]) for row in ids]))
            found += sorted(map(status_in, rows), key=lambda status: status.message_id)
            if len(ids) < wanted or len(found) == limit:
                return found
            after = ids[-1][0]
