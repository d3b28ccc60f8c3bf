"""What a process has set aside of somebody who was erased goes, and nothing else does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import apsw
import pytest
from spools import until

from tracker import forgetting
from tracker.core.model import Event, Facts, Registration
from tracker.core.tombstones import Digests
from tracker.forgetting import forget, keep_forgetting
from tracker.spool import Spool
from tracker.stores import Store
from tracker.stores.erasing import Erasure
from tracker.stores.sqlite import Sqlite

pytestmark = pytest.mark.anyio
ANN = "ann.perlmutter@example.net"


async def set_aside(spool: Spool, *facts: Facts) -> None:
    for one in facts:
        await spool.append(one, 1_000_000)
    for sequence, _ in await asyncio.to_thread(spool.read, 100):
        await spool.set_aside(sequence, "refused")


def opened(directory: Path) -> Spool:
    spool = Spool(directory / "spool", node="node-a", max_bytes=1 << 24)
    spool.open()
    return spool


async def test_rows_of_erased_people_go_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_PAGE_ROWS", 2)
    monkeypatch.setattr(forgetting, "EVERY_S", 0.02)
    spool = opened(tmp_path)
    store = Store(Sqlite(tmp_path / "status.db"), Digests([b"a key"]))
    known = Event(b"i" * 16, "n", 1, 1, 1, 1, Facts("default", "perl-1", "rewritten", registration=Registration(ANN)))
    await store.record([known])
    await set_aside(
        spool,
        Facts("default", "other-1", "opened"),
        Facts("default", "perl-1", "opened", url="https://perlmutter.example/"),
        Facts("default", "perl-2", "rewritten", registration=Registration(ANN)),
        Facts("default", "other-2", "rewritten", registration=Registration("bob")),
        Facts("default", "perl-1", "clicked"),
    )
    task = asyncio.create_task(keep_forgetting(store, spool))
    await asyncio.sleep(0.1)
    assert spool.status().set_aside == 5
    await Erasure(store.database, store.digests, list).erase("default", ANN, 2_000_000, "cli")
    await until(lambda: spool.status().set_aside == 2)
    await set_aside(spool, Facts("default", "perl-1", "sent"))  # which comes only now
    await until(lambda: spool.status().set_aside == 2)
    rows, _ = await spool.aside(b"", 10)
    assert [event.facts.message_id for event in rows] == ["other-1", "other-2"]
    await spool.wipe()
    for file in (tmp_path / "spool").iterdir():
        assert b"perl" not in file.read_bytes(), file.name
    task.cancel()
    await asyncio.wait([task])
    await spool.close()
    await store.close()


async def test_a_damaged_row_stays_for_the_operator(tmp_path: Path) -> None:
    spool, store = opened(tmp_path), Store(Sqlite(tmp_path / "status.db"), Digests([b"a key"]))
    db = apsw.Connection(str(next((tmp_path / "spool").glob("*.db"))))
    db.execute(
        "INSERT INTO set_aside VALUES (NULL, 'x', 1, 1, 1, x'00ff', 'damaged'), (x'00', 1, 1, 1, 1, 7, 'damaged')"
    )
    db.close()
    assert await forget(store, spool) == 0
    assert spool.status().set_aside == 2
    await spool.close()
    await store.close()


async def test_a_wipe_meanwhile_makes_it_remove_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the rows other numbers, once some in front of them are gone."""
    monkeypatch.setattr(forgetting, "_PAGE_ROWS", 2)
    spool = opened(tmp_path)

    class Wiping:
        def __init__(self, *gone: str) -> None:
            self.gone = gone

        async def erased_of(self, events: list[Event]) -> list[Event]:
            await spool.wipe()
            return [event for event in events if event.facts.message_id in self.gone]

    await set_aside(spool, *(Facts("default", f"m-{n}", "opened") for n in range(7)))
    for gone in (["m-0"], ["m-3", "m-6"]):
        assert await forget(cast(Store, Wiping(*gone)), spool) == len(gone)
    rows, _ = await spool.aside(b"", 10)
    assert [event.facts.message_id for event in rows] == ["m-1", "m-2", "m-4", "m-5"]
    await spool.close()
