"""Who calls the API, and what they may do.

Owns the reading of API keys from requests. Must not know what a call does.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from tracker.core.accounts import Directory, Scope
from tracker.web import bodies
from tracker.web.limits import CallLimit, InvalidTraffic
from tracker.web.problems import NotAllowed, NotAuthorized, TooManyRequests


class Callers:
    """Knows callers by their keys, as ``directory`` has them at the moment of the call."""

    def __init__(self, directory: Callable[[], Directory], calls: CallLimit, invalid: InvalidTraffic) -> None:
        self._directory = directory
        self._calls = calls
        self._invalid = invalid

    def account(self, request: Request, scope: Scope) -> str:
        """The account that the request's key belongs to.

        Raises `NotAuthorized`, `NotAllowed` without the scope, and `TooManyRequests` of this key, or of wrong ones.
        """
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        key = self._directory().key(secret.strip()) if scheme.lower() == "bearer" else None
        wait_s = self._invalid.wait_s(request.scope) if key is None else self._calls.wait_s(key.id)
        if wait_s:
            raise TooManyRequests(wait_s)
        if key is None:
            raise NotAuthorized
        if scope not in key.scopes:
            raise NotAllowed(f"the key may not be used for this: it lacks the scope {scope}")
        request.state.actor = key.id  # who did it, for the audit log
        return key.account

    async def sender(self, request: Request, scope: Scope) -> str:
        """The same for a request with a body, which is taken in before it is refused."""
        try:
            return self.account(request, scope)
        except (NotAuthorized, NotAllowed, TooManyRequests):
            await bodies.discard(request.receive)
            raise
