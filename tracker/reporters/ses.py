"""Amazon SES through Amazon SNS: verifies SNS's signature, confirms subscriptions, and says what SES's events mean.

Must not fetch anything but what SNS itself serves, nor take a message of a topic that is not the operator's own:
anybody's topic comes with a signature of Amazon's that verifies.
"""

from __future__ import annotations

import hmac
import re
from collections import OrderedDict
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import parse_qs

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from tracker.core.errors import NotAuthentic
from tracker.core.model import EventType

from . import Clues, Fetch, HookRequest, Reported, payloads

NAME = "ses"
SECRET = "The ARN of the SNS topic that SES publishes to, as the SNS console shows it; several are separated by commas."  # noqa: S105

MAX_AGE_S: Final = 24 * 3600
"""SNS keeps the time of the first attempt. It tries for an hour, and longer where the topic's policy says so."""

EVENT_TYPES: Final = {
    "Send": EventType.SENT,
    "Delivery": EventType.DELIVERED,
    "DeliveryDelay": EventType.DEFERRED,
    "Bounce/Permanent": EventType.FAILED,
    "Bounce/Transient": EventType.DEFERRED,
    # A bounce that SES could make nothing of, an automatic answer for one. It is too little to call a message failed
    # that may have been delivered; and if SES stays silent otherwise, the message is rightly shown as sent only.
    "Bounce/Undetermined": EventType.DEFERRED,
    "Bounce/Suppressed": EventType.DROPPED,  # these three: on a list of SES's or of the account's, so not sent at all
    "Bounce/OnAccountSuppressionList": EventType.DROPPED,
    "Bounce/UnsubscribedRecipient": EventType.DROPPED,
    "Complaint": EventType.COMPLAINED,
    "Complaint/OnAccountSuppressionList": EventType.DROPPED,  # not sent: somebody complained of an earlier message
    "Complaint/not-spam": "ses.complaint_not_spam",  # the opposite: a person moved it out of the spam folder
    "Complaint/auth-failure": "ses.complaint_auth_failure",  # a server's report on DKIM or DMARC, and no person's
    "Reject": EventType.DROPPED,
    "Rendering Failure": EventType.DROPPED,
    # SES's own lists: leaving one topic of them is a fact, since tracker knows nothing of these topics.
    "Subscription/unsubscribeAll": EventType.UNSUBSCRIBED,
}

_HOST: Final = r"https://sns\.[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?"
"""Where SNS is. Its label must be a region's name: ``sns.s3.amazonaws.com`` is a bucket, and anybody's."""
_CERTIFICATE_URL: Final = re.compile(_HOST + r"/SimpleNotificationService-[0-9a-f]+\.pem", re.ASCII)
_SUBSCRIBE_URL: Final = re.compile(_HOST + r"/\?([A-Za-z0-9%&=:._~+-]+)", re.ASCII)
_TOPIC: Final = re.compile(r"arn:aws(?:-[a-z]+)*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?", re.ASCII)

_HASHES: Final[dict[str, type[HashAlgorithm]]] = {"1": SHA1, "2": SHA256}
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""The fields that the signature covers, in its order; a field that is not there is left out."""

_MAX_CERTIFICATES: Final = 16
_TOPIC_TEST: Final = "Successfully validated SNS topic"
"""What SES publishes once, in plain words, when event publishing is set up."""


class _Sns(msgspec.Struct, rename="pascal"):
    type: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str | None = None
    signature: str | None = None
    signing_cert_url: str = msgspec.field(name="SigningCertURL", default="")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)


class _Recipient(msgspec.Struct, rename="camel"):
    status: str | None = None
    diagnostic_code: str | None = None


_Recipients = Annotated[list[_Recipient], msgspec.Meta(max_length=payloads.MAX_EVENTS)]


class _Preferences(msgspec.Struct, rename="camel"):
    unsubscribe_all: bool | None = None


class _Detail(msgspec.Struct, rename="camel"):
    """What the object of one event says, whichever event it is: SES names no field twice with another meaning."""

    timestamp: str | None = None
    bounce_type: str | None = None
    bounce_sub_type: str | None = None
    bounced_recipients: _Recipients | None = None
    delay_type: str | None = None
    delayed_recipients: _Recipients | None = None
    complaint_sub_type: str | None = None
    complaint_feedback_type: str | None = None
    reason: str | None = None
    error_message: str | None = None
    new_topic_preferences: _Preferences | None = None


class _Header(msgspec.Struct):
    name: str | None = None
    value: str | None = None


class _CommonHeaders(msgspec.Struct, rename="camel"):
    message_id: str | None = None


class _Mail(msgspec.Struct, rename="camel"):
    timestamp: str | None = None
    headers: list[_Header] | None = None
    common_headers: _CommonHeaders | None = None
    tags: object = None  # the sender's own: anything


class _Event(msgspec.Struct, rename="camel"):
    event_type: str | None = None
    notification_type: str | None = None
    mail: _Mail | None = None
    bounce: _Detail | None = None
    complaint: _Detail | None = None
    delivery: _Detail | None = None
    delivery_delay: _Detail | None = None
    reject: _Detail | None = None
    failure: _Detail | None = None
    subscription: _Detail | None = None
    open: _Detail | None = None
    click: _Detail | None = None


class _Certificate(NamedTuple):
    key: rsa.RSAPublicKey
    not_before: datetime
    not_after: datetime


_sns: Final = msgspec.json.Decoder(_Sns)
_event: Final = msgspec.json.Decoder(_Event)
_certificates: Final[OrderedDict[str, _Certificate]] = OrderedDict()


async def read(request: HookRequest, secret: str, fetch: Fetch) -> list[Reported]:
    """What SNS brings: an event for each recipient of an SES event or notification, or nothing.

    A subscription to an accepted topic is confirmed, with ``fetch``. See
    https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and, for the signature,
    https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. Raises `NotAuthentic`,
    `InvalidRequest`, and the OSError of ``fetch``.
    """
    sns = payloads.decode(_sns, request.body)
    await _verify(sns, request, secret, fetch)
    if sns.type == "SubscriptionConfirmation":
        await _confirm(sns, fetch)
    if sns.type != "Notification" or sns.message.startswith(_TOPIC_TEST):
        return []
    event = payloads.decode(_event, sns.message.encode(), "$.Message")
    return _reported(sns, event)


def check_secret(secret: str) -> None:
    """Raise `ValueError` unless ``secret`` is one ARN of an SNS topic or several, separated by commas."""
    for topic in _topics(secret):
        if not _TOPIC.fullmatch(topic):
            raise ValueError(f"is not the ARN of an SNS topic, or several separated by commas: {topic!r}")


def _topics(secret: str) -> list[str]:
    return [topic.strip() for topic in secret.split(",")]


async def _verify(sns: _Sns, request: HookRequest, secret: str, fetch: Fetch) -> None:
    # The certificate comes last: nobody is to make us fetch for a message that would be refused anyway.
    topic = sns.topic_arn.encode()
    if not any(hmac.compare_digest(topic, accepted.encode()) for accepted in _topics(secret)):
        raise NotAuthentic("The topic is not one that this hook accepts")
    payloads.check_fresh(payloads.iso(sns.timestamp), request.received_at, MAX_AGE_S)
    algorithm = _HASHES.get(sns.signature_version or "")
    if algorithm is None or not _CERTIFICATE_URL.fullmatch(sns.signing_cert_url):
        raise NotAuthentic
    signature = payloads.signature_bytes(sns.signature)
    certificate = await _certificate(sns.signing_cert_url, fetch)
    try:
        certificate.key.verify(signature, _canonical(sns), PKCS1v15(), algorithm())
    except InvalidSignature:
        raise NotAuthentic from None
    if not certificate.not_before <= payloads.moment(request.received_at) <= certificate.not_after:
        raise NotAuthentic("The certificate is not valid at this time")


def _canonical(sns: _Sns) -> bytes:
    fields = msgspec.to_builtins(sns)
    signed = ((name, fields[name]) for name in _SIGNED[sns.type])
    return "".join(f"{name}\n{value}\n" for name, value in signed if value is not None).encode()


async def _certificate(url: str, fetch: Fetch) -> _Certificate:
    """The certificate at ``url``, which names its content: so it is fetched once."""
    known = _certificates.get(url)
    if known is None:
        known = _loaded(await fetch(url))
        while len(_certificates) >= _MAX_CERTIFICATES:
            _certificates.popitem(last=False)
        _certificates[url] = known
    return known


def _loaded(pem: bytes) -> _Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        raise NotAuthentic("What should be the certificate is none") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotAuthentic("What should be the certificate is none of SNS")
    return _Certificate(key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


async def _confirm(sns: _Sns, fetch: Fetch) -> None:
    url = sns.subscribe_url or ""
    match = _SUBSCRIBE_URL.fullmatch(url)
    query = parse_qs(match[1]) if match else {}
    if query.get("Action") != ["ConfirmSubscription"] or query.get("TopicArn") != [sns.topic_arn]:
        raise NotAuthentic
    await fetch(url)


def _reported(sns: _Sns, event: _Event) -> list[Reported]:
    kind = event.event_type or event.notification_type
    if not kind or event.mail is None:  # such as the message that says that a topic was set up
        return []
    detail = _detail(event)
    type_ = payloads.type_of(EVENT_TYPES, NAME, *_natives(kind, detail))
    clues = _clues(event.mail)
    occurred_at = payloads.iso(detail.timestamp) or payloads.iso(event.mail.timestamp) or payloads.iso(sns.timestamp)
    reported = []
    for index, recipient in enumerate(detail.bounced_recipients or detail.delayed_recipients or [_Recipient()]):
        said = recipient.diagnostic_code or detail.reason or detail.error_message or detail.delay_type
        # "NoEmail": "the intended recipient's email provider sent a bounce message indicating that the email address
        # doesn't exist". The other permanent bounces have more than one possible cause.
        implied = "5.1.1" if detail.bounce_sub_type == "NoEmail" else None
        code = payloads.reply_code(payloads.text(said), enhanced=recipient.status, implied=implied)
        reported.append(
            Reported(
                event_id=payloads.event_id(sns.message_id, index),
                type=type_,
                occurred_at=occurred_at,
                clues=clues,
                delivery=payloads.delivery(type_, said or detail.bounce_sub_type, code),
            )
        )
    return reported


def _detail(event: _Event) -> _Detail:
    given = (
        *(event.bounce, event.complaint, event.delivery, event.delivery_delay, event.reject),
        *(event.failure, event.subscription, event.open, event.click),
    )
    return next((detail for detail in given if detail is not None), _Detail())


def _natives(kind: str, detail: _Detail) -> list[str]:
    of_kind = {
        "Bounce": (detail.bounce_sub_type, detail.bounce_type),
        "Complaint": (detail.complaint_sub_type, detail.complaint_feedback_type),
    }
    natives = [f"{kind}/{name}" for name in of_kind.get(kind, ()) if name]
    if detail.new_topic_preferences and detail.new_topic_preferences.unsubscribe_all:
        natives.append(f"{kind}/unsubscribeAll")
    return [*natives, kind]


def _clues(mail: _Mail) -> Clues:
    named = [((header.name or "").lower(), header.value) for header in mail.headers or ()]
    own = payloads.own_fields(mail.tags)
    found = payloads.clues(
        tracker_ids=[*(value for name, value in named if name == "x-tracker-id"), *own.tracker_ids],
        rfc822_ids=[
            *(value for name, value in named if name == "message-id"),
            mail.common_headers.message_id if mail.common_headers else None,
        ],
    )
    return found._replace(message_ids=own.message_ids)
