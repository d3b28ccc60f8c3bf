"""What is revoked, as all nodes have it.

Owns how it is kept, and its version, which grows with every change. What holds of two changes is `core.revocations`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from tracker.core.revocations import Entries, Key, Revocation, merged, pruned

from .audit import LateAct, note_late
from .database import Database, Each, Once, Procedure, Row


class StoredRevocations:
    """What is revoked, in ``database``; raises what that raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        """Grows with every change."""
        ((version,),) = await self._database.read(Once("revocations_version"))
        return int(version)

    async def read(self) -> dict[Key, Revocation]:
        """All of it, what was lifted too: no older than the version that was read before."""
        return _entries(await self._database.read(Once("revocations")))

    async def merge(self, entries: Entries, acts: Sequence[LateAct], now: int) -> dict[Key, Revocation]:
        """Add what is not known here yet, and forget what is of no use at ``now``; returns what holds then.

        ``acts`` are noted in the same transaction, each once however often it is told.
        """
        return await self._database.write(_merging(entries, acts, now))


def _merging(entries: Entries, acts: Sequence[LateAct], now: int) -> Procedure[dict[Key, Revocation]]:
    yield Once("bump_revocations")  # locks its row, so that changes come one after the other
    known = _entries((yield Once("revocations")))
    after = pruned(merged(known, entries), now)
    yield Each("put_revocation", _rows(entry for key, entry in after.items() if known.get(key) != entry))
    yield Each("forget_revocation", sorted(_place(key) for key in known.keys() - after.keys()))
    yield from note_late(acts)
    return after


def _place(key: Key) -> tuple[str, str, bytes]:
    account, kind, value = key
    return account, kind, hashlib.sha256(value.encode()).digest()


def _rows(entries: Iterable[Revocation]) -> Sequence[Row]:
    return sorted(
        (*_place(one.key), one.value, one.is_revoked, one.changed_at, one.actor, one.reason) for one in entries
    )


def _entries(rows: Iterable[Row]) -> dict[Key, Revocation]:
    found = (
        Revocation(account, kind, value, bool(is_revoked), changed_at, actor, reason)
        for account, kind, value, is_revoked, changed_at, actor, reason in rows
    )
    return {entry.key: entry for entry in found}
