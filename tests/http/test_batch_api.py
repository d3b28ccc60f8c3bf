"""``POST /v1/rewrite/batch``: one template, many recipients, a line of JSON for each as it is made."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from serving import Service

pytest_plugins = ["service_fixtures"]

HTML = '<p><a href="https://shop.example/">Shop</a></p>'
_runs = itertools.count()


def recipients(count: int) -> list[dict[str, str]]:
    run = next(_runs)
    return [{"message_id": f"many-{run}-{n}", "recipient": f"lead-{n}"} for n in range(count)]


def lines(service: Service, **fields: Any) -> list[dict[str, Any]]:
    answer = service.call("POST", "/v1/rewrite/batch", json={"html": HTML, **fields})
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content.endswith(b"\n")
    return [json.loads(line) for line in answer.content.splitlines()]


def test_each_line_is_what_the_single_call_answers(service: Service) -> None:
    people: list[dict[str, Any]] = [
        *recipients(2),
        {"message_id": "many-denied", "consent": {"opens": "denied", "clicks": "denied"}, "rfc822_message_id": "<1@x>"},
    ]
    shared: dict[str, Any] = {
        "batch": "november",
        "list": "news",
        "text": "https://shop.example/",
        "link_params": {"a": "b"},
    }
    answers = lines(service, recipients=people, **shared)
    assert [answer["message_id"] for answer in answers] == [one["message_id"] for one in people]
    for one, answer in zip(people, answers, strict=True):
        assert answer == service.call("POST", "/v1/rewrite", json={"html": HTML, **shared, **one}).json()
    assert answers[0]["html"] != answers[1]["html"]
    assert answers[2]["track"] == {"opens": False, "clicks": False}


def test_the_first_line_comes_before_the_last_is_made(service: Service) -> None:
    people = recipients(2000)
    call = {"html": HTML * 50, "recipients": people}
    rewrites = service.metric("tracker_rewrites_total")
    headers = {"Authorization": f"Bearer {service.api_key}"}
    with service.client.stream("POST", "/v1/rewrite/batch", json=call, headers=headers) as answer:
        stream = answer.iter_lines()
        assert json.loads(next(stream))["message_id"] == people[0]["message_id"]
        # Nothing more is read, so the service is held up by the full socket, long before the end.
        assert service.metric("tracker_rewrites_total") - rewrites < 2000
        assert sum(1 for _ in stream) == 1999


def test_a_conflict_is_a_line_and_the_others_go_on(service: Service) -> None:
    people = recipients(250)
    service.rewrite(people[120]["message_id"], recipient="somebody else")
    answers = lines(service, recipients=people)
    assert [answer["message_id"] for answer in answers] == [one["message_id"] for one in people]
    (failed,) = [answer for answer in answers if "error" in answer]
    assert set(failed) == {"message_id", "error"}
    assert failed["message_id"] == people[120]["message_id"]
    assert failed["error"]["status"] == 409
    assert failed["error"]["type"].endswith("message_conflict")


@pytest.mark.parametrize(
    ("path", "people"),
    [
        ("$.recipients", []),
        ("$.recipients", [{"message_id": f"m{n}"} for n in range(10_001)]),
        ("$.recipients[2].message_id", [{"message_id": "a"}, {"message_id": "b"}, {"message_id": "a"}]),
        ("$.recipients[1].message_id", [{"message_id": "a"}, {"message_id": "a b"}]),
        ("$.recipients[1]", [{"message_id": "a"}, {"message_id": "b", "html": "x"}]),
        ("$.recipients[1].recipient", [{"message_id": "a"}, {"message_id": "b", "recipient": "\U0001f600" * 200}]),
        ("$.recipients[0]", [{}]),
    ],
)
def test_what_is_not_valid_is_named_and_nothing_is_done(service: Service, path: str, people: list[Any]) -> None:
    answer = service.call("POST", "/v1/rewrite/batch", json={"html": HTML, "recipients": people})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["path"] in (path, re.sub(r"\d+", "...", path)), "the decoder does not count, our own checks do"
    assert service.message("a") is None


def test_ten_thousand_recipients_are_one_call(service: Service) -> None:
    people = recipients(10_000)
    answers = lines(service, html=None, text="x", recipients=people)
    assert [answer["message_id"] for answer in answers] == [one["message_id"] for one in people]
    service.reached(people[-1]["message_id"], "rewritten")
