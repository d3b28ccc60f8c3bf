"""A store whose recipients change as a test says, and what follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from spools import until

from tracker.core.errors import StoreUnavailable
from tracker.core.tombstones import Digests
from tracker.recall import Recall
from tracker.recall.file import RecipientsFile
from tracker.stores.store import Position, RecipientChanges, What

NOON = 1_795_435_200_000_000
DIGESTS = Digests([b"one key", b"the newest key"])


class Source:
    """A store with people who complained."""

    def __init__(self, *recipients: str) -> None:
        self.now = NOON
        self.rows = dict.fromkeys(recipients, NOON - 1)
        self.erased: dict[str, int] = {}
        self.asked: list[Position] = []
        self.is_away = False

    async def recipient_changes(self, after: Position, what: What, *, limit: int) -> RecipientChanges:
        if self.is_away:
            raise StoreUnavailable("away")
        if what is What.ERASURES:
            stones: list[tuple[Position, tuple[int | str | None, ...]]] = sorted(
                (Position(at, "", digest.hex()), (at, None))
                for recipient, at in self.erased.items()
                for digest in DIGESTS.of_person("default", recipient)
            )
            return RecipientChanges(self.now, [stone for stone in stones if stone[0] > after][:limit])
        if what is What.LIST_STANDINGS:
            return RecipientChanges(self.now, [])
        self.asked.append(after)
        found = sorted(Position(at, "default", recipient) for recipient, at in self.rows.items())
        page = [position for position in found if position > after][:limit]
        return RecipientChanges(self.now, [(position, (None, None, NOON, *[None] * 3)) for position in page])


@asynccontextmanager
async def following(source: Source, path: Path, *, name: str = "a") -> AsyncIterator[Recall]:
    recall = Recall(source, path, DIGESTS, source_name=name, poll_s=0.02, page_rows=2)
    task = asyncio.create_task(recall.run())
    try:
        yield recall
    finally:
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: free(path))


def free(path: Path) -> bool:
    """Whether no process has the task."""
    file = RecipientsFile(path, "", DIGESTS)
    try:
        return file._locked()
    finally:
        file.release()


async def complained(recall: Recall, *recipients: str) -> None:
    """Wait until exactly these of some are remembered."""
    async with asyncio.timeout(20):
        while True:
            known = await recall.known("default", "news", ["r-0", "r-1", "r-2", "r-3", "r-4", "new", "no \0 key"])
            assert all(one.standing is not None and one.standing.has_complained for one in known.values())
            if set(known) == set(recipients):
                return
            await asyncio.sleep(0.01)
