from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from tracker.core.errors import TooLarge
from tracker.core.model import Delivery
from tracker.reporters import Clues
from tracker.reporters.mail import MAX_REPORT_BYTES, read

TOKEN = "AQAAZm9v_LWJhci1iYXotcXV4-0123456789abcdef"
RETURNED = f"""\
Return-Path: <bounces+m-1001@send.example>
Received: from app (localhost) by send.example
X-Tracker-Id: {TOKEN}
Message-ID: <1001.x@send.example>
To: lead+shop@example.com
Subject: Offers
"""


def report(fields: str, *, kind: str = "delivery-status", returned: str = "message/rfc822", head: str = "") -> bytes:
    report_type = "feedback-report" if kind == "feedback-report" else "delivery-status"
    return f"""\
Return-Path: <>
Received: from mx.example (mx.example [192.0.2.7]) by in.send.example
Date: Tue, 3 Nov 2026 10:00:05 +0100
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: bounces@send.example
{head}Message-ID: <report-1@mx.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={report_type};
\tboundary="4F2.1/mx.example"

This is a MIME-encapsulated message.

--4F2.1/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.

--4F2.1/mx.example
Content-Type: message/{kind}

{fields}
--4F2.1/mx.example
Content-Type: {returned}

{RETURNED}
<p>Offers</p>

--4F2.1/mx.example--
""".encode()


POSTFIX = report("""\
Reporting-MTA: dns; mx.example
X-Postfix-Queue-ID: 4F2
Arrival-Date: Tue,  3 Nov 2026 10:00:00 +0100 (CET)

Final-Recipient: rfc822; lead@example.com
Original-Recipient: rfc822;lead@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; in.example.com
Diagnostic-Code: smtp; 550 5.1.1 <lead@example.com>: Recipient address rejected:
    User unknown in local recipient table
""")

GMAIL = report("""\
Reporting-MTA: dns; googlemail.com
Received-From-MTA: dns; bounces@send.example
Arrival-Date: Tue, 03 Nov 2026 01:00:00 -0800 (PST)

Final-Recipient: rfc822; lead@gmail.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.27, the server for the domain gmail.com.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550-5.1.1 double-checking the recipient's email address for typos or
 550 5.1.1 unnecessary spaces. a1-20020a05 - gsmtp
Last-Attempt-Date: Tue, 03 Nov 2026 01:00:01 -0800 (PST)
""")

EXIM = report("""\
Reporting-MTA: dns; mx.example

Action: failed
Final-Recipient: rfc822;lead@example.com
Status: 5.0.0
Remote-MTA: dns; in.example.com
Diagnostic-Code: smtp; 550 No such user here
""")

EXCHANGE = report("""\
Reporting-MTA: dns;AM0PR01.eurprd01.prod.exchangelabs.example
Received-From-MTA: dns;send.example
Arrival-Date: Tue, 3 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822;lead@example.com
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient lead@example.com not found
 by SMTP address lookup
""")

DELAYED = report("""\
Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; lead@example.com
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to in.example.com[192.0.2.9]:587: Connection
    timed out
Will-Retry-Until: Sun, 8 Nov 2026 10:00:00 +0100 (CET)
""")

EXPIRED = report("""\
Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; lead@example.com
Action: failed
Status: 4.4.7
Diagnostic-Code: smtp; 451 4.7.1 Greylisted, come back later
""")

DELIVERED = report(f"""\
Reporting-MTA: dns; mx.example
Original-Envelope-Id: {TOKEN}

Final-Recipient: rfc822; lead@example.com
Action: delivered
Status: 2.0.0
Diagnostic-Code: smtp; 250 2.0.0 OK queued as 77
""")


def feedback(kind: str, *more: str) -> bytes:
    fields = [f"Feedback-Type: {kind}", "User-Agent: Yahoo!-Mail-Feedback/2.0", "Version: 1", *more]
    return report("\n".join(fields) + "\n", kind="feedback-report")


ABUSE = feedback(
    "abuse",
    "Original-Mail-From: <bounces+m-7@send.example>",
    "Original-Rcpt-To: lead@yahoo.example",
    "Received-Date: Tue, 3 Nov 2026 08:00:00 +0000",
)
SAMPLES = [POSTFIX, GMAIL, EXIM, EXCHANGE, DELAYED, EXPIRED, DELIVERED, ABUSE, feedback("not-spam")]


def at(hour: int, minute: int = 0, second: int = 0) -> int:
    return int(datetime(2026, 11, 3, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000


def types(raw: bytes) -> list[str]:
    return [one.type for one in read(raw).reported]


@pytest.mark.parametrize(
    ("raw", "type_", "code", "reason"),
    [
        (
            POSTFIX,
            "failed",
            "550 5.1.1",
            "<lead@example.com>: Recipient address rejected: User unknown in local recipient table",
        ),
        (
            GMAIL,
            "failed",
            "550 5.1.1",
            "The email account that you tried to reach does not exist. Please try double-checking the recipient's "
            "email address for typos or unnecessary spaces. a1-20020a05 - gsmtp",
        ),
        (EXIM, "failed", "550 5.0.0", "No such user here"),
        (
            EXCHANGE,
            "failed",
            "550 5.1.10",
            "RESOLVER.ADR.RecipientNotFound; Recipient lead@example.com not found by SMTP address lookup",
        ),
        (DELAYED, "deferred", "4.4.1", "connect to in.example.com[192.0.2.9]:587: Connection timed out"),
        (EXPIRED, "failed", "451 4.7.1", "Greylisted, come back later"),
        (DELIVERED, "delivered", "250 2.0.0", "OK queued as 77"),
    ],
)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_notification_says_what_happened(raw: bytes, type_: str, code: str, reason: str, line_end: bytes) -> None:
    finding = read(raw.replace(b"\n", line_end))
    assert finding.kind == "delivery_status"
    (one,) = finding.reported
    assert (one.type, one.delivery) == (type_, Delivery(code, reason))
    assert one.clues.tracker_ids == (TOKEN,)
    assert one.clues.rfc822_ids == ("<1001.x@send.example>",)
    assert "m-1001" in one.clues.message_ids


def test_the_time_is_the_last_attempts_or_the_reports() -> None:
    assert [read(raw).reported[0].occurred_at for raw in (GMAIL, POSTFIX)] == [at(9, 0, 1), at(9, 0, 5)]


@pytest.mark.parametrize(
    "date",
    [
        b"yesterday",
        b"Tue, 3 Nov 1969 10:00:05 +0000",
        b"Tue, 3 Nov 10000 10:00:05 +0000",
        b"Fri, 31 Dec 9999 23:59:59 -1200",
        b"Tue, 99 Nov 2026 10:00:05 +0100",
        b"\xff\xfe",
        b"",
    ],
)
def test_a_broken_date_is_no_time(date: bytes) -> None:
    (one,) = read(POSTFIX.replace(b"Tue, 3 Nov 2026 10:00:05 +0100", date)).reported
    assert one.occurred_at is None


@pytest.mark.parametrize(
    ("group", "type_", "delivery"),
    [
        ("Action: relayed\nStatus: 2.0.0", "mail.relayed", Delivery("2.0.0")),
        ("Action: expanded (to a list)", "mail.expanded", None),
        ("Action: FAILED (no such user)", "failed", None),
        ("Action: error\nStatus: 5.1.1 (bad mailbox)", "failed", Delivery("5.1.1")),
        ("Status: 5.2.2", "failed", Delivery("5.2.2")),
        ("Status: 4.2.2", "deferred", Delivery("4.2.2")),
        ("Status: 2.1.5", "delivered", Delivery("2.1.5")),
        (
            "Action: failed\nDiagnostic-Code: smtp; 550 #5.1.0 Address rejected.",
            "failed",
            Delivery("550 5.1.0", "Address rejected."),
        ),
        (
            "Action: failed\nStatus: 5.0.0\nDiagnostic-Code: X-Postfix; host mx[192.0.2.9] said: 552-5.2.2 Full",
            "failed",
            Delivery("552 5.2.2", "host mx[192.0.2.9] said: Full"),
        ),
        (
            "Action: failed\nDiagnostic-Code: x-unix; user\x07 \xfc\tunknown",
            "failed",
            Delivery(None, "user \xfc unknown"),
        ),
        ("Action: failed\nDiagnostic-Code: smtp; 550 " + "x" * 900, "failed", Delivery("550", "x" * 500)),
    ],
)
def test_actions_and_codes(group: str, type_: str, delivery: Delivery | None) -> None:
    (one,) = read(report(f"Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; a@b.example\n{group}\n")).reported
    assert (one.type, one.delivery) == (type_, delivery)


@pytest.mark.parametrize("group", ["Final-Recipient: rfc822; a@b.example", "Action: odd\nStatus: odd", ""])
def test_a_group_that_says_nothing_is_left_out(group: str) -> None:
    finding = read(report(f"Reporting-MTA: dns; mx\n\n{group}\n"))
    assert (finding.kind, finding.reported) == ("unknown", [])
    assert finding.found["parts"].startswith("multipart/report, text/plain, message/delivery-status")


def test_each_recipient_is_reported() -> None:
    groups = "\n\n \n".join(f"Final-Recipient: rfc822; a{n}@b.example\nAction: failed\nStatus: 5.1.1" for n in range(3))
    finding = read(report(f"Reporting-MTA: dns; mx\n\n{groups}\n\n\n"))
    assert [one.type for one in finding.reported] == ["failed"] * 3
    assert len({one.event_id for one in finding.reported}) == 3
    assert (finding.found["actions"], finding.found["status_codes"]) == ("failed", "5.1.1")


def test_at_most_a_hundred_recipients() -> None:
    group = "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n"
    assert len(read(report("Reporting-MTA: dns; mx\n\n" + group * 5000)).reported) == 100


@pytest.mark.parametrize("type_", ["text/rfc822-headers", "message/global-headers", "message/global"])
def test_the_returned_headers(type_: str) -> None:
    fields = "Final-Recipient: utf-8; jos\xe9@b.example\nAction: failed\nStatus: 5.1.1\n"
    (one,) = read(report(fields, kind="global-delivery-status", returned=type_)).reported
    assert one.clues == Clues((TOKEN,), ("m-1001",), ("<1001.x@send.example>",))


def test_folded_and_commented_ids() -> None:
    folded = f"X-Tracker-Id: {TOKEN[:20]}\n {TOKEN[20:]}"
    raw = POSTFIX.replace(f"X-Tracker-Id: {TOKEN}".encode(), folded.encode())
    raw = raw.replace(b"Message-ID: <1001.x@send", b"Message-Id:\n (<no@id>) <1001.x\n @send")
    assert read(raw).reported[0].clues == Clues((TOKEN,), ("m-1001",), ("<1001.x@send.example>",))


def test_ids_of_the_envelope() -> None:
    fields = "Original-Envelope-Id: order+3D7\n\nFinal-Recipient: rfc822; a@b.example\nAction: failed\n"
    head = "Delivered-To: <b+m-5@send.example>, b+@send.example\nX-Original-To: b+a=b+c@send.example\n"
    (one,) = read(report(fields, head=head)).reported
    assert one.clues.message_ids == ("order=7", "order+3D7", "m-5", "a=b+c", "m-1001")
    assert one.clues.tracker_ids == (TOKEN,)


def test_a_signed_id_in_envelope_and_address() -> None:
    other = TOKEN[::-1]
    raw = DELIVERED.replace(f"X-Tracker-Id: {TOKEN}".encode(), b"X-Other: 1").replace(
        b"+m-1001@", f"+{other}@".encode()
    )
    (one,) = read(raw).reported
    assert one.clues.tracker_ids == (TOKEN, other)
    assert one.clues.message_ids == (TOKEN, other)


@pytest.mark.parametrize("value", ["short", "x" * 6001, "\xfc" * 30, "a b" * 10 + "!"])
def test_what_no_tracker_id_can_be(value: str) -> None:
    assert read(POSTFIX.replace(TOKEN.encode(), value.encode())).reported[0].clues.tracker_ids == ()


def test_the_longest_tracker_id() -> None:
    assert read(POSTFIX.replace(TOKEN.encode(), b"x" * 6000)).reported[0].clues.tracker_ids == ("x" * 6000,)


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("abuse", "complained"),
        ("Fraud", "complained"),
        ("opt-out", "unsubscribed"),
        ("opt-out-list", "unsubscribed"),
        ("not-spam", "mail.feedback_not_spam"),
        ("virus (a comment)", "mail.feedback_virus"),
        ("other", "mail.feedback_other"),
        ("auth-failure", "mail.feedback_auth_failure"),
        ("abuse-not", "mail.feedback_abuse_not"),
        ("\xe9!" + "x" * 90, "mail.feedback_" + "x" * 39),
    ],
)
def test_feedback(kind: str, type_: str) -> None:
    finding = read(feedback(kind))
    assert (finding.kind, [one.type for one in finding.reported]) == ("feedback", [type_])


def test_feedback_has_the_clues_and_the_time() -> None:
    (one,) = read(ABUSE).reported
    assert one.clues == Clues((TOKEN,), ("m-1001", "m-7"), ("<1001.x@send.example>",))
    assert (one.occurred_at, one.delivery) == (at(8), None)


def test_feedback_in_base64() -> None:
    inner = base64.encodebytes(b"Feedback-Type: abuse\r\nVersion: 1\r\n").decode()
    raw = report(inner, kind="feedback-report").replace(
        b"message/feedback-report\n", b"message/feedback-report\nContent-Transfer-Encoding: base64\n"
    )
    assert types(raw) == ["complained"]


def test_a_read_receipt_is_unknown() -> None:
    raw = report("Final-Recipient: rfc822; a@b.example\nDisposition: x\n", kind="disposition-notification")
    assert read(raw).kind == "unknown"


def test_a_report_inside_the_returned_message_is_not_ours() -> None:
    raw = POSTFIX.replace(b"Subject: Offers\n", b"Subject: Offers\n" + feedback("abuse").partition(b"MIME-")[2])
    assert types(raw) == ["failed"]


def test_the_same_report_has_the_same_ids() -> None:
    again = b"Received: from elsewhere\n" + POSTFIX.replace(b"\n", b"\r\n")
    assert read(again).reported == read(POSTFIX).reported
    unnamed = POSTFIX.replace(b"Message-ID: <report-1@mx.example>\n", b"")
    ids = {read(raw).reported[0].event_id for raw in (unnamed, b"Received: from elsewhere\n" + unnamed)}
    assert len(ids) == 1
    assert ids != {read(POSTFIX).reported[0].event_id}
    assert len(ids.pop()) == 32
    assert read(POSTFIX.replace(b"report-1@", b"report-2@")).reported[0].event_id != read(POSTFIX).reported[0].event_id


@pytest.mark.parametrize("boundary", [b"", b"boundary=", b'boundary="elsewhere"', b'boundary="4F2.1/mx.example'])
def test_missing_boundaries(boundary: bytes) -> None:
    raw = POSTFIX.replace(b'boundary="4F2.1/mx.example"', boundary)
    finding = read(raw)
    assert finding.kind == "unknown"
    assert finding.found["tracker_ids"] == TOKEN


def test_a_report_that_was_cut_off() -> None:
    cut = POSTFIX.partition(b"X-Tracker-Id")[0]
    assert types(cut) == ["failed"]


def test_too_large() -> None:
    assert read(b"x" * MAX_REPORT_BYTES).kind == "unknown"
    with pytest.raises(TooLarge):
        read(b"x" * (MAX_REPORT_BYTES + 1))
