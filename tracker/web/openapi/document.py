"""The OpenAPI 3.1 document of the API, made from the very shapes that requests are checked with.

Owns the descriptions of the paths. Must not restate a shape.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from tracker import __version__
from tracker.core.accounts import AccountSettings
from tracker.core.comparison import MAX_BATCHES, MIN_BATCHES
from tracker.reporters.providers import PROVIDERS
from tracker.web.api.answers import (
    AcceptedAnswer,
    BatchErrorAnswer,
    ChangesAnswer,
    EventsAnswer,
    MessageAnswer,
    RecipientAnswer,
    ReportAnswer,
    RewriteAnswer,
)
from tracker.web.api.batch_answers import BatchAnswer, BatchesAnswer, BatchMessagesAnswer, ComparisonAnswer
from tracker.web.api.reported import EventsRequest, RecipientQuery, RecipientUpdate
from tracker.web.api.requests import BatchRequest, RewriteRequest
from tracker.web.problems import Problem

from . import administering
from .parts import REF, accepted, body, call, content, public

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
    BatchAnswer,
    BatchesAnswer,
    BatchMessagesAnswer,
    ComparisonAnswer,
    Problem,
    *administering.SHAPES,
)

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
_BATCH: Final = {
    "name": "batch",
    "in": "path",
    "required": True,
    "description": "its name, percent-encoded: a slash is `%2F`",
    "schema": {"type": "string"},
}
_AFTER_TEXT: Final = {**_AFTER, "schema": {"type": "string"}}
_BAD_LINK: Final = {404: "the link is incomplete", 429: "too many such links from there; try again after Retry-After"}
_LIMIT: Final = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}}


def _api_paths() -> dict[str, Any]:
    lines = content(RewriteAnswer, BatchErrorAnswer, media_type="application/x-ndjson")
    return {
        "/v1/rewrite": {
            "post": call(
                "Rewrite one message for one recipient; answered when its registration is on disk",
                content(RewriteAnswer), 409, 413, 415, 422, 503,
                requestBody=body(RewriteRequest),
            )
        },
        "/v1/rewrite/batch": {
            "post": call(
                "Rewrite one template for many recipients: a line of JSON for each, as it is made",
                lines, 413, 415, 422,
                requestBody=body(BatchRequest),
            )
        },
        "/v1/messages/{message_id}": {
            "get": call("The status of a message", content(MessageAnswer), 404, 503, parameters=[_MESSAGE_ID])
        },
        "/v1/messages/{message_id}/events": {
            "get": call(
                "The events of a message: the facts, and beside each who acted and why we think so",
                content(EventsAnswer), 404, 422, 503,
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
    hooked = call(
        "A provider's webhook; the hook is a secret, and what is posted there has to be signed as the provider signs",
        content(ReportAnswer), 404, 413, 415, 422, 503,
        parameters=[provider, hook],
        requestBody={"required": True, "content": {"application/json": {"schema": {}}}},
    )  # fmt: skip
    return {
        "/v1/events": {
            "post": accepted(
                call(
                    "What the mailer knows of messages; all of it is on disk when this is answered, or none",
                    content(AcceptedAnswer), 413, 415, 422, 503,
                    requestBody=body(EventsRequest),
                )
            )
        },
        "/v1/events/report": {
            "post": accepted(
                call(
                    "A bounce or a feedback report (RFC 3464, RFC 5965), as it came; an unrecognised one is kept",
                    content(ReportAnswer), 413, 415, 422, 503,
                    requestBody=report,
                )
            )
        },
        "/v1/events/{provider}/{hook}": {"post": {**hooked, "security": []}},
    }  # fmt: skip


def _recipient_paths() -> dict[str, Any]:
    """Recipients, settings, and the feed of changes."""
    change = call(
        "Change a recipient's consent, or lift what stands against writing to them (an operator, with a reason)",
        content(RecipientAnswer), 409, 413, 415, 422, 503,
        requestBody=body(RecipientUpdate),
    )  # fmt: skip
    change["responses"]["202"] = {"description": "on disk, in force soon", "content": content(AcceptedAnswer)}
    return {
        "/v1/recipients": {"put": change},
        "/v1/recipients/lookup": {
            "post": call(
                "What is known of a recipient", content(RecipientAnswer), 413, 415, 422, 503,
                requestBody=body(RecipientQuery),
            )
        },
        "/v1/settings": {
            "get": call("The account's settings", content(AccountSettings)),
            "put": call(
                "Replace the account's settings; what is left out goes back to its default",
                content(AccountSettings), 413, 415, 422, 503,
                requestBody=body(AccountSettings),
            ),
        },
        "/v1/changes": {
            "get": call(
                "The changes of messages' stages, corrections included, in an order that leaves none out",
                content(ChangesAnswer), 422, 503,
                parameters=[_AFTER_CHANGE, _LIMIT],
            )
        },
    }  # fmt: skip


def _batch_paths() -> dict[str, Any]:
    """What batches come to."""
    names = {"type": "array", "minItems": 1, "maxItems": MAX_BATCHES, "uniqueItems": True, "items": {"type": "string"}}
    one = {"name": "batch", "in": "query", "required": True, "explode": True, "schema": names}
    several = {**one, "schema": {**names, "minItems": MIN_BATCHES}}
    table = {"text/csv": {"schema": {"type": "string"}}}
    return {
        "/v1/batches": {
            "get": call(
                "The batches, the newest first", content(BatchesAnswer), 422, 503, parameters=[_AFTER_TEXT, _LIMIT]
            )
        },
        "/v1/batches/{batch}": {
            "get": call("What a batch comes to", content(BatchAnswer), 404, 503, parameters=[_BATCH])
        },
        "/v1/batches/{batch}/messages": {
            "get": call(
                "The messages of a batch, by their ids", content(BatchMessagesAnswer), 404, 422, 503,
                parameters=[_BATCH, _AFTER_TEXT, _LIMIT],
            )
        },
        "/v1/batches/{batch}/messages.csv": {
            "get": call("All messages of a batch, as CSV", table, 404, 503, parameters=[_BATCH])
        },
        "/v1/reports": {
            "get": call(
                "Batches compared: each of them after the first against the first",
                content(ComparisonAnswer), 404, 422, 503,
                parameters=[several],
            )
        },
        "/v1/reports.csv": {
            "get": call("The rates of batches, as CSV", table, 404, 422, 503, parameters=[one])
        },
    }  # fmt: skip


def _open_paths() -> dict[str, Any]:
    """What needs no key."""
    return {
        "/o/{token}.gif": {"get": public("The open pixel", {200: "a GIF, whatever the token"}, _TOKEN)},
        "/c/{token}": {
            "get": public("A tracked link", {302: "to the destination", **_BAD_LINK, 410: "it was revoked"}, _TOKEN)
        },
        "/u/{token}": {
            "get": public(
                "The unsubscribe form, which changes nothing", {200: "the form", **_BAD_LINK}, _TOKEN
            ),
            "post": public(
                "Unsubscribe, at once (RFC 8058)",
                {200: "unsubscribed", **_BAD_LINK, 503: "not stored; try again"}, _TOKEN,
            ),
        },
        "/u/{token}/stop-tracking": {
            "get": public("The same form", {200: "the form", **_BAD_LINK}, _TOKEN),
            "post": public(
                "Keep the mail, stop the tracking",
                {200: "stopped", **_BAD_LINK, 503: "not stored; try again"}, _TOKEN,
            ),
        },
        "/healthz": {"get": public("The process is alive", {200: "alive"})},
        "/readyz": {"get": public("The service can take traffic", {200: "ready", 503: "not ready, and why"})},
        "/metrics": {"get": public("Prometheus metrics", {200: "the metrics"})},
        "/robots.txt": {"get": public("For search engines: nothing here is for them", {200: "the rules"})},
        "/openapi.json": {"get": public("This document", {200: "OpenAPI 3.1"})},
    }  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The document, as a JSON object."""
    _, schemas = msgspec.json.schema_components(_SHAPES, ref_template=REF)
    for shape in (RewriteRequest, BatchRequest):
        schemas[shape.__name__]["anyOf"] = [_needs("html"), _needs("text")]
    return {
        "openapi": "3.1.0",
        "info": {"title": "tracker", "version": __version__},
        "paths": {
            **_api_paths(),
            **_report_paths(),
            **_recipient_paths(),
            **administering.paths(),
            **_batch_paths(),
            **_open_paths(),
        },
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
