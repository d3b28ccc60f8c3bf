"""An account's settings over HTTP.

Owns the requests. What a setting means is `core.accounts`, how all processes hear of a change is `directory`.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope, settings_from
from tracker.directory import DirectoryWatch
from tracker.stores.accounts import Accounts
from tracker.web import bodies
from tracker.web.responses import json_response

from .callers import Callers
from .requests import decode


class AccountSettingsApi:
    """``/v1/settings``."""

    def __init__(self, callers: Callers, accounts: Accounts, watch: DirectoryWatch) -> None:
        self._callers = callers
        self._accounts = accounts
        self._watch = watch

    def routes(self) -> list[Route]:
        """Where these are."""
        return [Route("/v1/settings", self.settings, methods=["GET", "PUT"])]

    async def settings(self, request: Request) -> Response:
        """Both calls: with a route for each, neither would know which methods the other allows."""
        return await (self.replace(request) if request.method == "PUT" else self.read(request))

    async def read(self, request: Request) -> Response:
        """The settings in force on this process."""
        account = self._callers.account(request, Scope.READ)
        return json_response(self._watch.current.settings(account))

    async def replace(self, request: Request) -> Response:
        """Replace the settings; what is left out goes back to its default. Other processes follow within seconds."""
        account = await self._callers.sender(request, Scope.ADMIN)
        values = decode(await bodies.read(request, bodies.SMALL_REQUEST_BYTES), dict[str, Any])
        settings = settings_from(values, self._watch.defaults)
        await self._accounts.put_settings(account, values, by=request.state.actor)
        await self._watch.refresh()
        return json_response(settings)
