"""Who must not be written to: what mail servers and recipients said holds for the next message, until it is lifted."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import httpx2
import pytest
from serving import Service, eventually, run

pytest_plugins = ["service_fixtures"]

GONE = "550 5.1.1"
CLASSES = ("marketing", "transactional")
_numbers = itertools.count()


def fresh(name: str = "lead") -> str:
    return f"{name}-{next(_numbers)}"


def happened(service: Service, message_id: str, type_: str, **fields: Any) -> None:
    """Report one event, and wait until it shows."""
    event = {"event_id": fresh("e"), "message_id": message_id, "type": type_, "occurred_at": "2026-10-01T12:00:00Z"}
    answer = service.call("POST", "/v1/events", json={"events": [event | fields]})
    assert answer.status_code == 202, answer.text
    eventually(lambda: [one for one in service.events(message_id) if one["event_id"] == event["event_id"]])


def written_to(service: Service, recipient: str | None = None, **fields: Any) -> str:
    """The id of a new message to the recipient, who may be written to; the store knows it."""
    message_id = fresh("m")
    service.rewrite(message_id, recipient=recipient, **fields)
    eventually(lambda: service.message(message_id))
    return message_id


def ask(service: Service, recipient: str, **fields: Any) -> httpx2.Response:
    """Try to write to them."""
    body = {"message_id": fresh("m"), "text": "Hello", "recipient": recipient, **fields}
    return service.call("POST", "/v1/rewrite", json=body)


def refused(service: Service, recipient: str, why: str, **fields: Any) -> str:
    """They must not be written to, and the message that was not sent is shown as dropped; returns its id."""
    message_id = fresh("refused")
    for _ in range(2):  # and it stays so
        answer = ask(service, recipient, **{"message_id": message_id, **fields})
        assert answer.status_code == 409, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("/recipient_suppressed")
        assert why in answer.json()["detail"]
        assert recipient not in answer.text
    message = eventually(lambda: service.message(message_id), lambda found: found and found["stage"] == "failed")
    assert message
    assert (message["status"], message["label"], message["last_action"]) == ("Dropped", "Failed", "Failed")
    assert (message["recipient"], message["batch"]) == (recipient, fields.get("batch"))
    assert message["failed_at"] >= message["rewritten_at"]
    assert message["sent_at"] is None
    return message_id


def allowed(service: Service, recipient: str, **fields: Any) -> None:
    for class_ in CLASSES:
        answer = ask(service, recipient, **{"class": class_, **fields})
        assert answer.status_code == 200, answer.text
        assert not answer.json()["warnings"]


def lookup(service: Service, recipient: str) -> dict[str, Any]:
    answer = service.call("POST", "/v1/recipients/lookup", json={"recipient": recipient})
    assert answer.status_code == 200
    return dict(answer.json())


def reset(service: Service, recipient: str, *suppressions: str, **fields: Any) -> dict[str, Any]:
    what = {"suppressions": suppressions, "reason": "they asked for it", **fields}
    answer = service.call("PUT", "/v1/recipients", json={"recipient": recipient, "reset": what})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("code", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"])
def test_a_permanent_failure_of_the_address_condemns_it(any_service: Service, code: str) -> None:
    service, recipient = any_service, fresh()
    message_id = written_to(service, recipient)
    happened(service, message_id, "failed", status_code=f"550 {code}")
    known = lookup(service, recipient)
    assert (known["state"], known["invalid_at"]) == ("invalid", "2026-10-01T12:00:00.000000Z")
    assert (known["complained_at"], known["recipient"]) == (None, recipient)
    for class_ in CLASSES:
        refused(service, recipient, "does not exist", **{"class": class_, "list": "any", "batch": "b"})
    message = service.message(message_id)
    assert message
    assert (message["stage"], message["status"]) == ("failed", f"550 {code}")


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        *(("failed", code) for code in ("550 5.7.1", "554 5.7.26", "552 5.2.2", "550", "550 5.0.0", "550 5.1.0")),
        *(("failed", code) for code in ("550 5.1.11", "550 5.1.100", "550 15.1.1", "550 5.1.1.1", "5.2.10", "4.1.1")),
        *(("failed", code) for code in ("451 4.2.1", "2.1.1", "550 5.7.1 (was 5.1.1)", "550 5-1-1", None)),
        ("deferred", GONE),
        ("delivered", GONE),
        ("dropped", GONE),
    ],
)
def test_any_other_failure_does_not(any_service: Service, type_: str, code: str | None) -> None:
    service, recipient = any_service, fresh()
    happened(service, written_to(service, recipient), type_, **({"status_code": code} if code else {}))
    assert lookup(service, recipient)["state"] == "active"
    allowed(service, recipient)


@pytest.mark.parametrize(
    "code", ["5.1.1", "smtp; 550 5.1.1 <lead@x>: gone", "550-5.1.1 gone", "(#5.1.1)", "550 #5.1.1"]
)
def test_the_code_is_found_however_it_is_written(service: Service, code: str) -> None:
    recipient = fresh()
    happened(service, written_to(service, recipient), "failed", status_code=code)
    refused(service, recipient, "does not exist")


def test_who_complained_is_not_written_to(any_service: Service) -> None:
    service, recipient = any_service, fresh()
    happened(service, written_to(service, recipient, **{"class": "transactional"}), "complained")
    known = lookup(service, recipient)
    assert (known["state"], known["complained_at"]) == ("complained", "2026-10-01T12:00:00.000000Z")
    for class_ in CLASSES:
        refused(service, recipient, "spam", **{"class": class_, "list": "any"})


def test_an_unsubscribe_is_from_its_list_alone(any_service: Service) -> None:
    service, recipient = any_service, fresh()
    happened(service, written_to(service, recipient, list="news"), "unsubscribed")
    refused(service, recipient, "unsubscribed", list="news")
    allowed(service, recipient, list="other")
    allowed(service, recipient)
    assert ask(service, recipient, **{"list": "news", "class": "transactional"}).status_code == 200
    happened(service, written_to(service, recipient, list="other"), "unsubscribed", list="third")
    refused(service, recipient, "unsubscribed", list="third")
    allowed(service, recipient, list="other")
    known = lookup(service, recipient)
    assert known["state"] == "active"
    left = {one["list"]: one["unsubscribed"] for one in known["lists"]}
    assert left == {"default": False, "news": True, "other": False, "third": True}
    times = {one["list"]: one["unsubscribed_at"] for one in known["lists"]}
    assert times["news"] == times["third"] == "2026-10-01T12:00:00.000000Z"
    assert times["other"] is None


def test_the_page_and_the_one_click_do_the_same(any_service: Service) -> None:
    service, recipient = any_service, fresh()
    mail = service.rewrite(fresh("m"), recipient=recipient, list="news")
    assert service.client.post(mail["unsubscribe_url"]).status_code == 200
    eventually(
        lambda: [one["unsubscribed"] for one in lookup(service, recipient)["lists"]], lambda found: True in found
    )
    refused(service, recipient, "unsubscribed", list="news")


def test_nobody_elses_recipient_is_concerned(any_service: Service, store_url: str) -> None:
    service, recipient = any_service, fresh() + "-theirs"
    account = fresh("account")
    settings = {"STORE_URL": store_url} if store_url else {}
    for command in (
        ("accounts", "add", account, "--origin", f"https://{account}.example"),
        ("keys", "add", "--account", account, "--name", "theirs"),
    ):
        done = run(service.data_dir, *command, cwd=None, **settings)
        assert done.returncode == 0, done.stderr
    theirs = {"Authorization": f"Bearer {done.stdout.decode().strip()}"}
    body = {"message_id": fresh("m"), "text": "Hello", "recipient": recipient}
    eventually(lambda: service.call("POST", "/v1/rewrite", json=body, headers=theirs).status_code == 200)
    happened(service, written_to(service, recipient), "complained")
    refused(service, recipient, "spam")
    body["message_id"] = fresh("m")
    assert service.call("POST", "/v1/rewrite", json=body, headers=theirs).status_code == 200
    asked = service.call("POST", "/v1/recipients/lookup", json={"recipient": recipient}, headers=theirs)
    assert asked.json()["state"] == "active"
    for other in (recipient + "x", recipient.upper(), f" {recipient}", recipient[:-1]):
        assert lookup(service, other)["state"] == "active"
        assert ask(service, other).status_code == 200
    assert service.call("POST", "/v1/rewrite", json={"message_id": fresh("m"), "text": "x"}).status_code == 200


def test_in_a_batch_only_their_line_is_an_error(any_service: Service) -> None:
    service = any_service
    invalid, complained, left, fine = (fresh(name) for name in ("invalid", "complained", "left", "fine"))
    happened(service, written_to(service, invalid), "failed", status_code=GONE)
    happened(service, written_to(service, complained), "complained")
    happened(service, written_to(service, left, list="news"), "unsubscribed")
    people = [{"message_id": fresh("m"), "recipient": one} for one in (fine, invalid, left, fine, complained)]
    people.append({"message_id": fresh("m")})
    statuses = {}
    for class_ in CLASSES:
        call = {"text": "Hello", "recipients": people, "list": "news", "class": class_}
        for one in people:
            one["message_id"] = fresh("m")
        lines = [json.loads(line) for line in service.call("POST", "/v1/rewrite/batch", json=call).iter_lines()]
        assert [line["message_id"] for line in lines] == [one["message_id"] for one in people]
        statuses[class_] = [line.get("error", {}).get("status", 200) for line in lines]
        dropped = [line["message_id"] for line in lines if "error" in line]
        for message_id in dropped:
            found = eventually(lambda id_=message_id: service.message(id_), lambda got: got and got["status"])  # type: ignore[misc]
            assert found
            assert (found["stage"], found["status"]) == ("failed", "Dropped")
        errors = [line["error"]["type"] for line in lines if "error" in line]
        assert set(errors) == {"/problems/recipient_suppressed"}
    assert statuses == {"marketing": [200, 409, 409, 200, 409, 200], "transactional": [200, 409, 200, 200, 409, 200]}


def test_what_is_reported_before_the_store_knows_the_message(any_service: Service) -> None:
    service = any_service
    recipients = {}
    for type_, fields in (("failed", {"status_code": GONE}), ("complained", {}), ("unsubscribed", {})):
        message_id, recipients[type_] = fresh("early"), fresh()
        happened(service, message_id, type_, **fields)
        assert ask(service, recipients[type_], message_id=message_id, list="news").status_code == 200
    eventually(lambda: lookup(service, recipients["unsubscribed"])["lists"])
    refused(service, recipients["failed"], "does not exist", list="news")
    refused(service, recipients["complained"], "spam", list="news")
    refused(service, recipients["unsubscribed"], "unsubscribed", list="news")


def test_a_reset_lifts_what_it_names(any_service: Service) -> None:
    service, recipient = any_service, fresh()
    happened(service, written_to(service, recipient), "failed", status_code=GONE)
    refused(service, recipient, "does not exist")
    assert reset(service, recipient, "complained", "unsubscribed")["state"] == "invalid"
    message_id = refused(service, recipient, "does not exist")
    known = reset(service, recipient, "invalid")
    assert (known["state"], known["invalid_at"]) == ("active", None)
    allowed(service, recipient)
    assert ask(service, recipient, message_id=message_id).status_code == 200, "it may be sent after all"
    happened(service, written_to(service, recipient), "failed", status_code=GONE)  # long ago, but told late
    allowed(service, recipient)
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    happened(service, written_to(service, recipient), "failed", status_code=GONE, occurred_at=later)
    refused(service, recipient, "does not exist")


def test_a_reset_of_a_complaint_and_of_unsubscribes(any_service: Service) -> None:
    service, recipient = any_service, fresh()
    for list_ in ("news", "offers"):
        happened(service, written_to(service, recipient, list=list_), "unsubscribed")
    reset(service, recipient, "unsubscribed")  # from the default list
    refused(service, recipient, "unsubscribed", list="news")
    known = reset(service, recipient, "unsubscribed", list="news")
    assert {one["list"]: one["unsubscribed"] for one in known["lists"]} == {
        "default": False,
        "news": False,
        "offers": True,
    }
    allowed(service, recipient, list="news")
    refused(service, recipient, "unsubscribed", list="offers")
    happened(service, written_to(service, recipient), "complained")
    refused(service, recipient, "spam", list="news")
    reset(service, recipient, "complained", "invalid", "complained")
    allowed(service, recipient, list="news")
    refused(service, recipient, "unsubscribed", list="offers")


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("$", {}),
        ("$", {"consent": {}}),
        ("$.reset", {"reset": {"suppressions": ["invalid"]}}),
        ("$.reset.reason", {"reset": {"suppressions": ["invalid"], "reason": ""}}),
        ("$.reset.reason", {"reset": {"suppressions": ["invalid"], "reason": "x" * 501}}),
        ("$.reset.reason", {"reset": {"suppressions": ["invalid"], "reason": "a\0b"}}),
        ("$.reset.suppressions", {"reset": {"suppressions": [], "reason": "x"}}),
        ("$.reset.suppressions[0]", {"reset": {"suppressions": ["all"], "reason": "x"}}),
        ("$.reset.list", {"reset": {"suppressions": ["unsubscribed"], "reason": "x", "list": ""}}),
        ("$.reset", {"reset": {"suppressions": ["invalid"], "reason": "x", "by": "me"}}),
        ("$.consent.opens", {"consent": {"opens": "yes"}}),
        ("$.recipient", {"recipient": "", "consent": {"opens": "denied"}}),
        ("$.recipient", {"recipient": "\U0001f600" * 200, "consent": {"opens": "denied"}}),
    ],
)
def test_a_reset_without_a_reason_and_other_faults(service: Service, path: str, change: dict[str, Any]) -> None:
    recipient = fresh()
    happened(service, written_to(service, recipient), "complained")
    answer = service.call("PUT", "/v1/recipients", json={"recipient": recipient, **change})
    assert answer.status_code == 422, answer.text
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    refused(service, recipient, "spam")
