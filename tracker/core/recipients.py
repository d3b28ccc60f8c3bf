"""What is known of a recipient: whether they may be written to, and whether they may be tracked.

Owns how events change that, and what follows from it. Every part is the latest of some events' times, or all of them,
so that the order in which they arrive does not matter. Must not know where it is kept.
"""

from __future__ import annotations

import bisect
import operator
import re
from typing import Final

import msgspec

from .model import Consent, Delivery, Event, EventType, MessageClass, Suppression

ADDRESS_FAILURES: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
"""Enhanced status codes (RFC 3463) that condemn the address. Policy and reputation (5.7.x) are the sender's affair."""

_ENHANCED_CODE: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")

CHANGES_KEPT: Final = 100
"""So many changes of consent are kept of a person, for opens and for clicks each."""

_NARROWNESS: Final = {Consent.GRANTED: 0, Consent.UNKNOWN: 1, Consent.DENIED: 2}


class ConsentHistory(msgspec.Struct):
    """What was said of one kind of tracking, and when: sorted, each once, of one moment the narrowest last.

    Only the latest `CHANGES_KEPT` stay. Who changes their mind more often than that is taken to have said nothing
    before the oldest of them; a hit from back then is kept if it is heard of only now.
    """

    changes: tuple[tuple[int, Consent], ...] = ()

    @property
    def value(self) -> Consent:
        """What was said last."""
        return self.changes[-1][1] if self.changes else Consent.UNKNOWN

    @property
    def changed_at(self) -> int | None:
        """When anything was said last."""
        return self.changes[-1][0] if self.changes else None

    @property
    def first_denied_at(self) -> int | None:
        """When it was denied first."""
        return next((at for at, said in self.changes if said is Consent.DENIED), None)

    def at(self, moment: int) -> Consent:
        """What was said last by then."""
        before = bisect.bisect_right(self.changes, moment, key=operator.itemgetter(0))
        return self.changes[before - 1][1] if before else Consent.UNKNOWN

    def covers(self, occurred_at: int) -> bool:
        """Whether a hit at ``occurred_at`` may not be kept: it was denied then."""
        return self.at(occurred_at) is Consent.DENIED


class Standing(msgspec.Struct):
    """What is known of one recipient, whatever the list."""

    invalid_at: int | None = None
    invalid_reset_at: int | None = None
    complained_at: int | None = None
    complained_reset_at: int | None = None
    opens: ConsentHistory = msgspec.field(default_factory=ConsentHistory)
    clicks: ConsentHistory = msgspec.field(default_factory=ConsentHistory)

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


def _merged_consent(one: ConsentHistory, other: ConsentHistory) -> ConsentHistory:
    # Also what changes nothing stays: something of in between may be heard of yet.
    changes = sorted({*one.changes, *other.changes}, key=lambda change: (change[0], _NARROWNESS[change[1]]))
    return ConsentHistory(tuple(changes[-CHANGES_KEPT:]))


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


def known_since(event: Event) -> int:
    """When something happened, but not after we heard of it: what is dated in the future could never be lifted."""
    return min(event.occurred_at, event.recorded_at)


def standing_after(event: Event) -> Standing | None:
    """What one event says of its recipient, whatever the list; None where it says nothing of that."""
    at, facts = known_since(event), event.facts
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


def _consent(said: Consent | None, at: int) -> ConsentHistory:
    return ConsentHistory(() if said is None else ((at, said),))


def _stands(at: int | None, reset_at: int | None) -> bool:
    return at is not None and (reset_at is None or at > reset_at)
