"""One link, again and again: it costs few rows, no more time for the last ones than for the first, and each counts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from databases import Database, PostgresDatabase

from .load import LINKS, READERS, Hit, Load, Log, Mail
from .oracle import assert_kept
from .serving import Service, serving, until
from .wire import Connection, encoded

pytestmark = pytest.mark.anyio

CONNECTIONS = 256
ROUNDS = 5


async def replay(service: Service, mail: Mail, log: Log, times: int) -> None:
    """Follow a link ``times`` times over many connections, of which each has some requests under way."""
    reader = READERS[0]
    facts = {"user_agent": reader.user_agent, "purpose": reader.purpose}
    hit = Hit(mail.message_id, "clicked", 0, LINKS[0], **facts)
    request = encoded("GET", mail.clicks[0], reader.headers("192.0.2.1"))

    async def client(requests: int) -> None:
        connection = await Connection.open(service.port)
        for start in range(0, requests, 8):
            at_once = min(8, requests - start)
            log.asked[hit] += at_once
            connection.writer.write(request * at_once)
            for _ in range(at_once):
                async with asyncio.timeout(60):
                    answer = await connection.answer()
                assert (answer.status, answer.headers["location"]) == (302, LINKS[0])
                log.late[hit] += 1  # perhaps: then it may be stored a moment later, and must be
        connection.close()

    shares = [times // CONNECTIONS + (number < times % CONNECTIONS) for number in range(CONNECTIONS)]
    await asyncio.gather(*(client(share) for share in shares if share))


async def status(database: Database, mail: Mail) -> dict[str, Any]:
    (row,) = await database.execute(f"SELECT * FROM tracker.message_status WHERE message_id = '{mail.message_id}'")
    return row


async def replayed(database: Database, folder: Path, *, times: int) -> None:
    with serving(folder, database) as service:
        await service.start()
        load = Load([service], seed=110)
        await load.register(1)
        (mail,) = load.mails
        await replay(service, mail, load.log, 1)
        await until(lambda: service.depth() == 0)
        before = await status(database, mail)
        drained: list[float] = []
        rows = [await hits(database)]
        for _ in range(ROUNDS):
            began = time.monotonic()
            await replay(service, mail, load.log, times // ROUNDS)
            answered_s = time.monotonic() - began
            await until(lambda: service.depth() == 0)
            drained.append(time.monotonic() - began)
            rows.append(await hits(database))
            print(
                f"\n{times // ROUNDS} in {answered_s:.1f} s, stored after {drained[-1]:.1f} s: {rows[-1]} rows", end=""
            )
        assert await assert_kept(database, load.log, [service]) == load.log.asked
        after = await status(database, mail)
        assert after["clicks_human"] == before["clicks_human"] + times // ROUNDS * ROUNDS
        allowed = {"clicks_human", "links", "last_clicked_at", "updated_at", "version"}
        assert {name for name in after if after[name] != before[name]} <= allowed
        assert rows[-1] < times / 10, "alike hits of a commit are one row"
        assert drained[-1] < 4 * drained[0] + 3, "the last ones cost more than the first"
        metrics = await service.metrics()
        assert metrics["relay_rejected"] == metrics["unstored"] == metrics["relay_failures"] == 0
        assert await service.stop() == 0


async def hits(database: Database) -> int:
    (row,) = await database.execute("SELECT count(*) AS rows FROM tracker.events WHERE type = 'clicked'")
    return int(row["rows"])


async def test_one_link_followed_thousands_of_times(postgres: PostgresDatabase, tmp_path: Path) -> None:
    await replayed(postgres, tmp_path / "data", times=10_000)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_one_link_followed_a_hundred_thousand_times(database: Database, tmp_path: Path) -> None:
    await replayed(database, tmp_path / "data", times=100_000)
