"""How the console says things: numbers that are not rounded away, and words for every reason there is."""

from __future__ import annotations

import inspect
import re
from html import unescape

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
    of_bursts = set(re.findall(r'"((?:burst|\w+_from_one_source|near_honeypot|open_with_burst))"', source))
    assert of_bursts == words.BY_COMPANY
    assert set(words.REASONS) >= words.BY_COMPANY
    assert words.reason("no_user_agent").endswith("Mail programs and browsers do.")


def test_every_event_has_words_and_others_are_shown_as_they_are() -> None:
    assert set(words.EVENTS) == set(EventType)
    assert words.event("hologram") == "hologram"
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
    assert words.instant(1_795_467_774_009_001) == (
        '<time datetime="2026-11-23T21:02:54.009001Z">23 Nov 2026, 21:02:54.009 UTC</time>'
    )
    assert words.day(1_795_467_774_000_000).endswith(">23 Nov 2026</time>")
    assert words.number(1234567) == '<data value="1234567">1\u202f234\u202f567</data>'
    assert words.level(0.9875).replace("\u202f", " ") == "98.75 %"


def plain(html: str) -> str:
    return unescape(re.sub("<[^>]+>", "", html))


def test_sentences_have_real_minus_signs_and_break_where_they_may() -> None:
    said = words.prose(
        "The open rate of a-1 & <b> is lower than that of -2.5: 1.0 % against 4.0 %, a difference of -3.0 points"
        " (97.5 % interval -5.0 to -1.0)."
    )
    assert plain(said) == (
        "The open rate of a-1 & <b> is lower than that of -2.5: 1.0\u202f% against 4.0\u202f%, a difference of"
        " \u22123.0 points (97.5\u202f%\u00a0interval \u22125.0 to \u22121.0)."
    )
    assert '<span class="whole">a-1</span>' in said
    assert "<b>" not in said
    assert plain(words.prose("from -2.3 to 30.2 points")) == "from \u22122.3 to 30.2 points"


def test_a_name_is_broken_only_where_it_is_long() -> None:
    assert words.name("spring-a-2026") == '<span class="whole">spring-a-2026</span>'
    assert words.name("a-" * 11) == "a-" * 11
    assert words.name("<i>" * 7) == "&lt;i&gt;" * 7


def test_people_count_links_from_one() -> None:
    assert words.link(0) == "Link 1"
