"""The feed of changes, as a CRM follows it: each change once, from where it stopped reading.

Owns the cursor. Must not know what the changes are about.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from .client import Client

NOTHING: Final = "—"


class Feed:
    """``GET /v1/changes`` from now on: what it had before is read and left."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.after = "0"
        self.read(())

    def read(self, message_ids: Collection[str]) -> list[dict[str, Any]]:
        """What is new since it was last read, of these messages."""
        changes: list[dict[str, Any]] = []
        more = True
        while more:
            page = self._client.changes(self.after)
            changes.extend(change for change in page["changes"] if change["message_id"] in message_ids)
            self.after, more = page["next"], page["more"]
        return changes


def show(change: dict[str, Any]) -> None:
    """One line."""
    moved = f"{change['previous_stage'] or 'new'} -> {change['stage']}"
    more = "correction" if change["correction"] else change["status"] or NOTHING
    print(f"   {change['sequence']:>5}  {change['message_id']:15} {moved:21} {more}")
