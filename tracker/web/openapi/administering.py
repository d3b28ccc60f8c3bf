"""The part of the OpenAPI document that is about administering: the kill switch and the audit log.

Owns the descriptions of these paths. Must not restate a shape.
"""

from __future__ import annotations

from typing import Any, Final

from tracker.stores.audit import MAX_PAGE
from tracker.web.api.answers import AuditAnswer, ErasureAnswer, RevocationAnswer, RevocationsAnswer
from tracker.web.api.revocations import RevocationRequest

from .parts import body, call, content

SHAPES: Final = (RevocationRequest, RevocationAnswer, RevocationsAnswer, AuditAnswer, ErasureAnswer)

_AFTER: Final = {
    "name": "after",
    "in": "query",
    "description": "the `next` of the page before; without it, from the beginning",
    "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
}
_REFERENCE: Final = {
    "name": "ref",
    "in": "path",
    "required": True,
    "description": "the reference, percent-encoded: a slash is `%2F`",
    "schema": {"type": "string", "minLength": 1},
}
_LIMIT: Final = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}}


def paths() -> dict[str, Any]:
    """The paths."""
    return {
        "/v1/revocations": {
            "get": call("What no link of the account may lead to any more", content(RevocationsAnswer)),
            "post": call(
                "Switch links off, or on again: in force on this node within seconds, also while the store is away, "
                "and on the others as soon as they reach it; answered when it is on the disk",
                content(RevocationAnswer), 413, 415, 422, 503,
                requestBody=body(RevocationRequest),
            ),
        },
        "/v1/audit": {
            "get": call("What administrators did", content(AuditAnswer), 422, 503, parameters=[_AFTER, _LIMIT])
        },
        "/v1/recipients/{ref}/erase": {
            "post": call(
                "Remove all that identifies a recipient, and keep the counts. Nothing of it comes back, and they are "
                "not written to until a reset. May be repeated",
                content(ErasureAnswer), 404, 422, 503,
                parameters=[_REFERENCE],
            )
        },
    }  # fmt: skip
