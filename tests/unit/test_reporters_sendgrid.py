from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from provider_samples import (
    HOUR_S,
    MESSAGE_ID,
    NOW_S,
    TRACKER_ID,
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
from tracker.reporters import Clues, HookRequest, sendgrid

SECRET = shown(ec_key())
SMTP_ID = "<14c5d75ce93.dfd.64b469@ismtpd-555>"

# From https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
COMMON = {
    "email": "example@test.com",
    "timestamp": 1513299569,
    "smtp-id": SMTP_ID,
    "category": "cat facts",
    "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
}
SAMPLES: list[dict[str, Any]] = [
    {**COMMON, "event": "processed", "sg_event_id": "1"},
    {**COMMON, "event": "deferred", "sg_event_id": "2", "response": "400 try again later", "attempt": "5"},
    {**COMMON, "event": "delivered", "sg_event_id": "3", "response": "250 OK"},
    {**COMMON, "event": "open", "sg_event_id": "4", "useragent": "Mozilla/4.0", "ip": "255.255.255.255"},
    {**COMMON, "event": "click", "sg_event_id": "5", "url": "http://www.sendgrid.com/"},
    {**COMMON, "event": "bounce", "sg_event_id": "6", "reason": "500 unknown recipient", "status": "5.0.0"},
    {**COMMON, "event": "dropped", "sg_event_id": "7", "reason": "Bounced Address", "status": "5.0.0"},
    {**COMMON, "event": "spamreport", "sg_event_id": "8"},
    {**COMMON, "event": "unsubscribe", "sg_event_id": "9"},
    {**COMMON, "event": "group_unsubscribe", "sg_event_id": "10", "asm_group_id": 10},
    {**COMMON, "event": "group_resubscribe", "sg_event_id": "11", "asm_group_id": 10},
]


def signed(body: bytes, at_s: int = NOW_S, key: ec.EllipticCurvePrivateKey | None = None) -> HookRequest:
    timestamp = str(at_s)
    signature = (key or ec_key()).sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    headers = {
        "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": timestamp,
    }
    return request(body, headers)


def one(**fields: Any) -> Any:
    (event,) = read(sendgrid, signed(dumped([{**COMMON, "sg_event_id": "x", **fields}])), SECRET)
    return event


def test_the_documented_events() -> None:
    events = read(sendgrid, signed(dumped(SAMPLES)), SECRET)
    assert [(event.event_id, event.type) for event in events] == [
        ("1", "sent"),
        ("2", "deferred"),
        ("3", "delivered"),
        ("4", "sendgrid.open"),
        ("5", "sendgrid.click"),
        ("6", "failed"),
        ("7", "dropped"),
        ("8", "complained"),
        ("9", "unsubscribed"),
        ("10", "unsubscribed"),
        ("11", "sendgrid.group_resubscribe"),
    ]
    assert {event.occurred_at for event in events} == {1513299569_000_000}
    assert {event.clues for event in events} == {Clues(rfc822_ids=(SMTP_ID,))}
    assert [event.delivery for event in events if event.delivery] == [
        Delivery("400", "400 try again later"),
        Delivery("500 5.0.0", "500 unknown recipient"),
        Delivery(None, "Bounced Address"),
    ]


def test_a_blocked_message_failed_and_says_nothing_of_the_address() -> None:
    event = one(event="bounce", type="blocked", reason="550 5.7.1 blocked by policy", status="5.7.1")
    assert (event.type, event.delivery) == ("failed", Delivery("550 5.7.1", "550 5.7.1 blocked by policy"))


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("550 5.1.1 The email account that you tried to reach does not exist", "5.1.1", "550 5.1.1"),
        ("550-5.1.1 does not exist", "5.0.0", "550 5.1.1"),
        ("550 Invalid recipient <a@example.com> (#5.1.1)", "550", "550 5.1.1"),
        ("550 #5.1.0 Address rejected", "", "550 5.1.0"),
        ("no such user", "5.1.1", "5.1.1"),
        ("unable to get mx info", None, None),
    ],
)
def test_the_code_of_a_bounce(reason: str, status: str | None, code: str | None) -> None:
    assert one(event="bounce", type="bounce", reason=reason, status=status).delivery == Delivery(code, reason)


def test_custom_arguments_are_clues() -> None:
    event = one(event="delivered", tracker_id=TRACKER_ID, message_id=MESSAGE_ID, reason={"not": "text"}, type=5)
    assert event.clues == Clues((TRACKER_ID,), (MESSAGE_ID,), (SMTP_ID,))


def test_an_event_without_an_id_has_the_same_one_each_time() -> None:
    event = {"event": "delivered", "email": "a@example.com"}
    first, again = (read(sendgrid, signed(dumped([event]), at_s), SECRET)[0] for at_s in (NOW_S, NOW_S - 60))
    assert first == again
    assert first.event_id


def test_an_empty_batch_is_nothing() -> None:
    assert read(sendgrid, signed(b"[]"), SECRET) == []


def test_the_signature() -> None:
    body = dumped(SAMPLES)
    good = signed(body)
    refused(sendgrid, good._replace(body=body + b"\n"), SECRET)
    refused(sendgrid, signed(body, key=ec_key(1)), SECRET)
    refused(sendgrid, request(body), SECRET)
    for name in good.headers:
        for value in ("", "x", "é", "9" * 10, "AAAA"):
            refused(sendgrid, good._replace(headers={**good.headers, name: value}), SECRET)
        refused(sendgrid, good._replace(headers={k: v for k, v in good.headers.items() if k != name}), SECRET)


def test_the_age() -> None:
    body = dumped(SAMPLES)
    assert read(sendgrid, signed(body, NOW_S - 24 * HOUR_S), SECRET)
    refused(sendgrid, signed(body, NOW_S - 26 * HOUR_S), SECRET)
    refused(sendgrid, signed(body, NOW_S + HOUR_S), SECRET)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"{", "$"),
        (b'["\xff"]', "$[0]"),
        (b"[" * 100_000, "$[0]"),
        (b'[{"event": ' + b"[" * 100_000, "$"),
        (b"{}", "$"),
        (b"[1]", "$[0]"),
        (b"[{}]", "$[0].event"),
        (b'[{"event": "open"}, {"event": 5}]', "$[1].event"),
        (b"[" + b",".join([b"{}"] * 10_001) + b"]", "$"),
    ],
)
def test_what_cannot_be_read(body: bytes, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(sendgrid, signed(body), SECRET)
    assert caught.value.errors[0][0] == path


def test_check_secret() -> None:
    sendgrid.check_secret(SECRET)
    sendgrid.check_secret(pem(ec_key()))
    for bad in ("", "secret", "é", SECRET[:-8], shown(rsa_key()), "-----BEGIN PUBLIC KEY-----"):
        with pytest.raises(ValueError, match="public key"):
            sendgrid.check_secret(bad)


@given(any_json() | changed([SAMPLES]))
def test_whatever_is_signed_is_read_or_invalid(value: Any) -> None:
    list_or_invalid(sendgrid, signed(dumped(value)), SECRET)
