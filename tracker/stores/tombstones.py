"""Keeps out what comes late of people who were erased: hits from a spool, reports, and registrations.

Owns what their tombstones stand against, and how one is lifted. Must not look for what came in time: that is `erasing`.

Whoever records says so before anything else, and whoever erases waits for that, and is waited for: so of an erasure and
a batch at once, the later one sees what the earlier one did.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tracker.core.errors import StoreUnavailable
from tracker.core.model import Event, EventType
from tracker.core.tombstones import Digests

from .database import Each, Once, Row
from .removing import removing
from .rows import Key, Person, key_of

DigestsOf = Callable[[str, str], Sequence[bytes]]
"""Those of an account's person, or of an account's message."""

_RESET: Final = EventType.RECIPIENT_RESET.value


class Tombstone(NamedTuple):
    """When somebody, or a message, was erased, and when that was lifted."""

    erased_at: int
    lifted_at: int | None

    def covers(self, occurred_at: int) -> bool:
        """Whether what happened then must leave no trace. What is not lifted covers what is yet to come, too."""
        return self.lifted_at is None or occurred_at <= self.erased_at


def sifting(
    events: Sequence[Event], digests: Digests
) -> Generator[Once | Each, Sequence[Row], tuple[list[Event], list[Event]]]:
    """The first of the steps that record ``events``: those that may be kept, and those of erased people.

    Where a registration was under way while its recipient was erased, the message is erased now.
    """
    persons = {person for event in events if (person := person_of(event)) is not None}
    # Looked at before the lock, since it depends on this who else may record meanwhile: mostly everybody.
    is_late = bool(_late(events, (yield from standing(persons, digests.of_person))))
    yield Once("lock_erasure", (is_late,))
    ((has_any,),) = yield Once("has_tombstones")
    if not has_any:
        return list(events), []
    erased = yield from standing(persons, digests.of_person)
    yield from _lifting(events, erased, digests)
    late = _late(events, erased)
    if late and not is_late:
        raise StoreUnavailable("somebody was erased just now")
    messages = sorted({key_of(event) for event in events if event.facts.message_id})
    known = {(row[0], row[1]): bool(row[2]) for row in (yield Each("known_messages", messages))}
    gone = yield from standing((key for key in messages if key not in known), digests.of_message)
    named = {event.id for event in late}
    gone |= yield from _reviving([event for event in events if event.id not in named], gone, digests)
    # One that is registered is somebody else's: the recipient's own are gone.
    fresh = {
        key_of(event): erased[person].erased_at
        for event in late
        if (person := person_of(event))
        and event.facts.message_id
        and not known.get(key_of(event), key_of(event) in gone)
    }
    yield from marking(fresh, digests.of_message, is_person=False)
    yield from removing(sorted(fresh.keys() & known.keys()))
    dropped = [
        event
        for event in events
        if event.id in named
        or key_of(event) in fresh
        or ((stone := gone.get(key_of(event))) is not None and stone.covers(event.occurred_at))
    ]
    ids = {event.id for event in dropped}
    return [event for event in events if event.id not in ids], dropped


def marking(
    erased_at: Mapping[tuple[str, str], int], digests_of: DigestsOf, *, is_person: bool
) -> Generator[Once | Each, Sequence[Row], None]:
    """Puts up the tombstones of people, or of messages, each erased at its time."""
    rows = [(digest, is_person, at) for key, at in erased_at.items() for digest in digests_of(*key)]
    yield Each("put_tombstones", sorted(rows))


def standing(
    keys: Iterable[tuple[str, str]], digests_of: DigestsOf
) -> Generator[Once | Each, Sequence[Row], dict[tuple[str, str], Tombstone]]:
    """The tombstones of those of ``keys`` that have one."""
    keys_of = {digest: key for key in keys for digest in digests_of(*key)}
    found: dict[tuple[str, str], Tombstone] = {}
    for digest, *times in (yield Each("tombstones", sorted((digest,) for digest in keys_of))):
        key, one = keys_of[bytes(digest)], Tombstone(*times)
        # Of several keys' digests, the last erasure counts: an earlier one may have known fewer keys.
        found[key] = max(found.get(key, one), one, key=lambda stone: (stone.erased_at, stone.lifted_at is None))
    return found


def is_late(event: Event, erased: Mapping[Person, Tombstone]) -> bool:
    """Whether it names somebody who is erased."""
    person = person_of(event)
    stone = erased.get(person) if person is not None else None
    return stone is not None and stone.covers(event.occurred_at)


def person_of(event: Event) -> Person | None:
    """Whom the event names."""
    said = event.facts.registration or event.facts.change
    return None if said is None or said.recipient is None else (event.facts.account, said.recipient)


def _late(events: Iterable[Event], erased: Mapping[Person, Tombstone]) -> list[Event]:
    return [event for event in events if is_late(event, erased)]


def _reviving(
    kept: Iterable[Event], gone: Mapping[Key, Tombstone], digests: Digests
) -> Generator[Once | Each, Sequence[Row], dict[Key, Tombstone]]:
    """Lifts the tombstones of messages whose ids were given, after the erasure, to messages that are ``kept``."""
    lifted = {
        key: gone[key]._replace(lifted_at=event.occurred_at)
        for event in kept
        if event.facts.registration is not None
        and (key := key_of(event)) in gone
        and event.occurred_at > gone[key].erased_at
    }
    rows = [(digest, stone.lifted_at) for key, stone in lifted.items() for digest in digests.of_message(*key)]
    yield Each("lift_tombstones", sorted(rows))
    return lifted


def _lifting(
    events: Iterable[Event], erased: dict[Person, Tombstone], digests: Digests
) -> Generator[Once | Each, Sequence[Row], None]:
    """Lifts the tombstones of those whom an operator's reset names, if it came after the erasure."""
    lifted: dict[Person, int] = {}
    for event in events:
        person = person_of(event)
        stone = erased.get(person) if person is not None and event.facts.type == _RESET else None
        if person is not None and stone and stone.lifted_at is None and event.occurred_at > stone.erased_at:
            lifted[person] = event.occurred_at
    for person, at in lifted.items():
        erased[person] = erased[person]._replace(lifted_at=at)
    rows = [(digest, at) for person, at in lifted.items() for digest in digests.of_person(*person)]
    yield Each("lift_tombstones", sorted(rows))
