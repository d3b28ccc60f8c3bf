"""Every error the service raises on purpose, by whose fault it is: ours, theirs or the environment's.

A class's docstring is its default message. Nothing here knows about HTTP.
"""

from __future__ import annotations


class TrackerError(Exception):
    """Something went wrong in tracker."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


# The operator's: stop the start, with one line.


class ConfigError(TrackerError):
    """The configuration is not usable."""


# The caller's: answered, and nothing is lost.


class InvalidToken(TrackerError):
    """The token is malformed, forged, or made for another purpose."""


class InvalidRequest(TrackerError):
    """The request is not valid.

    ``errors`` is a list of ``(path, message)``, path in JSONPath form such as ``$.recipients[3].message_id``.
    """

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in errors))
        self.errors = errors


class TooLarge(TrackerError):
    """The request, or a part of it, is larger than the limit."""


class MessageConflict(TrackerError):
    """The message_id is already registered for another recipient or batch."""


class AlreadyThere(TrackerError):
    """There is one already."""


class NotThere(TrackerError):
    """There is no such thing."""


class NotAuthentic(TrackerError):
    """The request does not prove that it comes from whom it says it comes from."""


class RecipientSuppressed(TrackerError):
    """The recipient must not be written to."""


# The environment's: it may pass, so try again.


class StoreUnavailable(TrackerError):
    """The status store cannot be reached, or cannot take the work now."""


class SpoolUnavailable(TrackerError):
    """The spool cannot take the event now: its disk is full, read-only or failing."""


class SpoolFull(SpoolUnavailable):
    """The spool has reached its size limit."""


# Ours, in data: the row itself can never be stored, so it is put aside instead of retried.


class EventRejected(TrackerError):
    """The store can never take this event."""
