"""Who reports what became of a message: mail servers by mail, providers by HTTP. One file for each.

Owns the shape of what they report. Must not look anything up nor write: what is found here becomes events in `web`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from tracker.core.model import Delivery

Fetch = Callable[[str], Awaitable[bytes]]
"""GETs an https URL, follows no redirect, within limits of size and time. Raises OSError."""


class Clues(NamedTuple):
    """What a report says about which message it is of, the best first: `tracker_ids` are signed, the rest is not."""

    tracker_ids: tuple[str, ...] = ()
    """Values of ``X-Tracker-Id``, wherever they stood: to be verified."""
    message_ids: tuple[str, ...] = ()
    """The caller's own ids: from metadata, ``Original-Envelope-Id`` or a VERP address."""
    rfc822_ids: tuple[str, ...] = ()
    """``Message-ID`` headers of the message, in angle brackets."""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a report says happened to one message."""

    event_id: str
    """The reporter's own id of the event, or a digest that is the same whenever the same is reported again."""
    type: str
    """A `tracker.core.model.EventType`; or ``REPORTER.NATIVE_NAME`` for what has no meaning here, kept as a fact."""
    occurred_at: int | None = None
    """Microseconds since the epoch; None where the report has no time."""
    clues: Clues = Clues()
    delivery: Delivery | None = None


class HookRequest(NamedTuple):
    """A provider's request, as it came in."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    received_at: int
    """Microseconds since the epoch."""


class Reporter(Protocol):
    """A provider's module: the recipe for adding another stands in `tracker.reporters.providers`."""

    NAME: str
    """How the provider is named in ``/v1/events/{provider}/{hook}``, and as the source of its event ids."""
    SECRET: str
    """One sentence: what the secret is, and where the provider shows it."""

    def check_secret(self, secret: str) -> None:
        """Raise `ValueError`, whose message follows "the secret", unless ``secret`` has the form that is needed."""

    async def read(self, request: HookRequest, secret: str, fetch: Fetch) -> list[Reported]:
        """What the request reports, nothing where there is nothing to record.

        ``secret`` is what requests are verified with, in the form that the provider shows it. Raises
        `NotAuthentic` where the request is not the provider's, and `InvalidRequest` where it can't be read; lets the
        OSError of ``fetch`` through, which is no fault of the request's: the provider is to try again.
        """
