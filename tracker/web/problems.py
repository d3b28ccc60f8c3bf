"""Errors as the API answers them: RFC 9457 problem details.

Owns the mapping from the errors of `core.errors` to status codes. Must not log: that is the caller's part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tracker.core.errors import (
    InvalidRequest,
    MessageConflict,
    NotAuthentic,
    NotThere,
    RecipientSuppressed,
    SpoolUnavailable,
    StoreUnavailable,
    TooLarge,
    TrackerError,
)
from tracker.revocations import DiskUnavailable

from .responses import UNCACHED

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = "5"
_MOST_IN_DETAIL: Final = 3


class FieldError(msgspec.Struct):
    """What is wrong with one place of a request."""

    path: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
    found: dict[str, str] | None = None
    """What a report says that was not recognised."""
    kept_as: str | None = None
    """The file, in ``unrecognised/`` of the data dir, that keeps it."""


class NotAuthorized(TrackerError):
    """The request needs a valid key: Authorization: Bearer KEY."""


class NotAllowed(TrackerError):
    """The key may not be used for this."""


class TooManyRequests(TrackerError):
    """There were too many requests; ``wait_s`` seconds from now there may be another."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"there were too many requests; try again in {wait_s} s")
        self.wait_s = wait_s


class Unrecognised(TrackerError):
    """A report that no message was found for; ``found`` is what it says, ``kept_as`` the name of its file."""

    def __init__(self, message: str, found: dict[str, str], kept_as: str) -> None:
        super().__init__(message)
        self.found = found
        self.kept_as = kept_as


# By error: the problem's code, its title, its status.
_PROBLEMS: Final[dict[type[Exception], tuple[str, str, int]]] = {
    InvalidRequest: ("invalid_request", "The request is not valid", 422),
    NotAuthorized: ("not_authorized", "Not authorized", 401),
    NotAllowed: ("not_allowed", "Not allowed", 403),
    NotAuthentic: ("not_authentic", "The request is not authentic", 401),
    NotThere: ("not_found", "Not found", 404),
    TooManyRequests: ("too_many_requests", "Too many requests", 429),
    MessageConflict: ("message_conflict", "The message is registered differently", 409),
    RecipientSuppressed: ("recipient_suppressed", "The recipient must not be written to", 409),
    Unrecognised: ("unrecognised_report", "The report was not recognised", 422),
    TooLarge: ("too_large", "The request is too large", 413),
    DiskUnavailable: ("disk_unavailable", "The disk cannot be written", 503),
    SpoolUnavailable: ("spool_unavailable", "The event log cannot be written", 503),
    StoreUnavailable: ("store_unavailable", "The status store cannot be reached", 503),
}


def problem(error: Exception) -> Problem:
    """The problem details of an error. What went wrong inside is not told."""
    for known in type(error).__mro__:
        if known in _PROBLEMS:
            code, title, status = _PROBLEMS[known]
            break
    else:
        return _details("internal_error", "Internal error", 500, "Something went wrong here; it was logged.")
    details = _details(code, title, status, _detail(error))
    if isinstance(error, Unrecognised):
        details.found, details.kept_as = error.found, error.kept_as
    if isinstance(error, InvalidRequest):
        details.errors = [FieldError(path, message) for path, message in error.errors]
    return details


def _detail(error: Exception) -> str:
    if isinstance(error, StoreUnavailable):  # what the driver says may name the database's address
        return "The status store does not answer now; try again."
    if isinstance(error, InvalidRequest) and len(error.errors) > _MOST_IN_DETAIL:
        return f"{len(error.errors)} places are not valid: see errors"
    return str(error)


def _details(code: str, title: str, status: int, detail: str) -> Problem:
    return Problem(f"/problems/{code}", title, status, detail)


def _respond(details: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(details),
        details.status,
        headers={**UNCACHED, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


async def answer_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our own errors."""
    details = problem(error)
    headers = {}
    if details.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif details.status == 503:
        headers["Retry-After"] = RETRY_AFTER_S
    elif isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.wait_s)
    return _respond(details, headers)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own: no such route, method not allowed."""
    assert isinstance(error, HTTPException)  # noqa: S101  # as registered
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return _respond(_details(code, error.detail, error.status_code, error.detail), error.headers)
