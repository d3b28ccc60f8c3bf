"""The page of an account's settings.

Owns the requests. What the fields are is `form`, what a setting means is `core.accounts`.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from tracker.core.accounts import Scope
from tracker.core.errors import StoreUnavailable
from tracker.directory import DirectoryWatch
from tracker.stores.accounts import Accounts
from tracker.web.problems import NotAllowed

from .form import FIELDS, GROUPS, Typed, document, typed
from .rendering import Renderer, path, redirect
from .requests import Visit


class SettingsPage:
    """``/console/settings``."""

    def __init__(self, renderer: Renderer, accounts: Accounts, watch: DirectoryWatch) -> None:
        self._renderer = renderer
        self._accounts = accounts
        self._watch = watch

    async def page(self, visit: Visit) -> Response:
        """The settings in force on this process; or, posted, those that are to be."""
        if visit.request.method == "POST":
            return await self._save(visit)
        given = typed(self._watch.current.settings(visit.account))
        return self._form(visit, given, is_saved=visit.query.get("saved") == "1")

    async def _save(self, visit: Visit) -> Response:
        if not visit.session.may(Scope.ADMIN):
            raise NotAllowed("The key that you signed in with may not change settings: it lacks the scope admin.")
        given = {name: visit.form.get(name) for name in FIELDS}
        values, errors = document(given, self._watch.defaults)
        if errors:
            return self._form(visit, given, 422, errors=errors)
        try:
            await self._accounts.put_settings(visit.account, values, by=visit.session.key.id)
        except StoreUnavailable:
            return self._form(visit, given, 503, is_unavailable=True)
        await self._watch.refresh()
        return redirect(path("settings", saved="1"))

    def _form(self, visit: Visit, given: Typed, status: int = 200, **more: Any) -> Response:
        values = {
            "groups": GROUPS,
            "typed": given,
            "may_save": visit.session.may(Scope.ADMIN),
            "errors": {},
            "is_saved": False,
            "is_unavailable": False,
            **more,
        }
        return self._renderer.page("settings.html", visit, values, status)
