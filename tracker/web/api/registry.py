"""What the store knows of messages and recipients before a rewrite: whose a message_id is, who may be written to.

Owns what this process registers and has registered lately, which the store may not have yet, how long the store is
waited for, and that what the node remembers stands in for it. Must not write anything, nor hold on to who it was about:
what is registered here is remembered as digests.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from tracker.core.errors import MessageConflict, StoreUnavailable
from tracker.core.model import Owner
from tracker.core.status import Stage
from tracker.recall import Recall
from tracker.stores import OnList, Store

from .requests import Addressee

STORE_TIMEOUT_S: Final = 1.0
STORE_REST_S: Final = 5.0
"""How long the store is left alone after it did not answer: rewriting must not wait for it message by message."""
MAX_RECENT: Final = 100_000

_Answer = TypeVar("_Answer")


class Known(NamedTuple):
    """What is known of recipients with a view to one list."""

    recipients: Mapping[str, OnList]
    is_current: bool
    """Whether the store said so. Otherwise it is what the node remembers, which may be too little or too old."""

    def of(self, recipient: str | None) -> OnList:
        """What is known of one of them."""
        nothing = OnList(None, None)
        return nothing if recipient is None else self.recipients.get(recipient, nothing)


class Registry:
    """Checks registrations against this process's own and the store's; ``recall`` is asked where the store is away."""

    def __init__(self, store: Store, recall: Recall) -> None:
        self._store = store
        self._recall = recall
        self._key = os.urandom(32)
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        """Whose a message is; both as digests."""
        self._store_rests_until = 0.0

    async def claim(self, account: str, wanted: Mapping[str, Owner]) -> tuple[dict[str, MessageConflict], list[str]]:
        """Take the messages of ``wanted`` (their recipient and batch, by id) that are not registered for another one.

        Returns the conflicts, and the ids that nobody had before: `release` those if they are not registered after
        all. With the store away only this process's own registrations are known; the store then keeps the earlier
        of two registrations, whichever arrives first.
        """
        messages = {id_: self._digest(account, id_) for id_ in wanted}
        stored = await self._stored(account, [id_ for id_ in wanted if messages[id_] not in self._recent])
        # From here on nothing is awaited, so of two calls at once for one id the second finds the first one's claim.
        conflicts, fresh = {}, []
        for id_, owner in wanted.items():
            message, claimed = messages[id_], self._digest(*owner)
            known = self._recent.get(message)
            if known is None and id_ in stored:
                known = self._digest(*stored[id_])
            if known is not None and known != claimed:
                conflicts[id_] = MessageConflict(
                    f"message_id {id_} is already registered for another recipient or batch"
                )
                continue
            if known is None:
                fresh.append(id_)
            self._recent[message] = claimed
            self._recent.move_to_end(message)
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        return conflicts, fresh

    def release(self, account: str, ids: Iterable[str]) -> None:
        """Forget claims that did not become registrations."""
        for id_ in ids:
            self._recent.pop(self._digest(account, id_), None)

    async def known(self, account: str, list_: str, wanted: Sequence[Addressee]) -> Known:
        """What is known of the recipients of ``wanted`` with a view to a list."""
        recipients = [(one.recipient, list_) for one in wanted if one.recipient is not None]
        if not recipients:
            return Known({}, is_current=True)
        standings = await self._asked(self._store.standings(account, recipients))
        if standings is None:
            remembered = await self._recall.known(account, list_, [recipient for recipient, _ in recipients])
            return Known(remembered, is_current=False)
        return Known({recipient: known for (recipient, _), known in standings.items()}, is_current=True)

    async def unsent(self, account: str, ids: Iterable[str]) -> set[str]:
        """Those of messages registered before of which the store knows no sending, nor anything that follows one."""
        found = set()
        for id_ in ids:
            status = await self._asked(self._store.status(account, id_))
            if status is not None and status.stage is Stage.SENT and status.sent_at is None:
                found.add(id_)
        return found

    def _digest(self, *parts: str | None) -> bytes:
        return hashlib.blake2b(msgspec.json.encode(parts), key=self._key, digest_size=16).digest()

    async def _stored(self, account: str, ids: Sequence[str]) -> dict[str, Owner]:
        return (await self._asked(self._store.owners(account, ids)) or {}) if ids else {}

    async def _asked(self, question: Coroutine[Any, Any, _Answer]) -> _Answer | None:
        """The store's answer; None where it gave none, now or a moment ago."""
        if time.monotonic() < self._store_rests_until:
            question.close()
            return None
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                return await question
        except (StoreUnavailable, TimeoutError):
            self._store_rests_until = time.monotonic() + STORE_REST_S
            return None
