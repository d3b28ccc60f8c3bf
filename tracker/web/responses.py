"""Answers in JSON: their headers, and how a time is written in them.

Owns what all answers of the API have in common. Must not know what is answered.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

import msgspec
from starlette.responses import Response

from .pages import PUBLIC_HEADERS

UNCACHED: Final = {name.decode(): value.decode() for name, value in PUBLIC_HEADERS}
"""The headers of public answers, as Starlette wants them: errors and health are public too."""


def json_response(answer: Any, status: int = 200) -> Response:
    """``answer`` as JSON, which no cache may keep."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json", headers=UNCACHED)


def moment(microseconds: int) -> str:
    """A time as RFC 3339 in UTC, to the microsecond."""
    time = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=microseconds)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
