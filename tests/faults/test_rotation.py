"""Signing keys are changed, under load, by restarting one node after the other: no valid link is ever refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from databases import Database, PostgresDatabase, SqliteDatabase

from .load import LINKS, Load
from .oracle import assert_kept
from .serving import SIGNING_KEY, Service, serving
from .wire import fetch

pytestmark = pytest.mark.anyio

NEW_KEY = "the-next-signing-key-of-the-fault-tests-987654321"


async def set_keys(services: Sequence[Service], *keys: str) -> None:
    """Restart them one by one with these keys."""
    for service in services:
        assert await service.stop() == 0
        service._environment["TRACKER_SIGNING_KEYS"] = ",".join(keys)
        await service.start()


async def rotate(services: Sequence[Service], database: Database) -> None:
    for service in services:
        await service.start()
    load = Load(services, seed=100)
    await load.register(60)
    old = load.mails[:60]
    async with load.running(30) as log:
        await set_keys(services, NEW_KEY, SIGNING_KEY)  # all learn the new one before any of them signs with it
        by_old_key = len(load.mails)
        await set_keys(services, SIGNING_KEY, NEW_KEY)
    assert not log.wrong, "a link with a valid key was refused"
    await load.register(1)
    new = load.mails[-1]
    assert len(load.mails) > by_old_key > len(old), "both keys have signed under load"
    assert await assert_kept(database, log, list(services), killed=True)

    await set_keys(services, NEW_KEY)
    before = len(await database.execute("SELECT id FROM tracker.events"))
    for service in services:
        for mail in old[:5]:
            assert (await fetch(service.port, mail.pixel)).status == 200  # an image, whatever the token
            assert [(await fetch(service.port, path)).status for path in mail.clicks] == [404] * len(LINKS)
            assert (await fetch(service.port, mail.unsubscribe, method="POST")).status == 404
            assert (await fetch(service.port, mail.unsubscribe)).status == 404
        assert (await fetch(service.port, new.clicks[0])).headers["location"] == LINKS[0]
    for service in services:
        assert await service.stop() == 0  # which relays what it has
    assert len(await database.execute("SELECT id FROM tracker.events")) == before + len(services)


async def test_keys_rotated_on_two_nodes(postgres: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "a", postgres) as a, serving(tmp_path / "b", postgres) as b:
        await rotate([a, b], postgres)


@pytest.mark.long
async def test_keys_rotated_on_a_node_with_two_workers(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    with serving(tmp_path / "data", sqlite, workers=2) as service:
        await rotate([service], sqlite)
