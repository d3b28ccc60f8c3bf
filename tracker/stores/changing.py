"""Notes each change of a message's stage, in an order that whoever reads on from a number can rely on.

Owns when a status counts as changed. Runs last in its transaction, since it holds the account's counter until the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Mapping, Sequence

from tracker.core.status import STAGE_NAMES, Stage, Status

from .database import Each, Row
from .rows import Key, change_row


def noting(
    before: Mapping[Key, Status], after: Sequence[Status], *, withdrawn: Container[Key] = ()
) -> Generator[Each, Sequence[Row], None]:
    """Notes those of ``after`` that differ from ``before``, which lacks the messages not known until now.

    ``withdrawn`` lost hits that must leave no trace: the changes to the stages that they made are removed, and the
    correction does not say what it corrects.
    """
    changed = []
    gone: list[Row] = []
    for status in after:
        key = (status.account, status.message_id)
        known = before.get(key)
        was = None if known is None else known.shown
        if known is None or was != status.shown or known.failure != status.failure:
            changed.append((was, status))
            if key in withdrawn:
                gone += [(*key, STAGE_NAMES[stage]) for stage in (Stage.OPENED, Stage.CLICKED) if stage > status.stage]
    counts = Counter(status.account for _, status in changed)
    counters = yield Each("next_changes", sorted(counts.items()))
    next_ = {account: last - counts[account] + 1 for account, last in counters}
    yield Each("remove_changes", gone)
    rows = []
    for was, status in changed:
        hide = (status.account, status.message_id) in withdrawn
        rows.append(change_row(next_[status.account], was, status, hide_previous=hide))
        next_[status.account] += 1
    yield Each("add_changes", rows)
