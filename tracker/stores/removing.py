"""Removes messages with all that is kept of them: events, verdicts, changes, deliveries, user agents nobody else has.

Owns which tables that are, and that batches keep their counts, but no key that names the recipient: nobody could find
it any more. Must not know why a message goes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from .counting import counting, counting_together
from .database import Each, Once, Row
from .rows import Key, status_in

FIRST_AGENT: Final = -(2**63)
"""What the first page of user agents begins after."""

_PAGE_AGENTS: Final = 2000

_QUERIES: Final = (
    "remove_verdicts_of_messages",
    "remove_reports_of_messages",
    "remove_events_of_messages",
    "remove_changes_of_messages",
    "remove_messages",
)


def locking() -> Generator[Once | Each, Sequence[Row], None]:
    """Waits until nobody records anything, and keeps it so to the end of the transaction, whose first step it is.

    What is recorded at the same time would be left behind: an event of a message that goes, or a use of a user agent.
    """
    yield Once("lock_erasure", (True,))


def removing(keys: Sequence[Key]) -> Generator[Once | Each, Sequence[Row], int]:
    """Removes the messages ``keys``, which are sorted, under `locking`. Returns how many events they had."""
    states = yield Each("lock_messages", keys)
    # Those that are older than the counts, and that nothing has happened to since.
    yield from counting({}, [status_in(state) for state in states if not state[-1]])
    yield from counting_together([status_in(state) for state in states])
    found = yield Each("agents_of_messages", keys)
    yield Each("lock_endpoints", sorted({(account,) for account, _ in keys}))
    deliveries = yield Each("deliveries_of_messages", keys)
    yield Each("delivered", sorted((endpoint, sequence) for endpoint, sequence in deliveries))
    for query in _QUERIES:
        yield Each(query, keys)
    yield Each("remove_unused_agents", sorted({(agent,) for agent, _ in found if agent is not None}))
    return sum(count for _, count in found)


def removing_agents(after: int) -> Generator[Once | Each, Sequence[Row], int | None]:
    """Removes those of a page of user agents that no event has any more, since a withdrawal took the last of them.

    The page begins after the digest ``after``. Returns what to go on after; None: that was the last page.
    """
    yield from locking()
    digests = yield Once("agents_after", (after, _PAGE_AGENTS))
    yield Each("remove_unused_agents", [(row[0],) for row in digests])
    return digests[-1][0] if len(digests) == _PAGE_AGENTS else None
