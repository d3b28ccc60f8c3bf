"""Erasing a person over HTTP.

Owns how it is asked for. What goes is `stores.erasing`.
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope
from tracker.core.errors import InvalidRequest
from tracker.stores.erasing import Erasure
from tracker.stores.limits import is_key
from tracker.web import bodies
from tracker.web.responses import json_response, moment

from .answers import ErasureAnswer
from .callers import Callers
from .encoded import EncodedRoute


class ErasureApi:
    """``/v1/recipients/{ref}/erase``."""

    def __init__(self, callers: Callers, erasure: Erasure) -> None:
        self._callers = callers
        self._erasure = erasure

    def routes(self) -> list[Route]:
        """Where this is."""
        return [EncodedRoute("/v1/recipients/{ref}/erase", self.erase, methods=["POST"])]

    async def erase(self, request: Request) -> Response:
        """Erase a recipient of the key's account; as often as one likes."""
        account = await self._callers.sender(request, Scope.ADMIN)
        await bodies.discard(request.receive)
        recipient = request.path_params["ref"]
        if not is_key(recipient) or "\ufffd" in recipient:
            raise InvalidRequest([("ref", "must be a recipient's reference, percent-encoded")])
        now = time.time_ns() // 1000
        erased = await self._erasure.erase(account, recipient, now, request.state.actor)
        return json_response(ErasureAnswer(len(erased.messages), erased.events, moment(now)))
