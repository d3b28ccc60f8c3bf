"""PostgreSQL is there and does not do its work: people are served, nothing is lost, and it is not hammered."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from databases import PostgresDatabase
from postgres import connected

from .load import Load
from .oracle import assert_kept
from .proxies import Proxy
from .serving import Service, serving, until
from .troubles import (
    CUT_OFF,
    Trouble,
    crowded,
    cut_off,
    deadlocked,
    failed_over,
    failing,
    locked,
    mislaid,
    slow,
)
from .wire import fetch

pytestmark = pytest.mark.anyio

TROUBLES: dict[str, tuple[Trouble, str]] = {
    "table locked": (locked, ""),
    "slow statements": (slow(2), ""),
    "deadlocks 40P01": (deadlocked, "DeadlockDetectedError"),
    "read-only after failover 25006": (failed_over, "ReadOnlySQLTransactionError"),
    "out of connections 53300": (crowded, "TooManyConnectionsError"),
    "disk full 53100": (failing("53100"), "DiskFullError"),
    "serialization 40001": (failing("40001"), "SerializationError"),
    "connections ended 57P01": (cut_off, ""),
    "table missing 42P01": (mislaid, "UndefinedTableError"),
}
"""And the error that the service then speaks of, where it must."""

LONG: dict[str, tuple[Trouble, str]] = {
    **TROUBLES,
    "statements of 10 s": (slow(10), ""),
    "statements that end in a timeout": (slow(40), "QueryCanceledError"),
}


async def outlast(
    database: PostgresDatabase, service: Service, trouble: Trouble, words: str, *, lasts_s: float, clients: int
) -> None:
    await service.start()
    load = Load([service], seed=80)
    await load.register(50)
    async with load.running(clients) as log:
        before = await service.metrics()
        async with trouble(database):
            await asyncio.sleep(lasts_s)
            await until(lambda: words in service.log.read_text())
            depth = service.depth()
        during = await service.metrics()
        tries = during["relay_failures"] - before["relay_failures"]
        print(f"\n{tries:.0f} attempts failed, {depth} rows in the spool")
        healed = time.monotonic()
        await until(lambda: service.depth() < 200, patience_s=120)
        print(f"drained {time.monotonic() - healed:.1f} s after it was over")
    assert tries or depth > 20, "then it was no trouble"
    assert tries <= service.workers * most_tries(lasts_s + 10)
    assert not log.wrong  # pixels, redirects and confirmations among them
    assert log.broken == 0
    assert await assert_kept(database, log, [service]) == log.asked
    metrics = await service.metrics()
    assert metrics["relay_rejected"] == metrics["unstored"] == 0
    assert metrics["relay_failures"] - during["relay_failures"] <= 2 * service.workers  # it recovers at once
    assert "unexpected" not in service.log.read_text()
    assert await service.stop() == 0


def most_tries(seconds: float) -> float:
    """So many attempts at most fit into a time, when each waits twice as long as the one before, half of it by chance:
    from 0.05 s on, and up to 15 s."""
    return math.log2(1 + seconds / 0.05) + seconds / 15 + 1


@pytest.mark.parametrize("name", TROUBLES)
async def test_postgres_trouble(postgres: PostgresDatabase, tmp_path: Path, name: str) -> None:
    trouble, words = TROUBLES[name]
    with serving(tmp_path / "data", postgres) as service:
        await outlast(postgres, service, trouble, words, lasts_s=2, clients=25)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LONG)
async def test_postgres_trouble_for_a_minute(postgres: PostgresDatabase, tmp_path: Path, name: str) -> None:
    trouble, words = LONG[name]
    with serving(tmp_path / "data", postgres, workers=2) as service:
        await outlast(postgres, service, trouble, words, lasts_s=60, clients=60)


@asynccontextmanager
async def password_needed(database: PostgresDatabase, role: str) -> AsyncIterator[None]:
    """``role`` owns the database, and needs a password."""
    async with connected(database.url) as db:
        path = Path(await db.fetchval("SHOW hba_file"))
        before = await asyncio.to_thread(path.read_text)
        await asyncio.to_thread(path.write_text, f"local all {role} scram-sha-256\n{before}")
        await db.execute("SELECT pg_reload_conf()")
        await db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'old'")
        name = await db.fetchval("SELECT current_database()")
        await db.execute(f"ALTER DATABASE {name} OWNER TO {role}")
        try:
            yield
        finally:
            await asyncio.to_thread(path.write_text, before)
            await db.execute("SELECT pg_reload_conf()")
            await db.execute(f"ALTER DATABASE {name} OWNER TO postgres; REASSIGN OWNED BY {role} TO postgres")
            await db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_password_is_changed_28p01(postgres: PostgresDatabase, tmp_path: Path) -> None:
    @asynccontextmanager
    async def other_password(database: PostgresDatabase) -> AsyncIterator[None]:
        await database.execute("ALTER ROLE keeper PASSWORD 'new'")
        await database.execute(CUT_OFF)
        yield
        await database.execute("ALTER ROLE keeper PASSWORD 'old'")

    async with password_needed(postgres, "keeper"), Proxy(postgres.url, user="keeper:old") as proxy:
        with serving(tmp_path / "data", proxy.url) as service:
            await outlast(postgres, service, other_password, "InvalidPasswordError", lasts_s=2, clients=25)


async def test_a_poison_row_does_not_hold_up_the_others(postgres: PostgresDatabase, tmp_path: Path) -> None:
    """The database can never take one event; it is put aside and counted, and all others are stored."""
    with serving(tmp_path / "data", postgres) as service:
        await service.start()
        load = Load([service], seed=81)
        await load.register(30)
        await until(lambda: service.depth() == 0)
        poisoned = load.mails[7]
        await postgres.execute(
            "ALTER TABLE tracker.events ADD CONSTRAINT poison"
            f" CHECK (message_id <> '{poisoned.message_id}' OR type <> 'unsubscribed') NOT VALID"
        )
        async with load.running(25) as log:
            answer = await fetch(service.port, poisoned.unsubscribe, method="POST")
            await asyncio.sleep(2)
        assert answer.status == 200
        await until(lambda: service.depth() == 0)
        metrics = await service.metrics()
        mine = sum(log.asked[hit] for hit in log.asked if hit[:2] == (poisoned.message_id, "unsubscribed"))
        assert 1 <= metrics["relay_rejected"] <= mine + 1
        await assert_kept(postgres, log, [service], unstored=mine)
        assert re.search("set aside|can never take", service.log.read_text())
        assert await service.stop() == 0
