"""Events and what follows from them: the status of messages, the standing of recipients.

Owns these questions to the database and the form of their answers. Must not know which database it is.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Generator, Sequence
from typing import Final, NamedTuple, TypeVar

from tracker import metrics
from tracker.core.model import Event, Owner, Verdict
from tracker.core.recipients import ListStanding, Standing
from tracker.core.status import Status
from tracker.core.tombstones import Digests

from .database import Database, Each, Once, Overtaken, Row
from .limits import is_key
from .recording import recording
from .rows import judged_event, key_of, list_standing_in, standing_in, status_in
from .tombstones import is_erased, person_of, standing, taken_anew

_TRIES: Final = 5
"""As often is a batch recorded in a row where others add the same messages."""

_Found = TypeVar("_Found")


class OnList(NamedTuple):
    """What is known of a recipient with a view to one list."""

    standing: Standing | None
    on_list: ListStanding | None
    is_erased: bool = False


class Change(NamedTuple):
    """A message's stage changed; what it is now and what it was, None where the message was not known."""

    sequence: int
    """Grows by one with each change of an account, in the order in which the changes became visible."""
    message_id: str
    batch: str | None
    recipient: str | None
    stage: str
    previous_stage: str | None
    label: str | None
    last_action: str
    failure: str | None
    is_correction: bool
    """Whether the stage moved back."""
    changed_at: int
    """Microseconds since the epoch."""


class What(enum.IntEnum):
    """What is known of recipients, each followed on its own."""

    STANDINGS = 0
    """Whatever the list."""
    LIST_STANDINGS = 1
    ERASURES = 2


class Position(NamedTuple):
    """A place in the order in which what is known of recipients changed; by default, before everything."""

    updated_at: int = -1
    account: str = ""
    recipient: str = ""
    """Of `What.ERASURES` it is the digest of the person, in hexadecimal, and there is no account."""
    list: str = ""


class RecipientChanges(NamedTuple):
    """A page of what changed about recipients."""

    asked_at: int
    """By the database's clock: the page has all that was committed before."""
    rows: list[tuple[Position, tuple[int | str | None, ...]]]
    """Whom it is about, and the columns of their `Standing`, consents as JSON; or of their `ListStanding`:
    ``unsubscribed_at`` and ``reset_at``; or of their `Tombstone`."""


class Store:
    """The status store in ``database``; raises what that raises. ``digests`` are those of who was erased."""

    def __init__(self, database: Database, digests: Digests = Digests()) -> None:  # noqa: B008 - immutable
        self.database = database
        self.digests = digests

    async def open(self) -> None:
        """See `Database`."""
        await self.database.open()

    async def close(self) -> None:
        """See `Database`."""
        await self.database.close()

    async def record(self, events: Sequence[Event]) -> None:
        """Store ``events`` and fold them into what they concern, all in one transaction.

        Events stored before, by their id, change nothing, so a batch may be tried again after any failure.
        Raises `EventRejected` when some event of the batch can never be stored; then none of it is.
        """
        for again in reversed(range(_TRIES)):
            try:
                dropped = await self.database.write(recording(events, self.digests))
            except Overtaken:
                if not again:
                    raise
            else:
                metrics.ERASED.inc(dropped)
                return

    async def status(self, account: str, message_id: str) -> Status | None:
        """The status of one message, or None where nothing is known of it."""
        if not (is_key(account) and is_key(message_id)):
            return None
        rows = await self.database.read(Each("messages", [(account, message_id)]))
        return status_in(rows[0]) if rows else None

    async def owners(self, account: str, message_ids: Sequence[str]) -> dict[str, Owner]:
        """The owners of those of the messages that are registered, by message id."""
        rows = await self.database.read(Each("owners", [(account, id_) for id_ in message_ids if is_key(id_)]))
        return {id_: Owner(*owner) for id_, *owner in rows}

    async def events(
        self, account: str, message_id: str, *, after: bytes = b"", limit: int = 1000
    ) -> list[tuple[Event, Verdict | None]]:
        """The events of one message whose ids come after ``after``, in the order of their ids."""
        if not (is_key(account) and is_key(message_id)):
            return []
        parameters = (account, message_id, after.ljust(16, b"\0"), limit)
        return [judged_event(row) for row in await self.database.read(Once("events", parameters))]

    async def messages_by_rfc822_id(self, account: str, rfc822_ids: Sequence[str]) -> dict[str, str]:
        """The messages registered with these ``Message-ID`` headers, by header; none for one that several have."""
        keys = [(account, id_) for id_ in rfc822_ids if is_key(id_)]
        found: dict[str, set[str]] = defaultdict(set)
        for rfc822_id, message_id in await self.database.read(Each("messages_by_rfc822_id", keys)):
            found[rfc822_id].add(message_id)
        return {rfc822_id: next(iter(ids)) for rfc822_id, ids in found.items() if len(ids) == 1}

    async def standings(self, account: str, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], OnList]:
        """What is known of each recipient and list of ``wanted``; those that nothing is known of are left out."""
        keys = [(account, recipient, list_) for recipient, list_ in wanted if is_key(recipient) and is_key(list_)]
        rows = await self.database.read(Each("standings", sorted({key[:2] for key in keys})))
        standings = {row[1]: standing_in(row) for row in rows}
        on_lists = {
            (row[1], row[2]): list_standing_in(row) for row in await self.database.read(Each("list_standings", keys))
        }
        erased = await self.erased(account, [pair[0] for pair in wanted])
        known = {
            pair: OnList(standings.get(pair[0]), on_lists.get(pair), is_erased=pair[0] in erased) for pair in wanted
        }
        return {pair: one for pair, one in known.items() if one != OnList(None, None)}

    async def erased(self, account: str, recipients: Sequence[str]) -> set[str]:
        """Those of ``recipients`` who were erased, and may not be written to again yet."""
        persons = {(account, one) for one in recipients if is_key(account) and is_key(one)}
        found = await self._lookup(standing(persons, self.digests.of_person))
        return {recipient for (_, recipient), stone in found.items() if stone.lifted_at is None}

    async def erased_of(self, events: Sequence[Event]) -> list[Event]:
        """Those of ``events``, which the store does not have, that are of erased people."""
        keys = {key_of(event) for event in events if event.facts.message_id}
        messages = await self._lookup(standing(keys, self.digests.of_message))
        persons = {person for event in events if (person := person_of(event)) is not None}
        people = await self._lookup(standing(persons, self.digests.of_person))
        messages |= taken_anew(events, messages, people)
        return [event for event in events if is_erased(event, messages, people)]

    async def last_erasure(self) -> int | None:
        """When anybody was erased, or that was lifted, the last time; by the database's clock."""
        ((at,),) = await self.database.read(Once("last_erasure"))
        return None if at is None else int(at)

    async def recipient(self, account: str, recipient: str) -> tuple[Standing, list[ListStanding]] | None:
        """All that is known of one recipient; None where that is nothing."""
        if not (is_key(account) and is_key(recipient)):
            return None
        rows = await self.database.read(Each("standings", [(account, recipient)]))
        lists = await self.database.read(Once("lists_of_recipient", (account, recipient)))
        if not (rows or lists):
            return None
        return standing_in(rows[0]) if rows else Standing(), [list_standing_in(row) for row in lists]

    async def recipient_changes(self, after: Position, what: What, *, limit: int) -> RecipientChanges:
        """What is known now of those of whom it changed after ``after``.

        Whoever reads on from a position misses what is committed late: times are taken before a transaction ends.
        """
        ((asked_at,),) = await self.database.read(Once("clock"))
        if what is What.ERASURES:
            rows = await self.database.read(Once("changed_tombstones", (after.updated_at, after.recipient, limit)))
            return RecipientChanges(asked_at, [(Position(row[0], "", row[1]), tuple(row[2:])) for row in rows])
        query, width = _CHANGED[what]
        rows = await self.database.read(Once(query, (*after[:width], limit)))
        return RecipientChanges(asked_at, [(Position(*row[:width]), tuple(row[width:])) for row in rows])

    async def changes(self, account: str, *, after: int = 0, limit: int = 1000) -> list[Change]:
        """The changes of messages' stages after the one with the number ``after``, in their order, none left out."""
        rows = await self.database.read(Once("changes", (account, after, limit)))
        return [Change(*row)._replace(is_correction=bool(row[9])) for row in rows]

    async def _lookup(self, steps: Generator[Once | Each, Sequence[Row], _Found]) -> _Found:
        """What ``steps``, which change nothing, come to: each for itself, since no transaction is worth its while."""
        try:
            rows = await self.database.read(next(steps))
            while True:
                rows = await self.database.read(steps.send(rows))
        except StopIteration as done:
            found: _Found = done.value
            return found


_CHANGED: Final = {What.STANDINGS: ("changed_standings", 3), What.LIST_STANDINGS: ("changed_list_standings", 4)}
