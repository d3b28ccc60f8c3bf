"""What recording a batch of events takes: the one procedure that every store carries out.

Owns the steps, their order and what each of their rows says. Must not know a database: `recording` is a
generator that yields the name of a query with its rows, and is sent the rows which that query returned.

All the steps stand in one transaction. Concurrent batches do not deadlock, since all of them take the
tables in the same order, and the keys within a table in theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from typing import Final, NamedTuple

from tracker.core.agents import classify
from tracker.core.model import Event, EventType, Registration, Verdict
from tracker.core.status import Status, fold

from . import limits
from .rows import Row, agent_digest, encoded_reasons, event_row, registration_in, status_in, status_row

Steps = Generator[tuple[str, Sequence[Row]], Sequence[Row], None]

# Compared for every event: looking them up on the enumeration each time takes ten times as long.
_UNSUBSCRIBED: Final = EventType.UNSUBSCRIBED.value
_REWRITTEN: Final = EventType.REWRITTEN.value

Key = tuple[str, str]
"""A message: account and message id."""


def recording(events: Iterable[Event]) -> Steps:
    """The steps that store ``events`` and fold those not known before into their messages' statuses.

    A query with no rows need not be run. Raises `EventRejected` where some event can never be stored.
    """
    by_id = {event.id: event for event in events}
    batch = [by_id[event_id] for event_id in sorted(by_id)]
    limits.check(batch)
    agents = {agent for event in batch if (agent := event.facts.user_agent) is not None}
    yield "add_user_agents", sorted((agent_digest(agent), agent) for agent in agents)
    added = yield "add_events", [event_row(event) for event in batch]
    new = [by_id[row[0]] for row in added]
    by_message: dict[Key, list[tuple[Event, Verdict | None]]] = defaultdict(list)
    verdicts = []
    for event in new:
        verdict = classify(event.facts)
        by_message[event.facts.account, event.facts.message_id].append((event, verdict))
        if verdict is not None:
            verdicts.append((event.id, verdict.actor, encoded_reasons(verdict.reasons), verdict.rule_version))
    yield "add_verdicts", verdicts
    keys = sorted(by_message)
    yield "add_messages", keys
    states = yield "lock_messages", keys
    statuses = {(state[0], state[1]): status_in(state) for state in states}
    yield "put_messages", [status_row(fold(statuses[key], by_message[key])) for key in keys]
    yield from _recording_recipients(new, statuses)


class _Registered(NamedTuple):
    message: Key
    occurred_at: int
    recipient: str
    list: str


class _Unsubscribed(NamedTuple):
    message: Key
    occurred_at: int
    list: str | None
    """None: the list that the message was registered for."""


def _recording_recipients(events: Iterable[Event], statuses: dict[Key, Status]) -> Steps:
    """The steps that fold new registrations and unsubscribes into the recipients they concern.

    An unsubscribe counts for whoever its message was ever registered for, and either may come first. So
    each new one is paired with all that the store has of the other.
    """
    registered: list[_Registered] = []
    unsubscribed: list[_Unsubscribed] = []
    for event in events:
        facts = event.facts
        if facts.type == _UNSUBSCRIBED:
            unsubscribed.append(_Unsubscribed((facts.account, facts.message_id), event.occurred_at, facts.list))
        elif facts.type == _REWRITTEN:
            registered += _registered((facts.account, facts.message_id), event.occurred_at, facts.registration)
    late = sorted({new.message for new in registered if statuses[new.message].unsubscribed_at is not None})
    known = yield "registrations", sorted({new.message for new in unsubscribed})
    for account, message_id, occurred_at, detail in known:
        registered += _registered((account, message_id), occurred_at, registration_in(detail))
    earlier = yield "unsubscribes", late
    unsubscribed += [_Unsubscribed((row[0], row[1]), row[2], row[3]) for row in earlier]
    yield "put_recipients", _recipient_rows(registered, unsubscribed)


def _registered(message: Key, occurred_at: int, registration: Registration | None) -> list[_Registered]:
    if registration is None or registration.recipient is None:
        return []
    return [_Registered(message, occurred_at, registration.recipient, registration.list)]


def _recipient_rows(registered: Iterable[_Registered], unsubscribed: Iterable[_Unsubscribed]) -> list[Row]:
    """Rows of ``recipients``, sorted, each key once."""
    seen: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    left: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    registrations: dict[Key, set[tuple[str, str]]] = defaultdict(set)
    for message, occurred_at, recipient, list_name in registered:
        seen[message[0], recipient, list_name].append(occurred_at)
        registrations[message].add((recipient, list_name))
    for message, occurred_at, only_list in unsubscribed:
        for recipient, list_name in registrations[message]:
            left[message[0], recipient, only_list or list_name].append(occurred_at)
    return [
        (*key, min(seen[key], default=None), max(seen[key], default=None), min(left[key], default=None))
        for key in sorted(seen.keys() | left.keys())
    ]
