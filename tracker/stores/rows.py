"""Rows of the tables to and from the core's values, the same for every store.

Owns the order of the columns; the ``.sql`` files keep to it. Must not talk to a database or decide anything.
Ids are bytes and times are integers here: a driver that thinks otherwise is taught so by its store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from tracker.core.model import Actor, Delivery, Event, Facts, MessageClass, Registration, Verdict
from tracker.core.status import Counts, Status

Row = Sequence[Any]
"""A row as a driver gives or takes it: its values by position."""


class _Link(msgspec.Struct):
    index: int
    url: str
    clicks: Counts


_encode: Final = msgspec.json.Encoder().encode
_decode_links: Final = msgspec.json.Decoder(list[_Link]).decode
_decode_reasons: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_detail: Final = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode

_UNREGISTERED: Final = (None,) * len(Registration.__struct_fields__)


@lru_cache(maxsize=8192)
def agent_digest(user_agent: str) -> int:
    """The key of a user agent: 64 bits of its digest, as the signed integer that databases have."""
    return int.from_bytes(hashlib.blake2b(user_agent.encode(), digest_size=8).digest(), "big", signed=True)


def event_row(event: Event) -> Row:
    """The row of ``events``: the event's fields, then its facts in their order."""
    facts = event.facts
    return (
        event.id,
        event.node,
        event.occurred_at,
        event.last_at,
        event.recorded_at,
        event.count,
        facts.account,
        facts.message_id,
        facts.type,
        facts.link,
        facts.url,
        facts.list,
        None if facts.user_agent is None else agent_digest(facts.user_agent),
        facts.accept,
        facts.purpose,
        facts.address,
        facts.source,
        facts.network,
        _detail(facts),
        facts.version,
    )


def judged_event(row: Row) -> tuple[Event, Verdict | None]:
    """The event of a row of ``events`` that has the user agent in full, and its verdict's columns at the end."""
    detail = row[18]
    facts = Facts(*(*row[6:18], registration_in(detail), _delivery_in(detail), row[19]))
    actor, reasons, rule_version = row[20:23]
    verdict = None if actor is None else Verdict(Actor(actor), _decode_reasons(reasons), rule_version)
    return Event(*(*row[:6], facts)), verdict


def _detail(facts: Facts) -> str | None:
    if facts.registration is not None:
        return _encode({"registration": msgspec.structs.asdict(facts.registration)}).decode()
    if facts.delivery is not None:
        return _encode({"delivery": msgspec.structs.asdict(facts.delivery)}).decode()
    return None


def registration_in(detail: str | None) -> Registration | None:
    """The registration in the ``detail`` of a row of ``events``."""
    fields = _decode_detail(detail).get("registration") if detail else None
    if fields is None:
        return None
    return Registration(**{**fields, "message_class": MessageClass(fields["message_class"])})


def _delivery_in(detail: str | None) -> Delivery | None:
    fields = _decode_detail(detail).get("delivery") if detail else None
    return None if fields is None else Delivery(**fields)


@lru_cache(maxsize=256)
def encoded_reasons(reasons: tuple[str, ...]) -> str:
    """The ``reasons`` of a verdict as JSON."""
    return _encode(reasons).decode()


def status_row(status: Status) -> Row:
    """The row of ``messages``, what follows from the state included, without ``updated_at`` and ``version``."""
    registration, stage = status.registration, status.stage
    return (
        status.account,
        status.message_id,
        *(_UNREGISTERED if registration is None else msgspec.structs.astuple(registration)),
        *(status.registered or (None, None)),
        *(status.failed or (None, None)),
        status.failure,
        status.sent_at,
        status.delivered_at,
        status.first_opened_at,
        status.last_opened_at,
        status.first_clicked_at,
        status.last_clicked_at,
        status.replied_at,
        status.unsubscribed_at,
        status.complained_at,
        *msgspec.structs.astuple(status.opens),
        *msgspec.structs.astuple(status.clicks),
        _encode([_Link(*link, clicks) for link, clicks in status.links.items()]).decode(),
        int(stage),
        stage.name.lower(),
        status.label,
        status.last_action,
    )


def status_in(row: Row) -> Status:
    """The state in the columns of a row of ``messages`` up to and with ``links``."""
    recipient, batch, list_name, message_class, opens, clicks, *more = row[2:10]
    rewritten_at, rewritten_id, failed_at, failed_id = row[10:14]
    registration = None
    if list_name is not None:
        registration = Registration(
            recipient, batch, list_name, MessageClass(message_class), bool(opens), bool(clicks), *more
        )
    fields = (
        *row[:2],
        registration,
        None if rewritten_at is None else (rewritten_at, rewritten_id),
        None if failed_at is None else (failed_at, failed_id),
        *row[14:24],
        Counts(*row[24:27]),
        Counts(*row[27:30]),
        {(link.index, link.url): link.clicks for link in _decode_links(row[30])},
    )
    return Status(*fields)
