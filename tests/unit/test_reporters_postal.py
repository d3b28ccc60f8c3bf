from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from hypothesis import given
from provider_samples import (
    HOUR_S,
    NOW_S,
    any_json,
    changed,
    dumped,
    ec_key,
    list_or_invalid,
    pem,
    read,
    refused,
    request,
    rsa_key,
    shown,
)

from tracker.core.errors import InvalidRequest
from tracker.core.model import Delivery
from tracker.reporters import Clues, HookRequest, postal

SECRET = shown(rsa_key())
UUID = "58e8d7ee-2cd5-4db2-9af3-3f436105795a"
BOTH = ("x-postal-signature", "x-postal-signature-256")

# From https://docs.postalserver.io/developer/webhooks and Postal's lib/postal/message_db/delivery.rb
MESSAGE = {
    "id": 12345,
    "token": "abcdef123",
    "direction": "outgoing",
    "message_id": "5817a64332f44_4ec93ff59e79d154565eb@app34.mail",
    "to": "test@example.com",
    "from": "sales@awesomeapp.com",
    "subject": "Welcome to AwesomeApp",
    "timestamp": 1477945177.12994,
    "spam_status": "NotSpam",
    "tag": None,
}


def delivery_of(event: str, status: str, details: str, output: str) -> dict[str, Any]:
    payload = {
        "message": MESSAGE,
        "status": status,
        "details": details,
        "output": output,
        "sent_with_ssl": True,
        "timestamp": 1477945177.5,
        "time": 0.89,
    }
    return {"event": event, "timestamp": NOW_S - 1.5, "payload": payload, "uuid": UUID}


SENT = delivery_of("MessageSent", "Sent", "Message sent by SMTP to aspmx.l.google.com", "250 2.0.0 OK\n")
DELAYED = delivery_of("MessageDelayed", "SoftFail", "Temporary SMTP delivery error", "452 4.2.2 over quota\n")
FAILED = delivery_of("MessageDeliveryFailed", "HardFail", "Permanent SMTP delivery error", "550 5.1.1 unknown user\n")
HELD = delivery_of("MessageHeld", "Held", "Credential is configured to hold all messages authenticated by it.", "")
SUPPRESSED = delivery_of("MessageHeld", "Held", "Recipient (a@b.c) is on the suppression list (reason: x)", "")
BOUNCED = {
    "event": "MessageBounced",
    "timestamp": NOW_S - 1.5,
    "payload": {"original_message": MESSAGE, "bounce": {**MESSAGE, "direction": "incoming", "message_id": "other@x"}},
    "uuid": UUID,
}
CLICKED = {
    "event": "MessageLinkClicked",
    "timestamp": NOW_S,
    "payload": {"url": "https://atech.media", "token": "VJzsFA0S", "ip_address": "185.22.208.2", "message": MESSAGE},
    "uuid": UUID,
}
DNS = {
    "event": "DomainDNSError",
    "timestamp": NOW_S,
    "payload": {"domain": "example.com", "dns_checked_at": 1477945711.5, "server": {"name": "Example"}},
    "uuid": UUID,
}
SAMPLES = [SENT, DELAYED, FAILED, HELD, SUPPRESSED, BOUNCED, CLICKED, DNS]


def signed(value: Any, which: int = 0, names: tuple[str, ...] = BOTH) -> HookRequest:
    body = value if isinstance(value, bytes) else dumped(value)
    hashes = {"x-postal-signature": SHA1(), "x-postal-signature-256": SHA256()}
    headers = {name: base64.b64encode(rsa_key(which).sign(body, PKCS1v15(), hashes[name])).decode() for name in names}
    return request(body, headers)


@pytest.mark.parametrize(
    ("sample", "type_", "delivery"),
    [
        (SENT, "delivered", None),
        (DELAYED, "deferred", Delivery("452 4.2.2", "452 4.2.2 over quota")),
        (FAILED, "failed", Delivery("550 5.1.1", "550 5.1.1 unknown user")),
        (HELD, "postal.messageheld", None),
        (SUPPRESSED, "dropped", Delivery(None, "Recipient (a@b.c) is on the suppression list (reason: x)")),
        (BOUNCED, "failed", None),
        (CLICKED, "postal.messagelinkclicked", None),
        ({**CLICKED, "event": "MessageLoaded"}, "postal.messageloaded", None),
    ],
)
def test_the_documented_events(sample: dict[str, Any], type_: str, delivery: Delivery | None) -> None:
    (event,) = read(postal, signed(sample), SECRET)
    assert (event.event_id, event.type, event.delivery) == (UUID, type_, delivery)
    assert event.clues == Clues(rfc822_ids=("<5817a64332f44_4ec93ff59e79d154565eb@app34.mail>",))
    own_time = 1477945177_500000 if "status" in sample["payload"] else round(sample["timestamp"] * 1_000_000)
    assert event.occurred_at == own_time


def test_what_is_of_no_message_that_was_sent_is_nothing() -> None:
    incoming = {**SENT, "payload": {**SENT["payload"], "message": {**MESSAGE, "direction": "incoming"}}}
    for sample in (DNS, incoming, {**DNS, "event": "SendLimitExceeded"}, {**DNS, "payload": {}}):
        assert read(postal, signed(sample), SECRET) == []


def test_the_signature() -> None:
    good = signed(SENT)
    assert read(postal, signed(SENT, names=BOTH[:1]), SECRET)
    refused(postal, good._replace(body=good.body + b" "), SECRET)
    refused(postal, signed(SENT, which=1), SECRET)
    refused(postal, request(good.body), SECRET)
    for bad in ("", "x", "é", good.headers["x-postal-signature"]):
        refused(postal, good._replace(headers={**good.headers, "x-postal-signature-256": bad}), SECRET)


def test_the_age() -> None:
    assert read(postal, signed({**SENT, "timestamp": NOW_S - HOUR_S}), SECRET)
    for at_s in (NOW_S - 25 * HOUR_S, NOW_S + HOUR_S, 0, -1):
        refused(postal, signed({**SENT, "timestamp": at_s}), SECRET)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (b"", "$"),
        ([], "$"),
        ({}, "$"),
        ({**SENT, "uuid": 5}, "$.uuid"),
        ({**SENT, "payload": None}, "$.payload"),
        ({**SENT, "payload": {"message": {"message_id": 5}}}, "$.payload.message.message_id"),
    ],
)
def test_what_cannot_be_read(value: Any, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(postal, signed(value), SECRET)
    assert caught.value.errors[0][0] == path


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        pem(rsa_key()),
        f"p={SECRET}",
        f"v=DKIM1; t=s; h=sha256; p={SECRET};",
        f"  {SECRET[:64]}\n{SECRET[64:]}\n",
    ],
)
def test_the_key_in_each_form(secret: str) -> None:
    postal.check_secret(secret)
    assert read(postal, signed(SENT), secret)


def test_check_secret() -> None:
    for bad in ("", "secret", "v=DKIM1; p=;", SECRET[:-8], shown(ec_key())):
        with pytest.raises(ValueError, match="public key"):
            postal.check_secret(bad)


@given(any_json() | changed(SAMPLES))
def test_whatever_is_signed_is_read_or_invalid(value: Any) -> None:
    if isinstance(value, dict) and "timestamp" in value:
        value = {**value, "timestamp": NOW_S}
    list_or_invalid(postal, signed(value), SECRET)
