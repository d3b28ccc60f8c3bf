"""Erases a person: whatever names them or belongs to a message of theirs, in every table.

Owns what goes, in which order, and what the tombstones are made of. What they keep out later is `tombstones`.

The tombstones come first, and each page is a transaction: an erasure that breaks off is finished by the next one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Final, NamedTuple

from tracker.core.batches import OPEN_KEYED, OTHER, counted, short_key
from tracker.core.naming import Names
from tracker.core.status import Status
from tracker.core.tombstones import Digests

from . import audit
from .audit import Act
from .counting import batch_of
from .database import Database, Each, Once, Procedure, Row
from .limits import is_key
from .removing import FIRST_AGENT, locking, removing, removing_agents
from .rows import Key, Person, status_in
from .tombstones import marking

PAGE_MESSAGES: Final = 200
PAGE_EVENTS: Final = 2000
_MIN_TELLING_CHARS: Final = 3
"""A shorter reference is in any URL by chance."""


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
    yield from marking({person: now}, digests.of_person, is_person=True)
    yield Once("remove_standing", person)
    yield Once("remove_list_standings", person)
    account, subject = person[0], digests.of_person(*person)[-1].hex()
    return None, Act(account, actor, "recipient_erased", subject)


def _page(person: Person, digests: Digests, now: int) -> Generator[Once | Each, Sequence[Row], _Page]:
    yield from locking()
    keys = [(row[0], row[1]) for row in (yield Once("messages_of_person", (*person, PAGE_MESSAGES)))]
    yield from marking(dict.fromkeys(keys, now), digests.of_message, is_person=False)
    yield from _counting_together(person, keys)
    events = yield from removing(keys)
    if len(keys) == PAGE_MESSAGES:
        return _Page([key[1] for key in keys], events, is_last=False)
    # What is left names them, and is of no message, or of one that was registered for another before.
    rows = yield Once("events_of_person", (*person, PAGE_EVENTS))
    ids = [(bytes(row[0]),) for row in rows]
    yield Each("remove_events", ids)
    return _Page([key[1] for key in keys], events + len(ids), is_last=len(ids) < PAGE_EVENTS)


def _counting_together(person: Person, keys: Sequence[Key]) -> Generator[Once | Each, Sequence[Row], None]:
    """Counts with others what has a key that names the person, such as a link's destination: the sum stays as it was.

    Only what nobody else is counted under.
    """
    states = yield Each("lock_messages", keys)
    statuses = [status_in(state) for state in states]
    names = Names((person[1], *(key[1] for key in keys)), least_chars=_MIN_TELLING_CHARS)
    # As they are, and as they were before they were cut short.
    texts = {short_key(url): url for status in statuses for _, url in status.links}
    shares = _shares(statuses)
    named = [place for place in shares if names.found_in(texts.get(place[3], place[3]))]
    batches = {(status.account, batch) for status in statuses if (batch := batch_of(status)) is not None}
    yield Each("remove_empty_batch_counts", sorted(batches))
    rows = yield Each("batch_counts_at", sorted(named))
    own = [tuple(row) for row in rows if row[4] <= shares[tuple(row[:4])]]
    yield Each("remove_batch_counts", sorted(row[:4] for row in own))
    counts: Counter[tuple[str, ...]] = Counter()
    for account, batch, measure, _, count in own:
        counts[account, batch, measure, OTHER] += count
    yield Each("add_batch_counts", sorted((*place, count) for place, count in counts.items()))


def _shares(statuses: Iterable[Status]) -> Counter[tuple[str, ...]]:
    """What the messages count for, where the keys come from outside."""
    shares: Counter[tuple[str, ...]] = Counter()
    for status in statuses:
        batch = batch_of(status)
        for (measure, key), count in counted(status).items():
            if batch is not None and measure in OPEN_KEYED and key != OTHER:
                shares[status.account, batch, measure, key] += count
    return shares
