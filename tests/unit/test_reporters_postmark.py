from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from provider_samples import MESSAGE_ID, TRACKER_ID, any_json, changed, dumped, list_or_invalid, read, refused, request

from tracker.core.errors import InvalidRequest
from tracker.reporters import Clues, HookRequest, postmark

SECRET = "tracker:a long password: with a colon, and é"
OWN_ID = "883953f4-6105-42a2-a16a-77a8eac79483"
COMMON = {"MessageID": OWN_ID, "ServerID": 23, "MessageStream": "outbound", "Tag": "welcome-email", "Metadata": {}}

# From https://postmarkapp.com/developer/webhooks/ and its pages for each webhook
BOUNCE = {
    **COMMON,
    "RecordType": "Bounce",
    "ID": 4323372036854775807,
    "Type": "HardBounce",
    "TypeCode": 1,
    "Name": "Hard bounce",
    "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
    "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
    "Email": "john@example.com",
    "BouncedAt": "2019-11-05T16:33:54.9070259Z",
    "Inactive": True,
}
DELIVERY = {
    **COMMON,
    "RecordType": "Delivery",
    "Recipient": "john@example.com",
    "DeliveredAt": "2014-08-01T13:28:10.2735393-04:00",
    "Details": "Test delivery webhook details",
}
COMPLAINT = {**BOUNCE, "RecordType": "SpamComplaint", "ID": 42, "Type": "SpamComplaint", "Details": "Test complaint"}
CHANGE = {
    **COMMON,
    "RecordType": "SubscriptionChange",
    "ChangedAt": "2020-02-01T10:53:34.416071Z",
    "Recipient": "bounced-address@wildbit.com",
    "Origin": "Recipient",
    "SuppressSending": True,
    "SuppressionReason": "ManualSuppression",
}
OPEN = {**COMMON, "RecordType": "Open", "FirstOpen": True, "ReceivedAt": "2019-11-05T16:33:54Z", "ReadSeconds": 0}
CLICK = {**COMMON, "RecordType": "Click", "ReceivedAt": "2017-10-25T15:21:11.9065619Z", "OriginalLink": "https://x.y"}
SAMPLES = [BOUNCE, DELIVERY, COMPLAINT, CHANGE, OPEN, CLICK]


def sent(value: Any, secret: str = SECRET, scheme: str = "Basic") -> HookRequest:
    body = value if isinstance(value, bytes) else dumped(value)
    return request(body, {"authorization": f"{scheme} {base64.b64encode(secret.encode()).decode()}"})


def one(sample: dict[str, Any], **fields: Any) -> Any:
    (event,) = read(postmark, sent({**sample, **fields}), SECRET)
    return event


@pytest.mark.parametrize(
    ("sample", "type_", "event_id", "occurred_at"),
    [
        (BOUNCE, "failed", "Bounce/4323372036854775807", 1572971634_907025),
        (DELIVERY, "delivered", f"Delivery/{OWN_ID}/2014-08-01T13:28:10.2735393-04:00", 1406914090_273539),
        (COMPLAINT, "complained", "SpamComplaint/42", 1572971634_907025),
        (CHANGE, "unsubscribed", f"SubscriptionChange/{OWN_ID}/2020-02-01T10:53:34.416071Z", 1580554414_416071),
        (OPEN, "postmark.open", f"Open/{OWN_ID}/2019-11-05T16:33:54Z", 1572971634_000000),
        (CLICK, "postmark.click", f"Click/{OWN_ID}/2017-10-25T15:21:11.9065619Z", 1508944871_906561),
    ],
)
def test_the_documented_events(sample: dict[str, Any], type_: str, event_id: str, occurred_at: int) -> None:
    event = one(sample)
    assert (event.type, event.event_id, event.occurred_at) == (type_, event_id, occurred_at)
    assert event.clues == Clues(rfc822_ids=(f"<{OWN_ID}@mtasv.net>",))


@pytest.mark.parametrize(
    ("native", "details", "type_", "code"),
    [
        ("HardBounce", BOUNCE["Details"], "failed", "550 5.1.1"),
        ("HardBounce", "", "failed", "5.1.1"),  # Postmark's own words: unknown user, mailbox not found
        ("HardBounce", "smtp;550 5.7.1 denied", "failed", "550 5.7.1"),
        ("BadEmailAddress", "", "failed", "5.1.3"),
        ("Blocked", "smtp;554 5.7.1 listed", "failed", "554 5.7.1"),
        ("Blocked", "", "failed", None),
        ("DMARCPolicy", "", "failed", None),
        ("SpamNotification", "smtp;550 spam", "failed", "550"),
        ("SoftBounce", "smtp;452 4.2.2 over quota", "deferred", "452 4.2.2"),
        ("Transient", "", "deferred", None),
        ("DnsError", "", "deferred", None),
        ("Unknown", "", "deferred", None),
        ("ManuallyDeactivated", "", "dropped", None),
        ("SMTPApiError", "smtp;550 5.1.1 x", "dropped", None),
    ],
)
def test_the_types_of_bounces(native: str, details: str, type_: str, code: str | None) -> None:
    event = one(BOUNCE, Type=native, Details=details)
    assert event.type == type_
    assert event.delivery.status_code == code


@pytest.mark.parametrize(
    ("native", "type_"),
    [
        ("AutoResponder", "postmark.bounce_autoresponder"),
        ("AddressChange", "postmark.bounce_addresschange"),
        ("Subscribe", "postmark.bounce_subscribe"),
        ("Unsubscribe", "unsubscribed"),
        (None, "postmark.bounce"),
    ],
)
def test_what_is_no_bounce_has_no_code(native: str | None, type_: str) -> None:
    event = one(BOUNCE, Type=native)
    assert (event.type, event.delivery) == (type_, None)


@pytest.mark.parametrize(
    ("suppressed", "reason", "type_"),
    [
        (True, "HardBounce", "postmark.subscriptionchange_hardbounce"),
        (True, "SpamComplaint", "postmark.subscriptionchange_spamcomplaint"),
        (False, None, "postmark.subscriptionchange_reactivated"),
        (False, "ManualSuppression", "postmark.subscriptionchange_reactivated"),
    ],
)
def test_other_changes_of_a_subscription_are_facts(suppressed: bool, reason: str | None, type_: str) -> None:
    assert one(CHANGE, SuppressSending=suppressed, SuppressionReason=reason).type == type_


def test_metadata_is_clues() -> None:
    event = one(DELIVERY, Metadata={"tracker_id": TRACKER_ID, "message_id": MESSAGE_ID})
    assert event.clues[:2] == ((TRACKER_ID,), (MESSAGE_ID,))
    assert one(DELIVERY, Metadata=None, MessageID=None).clues == Clues()


def test_the_password() -> None:
    assert read(postmark, sent(DELIVERY, scheme="basic"), SECRET)
    for bad in ("", "tracker", SECRET + "x", SECRET[:-1], "other" + SECRET[7:]):
        refused(postmark, sent(DELIVERY, bad), SECRET)
    refused(postmark, sent(DELIVERY, scheme="Bearer"), SECRET)
    refused(postmark, request(dumped(DELIVERY)), SECRET)
    for value in ("Basic", "Basic é", "Basic x", "Basic ===="):
        refused(postmark, request(dumped(DELIVERY), {"authorization": value}), SECRET)


def test_the_password_comes_before_the_body() -> None:
    refused(postmark, sent(b"not json", "other:password"), SECRET)


@pytest.mark.parametrize(
    ("value", "path"),
    [(b"", "$"), ([], "$"), ({}, "$"), ({"RecordType": 5}, "$.RecordType"), ({**BOUNCE, "ID": []}, "$.ID")],
)
def test_what_cannot_be_read(value: Any, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(postmark, sent(value), SECRET)
    assert caught.value.errors[0][0] == path


def test_check_secret() -> None:
    postmark.check_secret(SECRET)
    for bad in (
        "",
        "no colon but long enough",
        ":a-password-without-a-user",
        "user:short",
        "user:with\na newline in it",
    ):
        with pytest.raises(ValueError, match=r"password|USER:PASSWORD"):
            postmark.check_secret(bad)


@given(any_json() | changed(SAMPLES))
def test_whatever_comes_with_the_password_is_read_or_invalid(value: Any) -> None:
    list_or_invalid(postmark, sent(value), SECRET)
