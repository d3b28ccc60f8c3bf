"""From the rewrite to the status: what the API says of a message as it is opened, clicked and unsubscribed from."""

from __future__ import annotations

import re
from typing import Any

from raw import ask
from serving import Service, eventually

pytest_plugins = ["service_fixtures"]

SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari"
GMAIL_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
GMAIL_PREFETCH = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
)
TIMES = {
    "rewritten_at", "sent_at", "delivered_at", "failed_at", "first_opened_at", "last_opened_at", "first_clicked_at",
    "last_clicked_at", "replied_at", "unsubscribed_at", "complained_at",
}  # fmt: skip
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
COUNTS = {"human": 0, "proxy": 0, "machine": 0}


def staged(service: Service, message_id: str, stage: str) -> dict[str, Any]:
    """The message as soon as it has this stage, checked for its form."""
    message = eventually(lambda: service.message(message_id), lambda found: found and found["stage"] == stage)
    assert message is not None
    assert set(message) == TIMES | {
        "message_id", "batch", "recipient", "stage", "label", "last_action", "status", "opens", "clicks", "links"
    }  # fmt: skip
    for name in TIMES:
        assert message[name] is None or RFC_3339.fullmatch(message[name])
    for counts in (message["opens"], message["clicks"], *(link["clicks"] for link in message["links"])):
        assert set(counts) == set(COUNTS)
        assert all(type(count) is int for count in counts.values())
    return message


def fetch(service: Service, url: str, agent: str, *, method: str = "GET", **headers: str) -> int:
    pairs = [("User-Agent", agent), ("Accept", "image/*"), *((k.replace("_", "-"), v) for k, v in headers.items())]
    return ask(service.port, method, url.removeprefix(service.url), pairs).status


def test_the_stages_of_a_message(any_service: Service) -> None:
    service = any_service
    html = '<a href="https://shop.example/one">1</a> <a href="https://shop.example/two">2</a>'
    mail = service.rewrite("stages", html=html, recipient="lead-77", batch="2026-11", list="news")
    message = staged(service, "stages", "sent")
    assert (message["message_id"], message["recipient"], message["batch"]) == ("stages", "lead-77", "2026-11")
    assert (message["label"], message["last_action"], message["status"]) == (None, "Sent", None)
    assert {name for name in TIMES if message[name]} == {"rewritten_at"}
    assert (message["opens"], message["clicks"], message["links"]) == (COUNTS, COUNTS, [])

    fetch(service, mail["open_url"], "Mozilla/5.0")
    fetch(service, mail["open_url"], GMAIL_PREFETCH)
    fetch(service, mail["open_url"], SAFARI, Sec_Purpose="prefetch;anonymous-client-ip")
    fetch(service, mail["links"][1]["tracked_url"], SAFARI, Purpose="prefetch")
    eventually(lambda: service.types("stages"), lambda types: types == ["clicked", *["opened"] * 3, "rewritten"])
    message = staged(service, "stages", "sent")
    assert message["opens"] == COUNTS | {"machine": 3}
    assert message["first_opened_at"] is None

    fetch(service, mail["open_url"], GMAIL_PROXY)
    message = staged(service, "stages", "opened")
    assert (message["label"], message["last_action"]) == ("Opened", "Opened")
    assert message["opens"] == {"human": 0, "proxy": 1, "machine": 3}
    assert message["first_opened_at"] == message["last_opened_at"] > message["rewritten_at"]

    for _ in range(2):
        fetch(service, mail["links"][1]["tracked_url"], SAFARI)
    message = eventually(lambda: staged(service, "stages", "clicked"), lambda found: found["clicks"]["human"] == 2)
    assert (message["label"], message["last_action"]) == ("Clicked", "Clicked")
    clicks = {"human": 2, "proxy": 0, "machine": 1}
    assert message["clicks"] == clicks
    assert message["links"] == [{"index": 1, "url": "https://shop.example/two", "clicks": clicks}]
    assert message["first_clicked_at"] <= message["last_clicked_at"]

    assert fetch(service, mail["unsubscribe_url"], SAFARI, method="POST") == 200
    message = staged(service, "stages", "unsubscribed")
    assert (message["label"], message["last_action"]) == ("Unsubscribed", "Unsubscribed")
    assert message["unsubscribed_at"] >= message["last_clicked_at"]
    check_events(service, "stages")


EVENT_FIELDS = {
    "id": str, "type": str, "occurred_at": str, "last_at": str, "recorded_at": str, "count": int, "node": str,
    "link": int, "url": str, "list": str, "user_agent": str, "accept": str, "purpose": str, "address": str,
    "source": str, "network": str, "honeypot": bool, "registration": dict, "delivery": dict, "reporter": str,
    "event_id": str, "change": dict, "actor": str, "reasons": list,
    "rule_version": int,
}  # fmt: skip
ALWAYS = {"honeypot", "id", "type", "occurred_at", "last_at", "recorded_at", "count", "node", "reasons"}


def check_events(service: Service, message_id: str) -> None:
    answer = service.call("GET", f"/v1/messages/{message_id}/events").json()
    assert set(answer) == {"events", "next"}
    assert answer["next"] is None
    events = answer["events"]
    for event in events:
        assert set(event) == set(EVENT_FIELDS)
        for name, type_ in EVENT_FIELDS.items():
            assert type(event[name]) is type_ or (event[name] is None and name not in ALWAYS), name
        assert all(RFC_3339.fullmatch(event[name]) for name in ("occurred_at", "last_at", "recorded_at"))
        assert event["occurred_at"] <= event["last_at"] <= event["recorded_at"]
        assert event["rule_version"] == (2 if event["type"] in ("opened", "clicked") else None)
        assert (event["actor"] is None) == (event["rule_version"] is None)
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
    (registered,) = [event["registration"] for event in events if event["registration"]]
    assert registered == {
        "recipient": "lead-77", "batch": "2026-11", "list": "news", "class": "marketing", "tracks_opens": True,
        "tracks_clicks": True, "link_count": 2, "rfc822_message_id": None,
    }  # fmt: skip
    reasons = {(event["type"], event["actor"], *event["reasons"]) for event in events if event["actor"]}
    assert reasons == {
        ("opened", "machine", "apple_mail_privacy"), ("opened", "machine", "gmail_prefetch"),
        ("opened", "machine", "prefetch_header"), ("clicked", "machine", "prefetch_header"),
        ("opened", "proxy", "gmail_image_proxy"), ("clicked", "human"),
    }  # fmt: skip
    (left,) = [event for event in events if event["type"] == "unsubscribed"]
    assert (left["list"], left["link"], left["url"]) == ("news", None, None)
    after = service.call("GET", f"/v1/messages/{message_id}/events?after={events[1]['id']}").json()
    assert after["events"] == events[2:]


def test_a_persons_click_implies_the_open(any_service: Service) -> None:
    service = any_service
    fetch(service, service.link("https://shop.example/", "implied"), SAFARI)
    message = staged(service, "implied", "clicked")
    assert message["opens"] == COUNTS


def test_a_message_that_nobody_knows_is_not_found(any_service: Service) -> None:
    service = any_service
    assert service.message("unheard-of") is None
    assert service.call("GET", "/v1/messages/unheard-of/events").status_code == 404


def test_a_recipient_with_an_address_and_any_script_is_kept_as_it_is(any_service: Service) -> None:
    service = any_service
    name = "Jürgen “J” O'Neil <j@x.example> \\ 李 \U0001f600"
    service.rewrite("any-script", recipient=name, batch="Ünï 1", list="L'été")
    message = staged(service, "any-script", "sent")
    assert (message["recipient"], message["batch"]) == (name, "Ünï 1")


def test_all_characters_that_a_message_id_may_have(any_service: Service) -> None:
    service = any_service
    message_id = "_aZ09._:@+=~-"
    mail = service.rewrite(message_id)
    fetch(service, mail["open_url"], SAFARI)
    service.reached(message_id, "rewritten", "opened")
