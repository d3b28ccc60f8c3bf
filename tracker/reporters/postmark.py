"""Postmark's webhooks: checks their password, and says what its events mean.

Must not look into a request before the password is right. Postmark signs nothing: the password, which stands in the
webhook's settings, is all there is to tell its requests from others.
"""

from __future__ import annotations

import base64
import hmac
from typing import Final

import msgspec

from tracker.core.errors import NotAuthentic
from tracker.core.model import EventType

from . import Clues, Fetch, HookRequest, Reported, payloads

NAME = "postmark"
SECRET = "USER:PASSWORD, of your own choice: what you enter as the webhook's basic authentication in Postmark."  # noqa: S105

EVENT_TYPES: Final = {
    "Delivery": EventType.DELIVERED,
    "Bounce/HardBounce": EventType.FAILED,
    "Bounce/BadEmailAddress": EventType.FAILED,
    "Bounce/Blocked": EventType.FAILED,
    "Bounce/DMARCPolicy": EventType.FAILED,
    # These two are refusals of what the message contains, said by a server: no person has complained.
    "Bounce/SpamNotification": EventType.FAILED,
    "Bounce/VirusNotification": EventType.FAILED,
    "Bounce/Transient": EventType.DEFERRED,
    "Bounce/SoftBounce": EventType.DEFERRED,
    "Bounce/DnsError": EventType.DEFERRED,
    # A report that nobody could classify says too little to call a message failed that may have been delivered.
    "Bounce/Unknown": EventType.DEFERRED,
    "Bounce/Undeliverable": EventType.DEFERRED,
    "Bounce/ManuallyDeactivated": EventType.DROPPED,
    "Bounce/Unconfirmed": EventType.DROPPED,
    "Bounce/SMTPApiError": EventType.DROPPED,
    "Bounce/TemplateRenderingFailed": EventType.DROPPED,
    "Bounce/Unsubscribe": EventType.UNSUBSCRIBED,  # a person answered with a request to be removed
    "Bounce/SpamComplaint": EventType.COMPLAINED,
    "SpamComplaint": EventType.COMPLAINED,
    # Suppressions after a bounce or a complaint are facts: the bounce and the complaint are reported by themselves.
    "SubscriptionChange/ManualSuppression": EventType.UNSUBSCRIBED,
}

IMPLIED_CODES: Final = {
    "HardBounce": "5.1.1",  # "The server was unable to deliver your message (ex: unknown user, mailbox not found)"
    "BadEmailAddress": "5.1.3",  # "The address is not a valid email address"
}
"""The codes that say what Postmark's documentation says of these types, where the server gave none."""

_SHORTEST_PASSWORD: Final = 16


class _Hook(msgspec.Struct, rename="pascal"):
    record_type: str
    id: int | str | None = msgspec.field(name="ID", default=None)
    type: str | None = None
    message_id: str | None = msgspec.field(name="MessageID", default=None)
    metadata: object = None  # the sender's own: anything
    details: str | None = None
    description: str | None = None
    suppress_sending: bool | None = None
    suppression_reason: str | None = None
    bounced_at: str | None = None
    delivered_at: str | None = None
    received_at: str | None = None
    changed_at: str | None = None


_hook: Final = msgspec.json.Decoder(_Hook)


async def read(request: HookRequest, secret: str, fetch: Fetch) -> list[Reported]:
    """What a Postmark webhook says: one event.

    See https://postmarkapp.com/developer/webhooks/webhooks-overview. Nothing in a request says when it was made, so a
    repeated one is known by its event id alone. Raises `NotAuthentic` and `InvalidRequest`.
    """
    _verify(request.headers.get("authorization", ""), secret)
    return [_reported(payloads.decode(_hook, request.body))]


def check_secret(secret: str) -> None:
    """Raise `ValueError` unless ``secret`` is ``USER:PASSWORD`` with a password that nobody guesses."""
    user, colon, password = secret.partition(":")
    if not colon or not user or not secret.isprintable():
        raise ValueError("is not of the form USER:PASSWORD")
    if len(password) < _SHORTEST_PASSWORD:
        raise ValueError(f"has a password of less than {_SHORTEST_PASSWORD} characters")


def _verify(authorization: str, secret: str) -> None:
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        raise NotAuthentic from None
    if not hmac.compare_digest(given, secret.encode()) or scheme.lower() != "basic":
        raise NotAuthentic


def _reported(hook: _Hook) -> Reported:
    moment = hook.bounced_at or hook.delivered_at or hook.received_at or hook.changed_at
    type_ = payloads.type_of(EVENT_TYPES, NAME, *_natives(hook))
    said = payloads.text(hook.details) or payloads.text(hook.description)
    code = payloads.reply_code(said, implied=IMPLIED_CODES.get(hook.type or ""))
    own_id = (hook.id,) if hook.id else (hook.message_id, moment)
    return Reported(
        event_id=payloads.event_id(hook.record_type, *own_id),
        type=type_,
        occurred_at=payloads.iso(moment),
        clues=_clues(hook),
        delivery=payloads.delivery(type_, said, code),
    )


def _natives(hook: _Hook) -> list[str]:
    if hook.record_type == "Bounce" and hook.type:
        return [f"Bounce/{hook.type}"]
    if hook.record_type == "SubscriptionChange":
        return [f"SubscriptionChange/{hook.suppression_reason if hook.suppress_sending else 'reactivated'}"]
    return [hook.record_type]


def _clues(hook: _Hook) -> Clues:
    # Postmark makes the Message-ID of its own id, unless the sender gave one and asked to keep it.
    made = [f"<{hook.message_id}@mtasv.net>"] if hook.message_id else []
    return payloads.own_fields(hook.metadata)._replace(rfc822_ids=payloads.clues(rfc822_ids=made).rfc822_ids)
