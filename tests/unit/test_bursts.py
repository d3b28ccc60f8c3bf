from __future__ import annotations

import pytest

from tracker.core.bursts import REACH_US, found_in
from tracker.core.model import Event, Facts

SECOND = 1_000_000
MIDNIGHT = 1_700_006_400 * SECOND  # in UTC: sources are hashed with another key from here on
A, B, C = b"A" * 8, b"B" * 8, b"C" * 8
ONE, ANY, OPEN, HONEY = "burst_from_one_source", "burst", "open_with_burst", "near_honeypot"
SWEEP = "sweep_from_one_source"


def hit(type_: str, at_s: float, url: str | None, source: bytes | None, honeypot: bool) -> Event:
    at = MIDNIGHT + round(at_s * SECOND)
    facts = Facts("default", "m", type_, url=url, source=source, honeypot=honeypot)
    return Event(f"{type_} {at_s} {url} {source!r}".encode(), "n", at, at, at, 1, facts)


def click(at_s: float, url: str, source: bytes | None = A) -> Event:
    return hit("clicked", at_s, url, source, False)


def honeypot(at_s: float, source: bytes | None = A) -> Event:
    return hit("clicked", at_s, "https://hidden.example/", source, True)


def opened(at_s: float, source: bytes | None = C) -> Event:
    return hit("opened", at_s, None, source, False)


def found(*hits: Event, arrived_s: float | None = 0) -> list[str | None]:
    """The reason for each hit, the same whatever order they come in."""
    arrived = None if arrived_s is None else MIDNIGHT + round(arrived_s * SECOND)
    reasons = found_in(hits, arrived=arrived)
    assert found_in(reversed(hits), arrived=arrived) == reasons
    assert reasons.keys() <= {event.id for event in hits}
    return [reasons.get(event.id) for event in hits]


def test_nothing_is_no_burst() -> None:
    assert found_in([]) == {}
    assert found(click(0, "a")) == [None]
    assert found(opened(0), opened(1), opened(2)) == [None] * 3


@pytest.mark.parametrize(("gap_s", "reason"), [(0, ONE), (0.001, ONE), (5, ONE), (5.000001, None)])
def test_two_destinations_from_one_source_within_5_s(gap_s: float, reason: str | None) -> None:
    assert found(click(0, "a"), click(gap_s, "b")) == [reason] * 2


def test_two_destinations_from_two_sources_are_no_burst() -> None:
    assert found(click(0, "a", A), click(1, "b", B)) == [None] * 2
    assert found(click(0, "a", None), click(1, "b", None)) == [None] * 2  # who knows whether they are one


@pytest.mark.parametrize("sources", [(A, B, C), (A, A, B), (None, None, None), (A, None, B)])
@pytest.mark.parametrize(("last_s", "reason"), [(9, ANY), (10, ANY), (10.000001, None)])
def test_three_destinations_from_any_source_within_10_s(
    sources: tuple[bytes | None, ...], last_s: float, reason: str | None
) -> None:
    first, second, third = (click(at, url, s) for at, url, s in zip((0, 5.5, last_s), "abc", sources, strict=True))
    assert found(first, second, third) == [reason] * 3


def test_one_destination_is_no_burst_however_often() -> None:
    assert found(*(click(at, "a") for at in range(6))) == [None] * 6
    assert found(click(0, "a", A), click(1, "b", B), click(2, "a", C)) == [None] * 3


def test_repeats_and_other_sources_within_a_burst_belong_to_it() -> None:
    assert found(click(0, "a"), click(1, "a"), click(2, "b"), click(8, "a")) == [ONE, ONE, ONE, None]
    assert found(click(0, "a", A), click(1, "a", B), click(2, "b", C), click(3, "c", A)) == [ONE, ANY, ANY, ONE]


def test_a_burst_goes_on_for_as_long_as_its_clicks_are_close() -> None:
    assert found(*(click(4 * number, str(number)) for number in range(9))) == [ONE] * 9
    assert found(*(click(5 * n, str(n), bytes([n]) * 8) for n in range(9))) == [ANY] * 9
    apart = [click(0, "a"), click(1, "b"), click(100, "c"), click(200, "d"), click(201, "e")]
    assert found(*apart) == [ONE, ONE, None, ONE, ONE]


def test_over_midnight_one_source_looks_like_two() -> None:
    assert found(click(-1, "a", A), click(1, "b", B)) == [None] * 2
    assert found(click(-2, "a", A), click(-1, "b", A), click(1, "c", B)) == [ONE, ONE, ANY]
    assert found(click(-1, "a", A), click(1, "b", B), click(2, "c", B)) == [ANY, ONE, ONE]


@pytest.mark.parametrize(
    ("at_s", "reason"), [(-60.000001, None), (-60, OPEN), (-33, OPEN), (0, OPEN), (1, OPEN), (1.000001, None)]
)
def test_an_open_just_before_a_click_of_a_burst_belongs_to_it(at_s: float, reason: str | None) -> None:
    assert found(opened(at_s), click(0, "a"), click(1, "b")) == [reason, ONE, ONE]


@pytest.mark.parametrize(
    ("at_s", "source", "reason"), [(6, A, OPEN), (6.000001, A, None), (2, B, None), (2, None, None)]
)
def test_an_open_just_after_belongs_to_it_where_the_source_is_the_same(
    at_s: float, source: bytes | None, reason: str | None
) -> None:
    assert found(click(0, "a"), click(1, "b"), opened(at_s, source)) == [ONE, ONE, reason]


def test_an_open_before_a_click_that_is_no_burst_is_a_reader_s() -> None:
    assert found(opened(0, A), click(3, "a"), click(60, "b"), click(300, "a")) == [None] * 4


@pytest.mark.parametrize("source", [A, B, None])
@pytest.mark.parametrize(
    ("at_s", "reason"), [(-10.000001, None), (-10, HONEY), (0, HONEY), (10, HONEY), (10.000001, None)]
)
def test_who_clicks_near_the_hidden_link(at_s: float, source: bytes | None, reason: str | None) -> None:
    assert found(click(at_s, "a", source), honeypot(0)) == [reason, HONEY]


def test_the_hidden_link_is_no_destination_among_others() -> None:
    assert found(honeypot(0), click(4, "a"), click(11, "b")) == [HONEY, HONEY, None]
    assert found(opened(-30), honeypot(0), honeypot(3), click(8, "a")) == [OPEN, HONEY, HONEY, HONEY]


def test_forwarded_mail_gives_burst_person_burst() -> None:
    first = [opened(0, A), click(33, "a"), click(33.2, "b"), click(33.4, "c")]
    person = [opened(4000, B), click(4020, "b", B)]
    second = [opened(9000, C), click(9033, "a", C), click(9033.1, "c", C)]
    assert found(*first, *person, *second) == [OPEN, ONE, ONE, ONE, None, None, OPEN, ONE, ONE]


@pytest.mark.parametrize(("last_s", "reason"), [(100, SWEEP), (120, SWEEP), (120.000001, None)])
def test_five_destinations_from_one_source_within_120_s(last_s: float, reason: str | None) -> None:
    slow = [click(number * 25, "abcd"[number]) for number in range(4)]
    assert found(*slow, click(last_s, "e")) == [reason] * 5
    assert found(*slow, click(last_s, "d")) == [None] * 5
    assert found(*slow, click(last_s, "e", B)) == [None] * 5


@pytest.mark.parametrize(
    ("arrived_s", "reason"),
    [(None, None), (0, SWEEP), (60, SWEEP), (60.000001, None), (-500, SWEEP), (-500.000001, None)],
)
def test_a_sweep_is_one_only_soon_after_the_arrival(arrived_s: float | None, reason: str | None) -> None:
    slow = [click(number * 25, "abcde"[number]) for number in range(5)]
    assert found(*slow, arrived_s=arrived_s) == [reason] * 5


def test_a_person_is_no_part_of_a_slow_filter_beside_them() -> None:
    slow = [click(number * 25, "abcde"[number]) for number in range(5)]
    assert found(*slow, click(60, "f", B)) == [*[SWEEP] * 5, None]


@pytest.mark.parametrize(("gap_s", "reason"), [(0.999, ONE), (1, ONE), (1.000001, None), (4, None)])
def test_an_account_may_have_a_shorter_window(gap_s: float, reason: str | None) -> None:
    hits = [click(0, "a"), click(gap_s, "b")]
    assert [found_in(hits, SECOND).get(event.id) for event in hits] == [reason] * 2


def test_nothing_reaches_further_than_said() -> None:
    chain = [opened(0), *(click(60 + 30 * number, "abcde"[number], A) for number in range(5))]
    assert found(*chain) == [OPEN, *[SWEEP] * 5]
    assert chain[-1].occurred_at - chain[0].occurred_at == REACH_US
