"""Threat 23: rewriting takes linear time, whatever the body: measured against itself, so no machine is too slow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench.pathological import ASKED, DENSE, newsletter, parse, rewrite, seconds

SMALL, TIMES = 3_000, 4
CASES: dict[str, Callable[[int], str]] = {**ASKED, **DENSE, "a newsletter": lambda n: newsletter(n // 100)}


@pytest.mark.parametrize("name", CASES)
def test_four_times_the_body_takes_four_times_as_long_and_not_sixteen(name: str) -> None:
    small, large = CASES[name](SMALL), CASES[name](SMALL * TIMES)
    ratios = []
    for _ in range(6):
        ratios.append(seconds(rewrite, large, 3) / seconds(rewrite, small, 3))
        if ratios[-1] < 2 * TIMES:
            return
    pytest.fail(f"{ratios}; the parser alone: {seconds(parse, large, 3) / seconds(parse, small, 3)}")
