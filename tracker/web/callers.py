"""Who calls the API, and what they may do.

Owns the reading of API keys from requests. Must not know what a call does.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from tracker.core.accounts import Directory, Scope

from . import bodies
from .problems import NotAllowed, NotAuthorized


class Callers:
    """Knows callers by their keys, as ``directory`` has them at the moment of the call."""

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self._directory = directory

    def account(self, request: Request, scope: Scope) -> str:
        """The account that the request's key belongs to. Raises `NotAuthorized`, and `NotAllowed` without the scope."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        key = self._directory().key(secret.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise NotAuthorized
        if scope not in key.scopes:
            raise NotAllowed(f"the key may not be used for this: it lacks the scope {scope}")
        return key.account

    async def sender(self, request: Request, scope: Scope) -> str:
        """The same for a request with a body, which is taken in before it is refused."""
        try:
            return self.account(request, scope)
        except (NotAuthorized, NotAllowed):
            await bodies.discard(request.receive)
            raise
