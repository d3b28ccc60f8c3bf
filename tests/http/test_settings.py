"""An account's settings over the API: what they may be, and what each of them does to the next message."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw import ask
from serving import Service, serving

pytest_plugins = ["service_fixtures"]

LINK = '<a href="https://shop.example/a?x=1#f">Shop</a>'
DEFAULTS: dict[str, Any] = {
    "track": {"opens": True, "clicks": True}, "text_part": True, "transactional_clicks": True,
    "pixel_position": "bottom", "excluded_hosts": [], "one_use_links": [], "link_text_urls": "warn",
    "link_params": {}, "footer": "auto", "sender_name": "", "postal_address": "",
    "unknown_consent": {"opens": "granted", "clicks": "granted"}, "retention_days": None,
    "classifier": {
        "bursts": True, "burst_s": 5, "sweeps": True, "probable_networks": True, "quick_open_s": 0,
        "quick_click_s": 0, "honeypot": False,
    },
}  # fmt: skip
ALL_SET: dict[str, Any] = {
    "track": {"opens": False, "clicks": True}, "text_part": False, "transactional_clicks": False,
    "pixel_position": "placeholder", "excluded_hosts": ["bank.example", "*.gov.example"], "one_use_links": ["/reset/"],
    "link_text_urls": "skip", "link_params": {"utm_source": "crm"}, "footer": "never", "sender_name": "Æ & <b>",
    "postal_address": "Street 1\nTown", "unknown_consent": {"opens": "denied", "clicks": "granted"},
    "retention_days": 400,
    "classifier": {
        "bursts": False, "burst_s": 1.5, "sweeps": False, "probable_networks": False, "quick_open_s": 2.5,
        "quick_click_s": 600, "honeypot": True,
    },
}  # fmt: skip
_ids = (f"set-{number}" for number in itertools.count())


def put(service: Service, **values: Any) -> dict[str, Any]:
    answer = service.call("PUT", "/v1/settings", json=values)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rewritten(service: Service, html: str | None = LINK, **fields: Any) -> dict[str, Any]:
    return service.rewrite(next(_ids), html=html, **fields)


@pytest.fixture(autouse=True)
def _by_default(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "service" in request.fixturenames:
        put(request.getfixturevalue("service"))


def test_they_come_back_as_they_were_put_and_what_is_left_out_is_default(service: Service) -> None:
    def read() -> Any:
        return service.call("GET", "/v1/settings").json()

    assert read() == put(service) == DEFAULTS
    assert put(service, **ALL_SET) == read() == ALL_SET
    assert put(service, footer="never") == read() == DEFAULTS | {"footer": "never"}
    partly = put(service, track={"clicks": False}, unknown_consent={"opens": "denied"}, classifier={"bursts": False})
    assert partly["classifier"] == DEFAULTS["classifier"] | {"bursts": False}
    assert partly["track"] == {"opens": True, "clicks": False}
    assert partly["unknown_consent"] == {"opens": "denied", "clicks": "granted"}
    assert partly["footer"] == "auto"


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$", {"bogus": 1}), ("$", []), ("$", None),
        ("$.track", {"track": {"bogus": True}}), ("$.track", {"track": True}),
        ("$.track.opens", {"track": {"opens": 1}}), ("$.track.clicks", {"track": {"clicks": None}}),
        ("$.text_part", {"text_part": "yes"}), ("$.transactional_clicks", {"transactional_clicks": 0}),
        ("$.pixel_position", {"pixel_position": "middle"}), ("$.link_text_urls", {"link_text_urls": "drop"}),
        ("$.footer", {"footer": "always"}),
        ("$.excluded_hosts", {"excluded_hosts": "a.example"}), ("$.excluded_hosts", {"excluded_hosts": ["a"] * 1001}),
        *(
            ("$.excluded_hosts[0]", {"excluded_hosts": [host]})
            for host in ("", "*", "*.", "a b", "https://a.example", "a.example:80", "a.example/", "u@a", "a\0", 1)
        ),
        ("$.one_use_links[0]", {"one_use_links": [""]}), ("$.one_use_links", {"one_use_links": "x"}),
        ("$.link_params", {"link_params": {str(n): "" for n in range(21)}}),
        ("$.link_params", {"link_params": {"": "v"}}), ("$.link_params", {"link_params": {"k" * 65: "v"}}),
        ("$.link_params[...]", {"link_params": {"k": 1}}), ("$.link_params[...]", {"link_params": {"k": "v" * 257}}),
        ("$.sender_name", {"sender_name": "a\nb"}), ("$.sender_name", {"sender_name": "x" * 201}),
        ("$.postal_address", {"postal_address": "a\0"}), ("$.postal_address", {"postal_address": "x" * 501}),
        ("$.unknown_consent.opens", {"unknown_consent": {"opens": "unknown"}}),
        ("$.unknown_consent.clicks", {"unknown_consent": {"clicks": "maybe"}}),
        ("$.classifier", {"classifier": {"rules": 1}}), ("$.classifier", {"classifier": None}),
        ("$.classifier.bursts", {"classifier": {"bursts": "off"}}),
        *(("$.classifier.quick_open_s", {"classifier": {"quick_open_s": wait}}) for wait in (-1, 600.5, "5", None)),
        *(("$.classifier.burst_s", {"classifier": {"burst_s": window}}) for window in (0, 5.5)),
        ("$.classifier.quick_click_s", {"classifier": {"quick_click_s": 601}}),
        *(("$.retention_days", {"retention_days": days}) for days in (0, -1, 36_501, "1", 1.5, True)),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_named_by_its_place(service: Service, path: str, values: Any) -> None:
    put(service, footer="never")
    answer = service.call("PUT", "/v1/settings", json=values)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert service.call("GET", "/v1/settings").json()["footer"] == "never", "and nothing is changed"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"sender_name": "\\ud800"}', b"[" * 100_000])
def test_what_is_not_json_is_refused(service: Service, body: bytes) -> None:
    answer = service.call("PUT", "/v1/settings", content=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$")


def test_what_is_tracked(service: Service) -> None:
    put(service, track={"opens": False})
    mail = rewritten(service, text="https://shop.example/")
    assert mail["track"] == {"opens": False, "clicks": True}
    assert mail["open_url"] is None
    assert "/o/" not in mail["html"]
    assert [link["action"] for link in mail["links"]] == ["rewritten"] * 2
    put(service, track={"clicks": False})
    mail = rewritten(service, text="https://shop.example/", track={"clicks": True})
    assert mail["track"] == {"opens": True, "clicks": False}
    assert LINK in mail["html"]
    assert "/c/" not in mail["html"] + mail["text"]
    put(service, text_part=False)
    mail = rewritten(service, text="https://shop.example/ {{unsubscribe_url}}")
    assert [link.get("reason") for link in mail["links"]] == [None, "tracking_off"]
    assert mail["text"] == f"https://shop.example/ {mail['unsubscribe_url']}"


def test_links_in_transactional_mail(service: Service) -> None:
    put(service, transactional_clicks=False)
    assert rewritten(service, **{"class": "transactional"})["track"] == {"opens": True, "clicks": False}
    assert rewritten(service)["track"] == {"opens": True, "clicks": True}


@pytest.mark.parametrize(
    ("position", "shape"),
    [
        ("bottom", "<body>a{{open_pixel}}b*</body>"), ("top", "<body>*a{{open_pixel}}b</body>"),
        ("both", "<body>*a{{open_pixel}}b*</body>"), ("placeholder", "<body>a*b</body>"),
    ],
)  # fmt: skip
def test_where_the_pixel_goes(service: Service, position: str, shape: str) -> None:
    put(service, pixel_position=position, footer="never")
    html = rewritten(service, "<body>a{{open_pixel}}b</body>")["html"]
    assert re.sub(r"<img[^>]+>", "*", html) == shape


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ({"excluded_hosts": ["SHOP.example."]}, ["excluded_host", None, None]),
        ({"excluded_hosts": ["*.shop.example"]}, [None, "excluded_host", None]),
        ({"one_use_links": ["/ReSet/"]}, [None, None, "one_use"]),
        ({"link_text_urls": "skip"}, [None, "link_text", None]),
        ({"link_text_urls": "warn"}, [None, None, None]),
    ],
)
def test_which_links_are_left(service: Service, values: dict[str, Any], reasons: list[str | None]) -> None:
    put(service, **values)
    html = (
        '<a href="https://shop.example/">a</a><a href="https://www.Shop.example/">https://shop.example</a>'
        '<a href="https://other.example/reset/1">c</a>'
    )
    mail = rewritten(service, html)
    assert [link.get("reason") for link in mail["links"]] == reasons


def test_parameters_of_links(service: Service) -> None:
    put(service, link_params={"x": "settings", "utm_source": "settings", "utm_medium": "e mail&"})
    (link,) = rewritten(service, link_params={"utm_source": "call", "x": "call"})["links"]
    assert link["url"] == "https://shop.example/a?x=1&utm_source=call&utm_medium=e%20mail%26#f"


def test_the_footer_says_who_the_mail_is_from(service: Service) -> None:
    put(service, sender_name='A & B <script>"', postal_address="Street <1>\nTown & Country")
    mail = rewritten(service, "<p>Hi</p>\r\n", text="Hi\r\n")
    assert "A &amp; B &lt;script&gt;&quot;<br>Street &lt;1&gt;<br>Town &amp; Country<br><a href=" in mail["html"]
    lines = ['A & B <script>"', "Street <1>", "Town & Country", f"Unsubscribe: {mail['unsubscribe_url']}"]
    assert mail["text"].endswith("\r\n".join(["", *lines, ""]))
    page = ask(service.port, "GET", mail["unsubscribe_url"].removeprefix(service.url)).body.decode()
    assert "Unsubscribe from A &amp; B &lt;script&gt;" in page
    assert "<script" not in page
    for values, fields in (({"footer": "never"}, {}), ({}, {"unsubscribe": {"footer": "never"}})):
        put(service, sender_name="Somebody", postal_address="Somewhere", **values)
        assert rewritten(service, None, text="Hi\r\n", **fields)["text"] == "Hi\r\n"
    body = "<p>{{ unsubscribe_url }}</p>"
    mail = rewritten(service, body, track={"opens": False})
    assert mail["html"] == f"<p>{mail['unsubscribe_url']}</p>", "where it has a place, there is no footer"


def test_a_change_is_in_force_on_every_process_within_5_s(tmp_path: Path) -> None:
    with serving(tmp_path / "data", arguments=("--workers", "2")) as service:
        put(service, sender_name="Changed")
        path = service.rewrite("m-1")["unsubscribe_url"].removeprefix(service.url)
        time.sleep(5)
        for _ in range(100):  # each on a connection of its own, so that both processes are asked
            assert b"from Changed" in ask(service.port, "GET", path).body


pieces = st.sampled_from(
    [
        "\r\n", "\r", "\n", "\t", LINK, "{{name}}", "{% if x %}", "*|NAME|*", "<%= x %>", "<!--[if mso]>",
        "<table><a href=x>", "</p", "<a href='https://b.example/?a=1&amp;b=2'", ">", '"', "'", "&nbsp", "\ufeff", "é",
        "\U0001f469\u200d\U0001f4bb", "\u2028", "<body>", "</body>", "</html>", "<style>a{}</style>", "<![endif]-->",
        "<svg><a href=//c.example>", "https://d.example/ ", "<https://e.example/>", "<a data-no-track href=http://f.example>",
    ]
)  # fmt: skip
bodies = st.lists(pieces | st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=12).map("".join)


@given(html=bodies, text=bodies)
@example(html=LINK + "\0", text="\0https://shop.example/\r\n")
@settings(max_examples=50, deadline=None)
def test_with_everything_off_a_body_comes_back_byte_for_byte(service: Service, html: str, text: str) -> None:
    put(service, track={"opens": False, "clicks": False}, footer="never", link_params={"a": "b"})
    mail = rewritten(service, html, text=text)
    assert (mail["html"], mail["text"]) == (html, text)
    assert mail["track"] == {"opens": False, "clicks": False}


CONSENTS = ("granted", "denied", "unknown")
ONOFF = (True, False)


def allowed(account: bool, call: bool, said: str, kept: str, unknown: str) -> bool:
    """Denied or switched off anywhere is off; and somebody must have said yes, if only the settings."""
    return account and call and "denied" not in (said, kept) and "granted" in (said, kept, unknown)


def test_the_narrowest_wish_is_in_force(service: Service) -> None:
    kept = list(itertools.product(CONSENTS, CONSENTS))
    for opens, clicks in kept:
        change = {"recipient": f"{opens}-{clicks}", "consent": {"opens": opens, "clicks": clicks}}
        assert service.call("PUT", "/v1/recipients", json=change).status_code == 200
    choices = [
        (said, stored, {"recipient": f"{stored[0]}-{stored[1]}", "consent": {"opens": said[0], "clicks": said[1]}})
        for said in kept
        for stored in kept
    ]
    for account, unknown in itertools.product(
        itertools.product(ONOFF, ONOFF), itertools.product(CONSENTS[:2], CONSENTS[:2])
    ):
        track = dict(zip(("opens", "clicks"), account, strict=True))
        put(service, track=track, unknown_consent=dict(zip(("opens", "clicks"), unknown, strict=True)))
        for call in itertools.product(ONOFF, ONOFF):
            people = [{"message_id": next(_ids), **fields} for _, _, fields in choices]
            body = {"html": LINK, "track": {"opens": call[0], "clicks": call[1]}, "recipients": people}
            lines = [line for line in service.call("POST", "/v1/rewrite/batch", json=body).text.splitlines() if line]
            for (said, stored, _), line in zip(choices, lines, strict=True):
                wishes = zip(account, call, said, stored, unknown, strict=True)
                tracked = tuple(allowed(*each) for each in wishes)
                assert f'"track":{{"opens":{str(tracked[0]).lower()},"clicks":{str(tracked[1]).lower()}}}' in line
                assert ("/o/" in line, "/c/" in line) == tracked
