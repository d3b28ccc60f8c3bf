"""Which events no store can take: what one of the databases refuses, every store refuses.

Owns these limits, so that an event does not become unstorable by a change of the database. Must not
judge what an event means: facts that make no sense are still facts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from tracker.core.errors import EventRejected
from tracker.core.model import Event

MAX_KEY_BYTES: Final = 512
"""Longest account, message id, recipient, list or reporter's id, in UTF-8: three fit an index entry of PostgreSQL."""

MAX_INTEGER: Final = 2**31 - 1
MAX_VERSION: Final = 2**15 - 1
MAX_TIME: Final = 253_402_300_799_999_999
"""The end of the year 9999, the last that RFC 3339 can write."""

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL in JSON, told from a backslash followed by the text u0000."""

_encode: Final = msgspec.json.Encoder().encode


def is_key(text: str) -> bool:
    """Whether a store can hold ``text`` as a part of a key."""
    if text.isascii():
        return len(text) <= MAX_KEY_BYTES and "\0" not in text
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_KEY_BYTES and b"\0" not in encoded


def check(events: Sequence[Event]) -> None:
    """Raise `EventRejected` for the first of ``events`` that can never be stored."""
    for event in events:
        if fault := _fault(event):
            raise EventRejected(f"event {event.id.hex()} has {fault}")
    try:
        text = _encode(events)
    except UnicodeEncodeError as error:
        raise EventRejected("an event has text with half a surrogate pair") from error
    if b"\\u0000" in text and _NUL.search(text):
        raise EventRejected("an event has text with a NUL")


def _fault(event: Event) -> str | None:
    facts, registration = event.facts, event.facts.registration
    if len(event.id) != 16:
        return "an id that is not 16 bytes"
    if event.occurred_at < 0 or event.last_at < 0 or event.recorded_at < 0:
        return "a time before 1970"
    if event.occurred_at > MAX_TIME or event.last_at > MAX_TIME or event.recorded_at > MAX_TIME:
        return "a time after the year 9999"
    if not 0 < event.count <= MAX_INTEGER or not 0 <= (facts.link or 0) <= MAX_INTEGER:
        return "a count or link number out of range"
    if not 0 <= facts.version <= MAX_VERSION:
        return "a version out of range"
    if registration is not None and not 0 <= registration.link_count <= MAX_INTEGER:
        return "a number of links out of range"
    if not all(is_key(key) for key in _keys(event) if key is not None):
        return "an account, message id, recipient, list or reporter's id that is too long or not text"
    return None


def _keys(event: Event) -> tuple[str | None, ...]:
    facts, registration, change = event.facts, event.facts.registration, event.facts.change
    keys = (facts.account, facts.message_id, facts.list, facts.reporter, facts.reported_id)
    if registration is not None:
        return (*keys, registration.recipient, registration.list, registration.rfc822_message_id)
    return keys if change is None else (*keys, change.recipient)
