"""Figures B1 to B5: opens and clicks of one process, each on disk before its answer."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from .figures import Better, Figure, Measured
from .load import (
    BUSY,
    Load,
    Tracker,
    bare,
    fdatasync_us,
    latencies_us,
    load,
    nginx,
    register,
    tracking,
)

B1: Final = Figure("B1", "opens/s of one process, each stored before its answer / bare ASGI", 0.65)
B1B: Final = Figure("B1b", "the same, until the backlog is folded into SQLite / bare ASGI", 0.35)
B2: Final = Figure("B2", "opens/s of one process / nginx empty_gif with a buffered log", 0.25)
B3: Final = Figure("B3", "clicks/s to a URL of 122 characters / opens/s", 0.9)
B4: Final = Figure("B4", "latency at half load, p50, over bare ASGI's / the disk's fdatasync", 2.0, Better.LESS)
B5: Final = Figure("B5", "opens/s of two processes / of one", 1.8)
FIGURES: Final = (B1, B1B, B2, B3, B4, B5)
CORES_FOR_TWO: Final = 4
_URL: Final = "https://www.nordlicht-shop.example/products/wanderstiefel"
DESTINATION: Final = _URL + "?utm_source=newsletter&utm_medium=email&utm_campaign=november"[: 122 - len(_URL)]


def measure(rounds: int, seconds: float) -> list[Measured]:
    """All of them, in interleaved rounds. Needs wrk, nginx and h2load, and two cores."""
    assert len(DESTINATION) <= 122
    ratios: dict[Figure, list[float]] = {figure: [] for figure in (B1, B1B, B2, B3, B4)}
    busiest: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        tracker = stack.enter_context(tracking(folder))
        bare_url, nginx_url = stack.enter_context(bare()), stack.enter_context(nginx(folder / "nginx"))

        def run(kind: str, url: str, paths: Path) -> Load:
            done = load(url, paths, seconds)
            busiest[kind] = max(done.generator, busiest.get(kind, 0))
            return done

        for number in range(1, rounds + 1):
            opens, clicks = (written_paths(tracker, folder, purpose) for purpose in ("o", "c"))
            tracker.drain(3 * number)
            plain, static = run("bare ASGI", bare_url, opens), run("nginx", nginx_url, opens)
            started = time.perf_counter()
            opened = run("opens", tracker.url, opens)
            tracker.answered += opened.answered
            folded = opened.answered / (tracker.drain(3 * number) - started)
            clicked = run("clicks", tracker.url, clicks)
            tracker.answered += clicked.answered
            tracker.drain(3 * number)
            ratios[B1].append(opened.rate / plain.rate)
            ratios[B1B].append(folded / plain.rate)
            ratios[B2].append(opened.rate / static.rate)
            ratios[B3].append(clicked.rate / opened.rate)
            ratios[B4].append(_added_latency(tracker, bare_url, opens, opened.rate / 2))
            tracker.drain(3 * number)
            print(f"round {number}: bare {plain.rate:.0f}/s nginx {static.rate:.0f}/s opens {opened.rate:.0f}/s "
                  f"folded {folded:.0f}/s clicks {clicked.rate:.0f}/s", file=sys.stderr)  # fmt: skip
    measured = [Measured(figure, found) for figure, found in ratios.items()]
    measured[0].notes.append(f"{tracker.answered:,} hits were answered in all, and all of them are in the store.")
    limits = [f"{kind} ({share:.0%})" for kind, share in busiest.items() if share > BUSY]
    if limits:
        measured[0].notes.append(f"the generator's core was full with: {', '.join(limits)}; it may answer more.")
    return measured


def measure_two(rounds: int, seconds: float) -> list[Measured]:
    """B5, where there are cores for two processes beside the load."""
    cores = os.cpu_count() or 1
    if cores < CORES_FOR_TWO:
        print(f"B5 is not measured: it takes {CORES_FOR_TWO} cores, and there are {cores}", file=sys.stderr)
        return []
    ratios = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        one = stack.enter_context(tracking(Path(name) / "one", cores="0"))
        two = stack.enter_context(tracking(Path(name) / "two", cores="0,2", workers=2))
        for number in range(1, rounds + 1):
            rates = []
            for each in (one, two):
                done = load(each.url, written_paths(each, each.store.parent, "o"), seconds)
                each.answered += done.answered
                each.drain(number)
                rates.append(done.rate)
            ratios.append(rates[1] / rates[0])
    return [Measured(B5, ratios)]


def written_paths(tracker: Tracker, folder: Path, purpose: str) -> Path:
    """A file of paths, of the pixels ("o") or the links ("c") of messages that nobody has opened or clicked yet.

    No mail gets thousands of clicks in a minute, and who acted in one is judged by the others.
    """
    link = f'<a href="{DESTINATION.replace("&", "&amp;")}">x</a>'
    start = f"{tracker.url}/{purpose}/"
    found = []
    for answer in register(tracker, f"<p>bench {link}</p>"):
        html = str(answer["html"])
        at = html.index(start)
        found.append(html[at + len(tracker.url) : html.index('"', at)])
    written = folder / purpose
    written.write_text("".join(path + "\n" for path in found))
    return written


def _added_latency(tracker: Tracker, bare_url: str, paths: Path, per_second: float) -> float:
    seconds = 3.0
    base = statistics.median(latencies_us(bare_url, paths, per_second, seconds))
    synced = fdatasync_us(tracker.store.parent)
    found = latencies_us(tracker.url, paths, per_second, seconds)
    tracker.answered += len(found)
    return (statistics.median(found) - base) / synced
