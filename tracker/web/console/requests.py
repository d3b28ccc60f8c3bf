"""What browsers send to the console: forms, where they come from, and where to go after signing in.

Owns their reading. Must not know who is signed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote

from starlette.datastructures import Headers
from starlette.requests import Request

from tracker.core.errors import InvalidRequest, NotThere
from tracker.web import bodies

from .sessions import Session

HOME: Final = "/console"
MAX_FIELDS: Final = 200

_FORM: Final = "application/x-www-form-urlencoded"
_OWN_PATH: Final = re.compile(r"/console(?:[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_WAYS_OUT: Final = ("/.", "//", "%2e", "%5c")
"""What browsers, or proxies on the way to us, may take for a step up: an encoded dot or backslash too."""
_MAX_PATH_CHARS: Final = 4000


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, or of a query."""

    fields: Mapping[str, list[str]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        return self.fields.get(name, [default])[0]


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in."""

    request: Request
    session: Session
    form: Form = field(default_factory=Form)
    """What was posted."""

    @property
    def account(self) -> str:
        """Whose pages these are."""
        return self.session.key.account

    @property
    def query(self) -> Form:
        """What stands behind the question mark."""
        return decoded(self.request.scope["query_string"].decode("latin-1"))

    @property
    def segments(self) -> list[str]:
        """The pieces of the path after ``/console/``: a name in it may have a slash of its own, as ``%2F``."""
        path: bytes = self.request.scope["raw_path"]
        try:
            return [unquote(piece, errors="strict") for piece in path.decode("latin-1").split("/")[2:]]
        except UnicodeDecodeError:
            raise NotThere from None


async def read_form(request: Request) -> Form:
    """What was posted. Raises `InvalidRequest`, `TooLarge`."""
    body = await bodies.read(request, bodies.SMALL_REQUEST_BYTES)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return Form()
    return decoded(body.decode("latin-1"))


def decoded(text: str) -> Form:
    """The fields in a query, or in a form as it was posted. Raises `InvalidRequest`."""
    try:
        return Form(parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise InvalidRequest([("$", "this is not a form that can be read")]) from None


def is_own(headers: Headers) -> bool:
    """Whether a form comes from our own pages, or nothing says that it does not."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin", "null")
    # "null" is what pages that send no referrer have, ours too.
    return origin == "null" or origin.partition("://")[2] == headers.get("host")


def own_path(text: str) -> str:
    """``text``, if it is the path of one of our pages and nothing else; or else the first page."""
    is_ours = len(text) <= _MAX_PATH_CHARS and _OWN_PATH.fullmatch(text)
    return text if is_ours and not any(way in text.lower() for way in _WAYS_OUT) else HOME
