"""Keeps no hit of a person who withdrew their consent: it adds to the batch's anonymous count, and to nothing else.

Owns which hits those are, whichever comes first, the hit or the withdrawal. What a consent covers is `core.recipients`.
A hit that is gone stays so, even if an earlier consent to it arrives later: none may be kept on the chance of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Final

from tracker.core.agents import classify
from tracker.core.model import Actor, Consent, Event, EventType, RecipientChange
from tracker.core.recipients import Standing
from tracker.core.status import Status

from .database import Each, Row
from .rows import Key, Person, change_in, key_of, registration_in, standing_in

_OPENED: Final = EventType.OPENED.value
_REWRITTEN: Final = EventType.REWRITTEN.value


def locking(events: Iterable[Event]) -> Generator[Each, Sequence[Row], None]:
    """Keeps withdrawals and registrations of an account apart: neither would see what the other is about to say.

    The first step, since whoever waits for this must not hold anything yet.
    """
    events = list(events)
    alone = {event.facts.account for event in events if _denies(event.facts.change)}
    together = {event.facts.account for event in events if event.facts.type == _REWRITTEN} - alone
    yield Each("lock_accounts", sorted([(account, True) for account in alone] + [(one, False) for one in together]))


def concerned(said: Sequence[Event]) -> Generator[Each, Sequence[Row], set[Key]]:
    """The messages of everybody whose tracking ``said`` denies, to be locked: their hits may have to go.

    That is so, too, where ``said`` tells who it was that denied it before, on the page of a message.
    """
    denials = [event for event in said if _denies(event.facts.change)]
    persons = {
        (event.facts.account, event.facts.change.recipient)
        for event in denials
        if event.facts.change is not None and event.facts.change.recipient is not None
    }
    messages = {key_of(event) for event in denials if event.facts.message_id}
    registered = {key_of(event) for event in said if event.facts.type == _REWRITTEN}
    for account, message_id, *_, detail in (yield Each("effects", sorted(registered))):
        if _denies(change_in(detail)):
            messages.add((account, message_id))
    for account, _, _, detail in (yield Each("registrations", sorted(messages))):
        registration = registration_in(detail)
        if registration is not None and registration.recipient is not None:
            persons.add((account, registration.recipient))
    rows = yield Each("messages_of_recipients", sorted(persons))
    return {(row[0], row[1]) for row in rows}


def keeping(hits: Sequence[Event], statuses: Mapping[Key, Status]) -> Generator[Each, Sequence[Row], list[Event]]:
    """Counts those of ``hits`` that may not be kept; returns the others."""
    standings = yield from _standings(statuses[key_of(event)] for event in hits)
    refused = [
        event for event in hits if _covered(statuses[key_of(event)], standings, event.facts.type, event.occurred_at)
    ]
    # One that was kept before the withdrawal, and is delivered again now, stays what it is.
    known = yield Each("known_events", sorted((event.id,) for event in refused))
    kept = {bytes(row[0]) for row in known}
    gone = {event.id: event for event in refused if event.id not in kept}
    yield from _counting(
        [
            (id_, statuses[key_of(event)], event.facts.type, verdict.actor, event.count)
            for id_, event in gone.items()
            if (verdict := classify(event.facts)) is not None
        ]
    )
    return [event for event in hits if event.id not in gone]


def withdrawing(
    said: Sequence[Event], told: Mapping[Person, Standing], statuses: Mapping[Key, Status]
) -> Generator[Each, Sequence[Row], set[Key]]:
    """Removes what was kept of hits that came after their person's withdrawal, in a batch before this one.

    ``told`` is what ``said`` says of persons. Of what was kept, only a denial in ``said`` can take something back, or
    an event that tells whose message it is. Returns the messages that lost a hit.
    """
    assigned = {key_of(event) for event in said if event.facts.type == _REWRITTEN or _denies(event.facts.change)}
    candidates = {
        key: status
        for key, status in statuses.items()
        if (key in assigned or _person(status) in told) and status.has_hits
    }
    standings = yield from _standings(candidates.values())
    since = {
        key: at
        for key, status in candidates.items()
        if (at := _denied_since(status, standings if key in assigned else told)) is not None
    }
    hits = yield Each("hits_since", sorted((*key, at) for key, at in since.items()))
    gone = [
        (bytes(id_), statuses[account, message_id], type_, Actor(actor), count)
        for id_, account, message_id, type_, occurred_at, count, actor in hits
        if _covered(statuses[account, message_id], standings, type_, occurred_at)
    ]
    ids = sorted((row[0],) for row in gone)
    yield Each("remove_verdicts", ids)
    yield Each("remove_events", ids)
    yield from _counting(gone)
    return {(status.account, status.message_id) for _, status, *_ in gone}


def _counting(gone: Sequence[tuple[bytes, Status, str, Actor, int]]) -> Generator[Each, Sequence[Row], None]:
    """Counts hits by batch; each is its id, its message's status, its type, who acted, and how often."""
    added = yield Each("add_counted", sorted((id_,) for id_, *_ in gone))
    fresh = {bytes(row[0]) for row in added}
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for id_, status, type_, actor, count in gone:
        if id_ in fresh:
            batch = status.registration.batch if status.registration else None
            counts[status.account, batch or "", type_, actor.value] += count
    yield Each("count_anonymous", sorted((*key, count) for key, count in counts.items()))


def _standings(statuses: Iterable[Status]) -> Generator[Each, Sequence[Row], dict[Person, Standing]]:
    persons = {person for status in statuses if (person := _person(status)) is not None}
    rows = yield Each("standings", sorted(persons))
    return {(row[0], row[1]): standing_in(row) for row in rows}


def _covered(status: Status, standings: Mapping[Person, Standing], type_: str, occurred_at: int) -> bool:
    """Whether a hit at that time may not be kept."""
    person = _person(status)
    if person is None:
        return status.untracked_since is not None and occurred_at >= status.untracked_since
    standing = standings.get(person)
    if standing is None:
        return False
    return (standing.opens if type_ == _OPENED else standing.clicks).covers(occurred_at)


def _denied_since(status: Status, standings: Mapping[Person, Standing]) -> int | None:
    """Since when hits may have to go, by what is in ``standings``: later changes may allow some of them."""
    person = _person(status)
    if person is None:
        return status.untracked_since
    standing = standings.get(person)
    times = (standing.opens.first_denied_at, standing.clicks.first_denied_at) if standing else ()
    return min((at for at in times if at is not None), default=None)


def _denies(change: RecipientChange | None) -> bool:
    return change is not None and Consent.DENIED in (change.opens, change.clicks)


def _person(status: Status) -> Person | None:
    recipient = status.registration.recipient if status.registration else None
    return None if recipient is None else (status.account, recipient)
