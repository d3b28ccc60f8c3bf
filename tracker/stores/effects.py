"""What a batch of events says of recipients: seen, left a list, gone, complained, consented.

Owns the pairing of what happened to a message with whom it was registered for: either may come first. What each event
means is `core.recipients`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tracker.core.model import Event, EventType, Facts, Registration, Suppression
from tracker.core.recipients import Standing, known_since, merged, standing_after

from .database import Each, Row
from .rows import Key, Person, change_in, delivery_in, key_of, registration_in, standing_in, standing_row

_REWRITTEN: Final = EventType.REWRITTEN.value
_UNSUBSCRIBED: Final = EventType.UNSUBSCRIBED.value
_EFFECTS: Final = frozenset(
    {_UNSUBSCRIBED, EventType.FAILED.value, EventType.COMPLAINED.value, EventType.CONSENT_CHANGED.value}
)
"""The types whose events concern the recipient of their message: those of the query ``effects``, and of its index."""


class _Registered(NamedTuple):
    message: Key
    occurred_at: int
    recipient: str
    list: str


def recording_effects(
    said: Sequence[Event], known: Iterable[Key]
) -> Generator[Each, Sequence[Row], dict[Person, Standing]]:
    """Steps that fold ``said`` into recipients; returns what was said of each person, whatever the list.

    ``known`` are messages that the store knew before: something may have happened to them already.
    """
    registered = [
        one for event in said for one in _registered(key_of(event), event.occurred_at, event.facts.registration)
    ]
    effects = [event for event in said if event.facts.type in _EFFECTS and _of_message(event.facts)]
    late = sorted({one.message for one in registered}.intersection(known))
    rows = yield Each("registrations", sorted({key_of(event) for event in effects}))
    earlier = [one for row in rows for one in _registered((row[0], row[1]), row[2], registration_in(row[3]))]
    rows = yield Each("effects", late)
    effects += [_effect(row) for row in rows]
    by_message: dict[Key, set[tuple[str, str]]] = defaultdict(set)
    for one in (*registered, *earlier):
        by_message[one.message].add((one.recipient, one.list))
    direct = [event for event in said if event.facts.change is not None and not _of_message(event.facts)]
    yield Each("put_recipients", _recipient_rows(registered, effects, direct, by_message))
    standings = _standings(effects, direct, by_message)
    yield from _putting(standings)
    return standings


def _putting(standings: Mapping[Person, Standing]) -> Generator[Each, Sequence[Row], None]:
    """Merges ``standings`` into those that are stored, which are locked before they are read.

    A row is added before: what is not there cannot be locked, and of two who add it one would undo the other.
    """
    persons = sorted(standings)
    yield Each("add_standings", persons)
    rows = yield Each("lock_standings", persons)
    stored = {(row[0], row[1]): standing_in(row) for row in rows}
    yield Each("put_standings", [standing_row(*one, merged(stored[one], standings[one])) for one in persons])


def _of_message(facts: Facts) -> bool:
    return facts.change is None or facts.change.recipient is None


def _registered(message: Key, occurred_at: int, registration: Registration | None) -> list[_Registered]:
    if registration is None or registration.recipient is None:
        return []
    return [_Registered(message, occurred_at, registration.recipient, registration.list)]


def _effect(row: Row) -> Event:
    """As much of an event as its effect takes."""
    account, message_id, type_, occurred_at, recorded_at, list_, detail = row
    facts = Facts(account, message_id, type_, list=list_, delivery=delivery_in(detail), change=change_in(detail))
    return Event(b"", "", occurred_at, occurred_at, recorded_at, 1, facts)


def _recipient_rows(
    registered: Iterable[_Registered],
    effects: Iterable[Event],
    direct: Iterable[Event],
    by_message: Mapping[Key, set[tuple[str, str]]],
) -> list[Row]:
    """Rows of ``recipients``, sorted, each key once."""
    seen: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    left: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    back: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for one in registered:
        seen[one.message[0], one.recipient, one.list].append(one.occurred_at)
    for event in effects:
        if event.facts.type == _UNSUBSCRIBED:
            for recipient, list_ in by_message.get(key_of(event), ()):
                left[event.facts.account, recipient, event.facts.list or list_].append(known_since(event))
    for event in direct:
        change = event.facts.change
        if change and change.recipient and Suppression.UNSUBSCRIBED in change.resets and event.facts.list:
            back[event.facts.account, change.recipient, event.facts.list].append(event.occurred_at)
    return [
        (
            *key,
            min(seen[key], default=None),
            max(seen[key], default=None),
            max(left[key], default=None),
            max(back[key], default=None),
        )
        for key in sorted(seen.keys() | left.keys() | back.keys())
    ]


def _standings(
    effects: Iterable[Event], direct: Iterable[Event], by_message: Mapping[Key, set[tuple[str, str]]]
) -> dict[Person, Standing]:
    standings: dict[Person, Standing] = {}

    def note(person: Person, event: Event) -> None:
        after = standing_after(event)
        if after is not None:
            standings[person] = merged(standings[person], after) if person in standings else after

    for event in effects:
        for recipient, _ in by_message.get(key_of(event), ()):
            note((event.facts.account, recipient), event)
    for event in direct:
        if event.facts.change is not None and event.facts.change.recipient is not None:
            note((event.facts.account, event.facts.change.recipient), event)
    return standings
