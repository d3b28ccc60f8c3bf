"""Makes the API's answers from the core's values.

Owns how a value is written: times, ids, null. Must not decide anything that the core could.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from tracker.core.model import Event, Verdict
from tracker.core.recipients import ListStanding, Standing
from tracker.core.rewrite import Rewritten
from tracker.core.status import STAGE_NAMES, Status
from tracker.stores import Change
from tracker.web.responses import moment

from .answers import (
    ChangeAnswer,
    DeliveryAnswer,
    EventAnswer,
    LinkClicks,
    ListAnswer,
    MessageAnswer,
    NoticeAnswer,
    RecipientAnswer,
    RecipientConsent,
    RegistrationAnswer,
    RewriteAnswer,
    StageChange,
    TrackAnswer,
)

_T = TypeVar("_T")


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
        stage=STAGE_NAMES[status.stage],
        label=status.label,
        last_action=status.last_action,
        status=status.failure,
        opens=status.opens,
        clicks=status.clicks,
        links=[LinkClicks(index, url, clicks) for (index, url), clicks in sorted(status.links.items())],
        **{name: _moment(at) for name, at in times.items()},
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
        honeypot=facts.honeypot,
        registration=_same_fields(facts.registration, RegistrationAnswer) if facts.registration else None,
        delivery=_same_fields(facts.delivery, DeliveryAnswer) if facts.delivery else None,
        reporter=facts.reporter,
        event_id=facts.reported_id,
        change=_same_fields(facts.change, ChangeAnswer) if facts.change else None,
        actor=verdict.actor if verdict else None,
        reasons=verdict.reasons if verdict else (),
        rule_version=verdict.rule_version if verdict else None,
    )


def change_answer(change: Change) -> StageChange:
    """One change of a message's stage."""
    fields = change._asdict()
    fields |= {
        "status": fields.pop("failure"),
        "correction": fields.pop("is_correction"),
        "changed_at": moment(change.changed_at),
    }
    return StageChange(**fields)


def recipient_answer(recipient: str, known: tuple[Standing, Sequence[ListStanding]] | None) -> RecipientAnswer:
    """What is known of a recipient."""
    standing, lists = known or (Standing(), ())
    state = "invalid" if standing.is_invalid else "complained" if standing.has_complained else "active"
    return RecipientAnswer(
        recipient=recipient,
        state=state,
        invalid_at=_moment(standing.invalid_at if standing.is_invalid else None),
        complained_at=_moment(standing.complained_at if standing.has_complained else None),
        consent=RecipientConsent(standing.opens.value, standing.clicks.value),
        lists=[
            ListAnswer(
                one.list,
                _moment(one.first_seen_at),
                _moment(one.last_seen_at),
                one.is_unsubscribed,
                _moment(one.unsubscribed_at if one.is_unsubscribed else None),
            )
            for one in lists
        ],
    )


def _moment(microseconds: int | None) -> str | None:
    return None if microseconds is None else moment(microseconds)


def _same_fields(value: msgspec.Struct, shape: type[_T]) -> _T:
    """``value`` as a struct with the same fields: in the spool they are an array, for callers an object."""
    return shape(**msgspec.structs.asdict(value))
