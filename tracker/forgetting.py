"""Forgets what this process has set aside of people who were erased, on whichever node that was.

Owns when that is looked after. Who is erased is the store's to say; what waits for the store is dropped there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tracker.core.errors import SpoolUnavailable, StoreUnavailable
from tracker.spool import Spool
from tracker.stores import Store

EVERY_S: Final = 5.0
_PAGE_ROWS: Final = 500

logger = logging.getLogger(__name__)


async def keep_forgetting(store: Store, spool: Spool) -> None:
    """Look every few seconds whether anybody was erased, until cancelled."""
    seen: tuple[int | None, int] | None = None
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            at, rows = await store.last_erasure(), (await asyncio.to_thread(spool.status)).set_aside
            if at is not None and rows and (at, rows) != seen:
                rows -= await forget(store, spool)
            seen = at, rows  # what was set aside meanwhile makes it more
        except (StoreUnavailable, SpoolUnavailable, TimeoutError):
            continue
        except Exception as error:
            logger.error("what was set aside stays: %s", type(error).__name__, extra={"action": "forgetting_failed"})


async def forget(store: Store, spool: Spool) -> int:
    """Remove the rows of erased people from those that were set aside; returns how many."""
    removed, after = 0, b""
    while True:
        events, next_ = await spool.aside(after, _PAGE_ROWS)
        if gone := await store.erased_of(events):
            removed += await spool.remove_aside([event.id for event in gone])
        if next_ is None:
            return removed
        after = next_
