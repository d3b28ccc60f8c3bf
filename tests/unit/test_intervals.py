"""Intervals against what was published, and against their definitions, solved here in another way."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import pytest

from tracker.core.intervals import Interval, Share, newcombe, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(count: int, of: int, low: float, high: float) -> None:
    assert rounded(wilson(Share(count, of))) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),  # Newcombe 1998, table II, method 10
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_as_published(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    assert rounded(newcombe(Share(*first), Share(*second))) == (low, high)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 1 - 0.05 / 9])
@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (1, 3), (3, 1_000_000), (299_990, 1_000_000), (7, 10)])
def test_the_ends_are_where_the_score_test_begins_to_reject(count: int, of: int, confidence: float) -> None:
    def score(share: float) -> float:
        return abs(count / of - share) - z * sqrt(share * (1 - share) / of)

    def end(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if score(middle) <= 0 else (inside, middle)
        return inside

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    found = wilson(Share(count, of), confidence)
    share = count / of
    assert found == pytest.approx((0.0 if count == 0 else end(share, 0.0), 1.0 if count == of else end(share, 1.0)))


def test_the_ends_are_exact() -> None:
    for of in range(1, 400):
        none, all_ = wilson(Share(0, of)), wilson(Share(of, of))
        assert none is not None
        assert all_ is not None
        assert (none.low, all_.high) == (0.0, 1.0)
        assert none.high == pytest.approx(1 - all_.low)


def test_nothing_is_known_of_nothing() -> None:
    assert wilson(Share(0, 0)) is None
    assert newcombe(Share(0, 0), Share(1, 2)) is None
    assert newcombe(Share(1, 2), Share(0, 0)) is None


def rounded(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return round(interval.low, 4), round(interval.high, 4)
