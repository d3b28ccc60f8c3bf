"""Confidence intervals of shares, and of the difference between two shares.

Owns the formulas. Must not know what the shares are of. The names in brackets are those of:
E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927), 209-212;
R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
(1998), 873-890.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
"""How often an interval has the true value in it, if nothing else is said."""


class Interval(NamedTuple):
    """From ``low`` to ``high``, both included."""

    low: float
    high: float


class Share(NamedTuple):
    """``part`` of ``whole``: 0 <= part <= whole."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """As a fraction; there is none of nothing."""
        return self.part / self.whole


def wilson(share: Share, confidence: float = CONFIDENCE) -> Interval | None:
    """The score interval of one share, without continuity correction (Wilson); None for a share of nothing."""
    part, whole = share
    if whole == 0:
        return None
    z = _z(confidence)
    scale = whole + z * z
    middle = (part + z * z / 2) / scale
    half = z * sqrt(part * (whole - part) / whole + z * z / 4) / scale
    # At the ends the formula is exact, but not its arithmetic.
    return Interval(0.0 if part == 0 else max(0.0, middle - half), 1.0 if part == whole else min(1.0, middle + half))


def newcombe(first: Share, second: Share, confidence: float = CONFIDENCE) -> Interval | None:
    """The hybrid score interval of ``first - second``, independent shares (Newcombe, method 10).

    None where one of them is a share of nothing.
    """
    one, other = wilson(first, confidence), wilson(second, confidence)
    if one is None or other is None:
        return None
    difference = first.value - second.value
    down = sqrt((first.value - one.low) ** 2 + (other.high - second.value) ** 2)
    up = sqrt((one.high - first.value) ** 2 + (second.value - other.low) ** 2)
    return Interval(max(-1.0, difference - down), min(1.0, difference + up))


@lru_cache(maxsize=32)
def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
