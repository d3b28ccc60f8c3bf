"""Consent for the contract's tests: who says what, and what of it a database holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from databases import Database, SqliteDatabase
from samples import NOON, event

from tracker.core.model import Consent, Event, RecipientChange

LEAD = "lead-77"
BATCH = "2026-11"
SECRET = "Mozilla/5.0 (X11) OnlyTheirs/150.0"
SECRET_URL = "https://only-theirs.example/"
KINDS = ("opened", "clicked")


def says(
    opens: Consent | None = Consent.DENIED,
    clicks: Consent | None = Consent.DENIED,
    *,
    recipient: str = LEAD,
    at: int = NOON,
    **more: Any,
) -> Event:
    """A recipient's consent, as ``PUT /v1/recipients`` records it."""
    return event("consent_changed", "", at=at, change=RecipientChange(recipient, opens, clicks), **more)


def withdrawal(message_id: str = "m-1", *, at: int = NOON, **more: Any) -> Event:
    """The same as the unsubscribe page records it."""
    change = RecipientChange(None, Consent.DENIED, Consent.DENIED, reason="on the unsubscribe page")
    return event("consent_changed", message_id, at=at, change=change, **more)


def opened(message_id: str = "m-1", *, at: int, **more: Any) -> Event:
    return event("opened", message_id, at=at, **{"user_agent": SECRET, **more})


def clicked(message_id: str = "m-1", *, at: int, **more: Any) -> Event:
    return event("clicked", message_id, at=at, **{"user_agent": SECRET, "link": 0, "url": SECRET_URL, **more})


async def tables(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Everything that the database holds."""
    sqlite = isinstance(database, SqliteDatabase)
    listing = "SELECT name FROM sqlite_schema WHERE type = 'table'" if sqlite else (
        "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'tracker'"
    )  # fmt: skip
    names = [row["name"] for row in await database.execute(listing)]
    return {name: await database.execute(f"SELECT * FROM tracker.{name}") for name in names}


async def kept(database: Database, account: str = "default") -> set[bytes]:
    """The ids of the hits that have a row."""
    rows = await database.execute(
        f"SELECT id FROM tracker.events WHERE account = '{account}' AND type IN ('opened', 'clicked')"
    )
    return {row_id(row["id"]) for row in rows}


def row_id(value: Any) -> bytes:
    return value if isinstance(value, bytes) else bytes(value.bytes)


async def sums(database: Database, account: str = "default") -> Counter[tuple[str, str, str]]:
    """The anonymous counts, by batch, type and actor."""
    rows = await database.execute(f"SELECT * FROM tracker.anonymous_hits WHERE account = '{account}'")
    return Counter({(row["batch"], row["type"], row["actor"]): row["count"] for row in rows})
