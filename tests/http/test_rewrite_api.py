"""``POST /v1/rewrite``: who may call it, what it refuses and how it says so, what it gives back."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw import ask, connected, received
from serving import API_KEY, Service

pytest_plugins = ["service_fixtures"]

MIB = 1024 * 1024
LINK = '<p><a href="https://shop.example/">Shop</a></p>'
_ids = (f"api-{number}" for number in itertools.count())


def problem(service: Service, status: int, body: Any, **more: Any) -> dict[str, Any]:
    """The problem details with which a call is refused, checked for their form (RFC 9457)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = service.call("POST", more.pop("path", "/v1/rewrite"), content=content, **more)
    assert answer.status_code == status, answer.text[:1000]
    assert answer.headers["content-type"] == "application/problem+json"
    details: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(details) <= {"type", "title", "status", "detail", "errors"}
    assert details["status"] == status
    assert all(details[name] and isinstance(details[name], str) for name in ("type", "title", "detail"))
    assert ("errors" in details) == (status == 422)
    for error in details.get("errors", []):
        assert set(error) == {"path", "message"}
    return details


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {API_KEY}", API_KEY, f"Bearer {API_KEY}x", "Bearer \xff"],
)
def test_without_a_valid_key_nothing_is_done(service: Service, authorization: str | None) -> None:
    message_id = next(_ids)
    body = json.dumps({"message_id": message_id, "html": LINK}).encode()
    headers = [("Authorization", authorization)] if authorization is not None else []
    for method, path, sent in (
        ("POST", "/v1/rewrite", body),
        ("POST", "/v1/rewrite/batch", b"not even JSON"),
        ("GET", f"/v1/messages/{message_id}", b""),
        ("GET", f"/v1/messages/{message_id}/events", b""),
    ):
        answer = ask(service.port, method, path, headers, sent)
        assert answer.status == 401
        assert answer.one("www-authenticate").startswith(b"Bearer")
        assert json.loads(answer.body)["status"] == 401
    assert service.message(message_id) is None


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_schemes_name_is_read_in_any_case(service: Service, scheme: str) -> None:
    body = json.dumps({"message_id": next(_ids), "html": LINK}).encode()
    assert ask(service.port, "POST", "/v1/rewrite", [("Authorization", f"{scheme} {API_KEY}")], body).status == 200


def test_a_large_body_without_a_key_is_told_so_and_not_cut_off(service: Service) -> None:
    assert ask(service.port, "POST", "/v1/rewrite", [], b"x" * 4 * MIB).status == 401


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("$.message_id", {"message_id": None}),
        ("$.message_id", {"message_id": 7}),
        ("$.message_id", {"message_id": ""}),
        ("$.message_id", {"message_id": "x" * 129}),
        ("$.message_id", {"message_id": ".starts-badly"}),
        ("$.message_id", {"message_id": "a b"}),
        ("$.message_id", {"message_id": "a/b"}),
        ("$.message_id", {"message_id": "a\n"}),
        ("$.message_id", {"message_id": "é"}),
        ("$", {"bogus": 1}),
        ("$.track", {"track": {"opens": True, "bogus": 1}}),
        ("$.track.opens", {"track": {"opens": "yes"}}),
        ("$.track", {"track": True}),
        ("$.consent.clicks", {"consent": {"clicks": "maybe"}}),
        ("$.class", {"class": "spam"}),
        ("$.unsubscribe.footer", {"unsubscribe": {"footer": "always"}}),
        ("$.html", {"html": ["x"]}),
        ("$.text", {"text": 1}),
        ("$", {"html": None}),
        ("$.list", {"list": ""}),
        ("$.list", {"list": "x" * 129}),
        ("$.batch", {"batch": "a\tb"}),
        ("$.recipient", {"recipient": ""}),
        ("$.recipient", {"recipient": "x" * 321}),
        ("$.recipient", {"recipient": "\U0001f600" * 129}),
        ("$.rfc822_message_id", {"rfc822_message_id": "<a\r\nb>"}),
        ("$.link_params", {"link_params": {f"p{n}": "v" for n in range(21)}}),
        ("$.link_params[...]", {"link_params": {"a": 1}}),
    ],
)
def test_what_is_not_valid_is_named_by_its_place(service: Service, path: str, change: dict[str, Any]) -> None:
    details = problem(service, 422, {"message_id": next(_ids), "html": LINK} | change)
    assert [error["path"] for error in details["errors"]] == [path]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"message_id": "\\ud800"}', b"[" * 100_000])
def test_what_is_not_a_json_object_is_refused(service: Service, body: bytes) -> None:
    assert problem(service, 422, body)["errors"][0]["path"] == "$"


def test_bodies_are_limited_to_2_mib_each(service: Service) -> None:
    for name in ("html", "text"):
        assert service.rewrite(next(_ids), **{"html": None, name: "x" * 2 * MIB})[name].startswith("xxx")
        problem(service, 413, {"message_id": next(_ids), name: "x" * (2 * MIB + 1)})
        problem(service, 413, {"message_id": next(_ids), name: "é" * (MIB + 1)})
    problem(service, 413, b" " * 17 * MIB)


def test_a_body_of_unknown_length_is_limited_as_well(service: Service) -> None:
    head = f"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {API_KEY}\r\n"
    with connected(service.port) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            connection.sendall(b"100000\r\n" + b" " * MIB + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert received(connection).status == 413


def test_a_compressed_body_is_refused(service: Service) -> None:
    problem(service, 415, b"\x1f\x8b", headers={"Content-Encoding": "gzip"})


def test_other_methods_and_paths(service: Service) -> None:
    for method, path, status in (
        ("GET", "/v1/rewrite", 405), ("DELETE", "/v1/messages/x", 405), ("POST", "/healthz", 405),
        ("GET", "/v1/nothing", 404), ("GET", "/v1/messages/", 404), ("GET", "/v1/messages/nobody", 404),
        ("GET", "/v1/messages/nobody/events", 404), ("GET", "/v1/messages/a%00b", 404),
        ("GET", "/v1/messages/%ff", 404),
        ("GET", "/v1/messages/" + "x" * 5000, 404), ("GET", "/v1/messages/a%2Fb", 404),
        ("GET", "/v1/messages/x/events?after=nonsense", 422), ("GET", "/v1/messages/a%00b/events", 404),
    ):  # fmt: skip
        answer = service.call(method, path)
        assert answer.status_code == status, path
        assert answer.json()["status"] == status
        assert status != 405 or answer.headers["allow"]


def test_the_same_call_gives_the_same_bytes(service: Service) -> None:
    call = {"message_id": next(_ids), "html": LINK, "recipient": "lead-1", "batch": "b", "link_params": {"a": "1"}}
    first, second = (service.call("POST", "/v1/rewrite", json=call) for _ in range(2))
    assert first.content == second.content
    again = service.rewrite(**call | {"html": first.json()["html"]})
    assert again["html"] == first.json()["html"]


def test_a_message_belongs_to_one_recipient_and_one_batch(service: Service) -> None:
    call = {"message_id": next(_ids), "html": LINK, "recipient": "lead-1", "batch": "b-1"}
    for at_first in (True, False):
        assert service.call("POST", "/v1/rewrite", json=call).status_code == 200
        for change in ({"recipient": "lead-2"}, {"recipient": None}, {"batch": "b-2"}, {"batch": None}):
            details = problem(service, 409, call | change)
            assert details["type"].endswith("message_conflict")
            assert "lead-1" not in details["detail"]
        if at_first:
            service.reached(call["message_id"], "rewritten")


def test_of_two_calls_at_once_for_different_recipients_one_is_a_conflict(service: Service) -> None:
    for _ in range(10):
        message_id = next(_ids)
        calls = [{"message_id": message_id, "html": LINK, "recipient": f"lead-{n}"} for n in range(4)]
        with ThreadPoolExecutor(len(calls)) as pool:
            answers = pool.map(lambda call: service.call("POST", "/v1/rewrite", json=call).status_code, calls)
            assert sorted(answers) == [200, 409, 409, 409]


@pytest.mark.parametrize("track", [None, {}, {"opens": False}, {"clicks": False}, {"opens": False, "clicks": False}])
@pytest.mark.parametrize("consent", [None, {}, {"opens": "denied"}, {"clicks": "denied", "opens": "granted"}])
def test_tracking_is_what_both_the_call_and_the_consent_allow(
    service: Service, track: dict[str, bool] | None, consent: dict[str, str] | None
) -> None:
    fields = {"track": track, "consent": consent}
    rewritten = service.rewrite(next(_ids), html=LINK, **{k: v for k, v in fields.items() if v is not None})
    opens = (track or {}).get("opens", True) and (consent or {}).get("opens") != "denied"
    clicks = (track or {}).get("clicks", True) and (consent or {}).get("clicks") != "denied"
    assert rewritten["track"] == {"opens": opens, "clicks": clicks}
    assert (rewritten["open_url"] is not None) == ("<img" in rewritten["html"]) == opens
    link = rewritten["links"][0]
    assert (link["action"] == "rewritten") == ("https://shop.example/" not in rewritten["html"]) == clicks
    assert clicks or link["reason"] == "tracking_off"
    assert rewritten["unsubscribe_url"] in rewritten["html"]


def test_every_field_of_the_answer(service: Service) -> None:
    message_id = next(_ids)
    html = '<a href="https://shop.example/?a=1&amp;utm_source=mine#top">x</a> <a href="mailto:a@b.example">m</a>'
    rewritten = service.rewrite(
        message_id, rfc822_message_id="<1@mail.example>", list="news", **{"class": "transactional"},
        recipient="lead@person.example", batch="b", html=html, text="See https://shop.example/text.",
        link_params={"utm_source": "crm", "utm_medium": "e mail&more"}, unsubscribe={"footer": "never"},
    )  # fmt: skip
    assert set(rewritten) == {
        "message_id", "html", "text", "headers", "track", "open_url", "unsubscribe_url", "links", "warnings"
    }  # fmt: skip
    assert rewritten["message_id"] == message_id
    assert rewritten["warnings"] == []
    assert rewritten["headers"]["List-Unsubscribe"] == f"<{rewritten['unsubscribe_url']}>"
    assert rewritten["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert set(rewritten["headers"]) == {"List-Unsubscribe", "List-Unsubscribe-Post", "X-Tracker-Id"}
    shop, mail, text = rewritten["links"]
    added = "utm_medium=e%20mail%26more"
    assert shop["url"] == f"https://shop.example/?a=1&utm_source=mine&{added}#top"
    assert (shop["index"], shop["part"], shop["action"]) == (0, "html", "rewritten")
    assert mail == {
        "index": None, "part": "html", "url": "mailto:a@b.example", "tracked_url": None, "action": "skipped",
        "reason": "scheme",
    }  # fmt: skip
    assert (text["index"], text["part"]) == (1, "text")
    assert text["url"] == f"https://shop.example/text?utm_source=crm&{added}"
    for link in (shop, text):
        location = ask(service.port, "GET", link["tracked_url"].removeprefix(service.url)).one("location")
        assert location == link["url"].encode()
    assert "person" not in json.dumps({**rewritten, "html": "", "text": ""})
    assert "Unsubscribe" not in rewritten["html"] + rewritten["text"]


def test_the_placeholder_becomes_the_unsubscribe_link(service: Service) -> None:
    rewritten = service.rewrite(
        next(_ids),
        html='<a href="{{unsubscribe_url}}">Leave</a> {{ unsubscribe_url }}',
        text="Leave: {{unsubscribe_url }}",
    )
    assert "{{" not in rewritten["html"] + rewritten["text"]
    assert rewritten["html"].count(rewritten["unsubscribe_url"]) == 2
    assert rewritten["text"] == f"Leave: {rewritten['unsubscribe_url']}"
    assert [(link["action"], link["reason"]) for link in rewritten["links"]] == [("skipped", "unsubscribe")]


def test_a_warning_comes_with_html_that_gmail_would_cut(service: Service) -> None:
    (warning,) = service.rewrite(next(_ids), html="<p>x</p>" * 13_000)["warnings"]
    assert set(warning) == {"code", "detail"}
    assert warning["code"] == "html_over_gmail_limit"
    assert "104" in warning["detail"]


def test_a_part_that_was_not_sent_is_null_and_has_no_pixel(service: Service) -> None:
    assert service.rewrite(next(_ids))["text"] is None
    only_text = service.rewrite(next(_ids), html=None, text="https://shop.example/")
    assert only_text["html"] is None
    assert only_text["track"] == {"opens": False, "clicks": True}
    assert only_text["open_url"] is None
    assert only_text["open_url"] is None


def test_a_client_that_hangs_up_is_no_error_in_the_log(service: Service) -> None:
    head = f"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 99\r\n\r\n{{"
    with connected(service.port) as connection:
        connection.sendall(head.encode())
    assert service.client.get("/healthz").status_code == 200
    assert '"level":"error"' not in service.output()
