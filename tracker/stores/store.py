"""Events and what follows from them: the status of messages, the standing of recipients.

Owns these questions to the database and the form of their answers. Must not know which database it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from tracker.core.model import Event, Owner, Verdict
from tracker.core.recipients import ListStanding, Standing
from tracker.core.status import Status

from .database import Database, Each, Once
from .limits import is_key
from .recording import recording
from .rows import judged_event, list_standing_in, standing_in, status_in


class OnList(NamedTuple):
    """What is known of a recipient with a view to one list."""

    standing: Standing | None
    on_list: ListStanding | None


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


class Position(NamedTuple):
    """A place in the order in which what is known of recipients changed; by default, before everything."""

    updated_at: int = -1
    account: str = ""
    recipient: str = ""
    list: str = ""


class RecipientChanges(NamedTuple):
    """A page of what changed about recipients."""

    asked_at: int
    """By the database's clock: the page has all that was committed before."""
    rows: list[tuple[Position, tuple[int | str | None, ...]]]
    """Whom it is about, and the columns of their `Standing`, consents as JSON, or of their `ListStanding`:
    ``unsubscribed_at`` and ``reset_at``."""


class Store:
    """The status store in ``database``; raises what that raises."""

    def __init__(self, database: Database) -> None:
        self.database = database

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
        await self.database.write(recording(events))

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
        known = {pair: OnList(standings.get(pair[0]), on_lists.get(pair)) for pair in wanted}
        return {pair: one for pair, one in known.items() if one != (None, None)}

    async def recipient(self, account: str, recipient: str) -> tuple[Standing, list[ListStanding]] | None:
        """All that is known of one recipient; None where that is nothing."""
        if not (is_key(account) and is_key(recipient)):
            return None
        rows = await self.database.read(Each("standings", [(account, recipient)]))
        lists = await self.database.read(Once("lists_of_recipient", (account, recipient)))
        if not (rows or lists):
            return None
        return standing_in(rows[0]) if rows else Standing(), [list_standing_in(row) for row in lists]

    async def recipient_changes(self, after: Position, *, on_lists: bool, limit: int) -> RecipientChanges:
        """What is known now of those of whom it changed after ``after``: whatever the list, or else ``on_lists``.

        Whoever reads on from a position misses what is committed late: times are taken before a transaction ends.
        """
        query, width = ("changed_list_standings", 4) if on_lists else ("changed_standings", 3)
        ((asked_at,),) = await self.database.read(Once("clock"))
        rows = await self.database.read(Once(query, (*after[:width], limit)))
        return RecipientChanges(asked_at, [(Position(*row[:width]), tuple(row[width:])) for row in rows])

    async def changes(self, account: str, *, after: int = 0, limit: int = 1000) -> list[Change]:
        """The changes of messages' stages after the one with the number ``after``, in their order, none left out."""
        rows = await self.database.read(Once("changes", (account, after, limit)))
        return [Change(*row)._replace(is_correction=bool(row[9])) for row in rows]
