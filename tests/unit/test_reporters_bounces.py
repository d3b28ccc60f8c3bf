from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reporters_mail import SAMPLES, TOKEN, at, report, types

from tracker.core.model import Delivery
from tracker.reporters import Clues
from tracker.reporters.mail import MAX_REPORT_BYTES, NAME, Finding, read

RECOGNISED_BOUNCES = 110
"""Of the 117 samples of flufl.bounce 6.0.0. It finds nothing in 5 of the others itself; the remaining two are a read
receipt, and one that says Re: in its subject and whose sender isn't to be told from a person."""


QMAIL = f"""\
Return-Path: <>
Date: 3 Nov 2026 09:00:00 -0000
From: MAILER-DAEMON@mx.example
To: bounces+m-1001@send.example
Subject: failure notice

Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<lead@example.com>:
192.0.2.9 does not like recipient.
Remote host said: 550 5.1.1 <lead@example.com>: unknown
Giving up on 192.0.2.9.

--- Below this line is a copy of the message.

Return-Path: <bounces+m-1001@send.example>
Message-ID: <1001.x@send.example>
X-Tracker-Id: {TOKEN}
Subject: Offers, 552 5.2.2 of them

<p>Offers</p>
""".encode()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_bounce_that_follows_no_standard(line_end: bytes) -> None:
    finding = read(QMAIL.replace(b"\n", line_end))
    assert finding.kind == "bounce"
    (one,) = finding.reported
    assert (one.type, one.occurred_at) == ("failed", at(9))
    assert one.delivery == Delivery(
        "550 5.1.1", "Remote host said: <lead@example.com>: unknown Giving up on 192.0.2.9."
    )
    assert one.clues == Clues((TOKEN,), ("m-1001",), ("<1001.x@send.example>",))


def test_a_bounce_without_a_code_has_a_reason_alone() -> None:
    raw = QMAIL.replace(b"550 5.1.1 <lead@example.com>: unknown", b"no such user")
    assert read(raw).reported[0].delivery == Delivery(
        None,
        "<lead@example.com>: 192.0.2.9 does not like recipient. Remote host said: no such user Giving up on 192.0.2.9.",
    )


def test_an_encoded_bounce_is_decoded() -> None:
    head, _, body = QMAIL.partition(b"\n\n")
    raw = head + b"\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(body)
    assert types(raw) == ["failed"]
    assert read(raw).reported[0].clues.tracker_ids == (TOKEN,)


def test_a_bounce_from_nobody() -> None:
    raw = QMAIL.replace(b"From: MAILER-DAEMON@mx.example\n", b"")
    assert types(raw) == types(raw.replace(b"Subject:", b"From:\nSubject:")) == ["failed"]


def test_exims_own_form_is_a_bounce_though_it_calls_itself_a_reply() -> None:
    raw = b"""\
Auto-Submitted: auto-replied
X-Failed-Recipients: lead@example.com
From: Mail Delivery System <Mailer-Daemon@mx.example>
Subject: Mail delivery failed: returning message to sender

A message that you sent could not be delivered to one or more of its recipients.

  lead@example.com
    host in.example.com [192.0.2.9]
    SMTP error from remote mail server after RCPT TO:<lead@example.com>:
    550 5.2.1 mailbox disabled
"""
    (one,) = read(raw).reported
    assert (one.type, one.delivery) == ("failed", Delivery("550 5.2.1", "mailbox disabled"))
    assert one.clues == Clues()


ORDINARY = b"From: Ann <ann@b.example>\nTo: b+m-1@send.example\nSubject: %s\n%s\nHi. Ask bob, carl@b.example, or eve.\n"


@pytest.mark.parametrize(
    ("subject", "more"),
    [
        (b"Hello", b""),
        (b"Re: Undeliverable: hello", b""),
        (b"Out of office", b"Auto-Submitted: auto-replied\nReturn-Path: <>\n"),
        (b"Delivery failure", b"Auto-Submitted: auto-replied\n"),
        (b"=?utf-8?b?4oKs?= =?nonsense?q?x?=", b""),
    ],
)
def test_other_mail_is_unknown(subject: bytes, more: bytes) -> None:
    finding = read(ORDINARY % (subject, more))
    assert (finding.kind, finding.reported) == ("unknown", [])
    assert finding.found["message_ids"] == "m-1"
    assert "carl" not in str(finding.found)


def test_importing_prints_and_logs_nothing() -> None:
    code = (
        "import logging; import tracker.reporters.mail; root = logging.getLogger(); "
        "assert not root.handlers and root.level == logging.WARNING; "
        "flufl = logging.getLogger('flufl.bounce'); assert not flufl.handlers and not flufl.level"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


DAEMON = b"From: MAILER-DAEMON@mx.example\n"
HOSTILE = {
    "nested multiparts": DAEMON
    + b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(5000)),
    "nested messages": DAEMON + b"Content-Type: message/rfc822\n\n" * 5000,
    "nested messages of odd types": DAEMON + b"Content-Type: \x1cmessage/x\n\n" * 5000,
    "digests": DAEMON + b"Content-Type: multipart/digest; boundary=a\n\n" + b"--a\n\n--a\n" * 90_000,
    "boundaries": DAEMON + b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n" * 250_000,
    "blank groups": DAEMON + b"Content-Type: message/delivery-status\n\n" + b"\n" * 1_000_000,
    "groups": DAEMON + b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n\n" * 60_000,
    "parameters": DAEMON + b"Content-Type: text/plain" + b';"\n ' * 200_000,
    "semicolons": DAEMON + b"Content-Type: text/plain" + b";" * 1_000_000,
    "recipients": DAEMON + b"X-Failed-Recipients: " + b"a@b.example,\n " * 60_000,
    "comments": DAEMON + b"X-Failed-Recipients: " + b"(" * 1_000_000,
    "parens in From": b"From: " + b"(" * 1_000_000,
    "parens in From, folded": DAEMON[:-1] + b"\n ((((" * 100_000,
    "From": b"From: mailer-daemon " + b"<a@b>," * 100_000,
    "dashes": DAEMON + b"\n" + b"-" * 1_000_000,
    "commas": DAEMON + b"\n" + (b"," * 100 + b"@" * 200 + b"\n") * 3000,
    "words": DAEMON + b"\n" + b"x" * 1_000_000,
    "quotes": DAEMON + b"\n" + b"> " * 500_000 + b"\n" + b" " * 40_000,
    "spaces": DAEMON + b"\n" + (b" " * 299 + b"\n") * 3400,
    "diagnostics": report("Action: failed\nDiagnostic-Code: " + "550-5.1.1 " * 90_000),
    "dates": report("Action: failed\nLast-Attempt-Date: " + "1 Nov " * 100_000),
    "message ids": report("Action: failed\n\nOriginal-Envelope-Id: " + "+41" * 300_000),
    "addresses": b"To: " + b"a+b@c," * 170_000,
    "headers": b"A:\n" * 330_000,
    "nothing": b"",
    "line ends": b"\r\n\r" * 300_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_is_read_in_time(name: str, caplog: pytest.LogCaptureFixture) -> None:
    started = time.process_time()
    assert isinstance(read(HOSTILE[name][:MAX_REPORT_BYTES]), Finding)
    assert time.process_time() - started < 3
    assert not caplog.records


def check(raw: bytes) -> None:
    started = time.process_time()
    finding = read(raw)
    assert time.process_time() - started < 2
    assert (finding.kind == "unknown") == (not finding.reported)
    for one in finding.reported:
        assert len(one.event_id) == 32
        assert one.type in ("failed", "deferred", "delivered", "complained", "unsubscribed") or one.type.startswith(
            f"{NAME}."
        )
        assert one.delivery is None or one.delivery.reason is None or one.delivery.reason.isprintable()
    assert all(value.isprintable() and len(value) <= 300 for value in finding.found.values())


@given(st.binary(max_size=2000))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read(raw: bytes) -> None:
    check(raw)
    check(DAEMON + raw)


@given(
    st.sampled_from([*SAMPLES, QMAIL]),
    st.lists(
        st.tuples(
            st.integers(0, 2500),
            st.integers(0, 60),
            st.binary(max_size=20)
            | st.sampled_from([b"\n\n", b"--4F2.1/mx.example", b"=?x?b?a?=", b"\x00", b"(", b'"']),
        ),
        min_size=1,
        max_size=6,
    ),
)
@settings(max_examples=500, deadline=None)
def test_broken_samples_are_read(raw: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for place, length, new in edits:
        raw = raw[:place] + new + raw[place + length :]
    check(raw)


@pytest.mark.skipif("BOUNCE_SAMPLES" not in os.environ, reason="BOUNCE_SAMPLES names no folder of sample bounces")
def test_flufls_own_samples(caplog: pytest.LogCaptureFixture) -> None:
    samples = sorted(Path(os.environ["BOUNCE_SAMPLES"]).rglob("*.txt"))
    with caplog.at_level(logging.WARNING):
        kinds = Counter(read(sample.read_bytes()).kind for sample in samples)
    assert not caplog.records
    assert len(samples) >= 117
    assert kinds["bounce"] + kinds["delivery_status"] >= RECOGNISED_BOUNCES, kinds
