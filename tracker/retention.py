"""Keeps to what accounts have set about how long their messages are kept.

Owns when that is looked after. What is deleted is `stores.retention`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from tracker.core.accounts import Directory
from tracker.core.errors import StoreUnavailable
from tracker.stores.retention import Retention

EVERY_S: Final = 3600.0
_REST_S: Final = 0.1
"""Between two pages: whoever waits for the database comes first."""

logger = logging.getLogger(__name__)


async def keep_to(retention: Retention, directory: Callable[[], Directory]) -> None:
    """Delete what is too old, about once an hour, until cancelled. Several processes may do so at once."""
    while True:
        # Scattered, so that the processes of a group take turns more often than not.
        await asyncio.sleep(random.uniform(EVERY_S / 60, EVERY_S / 30))  # noqa: S311 - not for security
        try:
            deleted = await sweep(retention, directory(), await clock_ms(retention))
        except (StoreUnavailable, TimeoutError):
            continue
        except Exception as error:
            logger.error("the sweep broke off: %s", type(error).__name__, extra={"action": "retention_failed"})
        else:
            if deleted:
                logger.info("%d messages deleted, as their accounts want", deleted, extra={"action": "retention"})
        await asyncio.sleep(EVERY_S)


async def clock_ms(retention: Retention) -> int:
    """The earlier of two clocks, this node's and the database's: one that is ahead must not make fresh data old."""
    return min(time.time_ns() // 1_000_000, await retention.clock_ms())


async def sweep(retention: Retention, directory: Directory, now_ms: int) -> int:
    """Delete what is too old at ``now_ms``; returns how many messages that were."""
    deleted = 0
    for account in directory.accounts:
        days = directory.settings(account).retention_days
        if days is None:
            continue
        page = await retention.delete_page(account, days, now_ms)
        deleted += page.messages
        while page.after is not None:
            await asyncio.sleep(_REST_S)
            page = await retention.delete_page(account, days, now_ms, page.after)
            deleted += page.messages
    agent = await retention.delete_agents_page()
    while agent is not None:
        await asyncio.sleep(_REST_S)
        agent = await retention.delete_agents_page(agent)
    await retention.forget_counted(now_ms)
    return deleted
