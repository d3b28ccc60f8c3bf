"""What the API answers: shapes, and how they are made from the core's values.

Owns the field names of answers. Must not decide anything that the core could.
"""

from __future__ import annotations

import datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from tracker.core.model import Actor, Event, MessageClass, Verdict
from tracker.core.rewrite import Link, Rewritten
from tracker.core.status import Counts, Status

_T = TypeVar("_T")


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
    registration: RegistrationAnswer | None
    delivery: DeliveryAnswer | None
    actor: Actor | None
    reasons: tuple[str, ...]
    rule_version: int | None


class EventsAnswer(msgspec.Struct):
    """``GET /v1/messages/{message_id}/events``: a page, and the ``after`` of the next one, if there is one."""

    events: list[EventAnswer]
    next: str | None


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


class BatchErrorAnswer(msgspec.Struct):
    """One line of ``POST /v1/rewrite/batch``, for a message that was not rewritten."""

    message_id: str
    error: Problem


def moment(microseconds: int) -> str:
    """A time as RFC 3339 in UTC, to the microsecond."""
    time = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=microseconds)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def rewrite_answer(rewritten: Rewritten) -> RewriteAnswer:
    """A rewritten message."""
    return RewriteAnswer(
        message_id=rewritten.message_id,
        html=rewritten.html,
        text=rewritten.text,
        headers=rewritten.headers,
        track=TrackAnswer(*rewritten.track),
        open_url=rewritten.open_url,
        unsubscribe_url=rewritten.unsubscribe_url,
        links=rewritten.links,
        warnings=[NoticeAnswer(*notice) for notice in rewritten.warnings],
    )


_TIMES = tuple(name for name in MessageAnswer.__struct_fields__ if name.endswith("_at"))


def message_answer(status: Status) -> MessageAnswer:
    """The status of a message."""
    times = {name: getattr(status, name) for name in _TIMES}
    return MessageAnswer(
        message_id=status.message_id,
        batch=status.registration.batch if status.registration else None,
        recipient=status.registration.recipient if status.registration else None,
        stage=status.stage.name.lower(),
        label=status.label,
        last_action=status.last_action,
        status=status.failure,
        opens=status.opens,
        clicks=status.clicks,
        links=[LinkClicks(index, url, clicks) for (index, url), clicks in sorted(status.links.items())],
        **{name: None if at is None else moment(at) for name, at in times.items()},
    )


def event_answer(event: Event, verdict: Verdict | None) -> EventAnswer:
    """One event, with the verdict on it."""
    facts = event.facts
    return EventAnswer(
        id=str(UUID(bytes=event.id)),
        type=facts.type,
        occurred_at=moment(event.occurred_at),
        last_at=moment(event.last_at),
        recorded_at=moment(event.recorded_at),
        count=event.count,
        node=event.node,
        link=facts.link,
        url=facts.url,
        list=facts.list,
        user_agent=facts.user_agent,
        accept=facts.accept,
        purpose=facts.purpose,
        address=facts.address,
        source=facts.source.hex() if facts.source else None,
        network=facts.network,
        registration=_same_fields(facts.registration, RegistrationAnswer) if facts.registration else None,
        delivery=_same_fields(facts.delivery, DeliveryAnswer) if facts.delivery else None,
        actor=verdict.actor if verdict else None,
        reasons=verdict.reasons if verdict else (),
        rule_version=verdict.rule_version if verdict else None,
    )


def _same_fields(value: msgspec.Struct, shape: type[_T]) -> _T:
    """``value`` as a struct with the same fields: in the spool they are an array, for callers an object."""
    return shape(**msgspec.structs.asdict(value))
