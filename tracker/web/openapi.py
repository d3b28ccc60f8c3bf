"""The OpenAPI 3.1 document of the API, made from the very shapes that requests are checked with.

Owns the descriptions of the paths. Must not restate a shape.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from tracker import __version__

from .answers import BatchErrorAnswer, EventsAnswer, MessageAnswer, Problem, RewriteAnswer
from .problems import MEDIA_TYPE
from .requests import BatchRequest, RewriteRequest

_SHAPES: Final = (RewriteRequest, BatchRequest, RewriteAnswer, BatchErrorAnswer, MessageAnswer, EventsAnswer, Problem)
_REF: Final = "#/components/schemas/{name}"

_MESSAGE_ID: Final = {"name": "message_id", "in": "path", "required": True, "schema": {"type": "string"}}
_TOKEN: Final = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
_AFTER: Final = {
    "name": "after",
    "in": "query",
    "description": "the `next` of the page before",
    "schema": {"type": "string", "format": "uuid"},
}


def _content(*shapes: type, media_type: str = "application/json") -> dict[str, Any]:
    refs = [{"$ref": _REF.format(name=shape.__name__)} for shape in shapes]
    return {media_type: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def _problems(*statuses: int) -> dict[str, Any]:
    meanings = {
        401: "no valid key",
        404: "no such message, or not yet in the store",
        409: "the message_id is registered for another recipient or batch",
        413: "too large",
        415: "a compressed body",
        422: "not valid",
        503: "the disk or the store is away; try again",
    }
    content = _content(Problem, media_type=MEDIA_TYPE)
    return {str(status): {"description": meanings[status], "content": content} for status in statuses}


def _call(summary: str, answer: dict[str, Any], *errors: int, **more: Any) -> dict[str, Any]:
    responses = {"200": {"description": "done", "content": answer}, **_problems(401, *errors)}
    return {"summary": summary, "security": [{"key": []}], "responses": responses, **more}


def _public(summary: str, responses: dict[int, str], *parameters: Any) -> dict[str, Any]:
    described = {str(status): {"description": text} for status, text in responses.items()}
    return {"summary": summary, "security": [], "parameters": list(parameters), "responses": described}


def _api_paths() -> dict[str, Any]:
    lines = _content(RewriteAnswer, BatchErrorAnswer, media_type="application/x-ndjson")
    return {
        "/v1/rewrite": {
            "post": _call(
                "Rewrite one message for one recipient; answered when its registration is on disk",
                _content(RewriteAnswer), 409, 413, 415, 422, 503,
                requestBody={"required": True, "content": _content(RewriteRequest)},
            )
        },
        "/v1/rewrite/batch": {
            "post": _call(
                "Rewrite one template for many recipients: a line of JSON for each, as it is made",
                lines, 413, 415, 422,
                requestBody={"required": True, "content": _content(BatchRequest)},
            )
        },
        "/v1/messages/{message_id}": {
            "get": _call("The status of a message", _content(MessageAnswer), 404, 503, parameters=[_MESSAGE_ID])
        },
        "/v1/messages/{message_id}/events": {
            "get": _call(
                "The events of a message: the facts, and beside each who acted and why we think so",
                _content(EventsAnswer), 404, 422, 503,
                parameters=[_MESSAGE_ID, _AFTER],
            )
        },
    }  # fmt: skip


def _open_paths() -> dict[str, Any]:
    """What needs no key."""
    return {
        "/o/{token}.gif": {"get": _public("The open pixel", {200: "a GIF, whatever the token"}, _TOKEN)},
        "/c/{token}": {
            "get": _public("A tracked link", {302: "to the destination", 404: "the link is incomplete"}, _TOKEN)
        },
        "/u/{token}": {
            "get": _public(
                "The unsubscribe form, which changes nothing", {200: "the form", 404: "the link is incomplete"}, _TOKEN
            ),
            "post": _public(
                "Unsubscribe, at once (RFC 8058)",
                {200: "unsubscribed", 404: "the link is incomplete", 503: "not stored; try again"}, _TOKEN,
            ),
        },
        "/healthz": {"get": _public("The process is alive", {200: "alive"})},
        "/readyz": {"get": _public("The service can take traffic", {200: "ready", 503: "not ready, and why"})},
        "/metrics": {"get": _public("Prometheus metrics", {200: "the metrics"})},
        "/robots.txt": {"get": _public("For search engines: nothing here is for them", {200: "the rules"})},
        "/openapi.json": {"get": _public("This document", {200: "OpenAPI 3.1"})},
    }  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The document, as a JSON object."""
    _, schemas = msgspec.json.schema_components(_SHAPES, ref_template=_REF)
    for shape in (RewriteRequest, BatchRequest):
        schemas[shape.__name__]["anyOf"] = [_needs("html"), _needs("text")]
    return {
        "openapi": "3.1.0",
        "info": {"title": "tracker", "version": __version__},
        "paths": {**_api_paths(), **_open_paths()},
        "components": {
            "schemas": _ecmascript(schemas),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _needs(field: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"type": "string"}}}


def _ecmascript(schema: Any) -> Any:
    """``schema`` with its patterns as JSON Schema wants them: Python's end of the string is spelled differently."""
    if isinstance(schema, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" and isinstance(value, str) else _ecmascript(value)
            for key, value in schema.items()
        }
    return [_ecmascript(item) for item in schema] if isinstance(schema, list) else schema
