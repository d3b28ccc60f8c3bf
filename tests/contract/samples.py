"""Events for the contract's tests, with the facts that a test does not care about filled in."""

from __future__ import annotations

import itertools
import os
from typing import Any

from tracker.core.agents import JUDGED_TYPES, ClassifierSettings, arrived_at, judge
from tracker.core.model import Event, Facts, Registration, uuid7
from tracker.core.status import Status, whole_fold

NOON = 1_795_435_200_000_000
"""A moment of 2026, in microseconds."""

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
PROXY = "Mozilla/5.0 (Windows NT 5.1) (via ggpht.com GoogleImageProxy)"

HITS = frozenset(JUDGED_TYPES)

_sequence = itertools.count()


def event(
    type_: str, message_id: str = "m-1", *, at: int = NOON, count: int = 1, account: str = "default", **facts: Any
) -> Event:
    """A new event with an id of its own."""
    return Event(
        id=uuid7(at // 1000, next(_sequence), os.urandom(8)),
        node="node-a",
        occurred_at=at,
        last_at=at + count - 1,
        recorded_at=at + 1000,
        count=count,
        facts=Facts(account, message_id, type_, **facts),
    )


def registered(
    message_id: str = "m-1", recipient: str | None = "lead-77", *, list_: str = "news", **more: Any
) -> Event:
    """A ``rewritten`` event."""
    registration = Registration(recipient, "2026-11", list_, tracks_opens=True, tracks_clicks=True, link_count=3)
    return event("rewritten", message_id, registration=registration, **more)


def folded(*events: Event, settings: ClassifierSettings = ClassifierSettings()) -> Status:  # noqa: B008 - immutable
    """The status that ``events``, all of one message, must lead to."""
    facts = events[0].facts
    said = whole_fold(facts.account, facts.message_id, [(each, None) for each in events if each.facts.type not in HITS])
    hits = {each.id: each for each in events if each.facts.type in HITS}.values()
    verdicts = judge(hits, arrived_at(said.sent_at, said.delivered_at), settings)
    return whole_fold(facts.account, facts.message_id, [(each, verdicts.get(each.id)) for each in events])
