"""Notes each change of a message's stage, in an order that whoever reads on from a number can rely on.

Owns when a status counts as changed. Runs last in its transaction, since it holds the account's counter until the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Generator, Mapping, Sequence

from tracker.core.status import STAGE_NAMES, Shown, Stage, Status

from .before import Before
from .database import Each, Row
from .rows import Key, change_row


def noting(
    before: Mapping[Key, Before], after: Sequence[Status], *, withdrawn: Container[Key] = ()
) -> Generator[Each, Sequence[Row], None]:
    """Notes those of ``after`` that differ from ``before``, which lacks the messages not known until now.

    ``withdrawn`` lost hits that must leave no trace: the changes to the stages that they made are removed, and the
    correction does not say what it corrects.
    """
    changed: list[tuple[Shown | None, Status]] = []
    gone: list[Row] = []
    for status in after:
        key = (status.account, status.message_id)
        was = before.get(key)
        if was is None or was.shown != status.shown or was.failure != status.failure:
            changed.append((None if was is None else was.shown, status))
            if key in withdrawn:
                gone += [(*key, STAGE_NAMES[stage]) for stage in (Stage.OPENED, Stage.CLICKED) if stage > status.stage]
    counts = Counter(status.account for _, status in changed)
    counters = yield Each("next_changes", sorted(counts.items()))
    next_ = {account: last - counts[account] + 1 for account, last in counters}
    yield Each("remove_changes", gone)
    rows = []
    for shown, status in changed:
        hide = (status.account, status.message_id) in withdrawn
        rows.append(change_row(next_[status.account], shown, status, hide_previous=hide))
        next_[status.account] += 1
    yield Each("add_changes", rows)
