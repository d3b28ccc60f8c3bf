"""What gathers while a commit runs: the hits of the next one, and who waits for them.

Owns what is shared by whom. Must not decide when anything happens: that is `log`.
"""

from __future__ import annotations

import asyncio

from tracker import metrics
from tracker.core.errors import SpoolUnavailable

from .writer import Hit


class Answer(asyncio.Future[bool]):
    """What the hits of one group that came within 25 ms of each other wait for: one future, one timer.

    A request that is cancelled must not cancel the others' answer, so its cancellation takes effect when
    the answer is there: within 250 ms.
    """

    hits = 0
    closes_at = 0.0
    timer: asyncio.TimerHandle

    def cancel(self, msg: object = None) -> bool:
        """Do nothing."""
        return False

    def give_up(self) -> None:
        """Answer that the hits are not stored, unless it was answered."""
        if not self.done():
            metrics.ANSWERED_BEFORE_STORED.inc(self.hits)
            self.set_result(False)


class Group:
    """The hits that share one commit."""

    __slots__ = ("answer", "answers", "done", "hits")

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.answer: Answer | None = None
        """The one that is open for further hits, and last of `answers`."""
        self.answers: list[Answer] = []
        self.done: asyncio.Future[SpoolUnavailable | None] | None = None
        """What those wait for who want to know for certain; made for the first of them."""
