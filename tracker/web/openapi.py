"""The OpenAPI 3.1 document of the API, made from the very shapes that requests are checked with.

Owns the descriptions of the paths. Must not restate a shape.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from tracker import __version__
from tracker.core.accounts import AccountSettings
from tracker.reporters.providers import PROVIDERS

from .answers import (
    AcceptedAnswer,
    BatchErrorAnswer,
    ChangesAnswer,
    EventsAnswer,
    MessageAnswer,
    Problem,
    RecipientAnswer,
    ReportAnswer,
    RewriteAnswer,
)
from .problems import MEDIA_TYPE
from .reported import EventsRequest, RecipientQuery, RecipientUpdate
from .requests import BatchRequest, RewriteRequest

_SHAPES: Final = (
    RewriteRequest,
    BatchRequest,
    EventsRequest,
    RecipientQuery,
    RecipientUpdate,
    AccountSettings,
    RewriteAnswer,
    BatchErrorAnswer,
    MessageAnswer,
    EventsAnswer,
    ChangesAnswer,
    AcceptedAnswer,
    ReportAnswer,
    RecipientAnswer,
    Problem,
)
_REF: Final = "#/components/schemas/{name}"

_MESSAGE_ID: Final = {"name": "message_id", "in": "path", "required": True, "schema": {"type": "string"}}
_TOKEN: Final = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
_AFTER: Final = {
    "name": "after",
    "in": "query",
    "description": "the `next` of the page before",
    "schema": {"type": "string", "format": "uuid"},
}
_AFTER_CHANGE: Final = {
    "name": "after",
    "in": "query",
    "description": "the `next` of the page before; without it, from the beginning",
    "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
}
_LIMIT: Final = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}}


def _content(*shapes: type, media_type: str = "application/json") -> dict[str, Any]:
    refs = [{"$ref": _REF.format(name=shape.__name__)} for shape in shapes]
    return {media_type: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def _problems(*statuses: int) -> dict[str, Any]:
    meanings = {
        401: "no valid key",
        403: "the key lacks the scope for this",
        404: "no such message, or not yet in the store",
        409: "message_conflict: the message_id is registered for another recipient or batch; "
        "recipient_suppressed: the recipient must not be written to",
        413: "too large",
        415: "a compressed body",
        422: "not valid",
        503: "the disk or the store is away; try again",
    }
    content = _content(Problem, media_type=MEDIA_TYPE)
    return {str(status): {"description": meanings[status], "content": content} for status in statuses}


def _call(summary: str, answer: dict[str, Any], *errors: int, **more: Any) -> dict[str, Any]:
    responses = {"200": {"description": "done", "content": answer}, **_problems(401, 403, *errors)}
    return {"summary": summary, "security": [{"key": []}], "responses": responses, **more}


def _body(shape: type) -> dict[str, Any]:
    return {"required": True, "content": _content(shape)}


def _accepted(call: dict[str, Any]) -> dict[str, Any]:
    """``call``, with 202 in place of 200."""
    return {**call, "responses": {"202" if status == "200" else status: a for status, a in call["responses"].items()}}


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
                requestBody=_body(RewriteRequest),
            )
        },
        "/v1/rewrite/batch": {
            "post": _call(
                "Rewrite one template for many recipients: a line of JSON for each, as it is made",
                lines, 413, 415, 422,
                requestBody=_body(BatchRequest),
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


def _report_paths() -> dict[str, Any]:
    """What happened to messages, as others say."""
    raw = {"schema": {"type": "string", "format": "binary"}}
    report = {"required": True, "content": {"message/rfc822": raw, "application/octet-stream": raw}}
    hook = {"name": "hook", "in": "path", "required": True, "schema": {"type": "string"}}
    provider = {**hook, "name": "provider", "schema": {"enum": sorted(PROVIDERS)}}
    hooked = _call(
        "A provider's webhook; the hook is a secret, and what is posted there has to be signed as the provider signs",
        _content(ReportAnswer), 404, 413, 415, 422, 503,
        parameters=[provider, hook],
        requestBody={"required": True, "content": {"application/json": {"schema": {}}}},
    )  # fmt: skip
    return {
        "/v1/events": {
            "post": _accepted(
                _call(
                    "What the mailer knows of messages; all of it is on disk when this is answered, or none",
                    _content(AcceptedAnswer), 413, 415, 422, 503,
                    requestBody=_body(EventsRequest),
                )
            )
        },
        "/v1/events/report": {
            "post": _accepted(
                _call(
                    "A bounce or a feedback report (RFC 3464, RFC 5965), as it came; an unrecognised one is kept",
                    _content(ReportAnswer), 413, 415, 422, 503,
                    requestBody=report,
                )
            )
        },
        "/v1/events/{provider}/{hook}": {"post": {**hooked, "security": []}},
    }  # fmt: skip


def _recipient_paths() -> dict[str, Any]:
    """Recipients, settings, and the feed of changes."""
    change = _call(
        "Change a recipient's consent, or lift what stands against writing to them (an operator, with a reason)",
        _content(RecipientAnswer), 413, 415, 422, 503,
        requestBody=_body(RecipientUpdate),
    )  # fmt: skip
    change["responses"]["202"] = {"description": "on disk, in force soon", "content": _content(AcceptedAnswer)}
    return {
        "/v1/recipients": {"put": change},
        "/v1/recipients/lookup": {
            "post": _call(
                "What is known of a recipient", _content(RecipientAnswer), 413, 415, 422, 503,
                requestBody=_body(RecipientQuery),
            )
        },
        "/v1/settings": {
            "get": _call("The account's settings", _content(AccountSettings)),
            "put": _call(
                "Replace the account's settings; what is left out goes back to its default",
                _content(AccountSettings), 413, 415, 422, 503,
                requestBody=_body(AccountSettings),
            ),
        },
        "/v1/changes": {
            "get": _call(
                "The changes of messages' stages, corrections included, in an order that leaves none out",
                _content(ChangesAnswer), 422, 503,
                parameters=[_AFTER_CHANGE, _LIMIT],
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
        "/u/{token}/stop-tracking": {
            "get": _public("The same form", {200: "the form", 404: "the link is incomplete"}, _TOKEN),
            "post": _public(
                "Keep the mail, stop the tracking",
                {200: "stopped", 404: "the link is incomplete", 503: "not stored; try again"}, _TOKEN,
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
        "paths": {**_api_paths(), **_report_paths(), **_recipient_paths(), **_open_paths()},
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
