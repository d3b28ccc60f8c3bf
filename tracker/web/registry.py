"""Whether a message may be registered: a message_id belongs to one recipient and one batch.

Owns what this process has registered lately, which the store may not have yet. Must not write anything.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from tracker.core.errors import MessageConflict, StoreUnavailable
from tracker.core.model import Owner
from tracker.stores import Store

STORE_TIMEOUT_S: Final = 1.0
STORE_REST_S: Final = 5.0
"""How long the store is left alone after it did not answer: rewriting must not wait for it message by message."""
MAX_RECENT: Final = 100_000


class Registry:
    """Checks registrations against this process's own and the store's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: OrderedDict[tuple[str, str], Owner] = OrderedDict()
        self._store_rests_until = 0.0

    async def conflicts(self, account: str, wanted: Mapping[str, Owner]) -> dict[str, MessageConflict]:
        """The messages of ``wanted`` (their recipient and batch, by id) that are registered for another one.

        With the store away only this process's own registrations are known; the store then keeps the earlier
        of two registrations, whichever arrives first.
        """
        known = {id_: owner for id_ in wanted if (owner := self._recent.get((account, id_)))}
        known.update(await self._stored(account, [id_ for id_ in wanted if id_ not in known]))
        return {
            id_: MessageConflict(f"message_id {id_} is already registered for another recipient or batch")
            for id_, owner in known.items()
            if owner != wanted[id_]
        }

    def remember(self, account: str, wanted: Mapping[str, Owner]) -> None:
        """Note registrations that are on disk now."""
        for id_, owner in wanted.items():
            self._recent[account, id_] = owner
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)

    async def _stored(self, account: str, ids: Sequence[str]) -> dict[str, Owner]:
        if not ids or time.monotonic() < self._store_rests_until:
            return {}
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                return await self._store.owners(account, ids)
        except (StoreUnavailable, TimeoutError):
            self._store_rests_until = time.monotonic() + STORE_REST_S
            return {}
