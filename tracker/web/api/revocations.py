"""The kill switch over HTTP: what no link of an account may lead to any more.

Owns the requests. What is revoked, and how soon that is in force, is `tracker.revocations`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tracker.core.accounts import Scope
from tracker.core.revocations import LINKS, MAX_REASON_CHARS, Revocation
from tracker.revocations import Revocations
from tracker.web import bodies
from tracker.web.responses import json_response, moment

from . import requests
from .answers import RevocationAnswer, RevocationsAnswer
from .callers import Callers


class RevocationRequest(requests.Request, frozen=True):
    """``POST /v1/revocations``."""

    kind: Annotated[Literal["host", "url", "message", "batch"], Meta(description="what `value` is")]
    value: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4096,
            description="a host, or `*.` and a host for all below it; a destination as a rewrite answer has it; "
            "the id of a message; the name of a batch",
        ),
    ]
    reason: Annotated[str, Meta(max_length=MAX_REASON_CHARS, pattern=r"^[^\x00-\x1f\x7f]*\Z")] = ""
    revoked: bool = True
    """False: its links lead where they led before."""


class RevocationsApi:
    """``/v1/revocations``."""

    def __init__(self, callers: Callers, revocations: Revocations) -> None:
        self._callers = callers
        self._revocations = revocations

    def routes(self) -> list[Route]:
        """Where these are."""
        return [Route("/v1/revocations", self.revocations, methods=["GET", "POST"])]

    async def revocations(self, request: Request) -> Response:
        """Both calls: with a route for each, neither would know which methods the other allows."""
        return await (self.change(request) if request.method == "POST" else self.in_force(request))

    async def in_force(self, request: Request) -> Response:
        """What is revoked now, as this process knows it."""
        account = self._callers.account(request, Scope.ADMIN)
        entries = [entry for entry in self._revocations.in_force(account) if entry.kind in LINKS]
        return json_response(RevocationsAnswer([_answer(entry) for entry in entries]))

    async def change(self, request: Request) -> Response:
        """Revoke, or lift: answered when it is on the node's disk. Other processes follow within seconds."""
        account = await self._callers.sender(request, Scope.ADMIN)
        asked = requests.decode(await bodies.read(request, bodies.SMALL_REQUEST_BYTES), RevocationRequest)
        made = await self._revocations.change(
            account, asked.kind, asked.value, request.state.actor, is_revoked=asked.revoked, reason=asked.reason
        )
        return json_response(_answer(made))


def _answer(entry: Revocation) -> RevocationAnswer:
    return RevocationAnswer(
        kind=entry.kind,
        value=entry.value,
        revoked=entry.is_revoked,
        reason=entry.reason,
        changed_at=moment(entry.changed_at),
        actor=entry.actor,
    )
