"""A person of whom everything is known, her erasure, and what a database still says of her."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from databases import Database, SqliteDatabase
from samples import NOON, event, registered

from tracker.core.model import Consent, Delivery, Event, RecipientChange, Suppression
from tracker.core.tombstones import Digests
from tracker.stores import Store
from tracker.stores.erasing import Erased, Erasure

ANN, IDS = "ann.perlmutter@example.net", ("perl-1", "perl-2")
AGENT, COMMON = "PerlmutterReader/7.3 (rare)", "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
TRACES = ("perlmutter", "perl-1", "perl-2", "198.51.100.77", "perl-report")
LATER = NOON + 3_600_000_000
ERASED_AT = NOON + 60_000_000
KEYS = (b"first key" * 4, b"second key" * 4)


def known_by(database: Database, keys: Sequence[bytes] = KEYS) -> Store:
    return Store(database.store().database, Digests(keys))


def nowhere(_: Sequence[str]) -> None:
    """Nothing is kept beside the store."""


async def erase(store: Store, recipient: str = ANN, *, account: str = "default", at: int = ERASED_AT) -> Erased:
    return await Erasure(store.database, store.digests, nowhere).erase(account, recipient, at, "api:test")


def reset(recipient: str = ANN, *, at: int) -> Event:
    change = RecipientChange(recipient, resets=(Suppression.UNSUBSCRIBED,), reason="came back, says perlmutter")
    return event("recipient_reset", "", at=at, list="news", change=change)


def life_of_ann() -> list[Event]:
    """All that can be known of somebody, and what others share with her."""
    return [
        registered("perl-1", ANN),
        registered("other-1", "bob"),
        registered("other-1", ANN, at=NOON + 500),  # too late: the message is Bob's
        event("opened", "perl-1", at=NOON + 1000, user_agent=AGENT, address="198.51.100.77", source=b"perlperl"),
        event("clicked", "perl-1", at=NOON + 2000, link=1, url=f"https://a.example/?u={ANN}", user_agent=COMMON),
        event("clicked", "perl-1", at=NOON + 2500, link=2, url="https://a.example/shared", user_agent=COMMON),
        event("opened", "other-1", at=NOON + 3000, user_agent=COMMON),
        event("clicked", "other-1", at=NOON + 4000, link=2, url="https://a.example/shared", user_agent=COMMON),
        event("failed", "perl-1", at=NOON + 5000, delivery=Delivery("550 5.1.1", f"<{ANN}> unknown"),
              reporter="api", reported_id="perl-report"),
        event("unsubscribed", "perl-1", at=NOON + 6000, list="news"),
        event("consent_changed", "", at=NOON + 7000, change=RecipientChange(ANN, Consent.GRANTED, Consent.GRANTED)),
        reset(at=NOON + 8000),
        registered("perl-2", ANN, at=NOON + 9000),
        event("complained", "perl-2", at=NOON + 10_000),
    ]  # fmt: skip


def late() -> list[Event]:
    """What may come in after the erasure, from the spool of some node or from a mail server."""
    return [
        event("opened", "perl-1", at=NOON + 11_000, user_agent=AGENT, address="198.51.100.77"),
        event("clicked", "perl-2", at=LATER, link=1, url=f"https://a.example/?u={ANN}", user_agent=AGENT),
        event("failed", "perl-1", at=LATER, delivery=Delivery("550", ANN), reporter="ses", reported_id="perl-report"),
        event("unsubscribed", "perl-1", at=LATER, list="news"),
        event("consent_changed", "perl-1", at=LATER, change=RecipientChange(None, Consent.DENIED, Consent.DENIED)),
        event("consent_changed", "", at=NOON + 12_000, change=RecipientChange(ANN, Consent.DENIED, None)),
        registered("perl-2", ANN, at=NOON + 13_000),
        registered("perl-3", ANN, at=LATER),
        event("opened", "perl-3", at=LATER + 1, user_agent=AGENT),
    ]


async def everything(database: Database) -> dict[str, str]:
    """All that is in the tables, each as a text."""
    if isinstance(database, SqliteDatabase):
        rows = await database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    else:
        rows = await database.execute("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'tracker'")
    names = [row["name"] for row in rows if not row["name"].startswith("sqlite_")]
    assert len(names) > 15
    found = {name: [shown(row) for row in await database.execute(f"SELECT * FROM tracker.{name}")] for name in names}
    return {name: "\n".join(lines) for name, lines in found.items()}


def shown(row: dict[str, Any]) -> str:
    values = [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row.values()]
    return " ".join(values).casefold()


async def traces(database: Database) -> list[tuple[str, str]]:
    """The tables that still say something of Ann."""
    return [(name, text) for name, text in (await everything(database)).items() if any(one in text for one in TRACES)]
