"""What a message was before a batch of events: as much as it takes to tell what has changed.

Owns which parts of a status that are. It is taken before a status is folded further, which changes it in place.
"""

from __future__ import annotations

from typing import NamedTuple

from tracker.core.agents import arrived_at
from tracker.core.batches import Share, share_of
from tracker.core.status import Shown, Status


class Before(NamedTuple):
    """Parts of a status that was stored."""

    shown: Shown
    failure: str | None
    batch: str | None
    """Whose counts it is in."""
    share: Share | None
    """What it adds to them."""
    has_hits: bool
    has_clicks: bool
    arrived: int | None


def before(status: Status, *, is_counted: bool) -> Before:
    """What ``status`` is; not ``is_counted``: its batch has not counted it yet."""
    registration = status.registration if is_counted else None
    return Before(
        status.shown,
        status.failure,
        None if registration is None else registration.batch,
        None if registration is None else share_of(status),
        status.has_hits,
        status.clicks.total > 0,
        arrived(status),
    )


def arrived(status: Status) -> int | None:
    """When the mail arrived, as far as was reported."""
    return arrived_at(status.sent_at, status.delivered_at)
