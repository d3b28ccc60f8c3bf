"""A corrupt file on a disk that is full, or can't be read just now: nothing of it is lost over that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from rescues import ALL, ASIDE, CHANGED, change_a_row, fill, overwrite_the_header
from spools import counted, hit, messages, opened, run

from tracker.core.errors import SpoolFull, SpoolUnavailable
from tracker.spool import writer as writer_module
from tracker.spool.file import SpoolFile


class SmallDisk(apsw.VFS):
    """One on which nothing is left for a draft."""

    is_full = True

    def __init__(self) -> None:
        self.drafts = 0
        super().__init__("small-disk", "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        file = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        if self.is_full and file.endswith(".draft"):
            self.drafts += 1
            return Full("unix", name, flags)
        return super().xOpen(name, flags)


class Full(apsw.VFSFile):
    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if offset >= 8192:
            raise apsw.FullError
        super().xWrite(data, offset)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    disk = SmallDisk()
    apsw.set_default_vfs("small-disk")
    yield disk
    apsw.set_default_vfs("unix")
    disk.unregister()


def test_a_disk_without_room_for_it_costs_nothing_that_is_there(
    tmp_path: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"

    async def main() -> None:
        await fill(folder)
        change_a_row(folder / "spool-0.db")
        async with opened(folder) as spool:
            for _ in range(3):
                with pytest.raises(SpoolUnavailable):
                    await asyncio.to_thread(spool.read, 100)
                assert not list(folder.glob("*.draft*")) + list(folder.glob("*.corrupt-*"))
                assert await spool.append_soon(hit("new"), 1), "the row is damaged, and not the file"
            assert disk.drafts == 1, "it is not tried again and again"
            disk.is_full = False
            monkeypatch.setattr(writer_module, "_RESCUE_AGAIN_S", 0.0)
            assert await asyncio.to_thread(messages, spool) == [*CHANGED, *["m-new"] * 3]
            assert spool.status().set_aside == len(ASIDE)

    run(main())


def test_a_disk_without_room_for_it_does_not_stop_the_start(
    tmp_path: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"

    async def main() -> None:
        await fill(folder)
        overwrite_the_header(folder / "spool-0.db")
        corrupt = counted("spool_corrupt")
        async with opened(folder) as spool:
            assert not await spool.append_soon(hit("lost"), 1)
            with pytest.raises(SpoolUnavailable):
                await spool.check()
            with pytest.raises(SpoolUnavailable):
                await asyncio.to_thread(spool.read, 1)
            disk.is_full = False
            monkeypatch.setattr(writer_module, "_RESCUE_AGAIN_S", 0.0)
            await spool.check()
            assert messages(spool) == ALL
            assert await spool.append_soon(hit("new"), 1)
            assert counted("spool_corrupt") - corrupt == 1

    run(main())


def test_the_new_file_leaves_room_for_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without which what was saved could never go to the store."""
    folder = tmp_path / "s"

    async def main() -> None:
        await fill(folder)
        change_a_row(folder / "spool-0.db")
        async with opened(folder) as spool:
            monkeypatch.setattr("tracker.spool.room.SPARE_BYTES", 1 << 60)
            with pytest.raises(SpoolFull):
                await asyncio.to_thread(spool.read, 100)

    run(main())


class Trouble(apsw.VFS):
    """Files can't be opened for reading only, or one page not be read."""

    name = "trouble"

    def __init__(
        self, error: type[apsw.Error], code: int = 0, *, at: int | None = None, reading_only: bool = True
    ) -> None:
        self.error = error()
        self.error.extendedresult = code  # type: ignore[attr-defined]
        self.at = at
        self.reading_only = reading_only
        super().__init__(self.name, "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if self.reading_only and not flags[0] & apsw.SQLITE_OPEN_READONLY:
            return super().xOpen(name, flags)
        if self.at is None:
            raise self.error
        return BadSector(self.error, self.at, name, flags)

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        apsw.set_default_vfs(self.name)
        try:
            yield
        finally:
            apsw.set_default_vfs("unix")
            self.unregister()


class BadSector(apsw.VFSFile):
    def __init__(self, error: apsw.Error, at: int, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.error, self.at = error, at
        super().__init__("unix", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if offset == self.at and amount == 4096:
            raise self.error
        return super().xRead(amount, offset)


@pytest.mark.parametrize(
    ("error", "code"),
    [(apsw.BusyError, 0), (apsw.CantOpenError, 0), (apsw.IOError, apsw.SQLITE_IOERR_SHMSIZE)],
)
def test_a_file_that_cannot_be_read_just_now_is_not_given_up(
    tmp_path: Path, error: type[apsw.Error], code: int
) -> None:
    async def main() -> None:
        await fill(folder := tmp_path / "s")
        file = SpoolFile(folder / "spool-0.db", max_bytes=64 << 20)
        file.open()
        with Trouble(error, code).there(), pytest.raises(error):
            file.replace()
        file.replace()
        assert file.rows == len(ALL)
        file.close()

    run(main())


def test_what_the_disk_cannot_read_does_not_keep_the_rest_from_being_saved(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n, user_agent="x" * 200), n) for n in range(2000)])
        file = SpoolFile(tmp_path / "spool-0.db", max_bytes=64 << 20)
        with Trouble(apsw.IOError, apsw.SQLITE_IOERR_READ, at=50 * 4096).there():
            file.replace()
        assert 1900 < file.rows < 2000
        file.close()

    run(main())


def test_a_disk_without_any_room_does_not_stop_the_start(tmp_path: Path) -> None:
    """Sound as the file may be: SQLite needs some for what it keeps beside it."""

    async def main() -> None:
        await fill(folder := tmp_path / "s")
        with contextlib.ExitStack() as stack:
            stack.enter_context(Trouble(apsw.IOError, apsw.SQLITE_IOERR_SHMSIZE, at=0, reading_only=False).there())
            async with opened(folder) as spool:
                assert not await spool.append_soon(hit("lost"), 1)
                stack.close()
                assert await spool.append_soon(hit("new"), 1)
                assert messages(spool) == [*ALL, "m-new"]

    run(main())
