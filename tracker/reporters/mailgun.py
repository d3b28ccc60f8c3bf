"""Mailgun's webhooks: verifies their signature, and says what its events mean.

Must not look into the event before the signature has verified. Mailgun signs a time and a random token and not the
event, so what keeps an event from being changed on its way is TLS alone: hence the short time a signature is good for.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

import msgspec

from tracker.core.errors import NotAuthentic
from tracker.core.model import Delivery, EventType

from . import Clues, Fetch, HookRequest, Reported, payloads

NAME = "mailgun"
SECRET = "The HTTP webhook signing key that Mailgun shows under API security; it is not an API key."  # noqa: S105

MAX_AGE_S: Final = 9 * 3600
"""Mailgun tries for 8 hours."""

EVENT_TYPES: Final = {
    "accepted": EventType.SENT,  # Mailgun has it in its queue
    "rejected": EventType.DROPPED,  # Mailgun itself refused to send it
    "delivered": EventType.DELIVERED,
    "failed/temporary": EventType.DEFERRED,
    "failed/permanent": EventType.FAILED,
    "failed/old": EventType.FAILED,  # the last attempt; Mailgun gives up, though it may still call it temporary
    "failed/suppress-bounce": EventType.DROPPED,  # these three: on one of Mailgun's own lists, so not sent at all
    "failed/suppress-complaint": EventType.DROPPED,
    "failed/suppress-unsubscribe": EventType.DROPPED,
    "complained": EventType.COMPLAINED,
    "unsubscribed": EventType.UNSUBSCRIBED,
}

_SECONDS: Final = re.compile(r"[0-9]{10}")
_SHORTEST_KEY: Final = 16


class _Signature(msgspec.Struct):
    timestamp: str | int
    token: str
    signature: str


class _Hook(msgspec.Struct, rename="kebab"):
    signature: _Signature | None = None
    event_data: msgspec.Raw = msgspec.Raw(b"null")


class _Headers(msgspec.Struct, rename="kebab"):
    message_id: str | None = None


class _Message(msgspec.Struct):
    headers: _Headers | None = None


class _DeliveryStatus(msgspec.Struct, rename="kebab"):
    code: int | str | None = None
    enhanced_code: str | None = None
    bounce_code: str | None = None
    message: str | None = None
    description: str | None = None


class _Reject(msgspec.Struct):
    reason: str | None = None


class _Event(msgspec.Struct, rename="kebab"):
    event: str
    id: str | None = None
    timestamp: float | str | None = None
    severity: str | None = None
    reason: str | None = None
    message: _Message | None = None
    delivery_status: _DeliveryStatus | None = None
    reject: _Reject | None = None
    user_variables: object = None  # the sender's own: anything


_hook: Final = msgspec.json.Decoder(_Hook)
_event: Final = msgspec.json.Decoder(_Event)


async def read(request: HookRequest, secret: str, fetch: Fetch) -> list[Reported]:
    """What a Mailgun webhook says: one event.

    See https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads and .../securing-webhooks.
    Raises `NotAuthentic` and `InvalidRequest`.
    """
    hook = payloads.decode(_hook, request.body)
    _verify(hook.signature, secret, request.received_at)
    return [_reported(payloads.decode(_event, hook.event_data, "$.event-data"))]


def check_secret(secret: str) -> None:
    """Raise `ValueError` unless ``secret`` may be a signing key: printable ASCII without spaces, not too short."""
    if len(secret) < _SHORTEST_KEY or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError(f"is not a signing key: {_SHORTEST_KEY} or more ASCII characters without spaces")


def _verify(signature: _Signature | None, secret: str, now: int) -> None:
    # Ten digits exactly: otherwise digits could be moved between the time and the token, which are signed as one.
    if signature is None or not _SECONDS.fullmatch(str(signature.timestamp)):
        raise NotAuthentic
    signed = f"{signature.timestamp}{signature.token}".encode()
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.signature.encode(), expected.encode()):
        raise NotAuthentic
    payloads.check_fresh(payloads.seconds(signature.timestamp), now, MAX_AGE_S)


def _reported(event: _Event) -> Reported:
    natives = [f"{event.event}/{detail}" for detail in (event.reason, event.severity) if detail]
    type_ = payloads.type_of(EVENT_TYPES, NAME, *natives, event.event)
    return Reported(
        event_id=_event_id(event),
        type=type_,
        occurred_at=payloads.seconds(event.timestamp),
        clues=_clues(event),
        delivery=_delivery(event, type_),
    )


def _event_id(event: _Event) -> str:
    # An id is "unique within a day" only, so the day goes with it.
    moment = payloads.seconds(event.timestamp)
    day = "" if moment is None else moment // 86_400_000_000
    if event.id:
        return payloads.event_id(day, event.id)
    return payloads.event_id(msgspec.json.encode(event, order="sorted").decode())


def _clues(event: _Event) -> Clues:
    headers = event.message.headers if event.message else None
    rfc822 = payloads.clues(rfc822_ids=[headers.message_id] if headers else []).rfc822_ids
    return payloads.own_fields(event.user_variables)._replace(rfc822_ids=rfc822)


def _delivery(event: _Event, type_: str) -> Delivery | None:
    status = event.delivery_status or _DeliveryStatus()
    rejected = event.reject.reason if event.reject else None
    said = payloads.text(status.message) or payloads.text(status.description) or payloads.text(rejected)
    # Mailgun calls "bounce" what it puts on its list of bounces: "the recipient email server specifies that the
    # recipient does not exist". Refusals for another reason are "generic" or "espblock".
    gone = event.reason == "bounce" and event.severity == "permanent" and str(status.code) == "550"
    code = payloads.reply_code(
        said,
        reply=status.code,
        enhanced=status.enhanced_code or status.bounce_code,
        implied="5.1.1" if gone else None,
    )
    return payloads.delivery(type_, said or event.reason, code)
