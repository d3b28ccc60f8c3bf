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

_RESET: Final = EventType.RECIPIENT_RESET.value
_OBJECTIONS: Final = frozenset({EventType.UNSUBSCRIBED.value, EventType.COMPLAINED.value})


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
    was_late = bool(_late(events, (yield from standing(persons, digests.of_person))))
    yield Once("lock_erasure", (was_late,))
    ((has_any,),) = yield Once("has_tombstones")
    if not has_any:
        return list(events), []
    erased = yield from standing(persons, digests.of_person)
    yield from _lifting_people(events, erased, digests)
    late = _late(events, erased)
    if late and not was_late:
        raise StoreUnavailable("somebody was erased just now")
    messages = sorted({key_of(event) for event in events if event.facts.message_id})
    known = {(row[0], row[1]): bool(row[2]) for row in (yield Each("known_messages", messages))}
    gone = yield from standing(messages, digests.of_message)
    yield from _lifting_messages(taken := taken_anew(events, gone, erased), digests)
    gone |= taken
    # One that is registered is somebody else's: the recipient's own are gone.
    fresh = {
        key_of(event): (person, erased[person].erased_at)
        for event in late
        if (person := person_of(event))
        and event.facts.message_id
        and not known.get(key_of(event), key_of(event) in gone)
    }
    yield from marking_messages(fresh, digests)
    yield from removing(sorted(fresh.keys() & known.keys()))
    dropped = [event for event in events if key_of(event) in fresh or is_erased(event, gone, erased)]
    yield from _heeding(dropped, digests)
    ids = {event.id for event in dropped}
    return [event for event in events if event.id not in ids], dropped


def marking_person(person: Person, erased_at: int, digests: Digests) -> Generator[Each, Sequence[Row], None]:
    """Puts up the tombstone of somebody."""
    yield Each("put_tombstones", sorted((digest, True, erased_at, None) for digest in digests.of_person(*person)))


def marking_messages(
    owners: Mapping[Key, tuple[Person, int]], digests: Digests
) -> Generator[Each, Sequence[Row], None]:
    """Puts up the tombstones of messages: whose they were, and when these people were erased."""
    rows = [
        (digest, False, erased_at, owner)
        for key, (person, erased_at) in owners.items()
        for digest, owner in zip(digests.of_message(*key), digests.of_person(*person), strict=True)
    ]
    yield Each("put_tombstones", sorted(rows))


def standing(
    keys: Iterable[tuple[str, str]], digests_of: Callable[[str, str], Sequence[bytes]]
) -> Generator[Once | Each, Sequence[Row], dict[tuple[str, str], Tombstone]]:
    """The tombstones of those of ``keys``, people or messages, that have one."""
    keys_of = {digest: key for key in keys for digest in digests_of(*key)}
    found: dict[tuple[str, str], Tombstone] = {}
    for digest, *times in (yield Each("tombstones", sorted((digest,) for digest in keys_of))):
        key, one = keys_of[bytes(digest)], Tombstone(*times)
        # Of several keys' digests, the last erasure counts: an earlier one may have known fewer keys.
        found[key] = max(found.get(key, one), one, key=lambda stone: (stone.erased_at, stone.lifted_at is None))
    return found


def taken_anew(
    events: Iterable[Event], gone: Mapping[Key, Tombstone], erased: Mapping[Person, Tombstone]
) -> dict[Key, Tombstone]:
    """The tombstones, lifted, of the messages whose ids were given to other messages after the erasure."""
    return {
        key: stone._replace(lifted_at=event.occurred_at)
        for event in events
        if event.facts.registration is not None
        and (stone := gone.get(key := key_of(event))) is not None
        and stone.lifted_at is None
        and event.occurred_at > stone.erased_at
        and not is_late(event, erased)
    }


def is_erased(event: Event, gone: Mapping[Key, Tombstone], erased: Mapping[Person, Tombstone]) -> bool:
    """Whether it is of a message that is ``gone``, or names somebody who is ``erased``."""
    stone = gone.get(key_of(event))
    return is_late(event, erased) or (stone is not None and stone.covers(event.occurred_at))


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


def _lifting_people(
    events: Iterable[Event], erased: dict[Person, Tombstone], digests: Digests
) -> Generator[Each, Sequence[Row], None]:
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


def _lifting_messages(lifted: Mapping[Key, Tombstone], digests: Digests) -> Generator[Each, Sequence[Row], None]:
    rows = [(digest, stone.lifted_at) for key, stone in lifted.items() for digest in digests.of_message(*key)]
    yield Each("lift_tombstones", sorted(rows))


def _heeding(dropped: Iterable[Event], digests: Digests) -> Generator[Each, Sequence[Row], None]:
    """Heeds who objects by a link in a mail from before the erasure: they are written to only after another reset.

    They were told that it is done, and nobody knows any more who they are, on which list.
    """
    objected: dict[bytes, int] = {}
    for event in dropped:
        if event.facts.type in _OBJECTIONS and event.facts.message_id:
            for digest in digests.of_message(*key_of(event)):
                objected[digest] = max(event.occurred_at, objected.get(digest, event.occurred_at))
    yield Each("put_back_tombstones", sorted(objected.items()))
