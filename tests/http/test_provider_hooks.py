"""``POST /v1/events/{provider}/{hook}``: what a provider signed is believed, and nothing else.

Each provider here signs as its documentation says, with a key of the test's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from serving import Service, eventually, run

pytest_plugins = ["service_fixtures"]

EC_KEY, FORGED_EC_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
RSA_KEY, FORGED_RSA_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
TOPIC: Final = "arn:aws:sns:us-east-1:123456789012:ses-events"
_numbers = itertools.count()


class Mail(NamedTuple):
    """A message on its way: its ids, as the sender attached them."""

    id: str
    tracker_id: str

    @property
    def rfc822_id(self) -> str:
        return f"{self.id}@send.example"


class Call(NamedTuple):
    """A request of a provider's."""

    body: bytes
    headers: dict[str, str]


def shown(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def sendgrid(mail: Mail, event_id: str, *, forged: bool = False, age_s: int = 0) -> Call:
    at = int(time.time()) - age_s
    event = {
        "email": "lead@there.example", "timestamp": at, "event": "bounce", "sg_event_id": event_id,
        "reason": "550 5.1.1 unknown user", "status": "5.1.1", "tracker_id": mail.tracker_id,
    }  # fmt: skip
    body = json.dumps([event]).encode()
    signature = (FORGED_EC_KEY if forged else EC_KEY).sign(str(at).encode() + body, ec.ECDSA(SHA256()))
    name = "X-Twilio-Email-Event-Webhook"
    headers = {f"{name}-Signature": base64.b64encode(signature).decode(), f"{name}-Timestamp": str(at)}
    return Call(body, headers)


def mailgun(mail: Mail, event_id: str, *, forged: bool = False, age_s: int = 0) -> Call:
    at, token, secret = str(int(time.time()) - age_s), f"token-{event_id}", "x" if forged else SECRETS["mailgun"]
    signature = hmac.new(secret.encode(), f"{at}{token}".encode(), hashlib.sha256).hexdigest()
    event = {
        "event": "failed", "severity": "permanent", "reason": "bounce", "id": event_id, "timestamp": float(at),
        "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": "unknown user"},
        "user-variables": {"message_id": mail.id},
    }  # fmt: skip
    return Call(
        json.dumps(
            {"signature": {"timestamp": at, "token": token, "signature": signature}, "event-data": event}
        ).encode(),
        {},
    )


def postal(mail: Mail, event_id: str, *, forged: bool = False, age_s: int = 0) -> Call:
    at = time.time() - age_s
    payload = {
        "message": {"id": 1, "direction": "outgoing", "message_id": mail.rfc822_id},
        "status": "HardFail", "output": "550 5.1.1 unknown user", "timestamp": at,
    }  # fmt: skip
    body = json.dumps(
        {"event": "MessageDeliveryFailed", "timestamp": at, "payload": payload, "uuid": event_id}
    ).encode()
    signature = (FORGED_RSA_KEY if forged else RSA_KEY).sign(body, PKCS1v15(), SHA256())
    return Call(body, {"X-Postal-Signature-256": base64.b64encode(signature).decode()})


def postmark(mail: Mail, event_id: str, *, forged: bool = False, age_s: int = 0) -> Call:
    event = {
        "RecordType": "Bounce", "ID": event_id, "Type": "HardBounce", "MessageID": "883953f4-6105-42a2-a16a",
        "Details": "smtp;550 5.1.1 unknown user", "BouncedAt": datetime.now(UTC).isoformat(),
        "Metadata": {"tracker_id": mail.tracker_id},
    }  # fmt: skip
    password = base64.b64encode((SECRETS["postmark"] + "x" * forged).encode()).decode()
    return Call(json.dumps(event).encode(), {"Authorization": f"Basic {password}"})


PROVIDERS: Final[dict[str, Callable[..., Call]]] = {
    "sendgrid": sendgrid, "mailgun": mailgun, "postal": postal, "postmark": postmark,
}  # fmt: skip
SECRETS: Final = {
    "sendgrid": shown(EC_KEY),
    "mailgun": "a-signing-key-0123456789",
    "postal": shown(RSA_KEY),
    "postmark": "tracker:a-long-password-0123456789",
    "ses": TOPIC,
}
each_provider = pytest.mark.parametrize("provider", PROVIDERS)


def add_hook(service: Service, folder: Path, provider: str) -> str:
    """The path of a new hook, as soon as the service knows it."""
    file = folder / provider
    file.write_text(SECRETS[provider] + "\n")
    command = ("hooks", "add", provider, "--account", "default", "--secret-file", str(file))
    done = run(service.data_dir, *command, BASE_URL="https://t.shop.example")
    assert done.returncode == 0, done.stderr
    url = done.stdout.decode().strip()
    assert url.startswith(f"https://t.shop.example/v1/events/{provider}/")
    path = url.removeprefix("https://t.shop.example")
    eventually(lambda: service.client.post(path).status_code != 404)
    return path


@pytest.fixture(scope="module")
def hooks(service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("secrets")
    return {provider: add_hook(service, folder, provider) for provider in SECRETS}


def post(service: Service, path: str, call: Call) -> httpx2.Response:
    return service.client.post(path, content=call.body, headers=call.headers)


def registered(service: Service) -> Mail:
    message_id = f"provided-{next(_numbers)}"
    answer = service.rewrite(message_id, recipient=f"to {message_id}", rfc822_message_id=f"<{message_id}@send.example>")
    eventually(lambda: service.message(message_id))
    return Mail(message_id, answer["headers"]["X-Tracker-Id"])


def nothing_recorded(service: Service, mail: Mail) -> None:
    settled = registered(service)
    assert settled.id != mail.id
    assert service.types(mail.id) == ["rewritten"]


@each_provider
def test_what_the_provider_signed_is_an_event(service: Service, hooks: dict[str, str], provider: str) -> None:
    mail, event_id = registered(service), f"event-{next(_numbers)}"
    call = PROVIDERS[provider](mail, event_id)
    for _ in range(2):  # it is told twice, and happened once
        answer = post(service, hooks[provider], call)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"recorded": [{"message_id": mail.id, "type": "failed"}], "unmatched": 0}
    assert post(service, hooks[provider], PROVIDERS[provider](mail, event_id)).status_code == 200
    settled = registered(service)
    service.reached(mail.id, "rewritten", "failed")
    message = service.message(mail.id)
    assert message
    assert (message["stage"], message["status"]) == ("failed", "550 5.1.1")
    (event,) = [one for one in service.events(mail.id) if one["type"] == "failed"]
    assert event["reporter"] == provider
    refused = {"message_id": f"{settled.id}-next", "text": "", "recipient": f"to {mail.id}"}
    assert service.call("POST", "/v1/rewrite", json=refused).status_code == 409


@each_provider
def test_what_it_did_not_sign_is_refused(service: Service, hooks: dict[str, str], provider: str) -> None:
    mail, make = registered(service), PROVIDERS[provider]
    good = make(mail, "forged")
    calls = [make(mail, "forged", forged=True), good._replace(headers={}), Call(b"", {}), Call(b"{}", good.headers)]
    calls += [make(mail, "forged", age_s=age_s) for age_s in (26 * 3600, -3600) if provider != "postmark"]
    calls += [good._replace(headers={"Authorization": f"Bearer {service.api_key}"})]
    if provider == "mailgun":  # the signature is in the body
        calls = [call for call in calls if call.body != good.body]
        calls.append(Call(good.body.replace(b'"signature": "', b'"signature": "0'), {}))
    if provider in ("sendgrid", "postal"):
        calls.append(good._replace(body=good.body + b" "))
    if provider == "postmark":
        calls = [call for call in calls if call.headers != good.headers]
    for call in calls:
        answer = post(service, hooks[provider], call)
        assert answer.status_code in (401, 422), call
        assert answer.status_code == 401 or not call.headers, "who is not authentic is told nothing more"
        assert answer.headers["content-type"] == "application/problem+json"
    nothing_recorded(service, mail)


@each_provider
def test_a_hook_is_its_own_providers_alone(service: Service, hooks: dict[str, str], provider: str) -> None:
    mail = registered(service)
    call = PROVIDERS[provider](mail, f"misled-{provider}")
    secret = hooks[provider].rpartition("/")[2]
    paths = [
        f"/v1/events/{other}/{secret}" for other in (*PROVIDERS, "ses", "nobody", "report", "api") if other != provider
    ]
    paths += [f"/v1/events/{provider}/{wrong}" for wrong in ("x", secret[:-1], secret + "A", secret.swapcase(), "%00")]
    paths += [f"/v1/events/{provider}", f"/v1/events/{provider}/", f"/v1/events/{provider.upper()}/{secret}"]
    for path in paths:
        assert post(service, path, call).status_code == 404, path
    assert service.client.get(hooks[provider]).status_code == 405
    nothing_recorded(service, mail)


def test_what_is_of_no_message_of_ours_is_taken_and_counted(service: Service, hooks: dict[str, str]) -> None:
    """The provider is not to try again for ever what other mail it sends for the operator."""
    stranger = Mail(f"stranger-{next(_numbers)}", "A" * 40)
    for provider, make in PROVIDERS.items():
        answer = post(service, hooks[provider], make(stranger, f"stranger-{provider}"))
        assert (answer.status_code, answer.json()) == (200, {"recorded": [], "unmatched": 1})
    assert service.message(stranger.id) is None


def notification(mail: Mail, topic: str, **fields: Any) -> Call:
    headers = [{"name": "X-Tracker-Id", "value": mail.tracker_id}]
    message = {
        "notificationType": "Complaint",
        "complaint": {"complainedRecipients": [{"emailAddress": "lead@there.example"}]},
        "mail": {"messageId": "1", "headers": headers},
    }
    sns = {
        "Type": "Notification", "MessageId": f"sns-{next(_numbers)}", "TopicArn": topic,
        "Message": json.dumps(message), "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": "2", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
        **fields,
    }  # fmt: skip
    names = ("Message", "MessageId", "Timestamp", "TopicArn", "Type")
    text = "".join(f"{name}\n{sns[name]}\n" for name in names)
    signature = RSA_KEY.sign(text.encode(), PKCS1v15(), SHA256())
    return Call(json.dumps({**sns, "Signature": base64.b64encode(signature).decode()}).encode(), {})


def test_ses_takes_no_foreign_topic_and_no_foreign_certificate(service: Service, hooks: dict[str, str]) -> None:
    """Anybody's topic comes with a signature of Amazon's. None of these makes the service fetch anything."""
    mail = registered(service)
    old = {"Timestamp": "2026-01-01T00:00:00.000Z"}
    calls = [
        notification(mail, TOPIC.replace("123456789012", "999999999999")),
        notification(mail, TOPIC + "x"),
        notification(mail, ""),
        notification(mail, TOPIC, **old),
        *(
            notification(mail, TOPIC, SigningCertURL=url)
            for url in (
                f"{service.url}/cert.pem", "https://evil.example/SimpleNotificationService-0.pem",
                "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
                "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
                "https://sns.s3.amazonaws.com/SimpleNotificationService-0.pem",
                "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
                "file:///etc/hostname", "",
            )
        ),
        notification(mail, TOPIC, SignatureVersion="3"),
    ]  # fmt: skip
    for call in calls:
        answer = post(service, hooks["ses"], call)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/not_authentic"), call.body
    nothing_recorded(service, mail)


def test_a_revoked_hook_takes_nothing(service: Service, tmp_path: Path) -> None:
    mail, path = registered(service), add_hook(service, tmp_path, "mailgun")
    listed = json.loads(run(service.data_dir, "hooks", "list", "--json").stdout)
    newest = max((one for one in listed if one["provider"] == "mailgun"), key=lambda one: str(one["created_at"]))
    assert run(service.data_dir, "hooks", "revoke", newest["id"]).returncode == 0
    eventually(lambda: service.client.post(path).status_code == 404)
    assert post(service, path, mailgun(mail, "revoked")).status_code == 404
    nothing_recorded(service, mail)
