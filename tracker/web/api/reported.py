"""What mailers say happened to messages, and operators of recipients: shapes, limits, validation.

Owns the field names of these requests, and the facts that are made of them. Must not know where facts go.
"""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from tracker.core.errors import InvalidRequest
from tracker.core.model import Consent, Delivery, EventType, Facts, RecipientChange, Suppression
from tracker.stores.limits import MAX_TIME, is_key

from .requests import TOO_LONG, MessageId, Name, Reference, Request, decode

MAX_EVENTS: Final = 10_000

EventId = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*\Z", description="The caller's own id")
]
StatusCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Words = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*\Z")]
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class ReportedType(enum.StrEnum):
    """What a mailer may report."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    DROPPED = "dropped"
    DELIVERED = "delivered"
    REPLIED = "replied"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


Faults: TypeAlias = list[tuple[str, str]]


class ReportedEvent(Request, frozen=True, kw_only=True):
    """One event of ``POST /v1/events``: what the mailer, or the mail server, knows of a message."""

    event_id: EventId
    message_id: MessageId
    type: ReportedType
    occurred_at: Annotated[datetime.datetime, Meta(tz=True, description="RFC 3339, with an offset or Z")]
    status_code: StatusCode | None = None
    """The mail server's reply, as in ``550 5.1.1``; for failed, deferred, dropped and delivered."""
    reason: Words | None = None
    """In words; the same."""
    list: Name | None = None
    """For unsubscribed: from what; otherwise the message's own list."""

    def facts(self, account: str) -> Facts:
        """What is stored of it."""
        says = self.status_code is not None or self.reason is not None
        return Facts(
            account,
            self.message_id,
            self.type.value,
            list=self.list,
            delivery=Delivery(self.status_code, self.reason) if says else None,
            reporter="api",
            reported_id=self.event_id,
        )

    def at(self) -> int:
        """When it happened: microseconds since the epoch."""
        return (self.occurred_at - _EPOCH) // datetime.timedelta(microseconds=1)

    def faults(self) -> Faults:
        """What the types do not say: path within the event, and message."""
        found: Faults = [] if is_key(self.event_id) else [("event_id", TOO_LONG)]
        delivered = self.type in _WITH_DELIVERY
        if not delivered and (self.status_code is not None or self.reason is not None):
            found.append(("status_code" if self.status_code is not None else "reason", f"{self.type} has none"))
        if self.list is not None and self.type is not ReportedType.UNSUBSCRIBED:
            found.append(("list", f"{self.type} has none"))
        if not 0 <= self.at() <= MAX_TIME:
            found.append(("occurred_at", "must be in the years 1970 to 9999, in UTC"))
        return found


_WITH_DELIVERY: Final = frozenset(
    {ReportedType.FAILED, ReportedType.DEFERRED, ReportedType.DROPPED, ReportedType.DELIVERED}
)


class EventsRequest(Request, frozen=True):
    """``POST /v1/events``: all of them are stored, or none."""

    events: Annotated[list[ReportedEvent], Meta(min_length=1, max_length=MAX_EVENTS)]


class _RawEvents(Request, frozen=True):
    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_EVENTS)]


def decode_events(body: bytes) -> list[ReportedEvent]:
    """The events of ``POST /v1/events``; raises `InvalidRequest` that names each bad one."""
    events, errors = [], []
    for at, raw in enumerate(decode(body, _RawEvents).events):
        try:
            event = decode(bytes(raw), ReportedEvent)
        except InvalidRequest as error:
            errors += [(f"$.events[{at}]{path[1:]}", message) for path, message in error.errors]
        else:
            errors += [(f"$.events[{at}].{path}", message) for path, message in event.faults()]
            events.append(event)
    if errors:
        raise InvalidRequest(errors)
    return events


class RecipientQuery(Request, frozen=True):
    """``POST /v1/recipients/lookup``."""

    recipient: Reference


class ConsentUpdate(Request, frozen=True):
    """What the recipient says now; what is left out stays."""

    opens: Consent | None = None
    clicks: Consent | None = None


class Reset(Request, frozen=True, kw_only=True):
    """What an operator lifts, and why."""

    suppressions: Annotated[tuple[Suppression, ...], Meta(min_length=1, max_length=3)]
    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*\Z")]
    list: Name = "default"
    """The list whose unsubscribe is lifted."""


class RecipientUpdate(Request, frozen=True, kw_only=True):
    """``PUT /v1/recipients``: a change of consent, an operator's reset, or both."""

    recipient: Reference
    consent: ConsentUpdate | None = None
    reset: Reset | None = None

    def check(self) -> None:
        """What the types do not say. Raises `InvalidRequest`."""
        if not is_key(self.recipient):
            raise InvalidRequest([("$.recipient", TOO_LONG)])
        said = self.consent is not None and (self.consent.opens is not None or self.consent.clicks is not None)
        if not said and self.reset is None:
            raise InvalidRequest([("$", "consent or reset is needed")])

    def facts(self, account: str) -> list[Facts]:
        """What is stored of it."""
        changes = []
        if self.consent is not None:
            change = RecipientChange(self.recipient, self.consent.opens, self.consent.clicks)
            changes.append(Facts(account, "", EventType.CONSENT_CHANGED.value, change=change))
        if self.reset is not None:
            resets = tuple(dict.fromkeys(self.reset.suppressions))
            change = RecipientChange(self.recipient, resets=resets, reason=self.reset.reason)
            changes.append(Facts(account, "", EventType.RECIPIENT_RESET.value, list=self.reset.list, change=change))
        return changes
