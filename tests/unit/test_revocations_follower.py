"""Revocations in force: followed in the node's file by every process, and shared with other nodes through the store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from spools import counted, until

from tracker.core.errors import StoreUnavailable
from tracker.core.revocations import Entries, Key, Revocation, merged, pruned
from tracker.core.tokens import Purpose, Token
from tracker.revocations import REVOCATIONS_FILE, DiskUnavailable, Revocations
from tracker.revocations import following as module
from tracker.stores.audit import Act, LateAct

pytestmark = pytest.mark.anyio
TOKEN = Token(Purpose.CLICK, "default", "m-1", None)
TARGET = b"https://a.example/"


class PlannedStore:
    """What all nodes meet at; raises ``fault``, if there is one."""

    def __init__(self) -> None:
        self.entries: dict[Key, Revocation] = {}
        self.acts: dict[bytes, Act] = {}
        self.fault: Exception | None = None
        self.number = 0
        self.reads = self.merges = 0

    def _check(self) -> None:
        if self.fault:
            raise self.fault

    async def version(self) -> int:
        self._check()
        return self.number

    async def read(self) -> Mapping[Key, Revocation]:
        self._check()
        self.reads += 1
        return dict(self.entries)

    async def merge(self, entries: Entries, acts: Sequence[LateAct], now: int) -> Mapping[Key, Revocation]:
        self._check()
        self.merges += 1
        self.number += 1
        self.entries = pruned(merged(self.entries, entries), now)
        self.acts |= {late.uid: late.act for late in acts}
        return dict(self.entries)


@pytest.fixture
def store() -> PlannedStore:
    return PlannedStore()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    monkeypatch.setattr(module, "POLL_S", 0.001)
    monkeypatch.setattr(module, "_BACKOFF_S", (0.001, 0.002))


def process(store: PlannedStore, folder: Path) -> Revocations:
    return Revocations(store, folder / REVOCATIONS_FILE, lambda account, batch: [b"tag!"])


@contextlib.asynccontextmanager
async def running(*processes: Revocations) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in processes]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def stops(one: Revocations) -> bool:
    return one.current.link(TOKEN, TARGET)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(folder: Path) -> bytes:
    return (folder / REVOCATIONS_FILE).read_bytes()


def put(folder: Path, data: bytes) -> None:
    (folder / REVOCATIONS_FILE).write_bytes(data)


def remove(folder: Path) -> None:
    (folder / REVOCATIONS_FILE).unlink()


def mode(folder: Path) -> int:
    return stat.S_IMODE((folder / REVOCATIONS_FILE).stat().st_mode)


async def within(condition: object) -> None:
    async with asyncio.timeout(20):
        await until(condition)  # type: ignore[arg-type]


async def test_a_change_is_on_the_disk_and_in_force_when_it_returns(store: PlannedStore, tmp_path: Path) -> None:
    store.fault = StoreUnavailable("away")
    one = process(store, tmp_path)
    made = await one.change("default", "host", "A.example.", "key_1", reason="phishing")
    assert (made.value, made.is_revoked, made.actor, made.reason) == ("a.example", True, "key_1", "phishing")
    assert stops(one)
    assert one.in_force("default") == [made]
    assert one.in_force("shop") == []
    assert mode(tmp_path) == 0o600
    restarted = process(store, tmp_path)
    assert not stops(restarted)
    await restarted.look()
    assert stops(restarted)
    assert not await restarted.refresh()
    assert stops(restarted)


@pytest.mark.usefixtures("quick")
async def test_every_process_of_the_node_follows_while_the_store_is_away(store: PlannedStore, tmp_path: Path) -> None:
    store.fault = StoreUnavailable("away")
    processes = [process(store, tmp_path) for _ in range(3)]
    async with running(*processes):
        await processes[0].change("default", "message", "m-1", "key_1")
        await within(lambda: all(map(stops, processes)))
        await processes[1].change("default", "message", "m-1", "key_1", is_revoked=False)
        await within(lambda: not any(map(stops, processes)))


@pytest.mark.usefixtures("quick")
async def test_other_nodes_follow_when_both_reach_the_store(store: PlannedStore, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    here, there = (process(store, folder) for folder in folders)
    store.fault = StoreUnavailable("away")
    async with running(here, there):
        await here.change("default", "batch", "spring", "key_1")
        await asyncio.sleep(0.05)
        tagged = TOKEN._replace(batch_tag=b"tag!")
        assert not there.current.link(tagged, TARGET)
        store.fault = None
        await within(lambda: there.current.link(tagged, TARGET))
        await there.change("default", "batch", "spring", "key_2", is_revoked=False)
        await within(lambda: not here.current.link(tagged, TARGET))
    assert [(act.act, act.actor) for act in store.acts.values()] == [("revoked", "key_1"), ("lifted", "key_2")]


@pytest.mark.usefixtures("quick")
async def test_what_is_shared_is_not_told_again(store: PlannedStore, tmp_path: Path) -> None:
    processes = [process(store, tmp_path) for _ in range(2)]
    async with running(*processes):
        await processes[0].change("default", "message", "m-1", "key_1")
        await within(lambda: bool(store.acts) and all(map(stops, processes)))
        await asyncio.sleep(0.3)
        merges, reads = store.merges, store.reads
        assert merges <= 4
        await asyncio.sleep(0.3)
        assert (store.merges, store.reads) == (merges, reads)


async def test_every_act_gets_there_once_however_often_it_is_told(store: PlannedStore, tmp_path: Path) -> None:
    one, other = process(store, tmp_path), process(store, tmp_path)
    for is_revoked in (True, False, True):
        await one.change("default", "host", "a.example", "key_1", is_revoked=is_revoked)
    await one.note(Act("default", "key_1", "recipient_reset"))
    await other.look()
    assert all(await asyncio.gather(one.refresh(), other.refresh()))
    assert [act.act for act in store.acts.values()] == ["revoked", "lifted", "revoked", "recipient_reset"]
    assert b"recipient_reset" not in content(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other", "gone"])
async def test_a_damaged_file_is_made_anew(
    store: PlannedStore, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = process(store, tmp_path)
    await one.change("default", "message", "m-1", "key_1")
    assert await one.refresh()
    whole = content(tmp_path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    if damage == "gone":
        remove(tmp_path)
    else:
        put(tmp_path, {"cut": whole[:-2], "bit": bytes(flipped), "empty": b"", "other": b"\0\xff" * 99}[damage])
    before = counted("revocations_damaged")
    await one.look()
    assert stops(one), "it knows better"
    assert counted("revocations_damaged") == before + 1
    await one.look()
    assert counted("revocations_damaged") == before + 1, "told of once"
    assert [record.action for record in caplog.records] == ["revocations_damaged"]  # type: ignore[attr-defined]
    assert content(tmp_path) == whole
    started = process(store, tmp_path)
    await started.look()
    assert stops(started)


async def test_where_nobody_knows_better_the_store_does(store: PlannedStore, tmp_path: Path) -> None:
    one = process(store, tmp_path)
    await one.change("default", "message", "m-1", "key_1")
    assert await one.refresh()
    whole = content(tmp_path)
    put(tmp_path, b"damaged")
    started = process(store, tmp_path)
    await started.look()
    assert not stops(started)
    assert await started.refresh()
    assert stops(started)
    assert content(tmp_path) == whole


@pytest.mark.parametrize("is_seen", [True, False], ids=["after_it_was_seen", "before_it_was_seen"])
async def test_what_runs_forgets_nothing_when_somebody_begins_a_damaged_file_anew(
    store: PlannedStore, tmp_path: Path, is_seen: bool
) -> None:
    store.fault = StoreUnavailable("away")
    one, command = process(store, tmp_path), process(store, tmp_path)
    await one.change("default", "message", "m-1", "key_1")
    put(tmp_path, b"damaged")
    if is_seen:
        await one.look()
    await command.change("default", "host", "b.example", "cli")
    await one.look()
    assert stops(one)
    assert len(one.in_force("default")) == 2
    store.fault = None
    assert await one.refresh()
    assert sorted(act.subject for act in store.acts.values()) == ["host b.example", "message m-1"]
    started = process(store, tmp_path)
    await started.look()
    assert len(started.in_force("default")) == 2


async def test_a_change_over_a_damaged_file_loses_nothing_that_is_known(store: PlannedStore, tmp_path: Path) -> None:
    one = process(store, tmp_path)
    await one.change("default", "message", "m-1", "key_1")
    put(tmp_path, b"damaged")
    await one.change("default", "host", "b.example", "key_1")
    started = process(store, tmp_path)
    await started.look()
    assert stops(started)
    assert len(started.in_force("default")) == 2


async def test_what_the_disk_cannot_take_is_not_in_force(
    store: PlannedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    one = process(store, tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskUnavailable, match="No space left"):
        await one.change("default", "message", "m-1", "key_1")
    assert not stops(one)
    await one.note(Act("default", "key_1", "recipient_reset"))
    assert REVOCATIONS_FILE not in names(tmp_path)
    monkeypatch.undo()
    await one.change("default", "message", "m-1", "key_1")
    assert stops(one)


async def test_what_the_store_says_is_in_force_though_the_disk_is_full(
    store: PlannedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    told = Revocation("default", "message", "m-1", True, 1_800_000_000_000_000, "key_1")
    store.entries[told.key] = told
    one = process(store, tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    assert not await one.refresh()
    assert stops(one)


async def test_processes_that_change_it_at_once_lose_nothing(store: PlannedStore, tmp_path: Path) -> None:
    processes = [process(store, tmp_path) for _ in range(8)]
    await asyncio.gather(
        *(one.change("default", "host", f"h{at}.example", "key_1") for at, one in enumerate(processes * 3))
    )
    await processes[0].look()
    assert len(processes[0].in_force("default")) == 24


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), TimeoutError(), RuntimeError("quotes a secret")])
async def test_a_store_that_is_away_is_told_of_once(
    store: PlannedStore, tmp_path: Path, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = process(store, tmp_path)
    store.fault = fault
    assert [await one.refresh() for _ in range(3)] == [False] * 3
    store.fault = None
    assert await one.refresh()
    actions = [record.action for record in caplog.records]  # type: ignore[attr-defined]
    assert actions == ["revocations_unavailable", "revocations_available"]
    assert "quotes a secret" not in caplog.text


async def test_a_store_restored_from_an_older_backup_is_told_again(store: PlannedStore, tmp_path: Path) -> None:
    one = process(store, tmp_path)
    await one.change("default", "message", "m-1", "key_1")
    assert await one.refresh()
    store.fault = StoreUnavailable("away")
    assert not await one.refresh()
    store.fault, store.entries = None, {}
    assert await one.refresh()
    assert len(store.entries) == 1
