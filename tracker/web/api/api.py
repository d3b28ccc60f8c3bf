"""The API that mailers, mail servers and operators call: puts its parts together into one application.

Owns the list of the parts. What each of them does stands in the module of its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from tracker.core.errors import TrackerError
from tracker.web.problems import answer_error, answer_http_error


class Part(Protocol):
    """A part of the API."""

    def routes(self) -> list[Route]:
        """Where its handlers are."""


def build(parts: Sequence[Part]) -> Starlette:
    """The parts as one ASGI application."""
    app = Starlette(
        routes=[route for part in parts for route in part.routes()],
        exception_handlers={TrackerError: answer_error, HTTPException: answer_http_error, Exception: answer_error},
    )
    # It would answer /healthz/ with a redirect to wherever the Host header says.
    app.router.redirect_slashes = False
    return app
