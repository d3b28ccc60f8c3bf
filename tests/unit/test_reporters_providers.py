from __future__ import annotations

import re

import pytest

from tracker.core.model import EventType
from tracker.reporters import mailgun, payloads, postal, postmark, sendgrid, ses
from tracker.reporters.providers import PROVIDERS


def test_each_provider_goes_by_its_name() -> None:
    assert list(PROVIDERS) == ["ses", "sendgrid", "mailgun", "postal", "postmark"]
    for name, reporter in PROVIDERS.items():
        assert name == reporter.NAME
        assert re.fullmatch(r"[A-Z].*\.", reporter.SECRET)


@pytest.mark.parametrize("module", [ses, sendgrid, mailgun, postal, postmark])
def test_types_are_known_ones_or_facts(module: object) -> None:
    name, types = module.NAME, module.EVENT_TYPES  # type: ignore[attr-defined]
    for type_ in types.values():
        assert type_ in set(EventType) or re.fullmatch(rf"{name}\.[a-z0-9_]+", type_)


@pytest.mark.parametrize(
    ("native", "type_"),
    [
        ("group_resubscribe", "x.group_resubscribe"),
        ("Rendering Failure", "x.rendering_failure"),
        ("SubscriptionChange/HardBounce", "x.subscriptionchange_hardbounce"),
        ("", "x.unknown"),
        ("!ÄÖ!", "x.unknown"),
        ("a" * 100, "x." + "a" * 62),
    ],
)
def test_facts(native: str, type_: str) -> None:
    assert payloads.fact("x", native) == type_


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("550 5.1.1 user unknown", "550 5.1.1"),
        ("smtp; 550-5.1.1 user unknown", "550 5.1.1"),
        ("host mx.example.com[192.0.2.1] said: 550 5.1.1 <a@b.c>: unknown", "550 5.1.1"),
        ("550 (#5.1.1)", "550 5.1.1"),
        ("421 try again", "421"),
        ("5.1.1 unknown", "5.1.1"),
        ("192.0.2.250 5.1.1.1 is no code", ""),
        ("2500 messages", ""),
        ("550 5.1.1234", "550"),
        ("said 550", ""),
        ("", ""),
    ],
)
def test_reply_codes(said: str, code: str) -> None:
    assert payloads.reply_code(said) == code


@pytest.mark.parametrize(
    "value", ["", "x", "2026-01-01T00:00:00", "1960-01-01T00:00:00Z", None, 5, "٢٠٢٦-01-01T00:00Z"]
)
def test_times_that_are_not_usable(value: object) -> None:
    assert payloads.iso(value) is None


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", -1, 0, 1e-9, True, None, 1e300, 10**400, [], 253_402_300_800])
def test_seconds_that_are_not_usable(value: object) -> None:
    assert payloads.seconds(value) is None


def test_text_is_one_line_and_short() -> None:
    assert payloads.text("a\x00b\r\n c") == "a b c"
    assert len(payloads.text("x" * 10_000) or "") == 500
    assert payloads.text("\n") is None


def test_an_event_id_is_short_and_its_own() -> None:
    long = payloads.event_id("x" * 500)
    assert len(long) == 64
    assert long != payloads.event_id("x" * 501)
    assert payloads.event_id("é") != payloads.event_id("e")


def test_clues_are_bounded() -> None:
    assert payloads.clues(["x" * 1001, "", 5, None, "a", "a", " b "]).tracker_ids == ("a", "b")
    assert len(payloads.clues(message_ids=[str(number) for number in range(100)]).message_ids) == 10
    assert payloads.clues(rfc822_ids=["a@b", "<a@b>", "<a@b", "a b", "<a@b> <c@d>"]).rfc822_ids == ("<a@b>",)
