"""What recording a batch of events takes, whatever the database.

Owns the steps, their order and what each of their rows says. Must not know a database.

Messages are locked before anything is asked about their recipients' consent. So of two batches at once, one with a hit
and one with the recipient's withdrawal, the later one sees what the earlier one did. A message that is not there yet
can't be locked: it is added whole, once all is known of it, and of two who add it the later one begins again.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from tracker.core.devices import device_of
from tracker.core.model import Event, EventType
from tracker.core.status import Status, fold_reported
from tracker.core.tombstones import Digests

from . import changing, consent, limits
from .before import before
from .counting import counting
from .database import Each, Once, Row
from .effects import recording_effects
from .judging import HITS, classifiers, judging, rejudging
from .rows import Key, agent_digest, event_row, key_of, status_in, status_row
from .tombstones import sifting

_REQUESTS: Final = HITS | {EventType.REVOKED_CLICK.value}
"""What people's mail programs and browsers asked for, so that it takes their consent to keep it."""

Steps: TypeAlias = Generator[Once | Each, Sequence[Row], Any]


def recording(events: Iterable[Event], digests: Digests) -> Generator[Once | Each, Sequence[Row], int]:
    """The steps that store ``events`` and fold those not known before into what they concern.

    Returns how many hits and reports were dropped, since they are of people who were erased. Raises `EventRejected`
    where some event can never be stored, and is `Overtaken` by who added a message at the same time.
    """
    by_id = {event.id: event for event in events}
    batch = [by_id[event_id] for event_id in sorted(by_id)]
    limits.check(batch)
    batch, dropped = yield from sifting(batch, digests)
    if batch:
        yield from _keeping(batch)
    return sum(event.count for event in dropped)


def _keeping(batch: Sequence[Event]) -> Steps:
    yield from consent.locking(batch)
    said = yield from _first_reports([event for event in batch if event.facts.type not in _REQUESTS])
    hits = [event for event in batch if event.facts.type in _REQUESTS]
    said = yield from _adding(said)
    keys = {key_of(event) for event in (*said, *hits) if event.facts.message_id}
    concerned = yield from consent.concerned(said)
    states = yield Each("lock_messages", sorted(keys | concerned))
    statuses = {(state[0], state[1]): status_in(state) for state in states}
    counted = {(state[0], state[1]) for state in states if state[-1]}
    known = {key: before(status, is_counted=key in counted) for key, status in statuses.items()}
    statuses |= {key: Status(*key) for key in keys - known.keys()}
    _fold(statuses, said)
    standings = yield from recording_effects(said, known)
    hits = yield from consent.keeping(hits, statuses)
    new_hits = yield from _adding(hits)
    # Once, and late: a hit that is not kept must not leave its user agent behind, and in two steps the order of the
    # keys would not hold.
    agents = {agent for event in (*said, *new_hits) if (agent := event.facts.user_agent) is not None}
    yield Each("add_user_agents", sorted((agent_digest(agent), agent, device_of(agent)) for agent in agents))
    refolded = yield from judging([event for event in new_hits if event.facts.type in HITS], known, statuses)
    statuses |= refolded
    withdrawn = yield from consent.withdrawing(said, standings, statuses)
    known_settings = yield from classifiers(withdrawn)
    statuses |= yield from rejudging(withdrawn, statuses, known_settings)
    events_of = {key_of(event) for event in (*said, *new_hits)}
    changed = [statuses[key] for key in sorted((events_of & statuses.keys()) | refolded.keys() | withdrawn)]
    yield from _putting(changed, known)
    yield from counting(known, changed)
    yield from changing.noting(known, changed, withdrawn=withdrawn)


def _putting(changed: Sequence[Status], known: Container[Key]) -> Generator[Each, Sequence[Row], None]:
    """Stores ``changed``. What is not ``known`` is added: who finds it there by now is `Overtaken`."""
    new, old = list[Row](), list[Row]()
    for status in changed:
        (old if (status.account, status.message_id) in known else new).append(status_row(status))
    yield Each("put_messages", old)
    yield Each("add_messages", new)


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


def _fold(statuses: Mapping[Key, Status], events: Iterable[Event]) -> None:
    for event in events:
        status = statuses.get(key_of(event))
        if status is not None:  # an event of no message is folded into none
            fold_reported(status, event)
