"""The console's pages as answers: templates with everything escaped, and the headers that all of them have.

Owns the headers and the templates' environment. Must not decide what is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import Response

from tracker.web.responses import UNCACHED

from . import words
from .requests import HOME, Visit

HEADERS: Final = {
    **UNCACHED,
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer of the console. No script may run, and nothing may come from elsewhere."""


class Renderer:
    """Makes pages of templates."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("tracker.web", "templates/console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"words": words, "path": path, "sentence": words.sentence}
        self._style = files("tracker.web.console").joinpath("style.css").read_bytes()

    def page(
        self,
        template: str,
        visit: Visit | None,
        values: Mapping[str, Any],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The page of a template; ``visit`` is None for whoever is not signed in."""
        shown = {"session": visit.session if visit else None, **values}
        html = self._environment.get_template(template).render(shown)
        return Response(html, status, {**HEADERS, **(headers or {})}, "text/html; charset=utf-8")

    async def style(self, request: Request) -> Response:
        """``/console/style.css``."""
        return Response(self._style, 200, HEADERS, "text/css; charset=utf-8")


def redirect(target: str) -> Response:
    """Go on to ``target``, a path of ours, with a GET."""
    return Response(b"", 303, {**HEADERS, "Location": target})


def path(*pieces: str, **query: str | list[str]) -> str:
    """The path of a page of ours, from its pieces after ``/console`` and its query."""
    found = "/".join([HOME, *(quote(piece, safe="") for piece in pieces)])
    return f"{found}?{urlencode(query, doseq=True, quote_via=quote)}" if query else found
