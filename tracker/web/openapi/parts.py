"""The pieces that the OpenAPI document is put together from: calls, bodies, problems.

Owns what all calls have in common. Must not know any path.
"""

from __future__ import annotations

from typing import Any, Final

from tracker.web.problems import MEDIA_TYPE, Problem

REF: Final = "#/components/schemas/{name}"
_ALWAYS: Final = {
    400: "not HTTP, or it ended early",
    408: "it came too slowly",
    413: "too large",
    414: "the URL is too long",
    431: "the headers are too large",
    503: "too many connections; try again",
}
"""What any request may be answered before it is looked at."""


def content(*shapes: type, media_type: str = "application/json") -> dict[str, Any]:
    """What has one of ``shapes``."""
    refs = [{"$ref": REF.format(name=shape.__name__)} for shape in shapes]
    return {media_type: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def problems(*statuses: int) -> dict[str, Any]:
    """The answers of these statuses, as problem details."""
    meanings = {
        **_ALWAYS,
        401: "no valid key",
        403: "the key lacks the scope for this",
        404: "no such thing, or not yet in the store",
        409: "message_conflict: the message_id is registered for another recipient or batch; "
        "recipient_suppressed: the recipient must not be written to",
        415: "a compressed body",
        422: "not valid",
        429: "too many requests, of this key or with wrong ones; try again after Retry-After",
        503: "the disk or the store is away, or there are too many connections; try again",
    }
    details = content(Problem, media_type=MEDIA_TYPE)
    return {str(status): {"description": meanings[status], "content": details} for status in statuses}


def call(summary: str, answer: dict[str, Any], *errors: int, **more: Any) -> dict[str, Any]:
    """A call of the API, which takes a key."""
    responses = {"200": {"description": "done", "content": answer}, **problems(401, 403, 429, *_ALWAYS, *errors)}
    return {"summary": summary, "security": [{"key": []}], "responses": responses, **more}


def body(shape: type) -> dict[str, Any]:
    """A body of one shape, in JSON."""
    return {"required": True, "content": content(shape)}


def accepted(described: dict[str, Any]) -> dict[str, Any]:
    """A call, with 202 in place of 200."""
    responses = {"202" if status == "200" else status: answer for status, answer in described["responses"].items()}
    return {**described, "responses": responses}


def public(summary: str, responses: dict[int, str], *parameters: Any) -> dict[str, Any]:
    """A call that takes no key."""
    described = {str(status): {"description": text} for status, text in {**_ALWAYS, **responses}.items()}
    return {"summary": summary, "security": [], "parameters": list(parameters), "responses": described}
