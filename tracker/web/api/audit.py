"""The audit log over HTTP.

Owns the paging. Must not change anything.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope
from tracker.stores.audit import MAX_PAGE, Audit
from tracker.web.responses import json_response, moment

from .answers import ActAnswer, AuditAnswer
from .callers import Callers
from .requests import number


class AuditApi:
    """``/v1/audit``."""

    def __init__(self, callers: Callers, audit: Audit) -> None:
        self._callers = callers
        self._audit = audit

    def routes(self) -> list[Route]:
        """Where this is."""
        return [Route("/v1/audit", self.page)]

    async def page(self, request: Request) -> Response:
        """What administrators did, from the oldest on, a page at a time; of the key's own account."""
        account = self._callers.account(request, Scope.ADMIN)
        after = number("after", request.query_params.getlist("after"), 0, 2**63 - 1, 0)
        limit = number("limit", request.query_params.getlist("limit"), 1, MAX_PAGE, MAX_PAGE)
        kept = await self._audit.page(account, after=after, limit=limit)
        acts = [ActAnswer(id_, moment(at), act.actor, act.act, act.subject, act.detail) for id_, at, act in kept]
        return json_response(AuditAnswer(acts, str(kept[-1].id if kept else after), more=len(kept) == limit))
