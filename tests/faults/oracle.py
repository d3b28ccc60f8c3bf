"""The judge of every fault test: what was answered is stored, nothing twice, and the status follows from it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

from databases import Database

from . import folding
from .folding import Row
from .load import Hit, Log
from .serving import Service

DRAIN_S = 90.0

_EVENTS = """
    SELECT e.id, e.occurred_at, e.last_at, e.recorded_at, e.count, e.account, e.message_id, e.type, e.link, e.url,
        e.list, u.user_agent, e.purpose, e.source, e.detail, v.actor
    FROM tracker.events AS e
    LEFT JOIN tracker.user_agents AS u ON u.digest = e.user_agent
    LEFT JOIN tracker.verdicts AS v ON v.event_id = e.id
"""


async def assert_kept(
    database: Database, log: Log, services: list[Service], *, killed: bool = False, unstored: int = 0
) -> Counter[Hit]:
    """Once the spools are empty, judge the store by ``log``; returns the hits stored.

    A service that was killed may have taken with it what it answered late, before it was stored; nothing
    else. ``unstored`` is what it says of hits that it could not store.
    """
    deadline = time.monotonic() + DRAIN_S
    while True:
        try:
            assert sum(service.depth() for service in services) == 0
            events = await database.execute(_EVENTS)
            stored = assert_answered_is_stored(events, log, killed=killed, unstored=unstored)
            await assert_status_follows(database, events)
        except AssertionError:  # what was answered late may be on its way
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return stored


def assert_answered_is_stored(events: list[Row], log: Log, *, killed: bool, unstored: int) -> Counter[Hit]:
    """The log's part of it, for rows of ``events``."""
    assert len({event["id"] for event in events}) == len(events)
    stored: Counter[Hit] = Counter()
    for event in events:
        fields = ("message_id", "type", "link", "url", "list", "user_agent", "purpose")
        stored[Hit(*(event[name] for name in fields))] += event["count"]
    assert {event["account"] for event in events} <= {"default"}
    assert not stored - log.asked, "stored, but not asked for, or more often than it was"
    lost = log.firm - stored
    lost_late = (log.firm + log.late) - stored - lost
    if killed:
        assert not lost, "answered, and not stored"
    else:
        assert (lost + lost_late).total() == unstored, "answered, and not stored"
    return stored


async def assert_status_follows(database: Database, events: list[Row]) -> None:
    """The verdicts, the status of every message and the recipients are what ``events`` lead to, and were told so."""
    actors = folding.actors(events)
    assert {event["id"]: event["actor"] for event in events if event["actor"]} == actors
    expected = folding.statuses(events, actors)
    rows = await database.execute("SELECT * FROM tracker.message_status")
    assert {row["message_id"] for row in rows} == set(expected)
    assert len(rows) == len(expected)
    for row in rows:
        row["links"] = {(link["index"], link["url"]): link["clicks"] for link in json.loads(row["links"])}
        assert {name: row[name] for name in expected[row["message_id"]]} == expected[row["message_id"]]
    rows = await database.execute("SELECT message_id, stage FROM tracker.changes ORDER BY sequence")
    last_told = {row["message_id"]: row["stage"] for row in rows}
    assert last_told == {message_id: row["stage"] for message_id, row in expected.items()}
    counts = folding.batch_counts(expected.values())
    rows = await database.execute("SELECT measure, key, count FROM tracker.batch_counts WHERE count <> 0")
    measures = {measure for measure, _ in counts}
    assert {(row["measure"], row["key"]): row["count"] for row in rows if row["measure"] in measures} == counts
    rows = await database.execute("SELECT * FROM tracker.recipients")
    found = {
        (row["recipient"], row["list"]): (row["first_seen_at"], row["last_seen_at"], row["unsubscribed_at"])
        for row in rows
    }
    assert found == folding.recipients(events)


async def corrections(database: Database) -> int:
    """How often a stage moved back."""
    return len(await database.execute("SELECT sequence FROM tracker.changes WHERE is_correction"))


async def assert_empty(database: Database) -> None:
    """Nothing at all is stored."""
    assert await database.execute("SELECT id FROM tracker.events LIMIT 1") == []
