"""What the spool promises while the disk, or the process, is not well."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from spools import all_of, counted, hit, messages, opened, run, until

from tracker.core.errors import SpoolFull, SpoolUnavailable
from tracker.spool import Spool, inspect


class Disk(apsw.VFS):
    """The real disk, but for what a test makes of it."""

    def __init__(self) -> None:
        super().__init__("test-disk", "unix")
        self.is_quick = threading.Event()
        self.is_quick.set()
        self.syncs = 0
        self.error: type[apsw.Error] | None = None

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> File:  # noqa: N802
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self.disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self.disk.error:
            raise self.disk.error
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.syncs += 1
        self.disk.is_quick.wait(30)
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    apsw.set_default_vfs("test-disk")
    yield disk
    apsw.set_default_vfs("unix")
    disk.unregister()


def damage(path: Path, start: int, length: int = 4096) -> None:
    """Overwrite bytes as a bad disk does: behind SQLite's back."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def set_aside(directory: Path, slot: int) -> list[Path]:
    return list(directory.glob(f"spool-{slot}.db.corrupt-*[0-9]"))


def test_every_commit_is_synced(tmp_path: Path, disk: Disk) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            before = disk.syncs
            for n in range(10):
                await spool.append(hit(n), n)
            assert disk.syncs - before >= 10

    run(main())


def test_a_slow_disk_delays_the_answer_by_a_quarter_of_a_second_at_most(tmp_path: Path, disk: Disk) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            loop = asyncio.get_running_loop()
            disk.is_quick.clear()
            early, unstored = counted("answered_before_stored"), counted("unstored")
            started = loop.time()
            durable = asyncio.create_task(spool.append(hit("u", "unsubscribed"), 0))
            answers = [spool.append_soon(hit(n), n) for n in range(5)]
            await asyncio.sleep(0.1)  # these come during the commit, and in a slice of time of their own
            answers += [spool.append_soon(hit(n), n) for n in range(5, 8)]
            assert not any(await all_of(*answers))
            assert 0.2 < loop.time() - started < 5
            assert not durable.done()
            assert counted("answered_before_stored") - early == 8
            disk.is_quick.set()
            await durable
            await until(lambda: spool.depth == 9)
            assert counted("unstored") == unstored
            assert await spool.append_soon(hit("fast"), 0)

    run(main())


def test_who_must_know_for_certain_is_told_when_it_takes_too_long(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.spool.log._APPEND_WITHIN_S", 0.05)

    async def main() -> None:
        async with opened(tmp_path) as spool:
            disk.is_quick.clear()
            with pytest.raises(SpoolUnavailable, match="too long"):
                await spool.append(hit("u", "unsubscribed"), 0)
            disk.is_quick.set()
            await until(lambda: spool.depth == 1)

    run(main())


@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError, apsw.ReadOnlyError])
def test_a_failing_disk_loses_what_it_fails_and_no_more(
    tmp_path: Path, disk: Disk, error: type[apsw.Error], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append(hit("before"), 0)
            unstored = counted("unstored")
            disk.error = error
            for _ in range(3):
                assert not any(await all_of(*(spool.append_soon(hit(n), n) for n in range(4))))
            with pytest.raises(SpoolFull if error is apsw.FullError else SpoolUnavailable):
                await spool.append(hit("u"), 0)
            with pytest.raises(SpoolUnavailable):
                await spool.ack(1)
            assert messages(spool) == ["m-before"]
            assert counted("unstored") - unstored == 12
            disk.error = None
            assert await spool.append_soon(hit("after"), 0)
            assert messages(spool) == ["m-before", "m-after"]
        assert [r.levelname for r in caplog.records if r.name == "tracker.spool.writer"] == ["ERROR", "WARNING"]

    run(main())


def test_a_directory_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        with pytest.raises(SpoolUnavailable):
            Spool(tmp_path / "file" / "spool", node="n1", max_bytes=1 << 20).open()

    run(main())


@pytest.mark.parametrize("start", [0, 4096])
def test_a_file_corrupt_at_the_start_is_replaced(tmp_path: Path, start: int) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(500)])
        damage(tmp_path / "spool-0.db", start)
        before = counted("spool_corrupt")
        async with opened(tmp_path) as spool:
            assert counted("spool_corrupt") - before == 1
            assert await spool.append_soon(hit("new"), 0)
            assert messages(spool)[-1] == "m-new"
        async with opened(tmp_path) as spool:
            assert messages(spool)[-1] == "m-new"
        assert counted("spool_corrupt") - before == 1
        assert len(set_aside(tmp_path, 0)) == 1

    run(main())


def test_rows_before_and_behind_the_damage_are_saved(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n, user_agent="x" * 200), n) for n in range(2000)])
            ids = [event.id for _, event in spool.read(5000)]
        path = tmp_path / "spool-0.db"
        damage(path, path.stat().st_size // 2 // 4096 * 4096)
        async with opened(tmp_path) as spool:
            saved = [event.id for _, event in spool.read(5000)]
            assert len(set(saved)) == len(saved) > 1900
            assert set(saved) < set(ids)
            assert {ids[0], ids[-1]} <= set(saved)

    run(main())


def test_damage_found_while_reading_or_writing_does_not_stop_the_service(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            for found_by in ("reader", "writer"):
                await spool.append_all([(hit(n, user_agent="x" * 200), n) for n in range(2000)])
                seen = await asyncio.to_thread(spool.read, 100)
                with apsw.Connection(str(tmp_path / "spool-0.db")) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                before = counted("spool_corrupt")
                damage(tmp_path / "spool-0.db", 0, length=100_000)
                if found_by == "reader":
                    await asyncio.to_thread(spool.read, 5000)
                assert await spool.append_soon(hit("new"), 0)
                assert counted("spool_corrupt") - before == 1
                assert messages(spool)[-1] == "m-new"
                # An acknowledgement for the file that is gone removes nothing of the new one.
                assert await spool.ack(seen[-1][0]) == 0
                assert await spool.ack(spool.read(5000)[-1][0]) > 0

    run(main())


def test_a_torn_log_gives_what_was_whole(tmp_path: Path) -> None:
    async def main() -> None:
        live, crashed = tmp_path / "live", tmp_path / "crashed"
        async with opened(live) as spool:
            for n in range(5):
                await spool.append(hit(n), n)
            whole = {end: (live / f"spool-0.db{end}").read_bytes() for end in ("", "-wal")}
        wal = whole["-wal"]
        for lost in (1, 100, 4096, len(wal) // 2, len(wal) - 40, len(wal)):
            crashed.mkdir()
            (crashed / "spool-0.db").write_bytes(whole[""])
            (crashed / "spool-0.db-wal").write_bytes(wal[: len(wal) - lost])
            async with opened(crashed) as spool:
                found = messages(spool)
                assert found == [f"m-{n}" for n in range(len(found))]
                assert len(found) < 5
                assert await spool.append_soon(hit("new"), 0)
            for path in crashed.iterdir():
                path.unlink()
            crashed.rmdir()

    run(main())


def test_a_corrupt_file_that_was_left_behind_is_salvaged_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as zero:
            async with opened(tmp_path) as one:
                await one.append_all([(hit(n, user_agent="x" * 200), n) for n in range(2000)])
            path = tmp_path / "spool-1.db"
            damage(path, path.stat().st_size // 2 // 4096 * 4096)
            await zero.append(hit("zero"), 0)
        async with opened(tmp_path) as heir:
            await until(lambda: [status.file for status in inspect(tmp_path)] == ["spool-0.db"])
            assert heir.depth > 1900
            assert len(set_aside(tmp_path, 1)) == 1

    run(main())
