"""Erases a person: whatever names them or belongs to a message of theirs, in every table.

Owns what goes, in which order, and what the tombstones are made of. What they keep out later is `tombstones`.

The tombstones come first, and each page is a transaction: an erasure that breaks off is finished by the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Final, NamedTuple

from tracker.core.tombstones import Digests

from . import audit
from .audit import Act
from .database import Database, Each, Once, Procedure, Row
from .limits import is_key
from .removing import FIRST_AGENT, locking, removing, removing_agents
from .rows import Person
from .tombstones import marking_messages, marking_person

PAGE_MESSAGES: Final = 200
PAGE_EVENTS: Final = 2000


class Erased(NamedTuple):
    """What an erasure came to."""

    messages: list[str]
    """The ids of those that were removed."""
    events: int


class _Page(NamedTuple):
    messages: list[str]
    events: int
    is_last: bool


Forget = Callable[[Sequence[str]], object]
"""Removes what is kept beside the store of those who are named so, or of messages with such ids. Blocks."""


class Erasure:
    """Erases people in ``database``, and ``beside`` it; raises what these raise. ``digests`` have keys."""

    def __init__(self, database: Database, digests: Digests, beside: Forget) -> None:
        self._database = database
        self._digests = digests
        self._beside = beside

    async def erase(self, account: str, recipient: str, now: int, actor: str) -> Erased:
        """Remove what is kept of a recipient, and see to it that nothing of before ``now`` is kept later.

        Nor is anything of after, until it is lifted. Whom nothing is known of is erased, too: it may be on its way.
        """
        if not (is_key(account) and is_key(recipient)):
            return Erased([], 0)
        person = (account, recipient)
        await audit.write(self._database, _marking(person, self._digests, now, actor))
        await asyncio.to_thread(self._beside, [recipient])
        page, messages, events = _Page([], 0, is_last=False), list[str](), 0
        while not page.is_last:
            # Before they go from the store: if it breaks off, the next erasure knows them still.
            rows = await self._database.read(Once("messages_of_person", (*person, PAGE_MESSAGES)))
            await asyncio.to_thread(self._beside, [row[1] for row in rows])
            page = await self._database.write(_page(person, self._digests, now))
            messages += page.messages
            events += page.events
        agent: int | None = FIRST_AGENT
        while agent is not None:
            agent = await self._database.write(removing_agents(agent))
        await self._database.scrub()
        return Erased(messages, events)


def _marking(person: Person, digests: Digests, now: int, actor: str) -> Procedure[tuple[None, Act]]:
    yield from locking()
    yield from marking_person(person, now, digests)
    yield Once("remove_standing", person)
    yield Once("remove_list_standings", person)
    account, subject = person[0], digests.of_person(*person)[-1].hex()
    return None, Act(account, actor, "recipient_erased", subject)


def _page(person: Person, digests: Digests, now: int) -> Generator[Once | Each, Sequence[Row], _Page]:
    yield from locking()
    keys = [(row[0], row[1]) for row in (yield Once("messages_of_person", (*person, PAGE_MESSAGES)))]
    yield from marking_messages(dict.fromkeys(keys, (person, now)), digests)
    events = yield from removing(keys)
    if len(keys) == PAGE_MESSAGES:
        return _Page([key[1] for key in keys], events, is_last=False)
    # What is left names them, and is of no message, or of one that was registered for another before.
    rows = yield Once("events_of_person", (*person, PAGE_EVENTS))
    ids = [(bytes(row[0]),) for row in rows]
    yield Each("remove_events", ids)
    return _Page([key[1] for key in keys], events + len(ids), is_last=len(ids) < PAGE_EVENTS)
