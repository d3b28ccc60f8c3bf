"""What the API answers: shapes.

Owns the field names of answers. Must not decide anything that the core could.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tracker.core.model import Actor, Consent, MessageClass, Suppression
from tracker.core.rewrite import Link
from tracker.core.status import Counts
from tracker.web.problems import Problem


class TrackAnswer(msgspec.Struct):
    """What is tracked."""

    opens: bool
    clicks: bool


class NoticeAnswer(msgspec.Struct):
    """Something the caller should know, though the message can be sent as it is."""

    code: str
    detail: str


class RewriteAnswer(msgspec.Struct):
    """``POST /v1/rewrite``, and one line of ``POST /v1/rewrite/batch``. A part that was not sent is null."""

    message_id: str
    html: str | None
    text: str | None
    headers: dict[str, str]
    track: TrackAnswer
    open_url: str | None
    unsubscribe_url: str
    links: list[Link]
    warnings: list[NoticeAnswer]


class LinkClicks(msgspec.Struct):
    """The clicks on one link of a message."""

    index: int
    url: str
    clicks: Counts


class MessageAnswer(msgspec.Struct):
    """``GET /v1/messages/{message_id}``. Times are RFC 3339 in UTC, to the microsecond; null: not (yet) so."""

    message_id: str
    batch: str | None
    recipient: str | None
    stage: str
    label: str | None
    last_action: str
    status: str | None
    rewritten_at: str | None
    sent_at: str | None
    delivered_at: str | None
    failed_at: str | None
    first_opened_at: str | None
    last_opened_at: str | None
    first_clicked_at: str | None
    last_clicked_at: str | None
    replied_at: str | None
    unsubscribed_at: str | None
    complained_at: str | None
    opens: Counts
    clicks: Counts
    links: list[LinkClicks]


class RegistrationAnswer(msgspec.Struct, kw_only=True):
    """What a ``rewritten`` event says of its message."""

    recipient: str | None
    batch: str | None
    list: str
    message_class: MessageClass = msgspec.field(name="class")
    tracks_opens: bool
    tracks_clicks: bool
    link_count: int
    rfc822_message_id: str | None


class DeliveryAnswer(msgspec.Struct):
    """What a mail server says of a message."""

    status_code: str | None
    reason: str | None


class ChangeAnswer(msgspec.Struct):
    """What changed for a recipient; null: that stayed as it was."""

    recipient: str | None
    opens: Consent | None
    clicks: Consent | None
    resets: tuple[Suppression, ...]
    reason: str | None


class EventAnswer(msgspec.Struct):
    """One event: the facts, and beside them who acted and why we think so."""

    id: str
    type: str
    occurred_at: str
    last_at: str
    recorded_at: str
    count: int
    node: str
    link: int | None
    url: str | None
    list: str | None
    user_agent: str | None
    accept: str | None
    purpose: str | None
    address: str | None
    source: str | None
    network: str | None
    honeypot: bool
    """Whether it was the hidden link."""
    registration: RegistrationAnswer | None
    delivery: DeliveryAnswer | None
    reporter: str | None
    event_id: str | None
    """The reporter's own id of the event."""
    change: ChangeAnswer | None
    actor: Actor | None
    reasons: tuple[str, ...]
    rule_version: int | None


class EventsAnswer(msgspec.Struct):
    """``GET /v1/messages/{message_id}/events``: a page, and the ``after`` of the next one, if there is one."""

    events: list[EventAnswer]
    next: str | None


class StageChange(msgspec.Struct):
    """A message's stage changed: what it is now, and what it was; null where the message was not known."""

    sequence: int
    message_id: str
    batch: str | None
    recipient: str | None
    stage: str
    previous_stage: str | None
    label: str | None
    last_action: str
    status: str | None
    correction: bool
    """Whether the stage moved back."""
    changed_at: str


class ChangesAnswer(msgspec.Struct):
    """``GET /v1/changes``: a page; the ``after`` to go on with, also after an empty one; whether there is more now."""

    changes: list[StageChange]
    next: str
    more: bool


class RecipientConsent(msgspec.Struct):
    """What a recipient said about tracking."""

    opens: Consent
    clicks: Consent


class ListAnswer(msgspec.Struct):
    """A recipient on one list."""

    list: str
    first_seen_at: str | None
    last_seen_at: str | None
    unsubscribed: bool
    unsubscribed_at: str | None


class RecipientAnswer(msgspec.Struct):
    """``POST /v1/recipients/lookup``: what is known of a recipient. Nothing known: nothing stands against writing."""

    recipient: str
    state: str
    """``active``, ``invalid`` or ``complained``."""
    invalid_at: str | None
    complained_at: str | None
    consent: RecipientConsent
    lists: list[ListAnswer]


class ErasureAnswer(msgspec.Struct):
    """``POST /v1/recipients/{ref}/erase``: what was removed by this call; 0 where nothing (more) was known."""

    messages: int
    events: int
    erased_at: str


class RecordedEvent(msgspec.Struct):
    """What was recorded of a report."""

    message_id: str
    type: str


class ReportAnswer(msgspec.Struct):
    """``POST /v1/events/report`` and the providers' hooks: what is on disk now."""

    recorded: list[RecordedEvent]
    unmatched: int
    """How many reported events are of no message that is known here."""


class AcceptedAnswer(msgspec.Struct):
    """``POST /v1/events``, and ``PUT /v1/recipients`` for now: how many events are on disk."""

    accepted: int


class RevocationAnswer(msgspec.Struct):
    """``POST /v1/revocations``: what is on this node's disk, and in force."""

    kind: str
    value: str
    """In the spelling in which it is compared."""
    revoked: bool
    reason: str
    changed_at: str
    actor: str
    """The id of the API key that it was asked for with, or ``cli``."""


class RevocationsAnswer(msgspec.Struct):
    """``GET /v1/revocations``: what is revoked, the latest first."""

    revocations: list[RevocationAnswer]


class ActAnswer(msgspec.Struct):
    """Something that an administrator did."""

    id: int
    at: str
    actor: str
    """The id of an API key, or ``cli``."""
    act: str
    subject: str
    detail: dict[str, Any]


class AuditAnswer(msgspec.Struct):
    """``GET /v1/audit``: a page; the ``after`` to go on with, also after an empty one; whether there is more now."""

    acts: list[ActAnswer]
    next: str
    more: bool


class BatchErrorAnswer(msgspec.Struct):
    """One line of ``POST /v1/rewrite/batch``, for a message that was not rewritten."""

    message_id: str
    error: Problem
