"""The kill switch while PostgreSQL is down (F-29): in force on the node within 5 s, on others when they reach it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from databases import PostgresDatabase
from postgres import Server

from . import outages
from .load import ADDRESSES, FIRM_S, LINKS, READERS, Hit, Load, Mail
from .oracle import assert_kept
from .serving import API_KEY, Service, serving, until
from .wire import BROKEN, fetch

pytestmark = pytest.mark.anyio

WITHIN_S = 5.0
LINK = 1
PROBES = 4


@dataclass
class Probes:
    """Follow one link of ``mail`` at ``service`` again and again, each time over a connection of its own."""

    load: Load
    mail: Mail
    service: Service
    redirected: list[float] = field(default_factory=list)
    """When each redirect was answered."""
    refused: list[float] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._follow()) for _ in range(PROBES)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            # An answer that nobody waits for would be missing from the log.
            await asyncio.shield(asyncio.ensure_future(self._once()))
            await asyncio.sleep(0.05)

    async def _once(self) -> None:
        began = time.monotonic()
        headers = READERS[0].headers(ADDRESSES[0])
        try:
            answer = await fetch(self.service.port, self.mail.clicks[LINK], headers=headers)
        except BROKEN:
            self.load.log.broken += 1
            return
        now = time.monotonic()
        if answer.status == 302:
            assert answer.headers["location"] == LINKS[LINK]
            self.redirected.append(now)
        else:
            assert answer.status == 410
            assert "location" not in answer.headers
            assert LINKS[LINK].encode() not in answer.body
            self.refused.append(now)
        type_ = "clicked" if answer.status == 302 else "revoked_click"
        hit = Hit(self.mail.message_id, type_, LINK, LINKS[LINK], user_agent=READERS[0].user_agent)
        self.load.log.asked[hit] += 1
        (self.load.log.firm if now - began < FIRM_S else self.load.log.late)[hit] += 1


async def revoke(service: Service, mail: Mail, *, revoked: bool = True) -> float:
    """Revoke a message; returns when that was answered."""
    body = json.dumps({"kind": "message", "value": mail.message_id, "revoked": revoked}).encode()
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    answer = await fetch(service.port, "/v1/revocations", method="POST", headers=headers, body=body)
    assert answer.status == 200, answer.body
    return time.monotonic()


async def is_shared(database: PostgresDatabase) -> bool:
    with contextlib.suppress(OSError):
        return bool(await database.execute("SELECT 1 FROM tracker.revocations WHERE is_revoked"))
    return False


@pytest.mark.parametrize(
    "clients", [20, pytest.param(120, marks=[pytest.mark.long, pytest.mark.timeout(900)])], ids=["short", "long"]
)
async def test_a_revocation_while_postgres_is_down(
    postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path, clients: int
) -> None:
    with serving(tmp_path / "a", postgres, workers=2) as here, serving(tmp_path / "b", postgres) as there:
        await here.start()
        await there.start()
        load = Load([here, there], seed=29)
        await load.register(50)
        mail = load.mails.pop()
        near, far = Probes(load, mail, here), Probes(load, mail, there)
        async with load.running(clients, pause_s=0.3) as log, near.running(), far.running():
            await asyncio.sleep(1)
            await outages.stop(postgres_server)
            try:
                await asyncio.sleep(1)
                answered = await revoke(here, mail)
                await until(lambda: time.monotonic() > answered + WITHIN_S + 1)
                assert far.redirected[-1] > answered + WITHIN_S, "the other node can't know yet"
            finally:
                await outages.start(postgres_server)
            back = time.monotonic()
            await until(lambda: is_shared(postgres))
            shared = time.monotonic()
            await until(lambda: time.monotonic() > shared + WITHIN_S + 1)
        print(
            f"\nthis node: last redirect {near.redirected[-1] - answered:.2f} s after the answer; the other one:"
            f" {far.redirected[-1] - shared:.2f} s after the store had it, {shared - back:.2f} s after it was back"
        )
        assert near.redirected[-1] < answered + WITHIN_S
        assert far.redirected[-1] < shared + WITHIN_S
        assert near.refused
        assert far.refused
        assert not log.wrong
        assert log.broken == 0
        await assert_kept(postgres, log, [here, there])
        acts = await postgres.execute("SELECT act, subject FROM tracker.audit")
        assert acts == [{"act": "revoked", "subject": f"message {mail.message_id}"}], "noted once, by whichever worker"


async def test_a_revocation_outlives_a_kill_of_every_process(
    postgres_server: Server, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    with serving(tmp_path / "data", postgres, workers=2) as service:
        await service.start()
        load = Load([service], seed=30)
        await load.register(1)
        (mail,) = load.mails
        await outages.stop(postgres_server)
        try:
            await revoke(service, mail)
            service.kill()
            await service.start()
            for _ in range(10):
                assert (await fetch(service.port, mail.clicks[LINK])).status == 410
        finally:
            await outages.start(postgres_server)
        await until(lambda: is_shared(postgres))
        await revoke(service, mail, revoked=False)
        await until(lambda: _redirects(service, mail))


async def _redirects(service: Service, mail: Mail) -> bool:
    return all([(await fetch(service.port, mail.clicks[LINK])).status == 302 for _ in range(10)])
