"""The status store: what it must do, for whichever database keeps it.

Owns the interface and nothing else. The concrete stores are named only where the process is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tracker.core.model import Event, Owner, Verdict
from tracker.core.status import Status


class Store(Protocol):
    """Where events are kept for good and folded into each message's status.

    Every method raises `StoreUnavailable` where waiting may help: the database is away, busy, full,
    read-only or silent. Several processes may use one database at the same time.

    Whoever puts the process together calls `open` once at the start, to learn of a wrong configuration,
    and may go on when the store is away: every other method opens what is not open, so it need only be
    called again. All of them may raise `ConfigError`, then, for a database that a newer tracker has
    migrated. Nothing may be called after `close`, `open` aside.
    """

    async def open(self) -> None:
        """Connect and apply the migrations that are missing; nothing where that is done.

        Raises `ConfigError` where the database was migrated by a newer tracker or its URL is malformed.
        """

    async def close(self) -> None:
        """Let go of every connection, after what is under way. The store may be opened again."""

    async def record(self, events: Sequence[Event]) -> None:
        """Store ``events`` and fold them into their messages' statuses, all in one transaction.

        Events stored before, by their id, change nothing, so a batch may be tried again after any failure.
        Raises `EventRejected` when some event of the batch can never be stored; then none of it is.
        """

    async def status(self, account: str, message_id: str) -> Status | None:
        """The status of one message, or None where nothing is known of it."""

    async def owners(self, account: str, message_ids: Sequence[str]) -> dict[str, Owner]:
        """The owners of those of the messages that are registered, by message id."""

    async def events(
        self, account: str, message_id: str, *, after: bytes = b"", limit: int = 1000
    ) -> list[tuple[Event, Verdict | None]]:
        """The events of one message whose ids come after ``after``, in the order of their ids."""
