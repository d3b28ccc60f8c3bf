"""What is known of a recipient: whether they may be written to, and whether they may be tracked.

Owns how events change that, and what follows from it. Every part is the latest or the earliest of some events' times,
so that the order in which they arrive does not matter. Must not know where it is kept.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from .model import Consent, Delivery, Event, EventType, MessageClass, Suppression

ADDRESS_FAILURES: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
"""Enhanced status codes (RFC 3463) that condemn the address. Policy and reputation (5.7.x) are the sender's affair."""

_ENHANCED_CODE: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")


class ConsentTimes(msgspec.Struct):
    """When one kind of tracking was last granted, last left open, last denied, and first denied."""

    granted_at: int | None = None
    unknown_at: int | None = None
    denied_at: int | None = None
    first_denied_at: int | None = None

    @property
    def value(self) -> Consent:
        """What was said last; the narrower of two that were said at once."""
        said = [(self.unknown_at, Consent.UNKNOWN), (self.granted_at, Consent.GRANTED)]
        at, value = max(said, key=lambda pair: -1 if pair[0] is None else pair[0])
        if self.denied_at is not None and (at is None or self.denied_at >= at):
            return Consent.DENIED
        return Consent.UNKNOWN if at is None else value

    @property
    def changed_at(self) -> int | None:
        """When anything was said last."""
        return _latest(self.granted_at, self.unknown_at, self.denied_at)

    def covers(self, occurred_at: int) -> bool:
        """Whether a hit at ``occurred_at`` may not be kept: it came after a denial, and before any later change."""
        if self.first_denied_at is None or occurred_at < self.first_denied_at:
            return False
        changes = [at for at in (self.granted_at, self.unknown_at) if at is not None]
        return self.value is Consent.DENIED or occurred_at < max(changes)


class Standing(msgspec.Struct):
    """What is known of one recipient, whatever the list."""

    invalid_at: int | None = None
    invalid_reset_at: int | None = None
    complained_at: int | None = None
    complained_reset_at: int | None = None
    opens: ConsentTimes = msgspec.field(default_factory=ConsentTimes)
    clicks: ConsentTimes = msgspec.field(default_factory=ConsentTimes)

    @property
    def is_invalid(self) -> bool:
        """Whether the address is known not to exist."""
        return _stands(self.invalid_at, self.invalid_reset_at)

    @property
    def has_complained(self) -> bool:
        """Whether the recipient called a message spam."""
        return _stands(self.complained_at, self.complained_reset_at)


class ListStanding(msgspec.Struct):
    """What is known of one recipient on one list."""

    list: str
    first_seen_at: int | None = None
    last_seen_at: int | None = None
    unsubscribed_at: int | None = None
    reset_at: int | None = None

    @property
    def is_unsubscribed(self) -> bool:
        """Whether the recipient left the list, and did not come back."""
        return _stands(self.unsubscribed_at, self.reset_at)


def merged(one: Standing, other: Standing) -> Standing:
    """What both say together."""
    return Standing(
        _latest(one.invalid_at, other.invalid_at),
        _latest(one.invalid_reset_at, other.invalid_reset_at),
        _latest(one.complained_at, other.complained_at),
        _latest(one.complained_reset_at, other.complained_reset_at),
        _merged_consent(one.opens, other.opens),
        _merged_consent(one.clicks, other.clicks),
    )


def _merged_consent(one: ConsentTimes, other: ConsentTimes) -> ConsentTimes:
    firsts = [at for at in (one.first_denied_at, other.first_denied_at) if at is not None]
    return ConsentTimes(
        _latest(one.granted_at, other.granted_at),
        _latest(one.unknown_at, other.unknown_at),
        _latest(one.denied_at, other.denied_at),
        min(firsts, default=None),
    )


def _latest(*times: int | None) -> int | None:
    return max((at for at in times if at is not None), default=None)


def suppression(
    standing: Standing | None, on_list: ListStanding | None, message_class: MessageClass
) -> Suppression | None:
    """Why a message of this class must not go to the recipient; None where it may."""
    if standing is not None and standing.is_invalid:
        return Suppression.INVALID
    if standing is not None and standing.has_complained:
        return Suppression.COMPLAINED
    if message_class is MessageClass.MARKETING and on_list is not None and on_list.is_unsubscribed:
        return Suppression.UNSUBSCRIBED
    return None


def is_address_failure(delivery: Delivery | None) -> bool:
    """Whether a permanent failure with this status code says that the address itself is no good."""
    found = _ENHANCED_CODE.search(delivery.status_code) if delivery and delivery.status_code else None
    return found is not None and found[1] in ADDRESS_FAILURES


def standing_after(event: Event) -> Standing | None:
    """What one event says of its recipient, whatever the list; None where it says nothing of that."""
    at, facts = event.occurred_at, event.facts
    if facts.type == EventType.COMPLAINED:
        return Standing(complained_at=at)
    if facts.type == EventType.FAILED:
        return Standing(invalid_at=at) if is_address_failure(facts.delivery) else None
    if facts.change is None or facts.type not in _CHANGES:
        return None
    resets = facts.change.resets
    return Standing(
        invalid_reset_at=at if Suppression.INVALID in resets else None,
        complained_reset_at=at if Suppression.COMPLAINED in resets else None,
        opens=_consent(facts.change.opens, at),
        clicks=_consent(facts.change.clicks, at),
    )


_CHANGES: Final = frozenset({EventType.CONSENT_CHANGED.value, EventType.RECIPIENT_RESET.value})


def _consent(said: Consent | None, at: int) -> ConsentTimes:
    match said:
        case Consent.GRANTED:
            return ConsentTimes(granted_at=at)
        case Consent.UNKNOWN:
            return ConsentTimes(unknown_at=at)
        case Consent.DENIED:
            return ConsentTimes(denied_at=at, first_denied_at=at)
        case None:
            return ConsentTimes()


def _stands(at: int | None, reset_at: int | None) -> bool:
    return at is not None and (reset_at is None or at > reset_at)
