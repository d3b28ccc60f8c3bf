"""Measures everything that the README says of speed: ``python -m tests.bench [--only B1,B6] [--rounds N] ...``.

Every figure is a ratio of two things measured in one run, in turn, so that it does not depend on the machine. The table
goes to standard output, or with ``--out`` into a folder, with the chart beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from . import folding, hits, outage, rewriting
from .chart import draw
from .figures import Figure, Measured, table

ROUNDS: Final = 5
SECONDS: Final = 5.0
EVENTS: Final = 10_000_000


class Part(NamedTuple):
    """What is measured together."""

    figures: tuple[Figure, ...]
    measure: Callable[[argparse.Namespace], list[Measured]]


PARTS: Final = (
    Part((hits.B1, hits.B1B, hits.B2, hits.B3, hits.B4), lambda given: hits.measure(given.rounds, given.seconds)),
    Part((hits.B5,), lambda given: hits.measure_two(given.rounds, given.seconds)),
    Part(rewriting.FIGURES, lambda given: rewriting.measure(3 * given.rounds)),
    Part(folding.FIGURES, lambda given: folding.measure(given.rounds, given.events)),
    Part(outage.FIGURES, lambda given: outage.measure(given.rounds, given.seconds)),
)


def main() -> None:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--only", help="the figures that are wanted, as in B1,B6; with them come those measured along")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of load in a round")
    parser.add_argument("--events", type=int, default=EVENTS, help="that the large store holds, for B11 and B15")
    parser.add_argument("--out", type=Path, help="a folder for bench.md and bench.svg")
    given = parser.parse_args()
    wanted = set(given.only.upper().split(",")) if given.only else None
    measured: list[Measured] = []
    for part in PARTS:
        if wanted is None or any(figure.id.upper() in wanted for figure in part.figures):
            measured += part.measure(given)
    measured.sort(key=lambda one: (int("".join(filter(str.isdigit, one.figure.id))), one.figure.id))
    text = f"{machine()}\n\n{table(measured)}"
    print(text)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "bench.md").write_text(text)
        (given.out / "bench.svg").write_text(draw(measured))


def machine() -> str:
    """Where and when it was measured."""
    cpu = _value("/proc/cpuinfo", "model name", ":") or platform.machine()
    system = _value("/etc/os-release", "PRETTY_NAME", "=") or platform.system()
    today = datetime.datetime.now(datetime.UTC).date()
    python = ".".join(map(str, sys.version_info[:2]))
    return f"{os.cpu_count()} cores ({cpu}), {system}, Python {python}, {today}."


def _value(path: str, name: str, separator: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return line.partition(separator)[2].strip(' "')
    return ""


if __name__ == "__main__":
    main()
