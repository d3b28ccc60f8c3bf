"""What the mail server and the mailbox providers say of the letters: events, and reports that come back by mail.

Owns the reports' form (RFC 3464, RFC 5965). Must not know an id but by the message's own headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, make_msgid
from typing import Any, Final, NamedTuple

from .cast import CAST, Letter
from .client import Client


class Outcome(NamedTuple):
    """One thing that happened to a message, as the mail server logs it."""

    type: str
    status_code: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.status_code} {self.reason}" if self.status_code else self.type


SENT: Final = Outcome("sent")
DELIVERED: Final = Outcome("delivered")

DELIVERIES: Final[dict[str, tuple[Outcome, ...]]] = {
    "ada": (SENT, DELIVERED),
    "ben": (SENT, Outcome("deferred", "452 4.2.2", "mailbox full")),
    "cleo": (SENT, Outcome("deferred", "451 4.7.1", "greylisted"), DELIVERED),
    "dan": (SENT, Outcome("failed", "550 5.1.1", "no such user")),
    "eve": (SENT,),
    "finn": (SENT, DELIVERED),
    "gus": (SENT, DELIVERED),
    "hal": (SENT, DELIVERED),
}


def report_deliveries(client: Client, letters: Mapping[str, Letter]) -> None:
    """The mail server's log as events, and the bounce that comes back later as a mail."""
    reported = [
        event(letters[name], number, outcome, datetime.now(UTC))
        for name in CAST
        for number, outcome in enumerate(DELIVERIES[name], start=1)
    ]
    print(f"   POST /v1/events: {client.report_events(reported)} events accepted")
    names: dict[str, list[str]] = {}
    for name in CAST:
        names.setdefault(", then ".join(map(str, DELIVERIES[name])), []).append(name)
    for story, those in names.items():
        print(f"     {', '.join(those):19} {story}")
    (recorded,) = client.report_mail(_bounce(letters["eve"]))
    found = f"{recorded['message_id']} {recorded['type']}"
    print(f"   POST /v1/events/report: eve's bounce (RFC 3464), known by its X-Tracker-Id: {found}")


def report_reply(client: Client, letter: Letter) -> str:
    """The mailer saw an answer in its own inbox; returns the type that was recorded."""
    number = len(DELIVERIES[letter.name]) + 1
    client.report_events([event(letter, number, Outcome("replied"), datetime.now(UTC))])
    return "replied"


def report_complaint(client: Client, letter: Letter) -> str:
    """A provider's feedback report; returns the type that was recorded."""
    (recorded,) = client.report_mail(_complaint(letter))
    return str(recorded["type"])


def event(letter: Letter, mark: int | str, outcome: Outcome, at: datetime) -> dict[str, Any]:
    """What happened to a message, as the API takes it; ``mark`` tells it from what else did."""
    fields = {
        "event_id": f"{letter.message_id}/{mark}",
        "message_id": letter.message_id,
        "occurred_at": at.isoformat(),
        **outcome._asdict(),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _bounce(letter: Letter) -> bytes:
    """A delivery status notification: the address is no more."""
    about = {"Reporting-MTA": "dns; mx.example.com", "Arrival-Date": format_datetime(datetime.now(UTC))}
    recipient = {
        "Final-Recipient": f"rfc822; {letter.address}",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": f"smtp; 550 5.1.1 <{letter.address}>: mailbox closed",
    }
    words = f"Your message to {letter.address} could not be delivered.\n"
    return _report(letter, "delivery-status", "Undelivered Mail Returned to Sender", words, about, recipient)


def _complaint(letter: Letter) -> bytes:
    """An abuse report, as providers send them to senders who signed up for their feedback loops."""
    fields = {
        "Feedback-Type": "abuse",
        "User-Agent": "ExampleMail-Feedback/1.0",
        "Version": "1",
        "Original-Mail-From": "<bounces@news.example.com>",
        "Arrival-Date": format_datetime(datetime.now(UTC)),
    }
    words = "A user of ours called this message spam.\n"
    return _report(letter, "feedback-report", "Spam report", words, fields)


def _report(letter: Letter, kind: str, subject: str, words: str, *groups: Mapping[str, str]) -> bytes:
    """A multipart/report (RFC 6522): words for people, fields for machines, and the headers of the message."""
    report = MIMEMultipart("report", report_type=kind)
    report["From"] = "Mail Delivery System <MAILER-DAEMON@mx.example.com>"
    report["To"] = "bounces@news.example.com"
    report["Subject"] = subject
    report["Date"] = format_datetime(datetime.now(UTC))
    report["Message-ID"] = make_msgid(domain="mx.example.com")
    report["Auto-Submitted"] = "auto-replied"
    fields = MIMENonMultipart("message", kind)
    fields.set_payload([_block(group) for group in groups])
    returned = _block({"From": "news@example.com", "To": letter.address, **letter.rewritten["headers"]})
    for part in (MIMEText(words), fields, MIMEText(returned.as_string(), "rfc822-headers")):
        report.attach(part)
    return report.as_bytes()


def _block(fields: Mapping[str, str]) -> Message:
    block = Message()
    for name, value in fields.items():
        block[name] = value
    return block
