"""Rows of the tables to and from the core's values, the same for every store.

Owns the order of the columns; the ``.sql`` files keep to it. Must not talk to a database or decide anything.
Ids are bytes and times are integers here: a driver that thinks otherwise is taught so by its store.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

import msgspec

from tracker.core.model import (
    Actor,
    Consent,
    Delivery,
    Event,
    Facts,
    MessageClass,
    RecipientChange,
    Registration,
    Verdict,
)
from tracker.core.recipients import ConsentHistory, ListStanding, Standing
from tracker.core.status import Counts, Shown, Status

from .database import Row

Key = tuple[str, str]
"""A message: account and message id."""

Person = tuple[str, str]
"""Account and recipient."""


class _Link(msgspec.Struct):
    index: int
    url: str
    clicks: Counts


_encode: Final = msgspec.json.Encoder().encode
_decode_links: Final = msgspec.json.Decoder(list[_Link]).decode
_decode_devices: Final = msgspec.json.Decoder(dict[str, int]).decode
_decode_reasons: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_changes: Final = msgspec.json.Decoder(tuple[tuple[int, Consent], ...]).decode
_decode_detail: Final = msgspec.json.Decoder(dict[str, Any]).decode

_CLASSES: Final = {class_.value: class_ for class_ in MessageClass}
_UNREGISTERED: Final = (None,) * len(Registration.__struct_fields__)


@lru_cache(maxsize=8192)
def agent_digest(user_agent: str) -> int:
    """The key of a user agent: 64 bits of its digest, as the signed integer that databases have."""
    return int.from_bytes(hashlib.blake2b(user_agent.encode(), digest_size=8).digest(), "big", signed=True)


def key_of(event: Event) -> Key:
    """The message that an event is of."""
    return event.facts.account, event.facts.message_id


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
        facts.reporter,
        facts.reported_id,
    )


def judged_event(row: Row) -> tuple[Event, Verdict | None]:
    """The event of a row of ``events`` that has the user agent in full, then its verdict's columns.

    There may be one more column: what the user agent says it is.
    """
    detail = row[18]
    said = (registration_in(detail), delivery_in(detail), *row[19:22], change_in(detail), _honeypot_in(detail))
    facts = Facts(*(*row[6:18], *said, *row[25:26]))
    actor, reasons, rule_version = row[22:25]
    verdict = None if actor is None else Verdict(Actor(actor), _decode_reasons(reasons), rule_version)
    return Event(*(*row[:6], facts)), verdict


def _detail(facts: Facts) -> str | None:
    if facts.registration is not None:
        return _encode({"registration": msgspec.structs.asdict(facts.registration)}).decode()
    if facts.delivery is not None:
        return _encode({"delivery": msgspec.structs.asdict(facts.delivery)}).decode()
    if facts.change is not None:
        return _encode({"change": msgspec.structs.asdict(facts.change)}).decode()
    return '{"honeypot":true}' if facts.honeypot else None


def registration_in(detail: str | None) -> Registration | None:
    """The registration in the ``detail`` of a row of ``events``."""
    fields = _decode_detail(detail).get("registration") if detail else None
    if fields is None:
        return None
    return Registration(**{**fields, "message_class": MessageClass(fields["message_class"])})


def delivery_in(detail: str | None) -> Delivery | None:
    """The delivery in it."""
    fields = _decode_detail(detail).get("delivery") if detail else None
    return None if fields is None else Delivery(**fields)


def change_in(detail: str | None) -> RecipientChange | None:
    """The change of a recipient in it."""
    fields = _decode_detail(detail).get("change") if detail else None
    if fields is None:
        return None
    # By name: a database may keep the fields in an order of its own.
    return msgspec.convert([fields.get(name) for name in RecipientChange.__struct_fields__], RecipientChange)


def _honeypot_in(detail: str | None) -> bool:
    return detail is not None and "honeypot" in _decode_detail(detail)


@lru_cache(maxsize=256)
def encoded_reasons(reasons: tuple[str, ...]) -> str:
    """The ``reasons`` of a verdict as JSON."""
    return _encode(reasons).decode()


def verdict_row(event_id: bytes, verdict: Verdict) -> Row:
    """The row of ``verdicts``."""
    return (event_id, verdict.actor, encoded_reasons(verdict.reasons), verdict.rule_version)


def status_row(status: Status) -> Row:
    """The row of ``messages``, what follows from the state included, without ``updated_at`` and ``version``."""
    registration, shown = status.registration, status.shown
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
        status.untracked_since,
        *msgspec.structs.astuple(status.opens),
        *msgspec.structs.astuple(status.clicks),
        _encode([_Link(*link, clicks) for link, clicks in status.links.items()]).decode() if status.links else "[]",
        _encode(status.devices).decode() if status.devices else "{}",
        int(shown.stage),
        shown.name,
        shown.label,
        shown.last_action,
    )


def status_in(row: Row) -> Status:
    """The state in the columns of a row of ``messages`` up to and with ``devices``."""
    recipient, batch, list_name, message_class, opens, clicks, *more = row[2:10]
    rewritten_at, rewritten_id, failed_at, failed_id = row[10:14]
    registration = None
    if list_name is not None:
        registration = Registration(
            recipient, batch, list_name, _CLASSES[message_class], bool(opens), bool(clicks), *more
        )
    fields = (
        *row[:2],
        registration,
        None if rewritten_at is None else (rewritten_at, rewritten_id),
        None if failed_at is None else (failed_at, failed_id),
        *row[14:25],
        Counts(*row[25:28]),
        Counts(*row[28:31]),
        {} if row[31] == "[]" else {(link.index, link.url): link.clicks for link in _decode_links(row[31])},
        {} if row[32] == "{}" else _decode_devices(row[32]),
    )
    return Status(*fields)


def standing_row(account: str, recipient: str, standing: Standing) -> Row:
    """The row of ``standings``."""
    consents = (_encoded_consent(standing.opens), _encoded_consent(standing.clicks))
    return (account, recipient, *msgspec.structs.astuple(standing)[:4], *consents)


def _encoded_consent(history: ConsentHistory) -> str | None:
    return _encode(history.changes).decode() if history.changes else None


def standing_in(row: Row) -> Standing:
    """The standing in a row of ``standings``."""
    return Standing(*row[2:6], *(ConsentHistory(_decode_changes(changes) if changes else ()) for changes in row[6:8]))


def list_standing_in(row: Row) -> ListStanding:
    """The standing in a row of ``recipients``."""
    return ListStanding(*row[2:7])


def change_row(sequence: int, before: Shown | None, status: Status, *, hide_previous: bool) -> Row:
    """The row of ``changes`` for a message whose stage was ``before``, if it was known."""
    shown = status.shown
    return (
        status.account,
        sequence,
        status.message_id,
        shown.name,
        None if before is None or hide_previous else before.name,
        shown.label,
        shown.last_action,
        status.failure,
        before is not None and shown.stage < before.stage,
    )
