from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from hypothesis import given
from provider_samples import (
    HOUR_S,
    MESSAGE_ID,
    NOW_S,
    TRACKER_ID,
    Fetching,
    any_json,
    certificate,
    changed,
    dumped,
    ec_key,
    iso,
    list_or_invalid,
    read,
    refused,
    request,
    rsa_key,
)

from tracker.core.errors import InvalidRequest, NotAuthentic
from tracker.core.model import Delivery
from tracker.reporters import Clues, HookRequest, ses

TOPIC = "arn:aws:sns:us-east-1:123456789012:ses-events"
OTHER_TOPIC = "arn:aws:sns:eu-west-1:123456789012:more-events.fifo"
SECRET = f"{TOPIC}, {OTHER_TOPIC}"
SNS_ID = "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"
HOST = "https://sns.us-east-1.amazonaws.com"
SUBSCRIBE = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37fb687f5d51e6e2425dacbbab"
NAMES = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}

# From https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html and event-publishing-retrieving-sns-examples
MAIL = {
    "timestamp": "2016-01-27T14:59:38.237Z",
    "messageId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa0680-000000",
    "destination": ["jane@example.com"],
    "headersTruncated": False,
    "headers": [
        {"name": "From", "value": '"John Doe" <john@example.com>'},
        {"name": "Message-ID", "value": "custom-message-ID"},
        {"name": "X-Tracker-Id", "value": TRACKER_ID},
    ],
    "commonHeaders": {"messageId": "custom-message-ID", "subject": "Hello"},
    "tags": {"ses:from-domain": ["example.com"], "message_id": [MESSAGE_ID]},
}
CLUES = Clues((TRACKER_ID,), (MESSAGE_ID,), ("<custom-message-ID>",))
BOUNCED_S = "2016-01-27T14:59:44.101Z"
BOUNCED = 1453906784_101000
JANE = {
    "emailAddress": "jane@example.com",
    "status": "5.1.1",
    "action": "failed",
    "diagnosticCode": "smtp; 550 5.1.1 <jane@example.com>... User unknown",
}


def bounce(type_: str = "Permanent", sub: str = "General", *recipients: dict[str, Any]) -> dict[str, Any]:
    detail = {
        "bounceType": type_,
        "bounceSubType": sub,
        "bouncedRecipients": list(recipients),
        "timestamp": BOUNCED_S,
        "feedbackId": "00000138111222aa-44455566-cccc-cccc-cccc-ddddaaaa068a-000000",
    }
    return {"notificationType": "Bounce", "bounce": detail, "mail": MAIL}


def complaint(**fields: Any) -> dict[str, Any]:
    detail = {"complainedRecipients": [{"emailAddress": "a@example.com"}], "timestamp": BOUNCED_S, **fields}
    return {"eventType": "Complaint", "complaint": detail, "mail": MAIL}


DELIVERY = {
    "notificationType": "Delivery",
    "mail": MAIL,
    "delivery": {
        "timestamp": BOUNCED_S,
        "recipients": ["jane@example.com"],
        "smtpResponse": "250 ok:  Message 64111812 accepted",
        "reportingMTA": "a8-70.smtp-out.amazonses.com",
    },
}
DELAY = {
    "eventType": "DeliveryDelay",
    "mail": MAIL,
    "deliveryDelay": {
        "timestamp": BOUNCED_S,
        "delayType": "TransientCommunicationFailure",
        "expirationTime": "2020-06-16T00:25:40.914Z",
        "delayedRecipients": [
            {"emailAddress": "jane@example.com", "status": "4.4.1", "diagnosticCode": "smtp; 421 4.4.1 No response"}
        ],
    },
}
PREFERENCES = {"unsubscribeAll": True, "topicSubscriptionStatus": [{"topicName": "t", "subscriptionStatus": "OptOut"}]}
SUBSCRIPTION = {
    "eventType": "Subscription",
    "mail": MAIL,
    "subscription": {
        "contactList": "ContactListName",
        "timestamp": BOUNCED_S,
        "source": "UnsubscribeHeader",
        "newTopicPreferences": PREFERENCES,
        "oldTopicPreferences": {**PREFERENCES, "unsubscribeAll": False},
    },
}
LEFT_ONE_TOPIC = {
    **SUBSCRIPTION,
    "subscription": {"timestamp": BOUNCED_S, "newTopicPreferences": {**PREFERENCES, "unsubscribeAll": False}},
}
SEND = {"eventType": "Send", "mail": MAIL, "send": {}}
REJECT = {"eventType": "Reject", "mail": MAIL, "reject": {"reason": "Bad content"}}
UNRENDERED = {
    "eventType": "Rendering Failure",
    "mail": MAIL,
    "failure": {"templateName": "MyTemplate", "errorMessage": "Attribute 'attributeName' is not present"},
}
OPEN = {"eventType": "Open", "mail": MAIL, "open": {"ipAddress": "192.0.2.1", "timestamp": BOUNCED_S}}
CLICK = {"eventType": "Click", "mail": MAIL, "click": {"link": "http://docs.aws.amazon.com/", "timestamp": BOUNCED_S}}
SAMPLES = [
    *(bounce("Permanent", "General", JANE, JANE), complaint(complaintFeedbackType="abuse"), DELIVERY, DELAY),
    *(SUBSCRIPTION, SEND, REJECT, UNRENDERED, OPEN, CLICK),
]

_numbers = itertools.count(1)


def certificate_url() -> str:
    """One that nothing has been fetched from."""
    return f"{HOST}/SimpleNotificationService-{next(_numbers):032x}.pem"


def sns(message: Any, type_: str = "Notification", **fields: Any) -> dict[str, Any]:
    built = {
        "Type": type_,
        "MessageId": SNS_ID,
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": message if isinstance(message, str) else json.dumps(message) + "\n",
        "Timestamp": iso(NOW_S - 5),
        "SignatureVersion": "1",
        "SigningCertURL": certificate_url(),
        "UnsubscribeURL": f"{HOST}/?Action=Unsubscribe",
    }
    if type_ != "Notification":
        built |= {"Token": "2336412f37fb687f5d51e6e2425dacbbab", "SubscribeURL": SUBSCRIBE}
        del built["Subject"]
    return {**built, **fields}


def signed(message: dict[str, Any], key: rsa.RSAPrivateKey | None = None) -> HookRequest:
    names = [name for name in NAMES[message["Type"]] if message.get(name) is not None]
    text = "".join(f"{name}\n{message[name]}\n" for name in names)
    algorithm = SHA256() if message["SignatureVersion"] == "2" else SHA1()
    signature = (key or rsa_key()).sign(text.encode(), PKCS1v15(), algorithm)
    return request(dumped({**message, "Signature": base64.b64encode(signature).decode()}))


def serving(message: dict[str, Any], pem: bytes | None = None) -> Fetching:
    return Fetching({message["SigningCertURL"]: pem or certificate(rsa_key()), SUBSCRIBE: b"<xml/>"})


def events_of(event: Any) -> list[Any]:
    message = sns(event)
    return list(read(ses, signed(message), SECRET, serving(message)))


@pytest.mark.parametrize(
    ("sample", "type_", "delivery"),
    [
        (SEND, "sent", None),
        (DELIVERY, "delivered", None),
        (DELAY, "deferred", Delivery("421 4.4.1", "smtp; 421 4.4.1 No response")),
        (
            bounce("Permanent", "General", JANE),
            "failed",
            Delivery("550 5.1.1", "smtp; 550 5.1.1 <jane@example.com>... User unknown"),
        ),
        (complaint(), "complained", None),
        (complaint(complaintFeedbackType="abuse"), "complained", None),
        (complaint(complaintFeedbackType="not-spam"), "ses.complaint_not_spam", None),
        (complaint(complaintFeedbackType="auth-failure"), "ses.complaint_auth_failure", None),
        (complaint(complaintSubType="OnAccountSuppressionList"), "dropped", None),
        (REJECT, "dropped", Delivery(None, "Bad content")),
        (UNRENDERED, "dropped", Delivery(None, "Attribute 'attributeName' is not present")),
        (SUBSCRIPTION, "unsubscribed", None),
        (LEFT_ONE_TOPIC, "ses.subscription", None),
        (OPEN, "ses.open", None),
        (CLICK, "ses.click", None),
        ({"eventType": "Brand New!", "mail": MAIL}, "ses.brand_new", None),
    ],
)
def test_the_documented_events(sample: dict[str, Any], type_: str, delivery: Delivery | None) -> None:
    (event,) = events_of(sample)
    assert (event.event_id, event.type, event.delivery, event.clues) == (f"{SNS_ID}/0", type_, delivery, CLUES)
    has_own_time = any(isinstance(value, dict) and value.get("timestamp") == BOUNCED_S for value in sample.values())
    assert event.occurred_at == (BOUNCED if has_own_time else 1453906778_237000)


@pytest.mark.parametrize(
    ("type_", "sub", "recipient", "expected", "code"),
    [
        ("Permanent", "NoEmail", {}, "failed", "5.1.1"),  # "the email address doesn't exist"
        (
            "Permanent",
            "NoEmail",
            {"diagnosticCode": "smtp; 550 no such user", "status": "5.0.0"},
            "failed",
            "550 5.1.1",
        ),
        ("Permanent", "NoEmail", {"status": "5.4.4"}, "failed", "5.4.4"),
        ("Permanent", "General", {}, "failed", None),
        ("Permanent", "General", {"diagnosticCode": "smtp; 550 5.7.1 no", "status": "5.1.1"}, "failed", "550 5.7.1"),
        ("Permanent", "Suppressed", JANE, "dropped", None),
        ("Permanent", "OnAccountSuppressionList", JANE, "dropped", None),
        ("Transient", "MailboxFull", {"status": "4.2.2"}, "deferred", "4.2.2"),
        ("Transient", "General", {}, "deferred", None),
        ("Undetermined", "Undetermined", {}, "deferred", None),
        ("Brand", "New", {}, "ses.bounce", None),
    ],
)
def test_the_kinds_of_bounces(type_: str, sub: str, recipient: dict[str, Any], expected: str, code: str | None) -> None:
    (event,) = events_of(bounce(type_, sub, recipient))
    assert event.type == expected
    assert (event.delivery.status_code if event.delivery else None) == code


def test_an_event_for_each_recipient() -> None:
    assert [event.event_id for event in events_of(bounce("Permanent", "General", JANE, JANE))] == [
        f"{SNS_ID}/0",
        f"{SNS_ID}/1",
    ]
    assert len(events_of(bounce())) == 1


def test_clues_where_there_is_little() -> None:
    (event,) = events_of({"eventType": "Send", "mail": {"tags": {"tracker_id": [TRACKER_ID]}}})
    assert event.clues == Clues((TRACKER_ID,))
    assert event.occurred_at == (NOW_S - 5) * 1_000_000


def test_what_is_of_no_mail_is_nothing() -> None:
    assert events_of("Successfully validated SNS topic for Amazon SES event publishing.") == []
    assert events_of({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have"}) == []


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["Amazon SES", None])
@pytest.mark.parametrize("topic", [TOPIC, OTHER_TOPIC])
def test_the_signature_in_both_versions(version: str, subject: str | None, topic: str) -> None:
    message = sns(SEND, SignatureVersion=version, Subject=subject, TopicArn=topic)
    assert read(ses, signed(message), SECRET, serving(message))
    other = {**message, "SignatureVersion": "3" if version == "2" else "2"}
    refused(ses, request(json.dumps({**json.loads(signed(message).body), **other}).encode()), SECRET, serving(message))


@pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "Timestamp"])
def test_a_changed_field(name: str) -> None:
    message = sns(SEND)
    body = json.loads(signed(message).body)
    body[name] = iso(NOW_S) if name == "Timestamp" else body[name] + " "
    refused(ses, request(dumped(body)), SECRET, serving(message))


def test_another_key_and_what_is_no_signature() -> None:
    message = sns(SEND)
    refused(ses, signed(message, rsa_key(1)), SECRET, serving(message))
    body = json.loads(signed(message).body)
    for bad in ("", "é", "AAAA", None):
        refused(ses, request(dumped({**body, "Signature": bad})), SECRET, serving(message))


@pytest.mark.parametrize("topic", [TOPIC + "x", TOPIC.replace("123456789012", "210987654321"), "", "é", SECRET])
@pytest.mark.parametrize("type_", list(NAMES))
def test_a_strangers_topic(topic: str, type_: str) -> None:
    message = sns(SEND, type_, TopicArn=topic)
    fetch = serving(message)
    refused(ses, signed(message), SECRET, fetch)
    assert fetch.urls == []


@pytest.mark.parametrize("at_s", [NOW_S - 25 * HOUR_S, NOW_S + HOUR_S, None])
def test_the_age(at_s: int | None) -> None:
    message = sns(SEND, Timestamp=iso(at_s) if at_s else "yesterday")
    fetch = serving(message)
    refused(ses, signed(message), SECRET, fetch)
    assert fetch.urls == []


def test_a_late_attempt() -> None:
    message = sns(SEND, Timestamp=iso(NOW_S - 23 * HOUR_S))
    assert read(ses, signed(message), SECRET, serving(message))


FILE = "/SimpleNotificationService-0123456789abcdef.pem"


@pytest.mark.parametrize(
    "url",
    [
        f"https://sns.us-east-1.amazonaws.com.evil.example{FILE}",
        f"https://sns.us-east-1.amazonaws.com@evil.example{FILE}",
        f"https://evil.example/sns.us-east-1.amazonaws.com{FILE}",
        f"https://evil.example#sns.us-east-1.amazonaws.com{FILE}",
        f"https://evil.example\\@sns.us-east-1.amazonaws.com{FILE}",
        f"https://user@sns.us-east-1.amazonaws.com{FILE}",
        f"http://sns.us-east-1.amazonaws.com{FILE}",
        f"https://sns.us-east-1.amazonaws.com:443{FILE}",
        f"https://sns.us-east-1.amazonaws.com:8443{FILE}",
        f"https://sns.s3.amazonaws.com{FILE}",  # a bucket named sns
        f"https://sns.s3-us-west-2.amazonaws.com{FILE}",
        f"https://sns.s3-website-us-west-2.amazonaws.com{FILE}",
        f"https://s3.amazonaws.com/sns{FILE}",
        f"https://xsns.us-east-1.amazonaws.com{FILE}",
        f"https://sns.us-east-1.s3.amazonaws.com{FILE}",
        f"https://sns.us-east-1.amazonaws.org{FILE}",
        f"https://snsxus-east-1.amazonaws.com{FILE}",
        f"https://sns.us-east-1.amazonaws.com/x{FILE}",
        f"https://sns.us-east-1.amazonaws.com/..{FILE}",
        f"https://sns.us-east-1.amazonaws.com{FILE}?x=1",
        f"https://sns.us-east-1.amazonaws.com{FILE}#x",
        f"https://sns.us-east-1.amazonaws.com{FILE}\n",
        f" https://sns.us-east-1.amazonaws.com{FILE}",
        f"https://sns.us-east-1.amazonaws.com/\n{FILE}",
        f"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem{FILE}",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-xyz.pem",
        "https://sns.us-east-1.amazonaws.com/",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_certificate_from_elsewhere(url: str) -> None:
    message = sns(SEND, SigningCertURL=url)
    fetch = serving(message)
    refused(ses, signed(message), SECRET, fetch)
    assert fetch.urls == []


@pytest.mark.parametrize("host", ["sns.eu-central-1.amazonaws.com", "sns.us-gov-west-1.amazonaws.com"])
def test_the_hosts_of_sns(host: str) -> None:
    for ending in ("", ".cn"):
        message = sns(SEND, SigningCertURL=certificate_url().replace("sns.us-east-1.amazonaws.com", host + ending))
        assert read(ses, signed(message), SECRET, serving(message))


@pytest.mark.parametrize(
    "pem",
    [
        certificate(rsa_key(), age_days=200),  # no longer valid
        certificate(rsa_key(), age_days=-1),  # not valid yet
        certificate(ec_key()),
        b"",
        b"<Error>AccessDenied</Error>",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_valid_certificate(pem: bytes) -> None:
    message = sns(SEND)
    refused(ses, signed(message), SECRET, Fetching({message["SigningCertURL"]: pem}))


def test_a_certificate_is_fetched_once() -> None:
    message = sns(SEND)
    fetch = serving(message)
    for _ in range(3):
        assert read(ses, signed(message), SECRET, fetch)
    assert fetch.urls == [message["SigningCertURL"]]


def test_the_kept_certificates_are_bounded() -> None:
    first = sns(SEND)
    fetch = serving(first)
    assert read(ses, signed(first), SECRET, fetch)
    for _ in range(20):
        message = sns(SEND)
        assert read(ses, signed(message), SECRET, serving(message))
    assert read(ses, signed(first), SECRET, fetch)
    assert len(fetch.urls) == 2


def test_a_certificate_out_of_reach_is_no_fault_of_the_request() -> None:
    with pytest.raises(OSError, match="not there"):
        read(ses, signed(sns(SEND)), SECRET, Fetching())


def test_a_subscription_is_confirmed() -> None:
    message = sns("You have chosen to subscribe", "SubscriptionConfirmation")
    fetch = serving(message)
    assert read(ses, signed(message), SECRET, fetch) == []
    assert fetch.urls == [message["SigningCertURL"], SUBSCRIBE]


def test_a_forged_subscription_is_not_confirmed() -> None:
    message = sns("You have chosen to subscribe", "SubscriptionConfirmation")
    fetch = serving(message)
    refused(ses, signed(message, rsa_key(1)), SECRET, fetch)
    assert fetch.urls == [message["SigningCertURL"]]


def test_an_end_of_a_subscription_is_not_undone() -> None:
    message = sns("You have chosen to deactivate", "UnsubscribeConfirmation")
    fetch = serving(message)
    assert read(ses, signed(message), SECRET, fetch) == []
    assert SUBSCRIBE not in fetch.urls


@pytest.mark.parametrize(
    "url",
    [
        SUBSCRIBE.replace("https", "http"),
        SUBSCRIBE.replace(".com/", ".com.evil.example/"),
        SUBSCRIBE.replace(".com/", ".com@evil.example/"),
        SUBSCRIBE.replace(".com/", ".com:443/"),
        SUBSCRIBE.replace("sns.us-east-1", "sns.s3"),
        SUBSCRIBE.replace("Confirm", "Delete"),
        SUBSCRIBE.replace(TOPIC, OTHER_TOPIC),
        SUBSCRIBE + "&Action=DeleteTopic",
        SUBSCRIBE + "#x",
        SUBSCRIBE + "\n",
        "http://169.254.169.254/latest/meta-data/",
        "",
        None,
    ],
)
def test_a_subscription_elsewhere(url: str | None) -> None:
    message = sns("You have chosen to subscribe", "SubscriptionConfirmation", SubscribeURL=url)
    fetch = serving(message)
    with pytest.raises(NotAuthentic):
        read(ses, signed(message), SECRET, fetch)
    assert fetch.urls == [message["SigningCertURL"]]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ("not json", "$.Message"),
        ("[]", "$.Message"),
        ("[" * 100_000, "$.Message"),
        ('{"eventType": 5}', "$.Message.eventType"),
        ('{"eventType": "Bounce", "mail": {}, "bounce": {"bouncedRecipients": [{}, 5]}}', "$.Message.bounce"),
    ],
)
def test_a_message_that_cannot_be_read(message: str, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        events_of(message)
    assert caught.value.errors[0][0].startswith(path)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"Type": "Other"}', dumped(SEND)])
def test_what_is_not_of_sns(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(ses, request(body), SECRET)


def test_check_secret() -> None:
    ses.check_secret(TOPIC)
    ses.check_secret(SECRET)
    ses.check_secret("arn:aws-cn:sns:cn-north-1:123456789012:ses_events")
    for bad in ("", f"{TOPIC},", "ses-events", TOPIC.replace("sns", "sqs"), TOPIC + ":sub", f"{TOPIC};{TOPIC}"):
        with pytest.raises(ValueError, match="ARN"):
            ses.check_secret(bad)


@given(any_json() | changed(SAMPLES))
def test_whatever_is_signed_is_read_or_invalid(value: Any) -> None:
    message = sns(value, SigningCertURL=f"{HOST}/SimpleNotificationService-0.pem")
    list_or_invalid(ses, signed(message), SECRET, serving(message))
