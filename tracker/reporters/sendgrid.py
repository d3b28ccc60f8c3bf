"""SendGrid's Event Webhook: verifies its signature, and says what its events mean.

Must not trust anything in a request before its signature has verified.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tracker.core.errors import InvalidRequest, NotAuthentic
from tracker.core.model import EventType

from . import Clues, Fetch, HookRequest, Reported, payloads

NAME = "sendgrid"
SECRET = "The verification key that SendGrid shows under Event Webhook, Security features, once signing is enabled."  # noqa: S105

MAX_AGE_S: Final = 25 * 3600
"""SendGrid tries for 24 hours, and nothing says that it signs each attempt anew."""

EVENT_TYPES: Final = {
    "processed": EventType.SENT,
    "deferred": EventType.DEFERRED,
    "delivered": EventType.DELIVERED,
    "dropped": EventType.DROPPED,
    # A "blocked" one was refused for the message or its sender and not for the address, and SendGrid does not try it
    # again: a deferred message becomes blocked after 72 hours. So the message failed; the next one may get through,
    # and whether the address is invalid is for the server's code to say.
    "bounce": EventType.FAILED,
    "spamreport": EventType.COMPLAINED,
    "unsubscribe": EventType.UNSUBSCRIBED,
    "group_unsubscribe": EventType.UNSUBSCRIBED,
}

_SECONDS: Final = re.compile(r"[0-9]{10}")
# Dictionaries, not structs: the sender's custom arguments stand among SendGrid's own fields, with any name and value.
_events: Final = msgspec.json.Decoder(Annotated[list[dict[str, object]], msgspec.Meta(max_length=payloads.MAX_EVENTS)])


async def read(request: HookRequest, secret: str, fetch: Fetch) -> list[Reported]:
    """What SendGrid's Event Webhook says.

    See https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event and, for the signature,
    .../getting-started-event-webhook-security-features. Raises `NotAuthentic` and `InvalidRequest`.
    """
    _verify(request, _key(secret))
    return [_reported(event, index) for index, event in enumerate(payloads.decode(_events, request.body))]


def check_secret(secret: str) -> None:
    """Raise `ValueError` unless ``secret`` is a public key as SendGrid shows it: base64 of DER, on the curve P-256."""
    _key(secret)


def _key(secret: str) -> ec.EllipticCurvePublicKey:
    key = payloads.public_key(secret)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("is a public key, but not one on the curve P-256 as SendGrid's are")
    return key


def _verify(request: HookRequest, key: ec.EllipticCurvePublicKey) -> None:
    signature = payloads.signature_bytes(request.headers.get("x-twilio-email-event-webhook-signature"))
    timestamp = request.headers.get("x-twilio-email-event-webhook-timestamp", "")
    if not _SECONDS.fullmatch(timestamp):
        raise NotAuthentic
    payloads.check_fresh(payloads.seconds(timestamp), request.received_at, MAX_AGE_S)
    try:
        key.verify(signature, timestamp.encode() + request.body, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise NotAuthentic from None


def _reported(event: dict[str, object], index: int) -> Reported:
    native = event.get("event")
    if not isinstance(native, str):
        raise InvalidRequest([(f"$[{index}].event", "is not a string")])
    type_ = payloads.type_of(EVENT_TYPES, NAME, native)
    said = payloads.text(event.get("reason")) or payloads.text(event.get("response"))
    own_id = payloads.text(event.get("sg_event_id")) or msgspec.json.encode(event, order="sorted").decode()
    return Reported(
        event_id=payloads.event_id(own_id),
        type=type_,
        occurred_at=payloads.seconds(event.get("timestamp")),
        clues=_clues(event),
        delivery=payloads.delivery(type_, said, payloads.reply_code(said, enhanced=event.get("status"))),
    )


def _clues(event: dict[str, object]) -> Clues:
    rfc822 = payloads.clues(rfc822_ids=[event.get("smtp-id")]).rfc822_ids
    return payloads.own_fields(event)._replace(rfc822_ids=rfc822)
