"""Postal's webhooks: verifies their signature, and says what its events mean.

Must not trust anything in a request before its signature has verified.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from tracker.core.errors import NotAuthentic
from tracker.core.model import EventType

from . import Fetch, HookRequest, Reported, payloads

NAME = "postal"
SECRET = "The p= value of the DNS record that the command `postal default-dkim-record` prints, or the whole record."  # noqa: S105

MAX_AGE_S: Final = 24 * 3600
"""Postal tries for 36 minutes, but only once its worker has come to it: the time is when the event was queued."""

EVENT_TYPES: Final = {
    "MessageSent": EventType.DELIVERED,  # Postal's status "Sent": the recipient's server has accepted it
    "MessageDelayed": EventType.DEFERRED,
    "MessageDeliveryFailed": EventType.FAILED,
    "MessageBounced": EventType.FAILED,
    # Held messages wait for the operator, who may release them, so being held alone is a fact. Not so for a recipient
    # on the suppression list, which nobody releases: it would seem to be on its way for ever.
    "MessageHeld/suppressed": EventType.DROPPED,
}

_DKIM_KEY: Final = re.compile(r"(?:^|[;\s])p=([A-Za-z0-9+/=\s]+)")


class _Message(msgspec.Struct):
    message_id: str | None = None
    direction: str | None = None


class _Payload(msgspec.Struct):
    message: _Message | None = None
    original_message: _Message | None = None
    details: str | None = None
    output: str | None = None
    timestamp: float | None = None


class _Hook(msgspec.Struct):
    event: str
    uuid: str
    timestamp: float
    payload: msgspec.Raw = msgspec.Raw(b"{}")


_hook: Final = msgspec.json.Decoder(_Hook)
_payload: Final = msgspec.json.Decoder(_Payload)


async def read(request: HookRequest, secret: str, fetch: Fetch) -> list[Reported]:
    """What a Postal webhook says: one event, or nothing where it is of no message that was sent.

    See https://docs.postalserver.io/developer/webhooks. Raises `NotAuthentic` and `InvalidRequest`.
    """
    _verify(request, _key(secret))
    hook = payloads.decode(_hook, request.body)
    payloads.check_fresh(payloads.seconds(hook.timestamp), request.received_at, MAX_AGE_S)
    payload = payloads.decode(_payload, hook.payload, "$.payload")
    message = payload.message or payload.original_message
    if message is None or message.direction == "incoming":
        return []
    return [_reported(hook, payload, message)]


def check_secret(secret: str) -> None:
    """Raise `ValueError` unless ``secret`` is an RSA public key: a DKIM record, its p= value, or PEM."""
    _key(secret)


def _key(secret: str) -> rsa.RSAPublicKey:
    record = _DKIM_KEY.search(secret)
    key = payloads.public_key(record[1] if record else secret)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("is a public key, but not an RSA one as Postal's are")
    return key


def _verify(request: HookRequest, key: rsa.RSAPublicKey) -> None:
    # Versions before 3.2 send the SHA-1 header alone. Where both stand, the better one decides.
    algorithm: HashAlgorithm = SHA256()
    signature = request.headers.get("x-postal-signature-256")
    if signature is None:
        algorithm, signature = SHA1(), request.headers.get("x-postal-signature")  # noqa: S303
    try:
        key.verify(payloads.signature_bytes(signature), request.body, PKCS1v15(), algorithm)
    except InvalidSignature:
        raise NotAuthentic from None


def _reported(hook: _Hook, payload: _Payload, message: _Message) -> Reported:
    details = payload.details or ""
    natives = [hook.event]
    if "suppression list" in details and hook.event == "MessageHeld":
        natives.insert(0, "MessageHeld/suppressed")
    type_ = payloads.type_of(EVENT_TYPES, NAME, *natives)
    said = payloads.text(payload.output) or payloads.text(details)
    return Reported(
        event_id=payloads.event_id(hook.uuid),
        type=type_,
        occurred_at=payloads.seconds(payload.timestamp) or payloads.seconds(hook.timestamp),
        clues=payloads.clues(rfc822_ids=[message.message_id]),
        delivery=payloads.delivery(type_, said, payloads.reply_code(said)),
    )
