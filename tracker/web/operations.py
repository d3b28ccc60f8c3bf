"""What operators' tools read: health, readiness, metrics, the description of the API.

Owns when the service counts as ready. None of it needs a key: a proxy keeps it inside.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tracker import metrics
from tracker.core.errors import SpoolUnavailable
from tracker.spool import Spool
from tracker.web.openapi.document import document

from .responses import UNCACHED, json_response

NOT_READY_SPOOL_SHARE: Final = 0.8
"""A spool this full makes the service not ready, long before it has to refuse an event."""


class Operations:
    """``/healthz``, ``/readyz``, ``/metrics``, ``/openapi.json``, ``/robots.txt``."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.draining = False
        """Set when the service is about to stop: it is not ready any more."""

    def routes(self) -> list[Route]:
        """Where these are."""
        return [
            Route("/openapi.json", self.openapi),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/robots.txt", self.robots),
        ]

    async def openapi(self, request: Request) -> Response:
        """The description of this API."""
        return json_response(document())

    async def healthz(self, request: Request) -> Response:
        """The process is alive."""
        return PlainTextResponse("ok\n", headers=UNCACHED)

    async def readyz(self, request: Request) -> Response:
        """The service can take traffic: the spool can be written, and is not about to be full."""
        reason = await self._not_ready()
        if reason:
            return PlainTextResponse(reason + "\n", 503, headers=UNCACHED)
        return PlainTextResponse("ready\n", headers=UNCACHED)

    async def metrics(self, request: Request) -> Response:
        """Prometheus metrics, of all worker processes."""
        return Response(*metrics.exposition())

    async def robots(self, request: Request) -> Response:
        """Nothing here is for search engines."""
        return PlainTextResponse("User-agent: *\nDisallow: /\n")

    async def _not_ready(self) -> str | None:
        if self.draining:
            return "stopping"
        try:
            status = await asyncio.to_thread(self._spool.status)
            await self._spool.check()
        except SpoolUnavailable as error:
            return str(error)
        if status.bytes > NOT_READY_SPOOL_SHARE * self._spool.max_bytes:
            return "the spool is nearly full"
        return None
