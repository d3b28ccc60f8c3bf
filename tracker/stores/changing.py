"""Notes each change of a message's stage, in an order that whoever reads on from a number can rely on.

Owns when a status counts as changed. Runs last in its transaction, since it holds the account's counter until the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence

from tracker.core.status import Status

from .database import Each, Row
from .rows import change_row


def noting(before: Mapping[tuple[str, str], Status], after: Sequence[Status]) -> Generator[Each, Sequence[Row], None]:
    """Notes those of ``after`` that differ from ``before``, which lacks the messages not known until now."""
    changed = []
    for status in after:
        known = before.get((status.account, status.message_id))
        if known is None or _told(known) != _told(status):
            changed.append((known, status))
    counts = Counter(status.account for _, status in changed)
    counters = yield Each("next_changes", sorted(counts.items()))
    next_ = {account: last - counts[account] + 1 for account, last in counters}
    rows = []
    for known, status in changed:
        rows.append(change_row(next_[status.account], known, status))
        next_[status.account] += 1
    yield Each("add_changes", rows)


def _told(status: Status) -> tuple[object, ...]:
    return status.stage, status.label, status.failure
