"""What recording a batch of events takes, whatever the database.

Owns the steps, their order and what each of their rows says. Must not know a database.

Messages are locked before anything is asked about their recipients' consent. So of two batches at once, one with a hit
and one with the recipient's withdrawal, the later one sees what the earlier one did.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, TypeAlias

from tracker.core.agents import JUDGED_TYPES, classify
from tracker.core.model import Event, Verdict
from tracker.core.status import Status, fold

from . import changing, consent, limits
from .database import Each, Row
from .effects import recording_effects
from .rows import Key, agent_digest, encoded_reasons, event_row, key_of, status_in, status_row

Steps: TypeAlias = Generator[Each, Sequence[Row], Any]

_HITS: Final = frozenset(type_.value for type_ in JUDGED_TYPES)


def recording(events: Iterable[Event]) -> Steps:
    """The steps that store ``events`` and fold those not known before into what they concern.

    Raises `EventRejected` where some event can never be stored.
    """
    by_id = {event.id: event for event in events}
    batch = [by_id[event_id] for event_id in sorted(by_id)]
    limits.check(batch)
    yield from consent.locking(batch)
    said = yield from _first_reports([event for event in batch if event.facts.type not in _HITS])
    hits = [event for event in batch if event.facts.type in _HITS]
    said = yield from _adding(said)
    keys = {key_of(event) for event in (*said, *hits) if event.facts.message_id}
    created = yield Each("add_messages", sorted(keys))
    known = keys.difference(map(tuple, created))
    concerned = yield from consent.concerned(said, known)
    states = yield Each("lock_messages", sorted(keys | concerned))
    before = {(state[0], state[1]): status_in(state) for state in states}
    statuses = {(state[0], state[1]): status_in(state) for state in states}
    _fold(statuses, [(event, None) for event in said])
    standings = yield from recording_effects(said, known)
    hits = yield from consent.keeping(hits, statuses)
    new_hits = yield from _adding(hits)
    # Once, and late: a hit that is not kept must not leave its user agent behind, and in two steps the order of the
    # keys would not hold.
    agents = {agent for event in (*said, *new_hits) if (agent := event.facts.user_agent) is not None}
    yield Each("add_user_agents", sorted((agent_digest(agent), agent) for agent in agents))
    verdicts = yield from _judging(new_hits)
    _fold(statuses, verdicts)
    refolded = yield from consent.withdrawing(said, standings, statuses)
    changed = {key for event in (*said, *new_hits) if (key := key_of(event)) in statuses} | refolded.keys()
    statuses |= refolded
    yield Each("put_messages", [status_row(statuses[key]) for key in sorted(changed)])
    earlier = {key: status for key, status in before.items() if key in known or key in concerned}
    yield from changing.noting(earlier, [statuses[key] for key in sorted(changed)], withdrawn=refolded.keys())


def _first_reports(events: Sequence[Event]) -> Generator[Each, Sequence[Row], list[Event]]:
    """``events`` without those that their reporter reported before, under the same id of its own."""
    reported = {
        event.id: (event.facts.account, event.facts.reporter, event.facts.reported_id)
        for event in events
        if event.facts.reporter is not None and event.facts.reported_id is not None
    }
    added = yield Each("add_reported", sorted((*key, id_) for id_, key in reported.items()))
    first = {bytes(row[0]) for row in added}
    rest = {key for id_, key in reported.items() if id_ not in first}
    known = yield Each("reported", sorted(rest))
    first |= {bytes(row[0]) for row in known}  # this very event, in a batch that is delivered again
    return [event for event in events if event.id not in reported or event.id in first]


def _adding(events: Sequence[Event]) -> Generator[Each, Sequence[Row], list[Event]]:
    """Stores ``events``; returns those not known before."""
    added = yield Each("add_events", [event_row(event) for event in events])
    by_id = {event.id: event for event in events}
    return [by_id[row[0]] for row in added]


def _judging(hits: Sequence[Event]) -> Generator[Each, Sequence[Row], list[tuple[Event, Verdict | None]]]:
    judged = [(event, classify(event.facts)) for event in hits]
    yield Each(
        "add_verdicts",
        [
            (event.id, verdict.actor, encoded_reasons(verdict.reasons), verdict.rule_version)
            for event, verdict in judged
            if verdict is not None
        ],
    )
    return judged


def _fold(statuses: dict[Key, Status], events: Iterable[tuple[Event, Verdict | None]]) -> None:
    by_message: dict[Key, list[tuple[Event, Verdict | None]]] = defaultdict(list)
    for event, verdict in events:
        by_message[key_of(event)].append((event, verdict))
    for key, of_message in by_message.items():
        if key in statuses:  # an event of no message is folded into none
            fold(statuses[key], of_message)
