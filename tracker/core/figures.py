"""What is said of a batch: shapes, and what each number is a number of.

Must not know how they are made from counts: that is `report`.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from .intervals import Share
from .status import Counts

REST: Final = "other"
"""What all links, devices or reasons are called that are not named apart."""


class Metric(enum.StrEnum):
    """The rates of a batch."""

    OPEN_RATE = "open_rate"
    """Opened by a person, of those that did not fail and in which opens are tracked."""
    CLICK_RATE = "click_rate"
    """Clicked by a person, of those that did not fail and in which clicks are tracked."""
    CLICK_TO_OPEN = "click_to_open"
    """Clicked, of those opened, where both are tracked."""
    DELIVERY_RATE = "delivery_rate"
    """Delivered, of all; not known where no delivery at all was reported, unless all failed."""
    FAILURE_RATE = "failure_rate"
    """Failed or dropped, of all; not known where nothing was reported of any."""
    REPLY_RATE = "reply_rate"
    """Replied to, of those that did not fail; so are the two below."""
    UNSUBSCRIBE_RATE = "unsubscribe_rate"
    COMPLAINT_RATE = "complaint_rate"


class Rate(msgspec.Struct, frozen=True):
    """``count`` of ``of`` messages; the interval has the true share in it with `CONFIDENCE` (Wilson 1927)."""

    count: int
    of: int
    rate: float | None
    """None where it is a share of nothing: nothing was tracked, or reported."""
    low: float | None
    high: float | None

    @property
    def share(self) -> Share:
        """The same, to calculate with."""
        return Share(self.count, self.of)


class Hits(msgspec.Struct, frozen=True):
    """Opens or clicks of a batch."""

    tracked: int
    """In how many messages they are tracked: neither switched off nor without consent."""
    unique: Counts
    """Messages, by each actor who opened them or clicked in them: one message may count for several."""
    total: Counts
    """Hits, by actor."""
    withdrawn: Counts
    """Hits of people who withdrew their consent: of these nothing but the number is known."""


class OpenedBy(msgspec.Struct, frozen=True):
    """How it is known that messages were opened; they add up to the count of the open rate."""

    human: int
    proxy: int
    """Through an image proxy alone: most likely a person, and nobody knows where or on what."""
    implied: int
    """By a click alone."""
    machine_only: int
    """By machines alone: not among those."""
    proxy_share: float | None
    """``proxy`` as a share of the three; None where there are none."""

    @property
    def count(self) -> int:
        """The three together: the count of the open rate."""
        return self.human + self.proxy + self.implied


class LinkCounts(msgspec.Struct, frozen=True):
    """One destination of a batch, or `REST`."""

    url: str
    unique: int
    """Messages in which a person clicked on it; of `REST`, the sum over its links."""
    total: Counts


class DeviceCount(msgspec.Struct, frozen=True):
    """Messages in which a person acted on such a device; on several, and the message counts for each."""

    name: str
    count: int


class Devices(msgspec.Struct, frozen=True):
    """What people opened and clicked on; image proxies hide it.

    Counted are kinds: type, system and client together. Each list sums them up, so that a message counts twice for a
    client that was used on two systems.
    """

    device: list[DeviceCount]
    os: list[DeviceCount]
    client: list[DeviceCount]


class Point(msgspec.Struct, frozen=True):
    """What was opened and clicked for the first time in the hour, or the day, that begins at ``at``."""

    at: int
    """Microseconds since the epoch."""
    opened: int
    clicked: int


class FailureCount(msgspec.Struct, frozen=True):
    """How many messages failed for one reason."""

    status: str
    """The reply code, ``Dropped``, or nothing where none was given; or `REST`."""
    count: int


class BatchReport(msgspec.Struct, frozen=True):
    """All that the counts of a batch say. What was not tracked is None, and not 0."""

    batch: str
    created_at: int
    messages: int
    sent: int
    delivered: int
    failed: int
    failures: list[FailureCount]
    reached: int
    """Messages that did not fail, as far as is known."""
    opens: Hits | None
    opened_by: OpenedBy | None
    clicks: Hits | None
    replied: int
    unsubscribed: int
    complained: int
    rates: dict[str, Rate]
    """By `Metric`."""
    links: list[LinkCounts]
    """The most clicked ones first."""
    devices: Devices
    series: list[Point]
    """In the order of time; hours, or days, in which nothing was opened or clicked for the first time are left out."""
    step_s: int
    """How long a point of the series lasts: 3600 or 86400."""
