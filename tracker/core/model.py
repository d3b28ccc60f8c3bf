"""The values that everything else passes around: events and their facts, registrations, verdicts.

Owns their shapes and their encoding in the spool. Must not decide anything: what an event means for
a message's stage is `status`, who acted is `agents`.

All times are integers: microseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

import msgspec

FACTS_VERSION: Final = 1
"""Version of the encoded `Facts`. Fields are only ever added, at the end, with a default."""


class EventType(enum.StrEnum):
    """The event types tracker gives a meaning. The vocabulary is open: an unknown type is kept as a fact."""

    REWRITTEN = "rewritten"
    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    DROPPED = "dropped"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    CONSENT_CHANGED = "consent_changed"
    RECIPIENT_RESET = "recipient_reset"
    REVOKED_CLICK = "revoked_click"
    """A link was followed that is revoked: it led nowhere, and counts as no click."""


class Actor(enum.StrEnum):
    """Who acted: a person, an image proxy on a person's behalf, or a machine on its own."""

    HUMAN = "human"
    PROXY = "proxy"
    MACHINE = "machine"


class MessageClass(enum.StrEnum):
    """Why a message is sent. An unsubscribe stops ``marketing`` and not ``transactional``."""

    MARKETING = "marketing"
    TRANSACTIONAL = "transactional"


class Consent(enum.StrEnum):
    """What a recipient said about one kind of tracking."""

    GRANTED = "granted"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Suppression(enum.StrEnum):
    """Why a recipient must not be written to."""

    INVALID = "invalid"
    """The address does not exist, as a mail server said."""
    COMPLAINED = "complained"
    """The recipient called a message spam."""
    UNSUBSCRIBED = "unsubscribed"
    """From the list; this stops marketing only."""


class Owner(NamedTuple):
    """Whom a message belongs to: an id that is registered once is not registered for another."""

    recipient: str | None
    batch: str | None


class Registration(msgspec.Struct, frozen=True, array_like=True):
    """What a ``rewritten`` event says of its message."""

    recipient: str | None = None
    batch: str | None = None
    list: str = "default"
    message_class: MessageClass = MessageClass.MARKETING
    tracks_opens: bool = False
    tracks_clicks: bool = False
    link_count: int = 0
    rfc822_message_id: str | None = None


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """What a mail server says of a message: the reply code (``"550 5.1.1"``) and the reason in words."""

    status_code: str | None = None
    reason: str | None = None


class RecipientChange(msgspec.Struct, frozen=True, array_like=True):
    """What a ``consent_changed`` or ``recipient_reset`` event changes; None: that stays as it is."""

    recipient: str | None = None
    """None: whoever the event's message is for."""
    opens: Consent | None = None
    clicks: Consent | None = None
    resets: tuple[Suppression, ...] = ()
    """What is lifted; an unsubscribe is lifted for the list in the event's `Facts.list`."""
    reason: str | None = None


class Facts(msgspec.Struct, frozen=True, array_like=True):
    """What one event says, apart from when it happened and how often.

    Two hits with equal facts in one commit are one row with a `count` of two.
    """

    account: str
    message_id: str
    """Empty for what is said of a recipient, and of no message."""
    type: str
    link: int | None = None
    """The link's number within its message; for an open, the pixel's number."""
    url: str | None = None
    """The link's destination; for an unsubscribe, nothing."""
    list: str | None = None
    """What an unsubscribe is from."""
    user_agent: str | None = None
    accept: str | None = None
    """The request's Accept header, shortened."""
    purpose: str | None = None
    """The prefetch header that came with the request (Sec-Purpose, Purpose, X-Purpose or X-Moz), shortened."""
    address: str | None = None
    """The client's address as far as the setting lets it be kept: none, truncated or full."""
    source: bytes | None = None
    """8 bytes: the whole address under a key of the day, so that one source can be told from another."""
    network: str | None = None
    """The entry of the network list that matched the address, with the list's version."""
    registration: Registration | None = None
    delivery: Delivery | None = None
    version: int = FACTS_VERSION
    reporter: str | None = None
    """Who reported what we did not see ourselves: ``api``, ``mail``, or a provider's name."""
    reported_id: str | None = None
    """The reporter's own id of the event: within an account, one event for each reporter and id."""
    change: RecipientChange | None = None
    honeypot: bool = False
    """The hidden link, which no person sees, was followed."""
    device: str | None = None
    """What `device_of` says of the user agent, where the store has kept that: nothing of its own, and never spooled."""


class Event(msgspec.Struct, frozen=True):
    """One event as it is stored: facts, when, how often, and where it was recorded.

    Events are never updated. ``id`` is a UUIDv7 (RFC 9562) made when the event is appended to the spool.
    """

    id: bytes
    """16 bytes, big-endian: sorts by the time of appending."""
    node: str
    occurred_at: int
    last_at: int
    """When the last of the `count` hits happened; equal to `occurred_at` for a single one."""
    recorded_at: int
    count: int
    facts: Facts


class Verdict(msgspec.Struct, frozen=True):
    """Who acted in one event, why we think so, and under which version of the rules."""

    actor: Actor
    reasons: tuple[str, ...]
    rule_version: int


encode_facts = msgspec.msgpack.Encoder().encode
decode_facts = msgspec.msgpack.Decoder(Facts).decode


def uuid7(milliseconds: int, sequence: int, random: bytes) -> bytes:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of time, 12 of ``sequence`` (mod 4096), 62 of ``random`` (8 bytes)."""
    high = (milliseconds & 0xFFFFFFFFFFFF) << 16 | 0x7000 | (sequence & 0xFFF)
    low = int.from_bytes(random, "big") & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
    return (high << 64 | low).to_bytes(16, "big")
