"""How the console says things: numbers that are not rounded away, and words for every reason there is."""

from __future__ import annotations

import inspect
import re

import pytest

from tracker.core import agents, bursts
from tracker.core.model import EventType
from tracker.web.console import words


def test_every_reason_of_the_classifier_has_words() -> None:
    source = inspect.getsource(agents) + inspect.getsource(bursts)
    quoted = set(re.findall(r'"([a-z]+(?:_[a-z]+)+|burst|honeypot)"', source))
    reasons = {code for code in quoted if code in words.REASONS} | {*agents.IMAGE_PROXIES.values(), *agents.SOON_S}
    returned = set(re.findall(r'Actor\.MACHINE, \("([a-z_]+)",\)', source))
    returned |= set(re.findall(r'"(\w+)" for event in', source)) | set(re.findall(r'id\] ?[:=] ?"(\w+)"', source))
    assert returned >= {"prefetch_header", "no_user_agent"}, "this test looks for reasons where there are none"
    assert reasons | returned <= set(words.REASONS)
    assert set(words.REASONS) - {"soon_after_arrival", "before_arrival"} <= quoted, "words for what never happens"
    assert set(words.REASONS) >= words.BY_COMPANY


def test_every_event_has_words_and_others_are_shown_as_they_are() -> None:
    assert set(words.EVENTS) == set(EventType)
    assert words.event("revoked_click") == "revoked_click"
    assert words.reason("a_new_one") == "a_new_one"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"), (0.00001, "<0.01 %"), (0.0004, "0.04 %"), (0.0099, "0.99 %"), (0.01, "1.0 %"), (0.5, "50.0 %"),
        (0.12345, "12.3 %"), (1, "100.0 %"),
    ],
)  # fmt: skip
def test_a_share_as_a_percentage(share: float, text: str) -> None:
    assert words.plain_percent(share).replace("\u202f", " ") == text
    assert f'value="{share!r}"' in words.percent(share)


def test_what_is_not_known_is_not_zero() -> None:
    assert words.percent(None, "not tracked") == "not tracked"


def test_times_and_numbers_can_be_read_by_machines() -> None:
    assert words.when(1_795_467_774_000_001) == (
        '<time datetime="2026-11-23T21:02:54.000001Z">23 Nov 2026, 21:02:54 UTC</time>'
    )
    assert words.day(1_795_467_774_000_000).endswith(">23 Nov 2026</time>")
    assert words.number(1234567) == '<data value="1234567">1\u202f234\u202f567</data>'
    assert words.level(0.9875).replace("\u202f", " ") == "98.75 %"
