from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from provider_samples import (
    HOUR_S,
    MESSAGE_ID,
    NOW_S,
    TRACKER_ID,
    any_json,
    changed,
    dumped,
    list_or_invalid,
    read,
    refused,
    request,
)

from tracker.core.errors import InvalidRequest
from tracker.core.model import Delivery
from tracker.reporters import Clues, HookRequest, mailgun

SECRET = "a-signing-key-of-mailgun-1234567890"
TOKEN = "651869375b9df3c98fc15c4889b102119add1235c38fc92824"

# From https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
COMMON: dict[str, Any] = {
    "id": "hTWCTD81RtiDN-2oBmRCQA",
    "timestamp": 1521472262.908181,
    "log-level": "info",
    "recipient": "alice@example.com",
    "message": {
        "headers": {"message-id": "20130503182626.18666.16540@example.com", "to": "Alice <alice@example.com>"},
        "size": 111,
    },
    "user-variables": {"my_var_1": "Mailgun Variable #1", "my-var-2": "awesome"},
    "tags": ["my_tag_1"],
}
PERMANENT: dict[str, Any] = {
    "event": "failed",
    "severity": "permanent",
    "reason": "bounce",
    "delivery-status": {
        "attempt-no": 1,
        "code": 550,
        "enhanced-code": "5.1.1",
        "message": "The email account that you tried to reach does not exist",
        "description": "",
    },
}
SUPPRESSED: dict[str, Any] = {
    "event": "failed",
    "severity": "permanent",
    "reason": "suppress-bounce",
    "delivery-status": {
        "code": 605,
        "message": "",
        "description": "Not delivering to previously bounced address",
    },
}
TEMPORARY: dict[str, Any] = {
    "event": "failed",
    "severity": "temporary",
    "reason": "generic",
    "delivery-status": {"code": 452, "message": "4.2.2 The email account is over quota", "retry-seconds": 600},
}
REJECTED: dict[str, Any] = {
    "event": "rejected",
    "reject": {"reason": "Sandbox subdomains are for test purposes only", "description": ""},
}
SAMPLES: list[dict[str, Any]] = [
    {"event": "accepted"},
    {"event": "delivered", "delivery-status": {"code": 250, "message": "OK", "tls": True}},
    PERMANENT,
    SUPPRESSED,
    TEMPORARY,
    REJECTED,
    {"event": "complained"},
    {"event": "unsubscribed"},
    {"event": "opened", "client-info": {"user-agent": "Mozilla"}},
    {"event": "clicked", "url": "http://mailgun.net"},
]


def hook(event: Any, at_s: int = NOW_S, token: str = TOKEN, secret: str = SECRET) -> dict[str, Any]:
    signature = hmac.new(secret.encode(), f"{at_s}{token}".encode(), hashlib.sha256).hexdigest()
    return {"signature": {"timestamp": str(at_s), "token": token, "signature": signature}, "event-data": event}


def signed(event: Any, at_s: int = NOW_S, secret: str = SECRET) -> HookRequest:
    return request(dumped(hook(event, at_s, secret=secret)))


def one(**fields: Any) -> Any:
    (event,) = read(mailgun, signed({**COMMON, **fields}), SECRET)
    return event


@pytest.mark.parametrize(
    ("sample", "type_", "delivery"),
    [
        (SAMPLES[0], "sent", None),
        (SAMPLES[1], "delivered", None),
        (PERMANENT, "failed", Delivery("550 5.1.1", "The email account that you tried to reach does not exist")),
        (SUPPRESSED, "dropped", Delivery(None, "Not delivering to previously bounced address")),
        (TEMPORARY, "deferred", Delivery("452 4.2.2", "4.2.2 The email account is over quota")),
        (REJECTED, "dropped", Delivery(None, "Sandbox subdomains are for test purposes only")),
        (SAMPLES[6], "complained", None),
        (SAMPLES[7], "unsubscribed", None),
        (SAMPLES[8], "mailgun.opened", None),
        (SAMPLES[9], "mailgun.clicked", None),
    ],
)
def test_the_documented_events(sample: dict[str, Any], type_: str, delivery: Delivery | None) -> None:
    event = one(**sample)
    assert (event.type, event.delivery) == (type_, delivery)
    assert event.occurred_at == 1521472262_908181
    assert event.clues == Clues(rfc822_ids=("<20130503182626.18666.16540@example.com>",))
    assert event.event_id == "17609/hTWCTD81RtiDN-2oBmRCQA"


def test_the_same_id_on_another_day_is_another_event() -> None:
    assert one(event="opened").event_id != one(event="opened", timestamp=1521472262 + 86_400).event_id


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        # Mailgun's own verdict that the recipient does not exist, with a server that gave no enhanced code
        ("bounce", {"code": 550, "message": "No such user"}, "550 5.1.1"),
        ("bounce", {"code": 550, "message": "5.7.1 denied"}, "550 5.7.1"),
        ("bounce", {"code": 552, "message": "full"}, "552"),
        ("generic", {"code": 550, "message": "smtp; 550 Address unknown", "bounce-code": "5.0.0"}, "550 5.0.0"),
        ("espblock", {"code": 550, "message": "blocked"}, "550"),
        ("generic", {"code": "554", "message": "554 5.7.9 DMARC"}, "554 5.7.9"),
        ("bounce", None, None),
    ],
)
def test_the_code_of_a_failure(reason: str, status: dict[str, Any] | None, code: str | None) -> None:
    event = one(**{"event": "failed", "severity": "permanent", "reason": reason, "delivery-status": status})
    assert event.type == "failed"
    assert event.delivery.status_code == code


@pytest.mark.parametrize("severity", ["temporary", "permanent"])
def test_the_last_attempt_failed(severity: str) -> None:
    assert one(event="failed", severity=severity, reason="old").type == "failed"


def test_user_variables_are_clues() -> None:
    event = one(**{"event": "delivered", "user-variables": {"tracker_id": TRACKER_ID, "message_id": MESSAGE_ID}})
    assert event.clues[:2] == ((TRACKER_ID,), (MESSAGE_ID,))
    assert one(**{"event": "delivered", "user-variables": []}).clues[:2] == ((), ())


def test_the_signature() -> None:
    refused(mailgun, signed(COMMON, secret="another-key-of-mailgun-1234567890"), SECRET)
    refused(mailgun, request(dumped({"event-data": COMMON})), SECRET)
    good = hook({**COMMON, "event": "opened"})
    assert read(mailgun, request(dumped(good)), SECRET)
    others = {"timestamp": str(NOW_S + 1), "token": TOKEN[:-1], "signature": good["signature"]["signature"].upper()}
    for name, value in others.items():
        for bad in (value, "", "é"):
            refused(mailgun, request(dumped({**good, "signature": {**good["signature"], name: bad}})), SECRET)


def test_digits_cannot_move_between_the_time_and_the_token() -> None:
    good = hook({"event": "opened"}, token="1234")
    moved = {**good["signature"], "timestamp": f"{NOW_S}1", "token": "234"}
    refused(mailgun, request(dumped({**good, "signature": moved})), SECRET)


def test_the_age() -> None:
    assert read(mailgun, signed({"event": "opened"}, NOW_S - 8 * HOUR_S), SECRET)
    refused(mailgun, signed({"event": "opened"}, NOW_S - 10 * HOUR_S), SECRET)
    refused(mailgun, signed({"event": "opened"}, NOW_S + HOUR_S), SECRET)


@pytest.mark.parametrize(
    ("event", "path"),
    [({}, "$.event-data"), (None, "$.event-data"), ({"event": 5}, "$.event-data.event")],
)
def test_what_cannot_be_read(event: Any, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(mailgun, signed(event), SECRET)
    assert caught.value.errors[0][0] == path


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"signature": 1}', b"[" * 100_000])
def test_what_is_no_hook(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(mailgun, request(body), SECRET)


def test_check_secret() -> None:
    mailgun.check_secret(SECRET)
    for bad in ("", "short", "with spaces in between", "é" * 20):
        with pytest.raises(ValueError, match="signing key"):
            mailgun.check_secret(bad)


@given(any_json() | changed([{**COMMON, **sample} for sample in SAMPLES]))
def test_whatever_is_signed_is_read_or_invalid(value: Any) -> None:
    list_or_invalid(mailgun, signed(value), SECRET)
