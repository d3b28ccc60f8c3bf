"""``POST /v1/events/report``: bounces and complaints as they come by mail find their message, and only theirs."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx2
import pytest
from serving import Service, eventually, serving

pytest_plugins = ["service_fixtures"]

_numbers = itertools.count()

FAILED = "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 <lead@there.example>: User unknown"
DELAYED = "Action: delayed\nStatus: 4.2.2\nDiagnostic-Code: smtp; 452 4.2.2 over quota"
DELIVERED = "Action: delivered\nStatus: 2.0.0\nDiagnostic-Code: smtp; 250 2.0.0 OK"
RELAYED = "Action: relayed\nStatus: 2.0.0"


def mail(fields: str, *, kind: str = "delivery-status", returned: str = "", to: str = "bounces@send.example") -> bytes:
    """A report with a Message-ID of its own on a message whose headers were ``returned``."""
    report_type = "feedback-report" if kind == "feedback-report" else "delivery-status"
    return f"""\
Return-Path: <>
Date: Thu, 1 Oct 2026 14:00:05 +0200
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <report-{next(_numbers)}@mx.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type={report_type}; boundary="=_b/1"

--=_b/1
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.

--=_b/1
Content-Type: message/{kind}

{fields}

--=_b/1
Content-Type: text/rfc822-headers

From: Shop <shop@send.example>
To: lead@there.example
Subject: Offers
{returned}

--=_b/1--
""".replace("\n", "\r\n").encode()


def dsn(of_recipient: str = FAILED, *, of_message: str = "", **more: str) -> bytes:
    head = f"Reporting-MTA: dns; mx.example\n{of_message}".rstrip("\n")
    return mail(f"{head}\n\nFinal-Recipient: rfc822; lead@there.example\n{of_recipient}", **more)


def feedback(kind: str, **more: str) -> bytes:
    fields = f"Feedback-Type: {kind}\nUser-Agent: FBL/1.0\nVersion: 1\nOriginal-Rcpt-To: lead@there.example"
    return mail(fields, kind="feedback-report", **more)


def post(service: Service, raw: bytes) -> httpx2.Response:
    return service.call("POST", "/v1/events/report", content=raw, headers={"Content-Type": "message/rfc822"})


def recorded(service: Service, raw: bytes, message_id: str, type_: str) -> None:
    """It is taken as this event of this message, and of no other."""
    answer = post(service, raw)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"recorded": [{"message_id": message_id, "type": type_}], "unmatched": 0}


def unrecognised(service: Service, raw: bytes) -> dict[str, Any]:
    """It is refused and kept; returns the problem."""
    answer = post(service, raw)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = dict(answer.json())
    assert problem["type"].endswith("/unrecognised_report")
    assert "errors" not in problem
    assert set(problem["found"]) >= {"kind", "parts"}, problem
    kept = service.data_dir / "unrecognised" / problem["kept_as"]
    assert kept.read_bytes() == raw
    assert kept.stat().st_mode & 0o077 == 0
    return problem


def registered(service: Service, **fields: Any) -> tuple[str, str]:
    """A new message that the store knows: its id, and its X-Tracker-Id."""
    message_id = f"reported-{next(_numbers)}"
    answer = service.rewrite(message_id, **fields)
    eventually(lambda: service.message(message_id))
    return message_id, answer["headers"]["X-Tracker-Id"]


def shown(service: Service, message_id: str, stage: str) -> dict[str, Any]:
    message = eventually(lambda: service.message(message_id), lambda found: found and found["stage"] == stage)
    assert message is not None
    return message


def state(service: Service, recipient: str) -> Any:
    return service.call("POST", "/v1/recipients/lookup", json={"recipient": recipient}).json()["state"]


def test_a_hard_bounce_condemns_the_address(any_service: Service) -> None:
    service = any_service
    recipient = f"lead-{next(_numbers)}"
    message_id, tracker_id = registered(service, recipient=recipient)
    assert state(service, recipient) == "active"
    recorded(service, dsn(returned=f"X-Tracker-Id: {tracker_id}"), message_id, "failed")
    message = shown(service, message_id, "failed")
    assert (message["status"], message["failed_at"]) == ("550 5.1.1", "2026-10-01T12:00:05.000000Z")
    assert state(service, recipient) == "invalid"
    (event,) = [one for one in service.events(message_id) if one["type"] == "failed"]
    assert event["reporter"] == "mail"
    assert event["delivery"] == {"status_code": "550 5.1.1", "reason": "<lead@there.example>: User unknown"}
    assert service.call("POST", "/v1/rewrite", json={"message_id": "n", "text": "", "recipient": recipient}).is_error


@pytest.mark.parametrize(
    ("clue", "more"),
    [
        ("X-Tracker-Id", {"returned": "X-Tracker-Id: {tracker_id}"}),
        ("Message-ID", {"returned": "Message-ID: <{message_id}@send.example>"}),
        ("Original-Envelope-Id", {"of_message": "Original-Envelope-Id: {message_id}"}),
        ("Original-Envelope-Id, signed", {"of_message": "Original-Envelope-Id: {tracker_id}"}),
        ("VERP", {"to": "bounces+{message_id}@send.example"}),
        ("VERP of the message", {"returned": "Return-Path: <b+{message_id}@send.example>"}),
        ("the best one", {"returned": "X-Tracker-Id: {tracker_id}\nMessage-ID: <somebody@else.example>"}),
        ("the only one that is known", {"returned": "Message-ID: <{message_id}@send.example>", "to": "b+other@x"}),
    ],
)
@pytest.mark.parametrize(("fields", "type_"), [(FAILED, "failed"), (DELAYED, "deferred"), (DELIVERED, "delivered")])
def test_each_clue_finds_the_message(
    any_service: Service, clue: str, more: dict[str, str], fields: str, type_: str
) -> None:
    service, number = any_service, next(_numbers)
    message_id = f"clue-{number}"
    mail_ = service.rewrite(message_id, rfc822_message_id=f"<{message_id}@send.example>")
    eventually(lambda: service.message(message_id))
    values = {"message_id": message_id, "tracker_id": mail_["headers"]["X-Tracker-Id"]}
    raw = dsn(fields, **{name: text.format(**values) for name, text in more.items()})
    recorded(service, raw, message_id, type_)
    service.reached(message_id, "rewritten", type_)
    shown(service, message_id, {"failed": "failed", "deferred": "sent", "delivered": "delivered"}[type_])


def test_a_message_id_that_two_messages_have_is_nobodys(service: Service) -> None:
    shared = f"<shared-{next(_numbers)}@send.example>"
    ids = [registered(service, rfc822_message_id=text)[0] for text in (shared, f" {shared[1:-1]} ")]
    unrecognised(service, dsn(returned=f"Message-ID: {shared}"))
    assert [service.types(id_) for id_ in ids] == [["rewritten"]] * 2


def test_what_is_signed_needs_no_store_and_no_registration(service: Service) -> None:
    message_id = f"signed-{next(_numbers)}"
    answer = service.rewrite(message_id)  # and at once:
    recorded(service, dsn(DELIVERED, returned=f"X-Tracker-Id: {answer['headers']['X-Tracker-Id']}"), message_id, DONE)
    shown(service, message_id, "delivered")


DONE = "delivered"


def test_a_complaint(any_service: Service) -> None:
    service, recipient = any_service, f"lead-{next(_numbers)}"
    message_id, tracker_id = registered(service, recipient=recipient)
    recorded(service, feedback("abuse", returned=f"X-Tracker-Id: {tracker_id}"), message_id, "complained")
    assert shown(service, message_id, "spam")["label"] == "Spam"
    assert state(service, recipient) == "complained"


@pytest.mark.parametrize("kind", ["not-spam", "virus", "auth-failure", "dmarc", "x-abuse"])
def test_feedback_that_is_no_complaint(service: Service, kind: str) -> None:
    recipient = f"lead-{next(_numbers)}"
    message_id, tracker_id = registered(service, recipient=recipient)
    type_ = f"mail.feedback_{kind.replace('-', '_')}"
    recorded(service, feedback(kind, returned=f"X-Tracker-Id: {tracker_id}"), message_id, type_)
    service.reached(message_id, "rewritten", type_)
    shown(service, message_id, "sent")
    assert state(service, recipient) == "active"


def test_opting_out_by_feedback_is_an_unsubscribe(service: Service) -> None:
    message_id, tracker_id = registered(service, list="news", recipient="opts-out")
    recorded(service, feedback("opt-out", returned=f"X-Tracker-Id: {tracker_id}"), message_id, "unsubscribed")
    shown(service, message_id, "unsubscribed")


def test_relayed_says_nothing_of_the_stage(service: Service) -> None:
    message_id, tracker_id = registered(service)
    recorded(service, dsn(RELAYED, returned=f"X-Tracker-Id: {tracker_id}"), message_id, "mail.relayed")
    service.reached(message_id, "rewritten", "mail.relayed")
    shown(service, message_id, "sent")


def test_the_same_report_twice_is_one_event(any_service: Service) -> None:
    service = any_service
    message_id, tracker_id = registered(service)
    raw = dsn(returned=f"X-Tracker-Id: {tracker_id}")
    for again in (raw, raw, raw.replace(b"\r\n", b"\n")):
        recorded(service, again, message_id, "failed")
    recorded(service, dsn(DELAYED, returned=f"X-Tracker-Id: {tracker_id}"), message_id, "deferred")
    service.reached(message_id, "rewritten", "failed", "deferred")


def test_a_report_of_nothing_is_refused_and_kept(service: Service) -> None:
    for raw in (b"", b"\0\xff" * 1000, b"From: a@b\r\nSubject: hi\r\n\r\nHello\r\n", dsn("Action: none")):
        if raw:
            problem = unrecognised(service, raw)
            assert unrecognised(service, raw)["kept_as"] == problem["kept_as"]
        assert post(service, raw).status_code == 422
    problem = unrecognised(service, dsn(returned="Message-ID: <nobody@knows.example>"))
    assert problem["found"]["rfc822_ids"] == "<nobody@knows.example>"
    assert problem["found"]["status_codes"] == "550 5.1.1"
    assert "lead@there.example" not in str(problem), "the answer may be logged"


def forged(service: Service, tracker_id: str, other: dict[str, Any]) -> dict[str, str]:
    middle = len(tracker_id) // 2
    return {
        "one character": tracker_id[:middle] + ("A" if tracker_id[middle] != "A" else "B") + tracker_id[middle + 1 :],
        "its end": tracker_id[:-1] + ("A" if tracker_id[-1] != "A" else "B"),
        "more behind it": tracker_id + "A",
        "less of it": tracker_id[:-1],
        "an open token": other["open_url"].rpartition("/")[2].removesuffix(".gif"),
        "a click token": other["links"][0]["tracked_url"].rpartition("/")[2],
        "an unsubscribe token": other["unsubscribe_url"].rpartition("/")[2],
    }


def test_a_forged_tracker_id_is_not_believed(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    message_id, tracker_id = registered(service, recipient="not-invalid")
    values = forged(service, tracker_id, service.rewrite(message_id, recipient="not-invalid"))
    with serving(tmp_path_factory.mktemp("other") / "data") as other:
        values["another key"] = other.rewrite(message_id)["headers"]["X-Tracker-Id"]
    for what, value in values.items():
        assert value != tracker_id, what
        problem = unrecognised(service, dsn(returned=f"X-Tracker-Id: {value}"))
        assert problem["found"]["tracker_ids"].startswith(value[:200]), what
    settled = f"settled-{next(_numbers)}"
    service.rewrite(settled)
    eventually(lambda: service.message(settled))
    assert set(service.types(message_id)) == {"rewritten"}
    assert state(service, "not-invalid") == "active"


def test_an_id_that_anybody_could_have_written_must_be_known(service: Service) -> None:
    number = next(_numbers)
    unrecognised(service, dsn(of_message=f"Original-Envelope-Id: never-{number}"))
    unrecognised(service, dsn(to=f"bounces+never-{number}@send.example"))
    assert service.message(f"never-{number}") is None


def test_the_size_of_a_report(service: Service) -> None:
    message_id, tracker_id = registered(service)
    raw = dsn(DELIVERED, returned=f"X-Tracker-Id: {tracker_id}")
    fitting = raw + b"x" * ((1 << 20) - len(raw))
    recorded(service, fitting, message_id, "delivered")
    for large in (fitting + b"x", fitting * 20):
        answer = post(service, large)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    service.reached(message_id, "rewritten", "delivered")


def test_a_mail_made_to_take_long_does_not(service: Service) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000))
    deep = b"Content-Type: message/rfc822\n\n" * 30_000
    wide = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nX: y\n\nz\n" * 80_000
    long = b"From: MAILER-DAEMON@x\nSubject: failure notice\n\n" + b"<a@b.example> " * 70_000
    fields = b"Content-Type: message/delivery-status\n\n" + b"Action: failed\nStatus: 5.1.1\n\n" * 30_000
    for raw in (nested, deep, wide, long, fields):
        started = time.monotonic()
        assert post(service, raw[: 1 << 20]).status_code == 422
        assert time.monotonic() - started < 5
        assert service.client.get("/healthz").status_code == 200
