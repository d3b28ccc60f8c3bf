"""Hits of one burst are shown as one entry, and nothing else is."""

from __future__ import annotations

import itertools

import pytest

from tracker.core.model import Actor, Event, EventType, Facts, Verdict
from tracker.web.console import words
from tracker.web.console.streaks import burst, grouped

SECOND_US = 1_000_000
BURST = "burst_from_one_source"
_ids = itertools.count()


def hit(
    at_s: float, link: int | None, reason: str = BURST, source: bytes | None = b"a", count: int = 1
) -> tuple[Event, Verdict | None]:
    """A click, or an open where there is no link; a person's where there is no reason."""
    type_ = EventType.OPENED if link is None else EventType.CLICKED
    url = None if link is None else f"https://shop.example/{link}"
    facts = Facts("default", "m", type_, link, url, source=source)
    at = round(at_s * SECOND_US)
    verdict = Verdict(Actor.MACHINE, (reason,), 2) if reason else Verdict(Actor.HUMAN, (), 2)
    return Event(next(_ids).to_bytes(16), "edge", at, at, at, count, facts), verdict


def sizes(*hits: tuple[Event, Verdict | None]) -> list[int]:
    return [len(group) for group in grouped(hits)]


def test_hits_of_one_burst_are_one_entry() -> None:
    hits = [hit(0, None, "open_with_burst"), *(hit(1 + link / 10, link) for link in range(5))]
    assert sizes(*hits) == [6]
    said = burst(hits)
    assert said.title == "5 links and the pixel within 2 s"
    assert said.hits == 6
    assert said.reasons == [words.reason(BURST)]


@pytest.mark.parametrize(
    "other",
    [
        hit(1, 1, ""), hit(1, 1, "scanner_agent"), hit(1, 1, source=b"b"), hit(1, 1, source=None), hit(121, 1),
        (hit(1, None)[0], None),
    ],
    ids=["a person", "another reason", "another source", "no known source", "too late", "not judged"],
)  # fmt: skip
def test_what_is_not_of_it_stands_alone(other: tuple[Event, Verdict | None]) -> None:
    assert sizes(hit(0, 0), other) == [1, 1]
    assert sizes(hit(0, 0), other, hit(122, 2)) in ([1, 1, 1], [1, 2])


def test_a_burst_of_several_sources_is_one_entry() -> None:
    assert sizes(*(hit(at, at, "burst", source=bytes([at])) for at in range(4))) == [4]


def test_a_hit_of_somebody_else_in_between_parts_it() -> None:
    assert sizes(hit(0, 0), hit(1, 1), hit(2, None, "", b"b"), hit(3, 2)) == [2, 1, 1]


@pytest.mark.parametrize(
    ("hits", "title"),
    [
        ([hit(0, 0), hit(0.2, 1)], "2 links within 1 s"),
        ([hit(0, 0), hit(1.2, 0, count=3)], "One link, 4 hits within 2 s"),
        ([hit(0, None, "open_with_burst"), hit(4, None, "open_with_burst")], "The pixel, 2 hits within 4 s"),
    ],
)
def test_what_a_burst_is_called(hits: list[tuple[Event, Verdict | None]], title: str) -> None:
    assert burst(hits).title == title
    assert burst(hits).reasons
