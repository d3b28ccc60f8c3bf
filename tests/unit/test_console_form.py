"""The settings as a form: all of them are there, nothing is lost, and each error is beside its field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tracker.core.accounts import AccountSettings, TrackSetting, UnknownConsent, settings_from
from tracker.core.agents import ClassifierSettings
from tracker.core.model import Consent
from tracker.core.plan import Footer, LinkTextRule, PixelPosition
from tracker.web.console.form import FIELDS, GROUPS, Kind, document, typed

DEFAULTS = AccountSettings(excluded_hosts=("keep.example",), sender_name="Usual")
OTHERS = AccountSettings(
    track=TrackSetting(opens=False, clicks=True),
    text_part=False,
    transactional_clicks=False,
    pixel_position=PixelPosition.TOP,
    excluded_hosts=("a.example", "*.b.example"),
    one_use_links=("/reset", "/magic link"),
    link_text_urls=LinkTextRule.SKIP,
    link_params={"utm_source": "crm=1", "empty": ""},
    footer=Footer.NEVER,
    sender_name='<b> & "Sons"',
    postal_address="Street 1\nTown",
    unknown_consent=UnknownConsent(Consent.DENIED, Consent.GRANTED),
    retention_days=30,
    classifier=ClassifierSettings(
        bursts=False,
        burst_s=1.5,
        sweeps=False,
        probable_networks=False,
        quick_open_s=0.5,
        quick_click_s=12,
        honeypot=True,
    ),
)


def names(shape: Any, before: str = "") -> list[str]:
    found = []
    for field in msgspec.structs.fields(shape):
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        found += names(field.type, f"{before}{field.name}.") if nested else [before + field.name]
    return found


def test_every_setting_has_one_field() -> None:
    assert sorted(field.name for group in GROUPS for field in group.fields) == sorted(names(AccountSettings))


def test_every_choice_there_is_can_be_chosen() -> None:
    kinds = {"pixel_position": PixelPosition, "link_text_urls": LinkTextRule, "footer": Footer}
    for name, field in FIELDS.items():
        if field.kind is Kind.CHOICE:
            assert list(field.choices) == list(kinds.get(name, (Consent.GRANTED, Consent.DENIED)))


@pytest.mark.parametrize("settings", [DEFAULTS, OTHERS, AccountSettings()], ids=["defaults", "others", "none"])
def test_what_is_shown_and_sent_back_is_the_same(settings: AccountSettings) -> None:
    values, errors = document(typed(settings), DEFAULTS)
    assert errors == {}
    assert settings_from(msgspec.json.decode(msgspec.json.encode(values)), DEFAULTS) == settings


def test_what_is_the_default_is_not_stored() -> None:
    assert document(typed(DEFAULTS), DEFAULTS) == ({}, {})
    given = typed(DEFAULTS) | {"track.opens": "", "retention_days": " 7 "}
    assert document(given, DEFAULTS) == ({"track": {"opens": False, "clicks": True}, "retention_days": 7}, {})


def test_lines_are_taken_as_browsers_send_them() -> None:
    given = typed(DEFAULTS) | {
        "excluded_hosts": "\r\n a.example \r\n\r\nb.example\r\n",
        "link_params": "a=1\r\nb = x=y \r\n",
        "postal_address": "One\r\nTwo\r\n",
    }
    values, errors = document(given, DEFAULTS)
    assert errors == {}
    assert values == {
        "excluded_hosts": ["a.example", "b.example"],
        "link_params": {"a": "1", "b": "x=y"},
        "postal_address": "One\nTwo",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("retention_days", "0"), ("retention_days", "-1"), ("retention_days", "many"), ("retention_days", "1.5"),
        ("retention_days", "36501"), ("retention_days", "٣"), ("retention_days", "9" * 30),
        ("excluded_hosts", "good.example\nhttp://bad.example/"), ("excluded_hosts", "b" * 300),
        ("excluded_hosts", "\n".join(f"h{n}.example" for n in range(1001))),
        ("one_use_links", "x" * 129), ("link_params", "no sign"), ("link_params", "=value"),
        ("link_params", "a=1\na=2"), ("link_params", "a=" + "x" * 257), ("link_params", "n" * 65 + "=1"),
        ("link_params", "\n".join(f"n{n}=1" for n in range(21))),
        ("sender_name", "x" * 201), ("sender_name", "a\tb"), ("postal_address", "x" * 501),
        ("pixel_position", "sideways"), ("pixel_position", ""), ("footer", "x"),
        ("unknown_consent.opens", "unknown"), ("unknown_consent.clicks", "maybe"),
        ("classifier.quick_open_s", "soon"), ("classifier.quick_open_s", "nan"), ("classifier.quick_open_s", "inf"),
        ("classifier.quick_click_s", "-1"), ("classifier.quick_click_s", "601"),
        ("classifier.burst_s", ""), ("classifier.burst_s", "6"),
    ],
)  # fmt: skip
def test_an_error_is_beside_its_field(name: str, text: str) -> None:
    _, errors = document(typed(DEFAULTS) | {name: text}, DEFAULTS)
    assert list(errors) == [name]
    assert errors[name]
    assert "regex" not in errors[name] or FIELDS[name].rule == ""


def test_the_line_that_is_wrong_is_quoted() -> None:
    _, errors = document(typed(DEFAULTS) | {"excluded_hosts": "good.example\nbad/one"}, DEFAULTS)
    assert errors["excluded_hosts"].startswith("“bad/one” is not right.")


def test_all_errors_are_told_at_once() -> None:
    given = typed(DEFAULTS) | {"retention_days": "x", "sender_name": "x" * 201, "classifier.quick_open_s": "x"}
    assert set(document(given, DEFAULTS)[1]) == {"retention_days", "sender_name", "classifier.quick_open_s"}
