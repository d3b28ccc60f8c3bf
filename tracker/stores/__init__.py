"""The status store: what it must do, for whichever database keeps it.

Owns the interface and nothing else. The concrete stores are named only where the process is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..core.model import Event, Verdict
from ..core.status import Status


class Store(Protocol):
    """Where events are kept for good and folded into each message's status.

    Every method raises `StoreUnavailable` where waiting may help: the database is away, busy, full or
    read-only. Several processes may use one database at the same time.
    """

    async def open(self) -> None:
        """Connect and apply the migrations that are missing."""

    async def close(self) -> None:
        """Let go of every connection. The store may be opened again."""

    async def record(self, events: Sequence[Event]) -> None:
        """Store ``events`` and fold them into their messages' statuses, all in one transaction.

        Events stored before, by their id, change nothing, so a batch may be tried again after any failure.
        Raises `EventRejected` when some event of the batch can never be stored; then none of it is.
        """

    async def status(self, account: str, message_id: str) -> Status | None:
        """The status of one message, or None where nothing is known of it."""

    async def events(
        self, account: str, message_id: str, *, after: bytes = b"", limit: int = 1000
    ) -> list[tuple[Event, Verdict | None]]:
        """The events of one message whose ids come after ``after``, in the order of their ids."""
