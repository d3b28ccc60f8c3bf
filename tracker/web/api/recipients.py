"""What is known of recipients, and what operators and recipients change about it, over HTTP.

Owns how long a change is waited for. The reference stands in bodies only, so that no proxy logs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope
from tracker.core.errors import RecipientSuppressed, StoreUnavailable
from tracker.core.model import Suppression
from tracker.core.recipients import ListStanding, Standing
from tracker.revocations import Revocations
from tracker.spool import Spool
from tracker.stores import Store
from tracker.stores.audit import Act
from tracker.web import bodies
from tracker.web.responses import json_response

from .answering import recipient_answer
from .answers import AcceptedAnswer
from .callers import Callers
from .reported import RecipientQuery, RecipientUpdate
from .requests import decode
from .rewriting import ERASED

IN_FORCE_WITHIN_S: Final = 2.0
"""A change that the store does not have by then is answered as accepted: it is on disk, and will get there."""
_LOOK_EVERY_S: Final = 0.02


_Known: TypeAlias = tuple[Standing, list[ListStanding]]


class Recipients:
    """``/v1/recipients`` and ``/v1/recipients/lookup``."""

    def __init__(self, callers: Callers, spool: Spool, store: Store, revocations: Revocations) -> None:
        self._callers = callers
        self._spool = spool
        self._store = store
        self._revocations = revocations

    def routes(self) -> list[Route]:
        """Where these are."""
        return [
            Route("/v1/recipients/lookup", self.lookup, methods=["POST"]),
            Route("/v1/recipients", self.change, methods=["PUT"]),
        ]

    async def lookup(self, request: Request) -> Response:
        """What is known of one recipient."""
        account = await self._callers.sender(request, Scope.READ)
        wanted = decode(await bodies.read(request, bodies.SMALL_REQUEST_BYTES), RecipientQuery)
        known = await self._store.recipient(account, wanted.recipient)
        return json_response(recipient_answer(wanted.recipient, known))

    async def change(self, request: Request) -> Response:
        """A change of consent, or an operator's reset: 200 when it is in force, 202 when it is only on disk, as yet."""
        account = await self._callers.sender(request, Scope.EVENTS)
        wanted = decode(await bodies.read(request, bodies.SMALL_REQUEST_BYTES), RecipientUpdate)
        wanted.check()
        if wanted.reset is not None:
            self._callers.account(request, Scope.ADMIN)
        elif await self._is_erased(account, wanted.recipient):
            raise RecipientSuppressed(ERASED)
        now = time.time_ns() // 1000
        changes = wanted.facts(account)
        await self._spool.append_all([(facts, now) for facts in changes])
        if wanted.reset is not None:
            # Neither the reference nor the reason, which may say who it is.
            lifted = {"suppressions": [one.value for one in wanted.reset.suppressions], "list": wanted.reset.list}
            await self._revocations.note(Act(account, request.state.actor, "recipient_reset", "", lifted))
        known = await self._after(account, wanted, now)
        if known is None:
            return json_response(AcceptedAnswer(len(changes)), 202)
        return json_response(recipient_answer(wanted.recipient, known))

    async def _is_erased(self, account: str, recipient: str) -> bool:
        """Whether what they say now would be dropped; where the store does not say, it is dropped there."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(IN_FORCE_WITHIN_S):
                return bool(await self._store.erased(account, [recipient]))
        return False

    async def _after(self, account: str, wanted: RecipientUpdate, now: int) -> _Known | None:
        """What is known once the store has what was changed at ``now``; None where that takes too long."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(IN_FORCE_WITHIN_S):
                while True:
                    known = await self._store.recipient(account, wanted.recipient)
                    if known is not None and _has(known, wanted, now):
                        return known
                    await asyncio.sleep(_LOOK_EVERY_S)
        return None


def _has(known: _Known, wanted: RecipientUpdate, now: int) -> bool:
    """Whether all that was changed at ``now`` shows."""
    standing, lists = known
    times: list[int | None] = []
    if wanted.consent is not None:
        times += [standing.opens.changed_at] if wanted.consent.opens else []
        times += [standing.clicks.changed_at] if wanted.consent.clicks else []
    if wanted.reset is not None:
        resets = {
            Suppression.INVALID: standing.invalid_reset_at,
            Suppression.COMPLAINED: standing.complained_reset_at,
            Suppression.UNSUBSCRIBED: next((one.reset_at for one in lists if one.list == wanted.reset.list), None),
        }
        times += [resets[one] for one in wanted.reset.suppressions]
    return all(at is not None and at >= now for at in times)
