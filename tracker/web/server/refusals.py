"""What a connection is answered that went over a limit: short and whole, before any handler hears of it.

Owns the wording. Must not decide who is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from tracker.web.pages import PUBLIC_HEADERS, encode_head
from tracker.web.problems import MEDIA_TYPE, RETRY_AFTER_S, Problem


class Refusal(NamedTuple):
    """One way to be refused."""

    kind: str
    """As ``tracker_limited`` counts it; none: it is not counted."""
    status: HTTPStatus
    body: bytes

    def answer(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, with ``headers`` of the server's."""
        fields = [
            *headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"connection", b"close"),
            *PUBLIC_HEADERS,
        ]
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            fields.append((b"retry-after", RETRY_AFTER_S.encode()))
        return b"".join((encode_head(self.status, fields), b"\r\n", self.body))


def _refusal(kind: str, status: HTTPStatus, code: str, title: str, detail: str) -> Refusal:
    return Refusal(kind, status, msgspec.json.encode(Problem(f"/problems/{code}", title, status.value, detail)))


MALFORMED: Final = _refusal(
    "", HTTPStatus.BAD_REQUEST, "malformed", "The request is not HTTP", "It could not be understood."
)
UPGRADE: Final = _refusal(
    "", HTTPStatus.BAD_REQUEST, "malformed", "The request asks for another protocol",
    "That is not done, and its body not read: send it again without an Upgrade header.",
)  # fmt: skip
SLOW_HEAD: Final = _refusal(
    "head_time", HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The request came too slowly", "Its headers took too long."
)
SLOW_BODY: Final = _refusal(
    "body_time", HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The request came too slowly", "Its body took too long."
)
LARGE_BODY: Final = _refusal(
    "body_bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The request is too large", "Its body is too large."
)
LONG_URL: Final = _refusal(
    "url_bytes", HTTPStatus.REQUEST_URI_TOO_LONG, "too_large", "The request is too large", "Its URL is too long."
)
LARGE_HEAD: Final = _refusal(
    "head_bytes", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "The request is too large",
    "Its headers are too large.",
)  # fmt: skip
MANY_FROM_SOURCE: Final = _refusal(
    "source", HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "Too many connections",
    "There are too many from this address; close some, or try again later.",
)  # fmt: skip
MANY: Final = _refusal(
    "connections", HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "Too many connections",
    "There are too many; try again later.",
)  # fmt: skip
