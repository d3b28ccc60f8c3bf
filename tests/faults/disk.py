"""A disk that does what a test wants of it, under the spool of the real service.

``python disk.py OPTIONS serve ...`` is ``tracker serve ...`` on it, workers included; `Disk` can be used in the
process of a test as well. It knows power cuts (what was not synced is gone), writes and syncs that fail, slow syncs.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

BLOCK = 4096
_SSIZE, _INT, _PTR, _SIZE, _OFF = ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
WRITES = {
    "write": ctypes.CFUNCTYPE(_SSIZE, _INT, _PTR, _SIZE, use_errno=True),
    "pwrite64": ctypes.CFUNCTYPE(_SSIZE, _INT, _PTR, _SIZE, _OFF, use_errno=True),
    "ftruncate": ctypes.CFUNCTYPE(_INT, _INT, _OFF, use_errno=True),
}
"""The calls of SQLite that write, of which it has one or the other."""


class Trouble(NamedTuple):
    """What is wrong with the disk now."""

    write_errno: int = 0
    sync_fails: bool = False
    sync_s: tuple[float, float] = (0.0, 0.0)
    """How long a sync takes, from and to."""


class Disk(apsw.VFS):
    """The files in ``folder`` on a disk like that; all other files on the real one.

    ``only_synced``: the files themselves get what is written when it is synced; till then only this process knows of
    it. ``written_back`` is the share of writes that get there before, as by a kernel that has nothing better to do.
    """

    def __init__(self, folder: Path, *, only_synced: bool = False, written_back: float = 0.0) -> None:
        self.name = f"disk-{random.getrandbits(64)}"
        super().__init__(self.name, "unix")
        self.folder = folder
        self.only_synced = only_synced
        self.written_back = written_back
        self._contents: dict[int, Contents] = {}
        self._control = control_of(folder)
        self._trouble, self._changed_at = Trouble(), 0
        self._calls: list[Any] = []

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        if path.parent != self.folder:
            return super().xOpen(name, flags)
        file = File(self, path, name, flags)
        if self.only_synced:
            inode = path.stat().st_ino
            if inode not in self._contents:
                self._contents[inode] = Contents(path)
            file.contents = self._contents[inode]
        return file

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_folder)
        if sync_folder and Path(name).parent == self.folder:
            self.folder_synced()

    @property
    def trouble(self) -> Trouble:
        try:
            changed_at = self._control.stat().st_mtime_ns
        except FileNotFoundError:
            return Trouble()
        if changed_at != self._changed_at:
            self._trouble, self._changed_at = Trouble(*json.loads(self._control.read_text())), changed_at
        return self._trouble

    def folder_synced(self) -> None:
        if self.only_synced:
            remember(self.folder)

    def end(self) -> None:
        """Once no file is open on it."""
        for contents in self._contents.values():
            contents.close()
        self.unregister()

    def note_sync(self) -> None:
        with Path(f"{self.folder}.syncs").open("ab") as file:
            file.write(b".")

    def let_writes_fail(self) -> None:
        """Have SQLite ask here before it writes: real error numbers, wherever they turn up in it."""
        for name, prototype in WRITES.items():
            if address := super().xGetSystemCall(name):
                call = prototype(self._failing(prototype(address)))
                self._calls.append(call)
                super().xSetSystemCall(name, ctypes.cast(call, ctypes.c_void_p).value or 0)

    def _failing(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(fd: int, *arguments: Any) -> int:
            code = self.trouble.write_errno
            if code and Path(f"/proc/self/fd/{fd}").readlink().parent == self.folder:
                ctypes.set_errno(code)
                return -1
            return real(fd, *arguments)

        return call


class File(apsw.VFSFile):
    """An open file of the folder."""

    contents: Contents | None = None

    def __init__(self, disk: Disk, path: Path, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._is_log = path.name.endswith("-wal")
        # SQLite syncs the folder along with the first sync of such a file.
        self._syncs_folder = self._is_log or path.name.endswith("-journal")
        self._is_dirty = False
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._is_dirty = True
        if self.contents is None:
            super().xWrite(data, offset)
            return
        self.contents.write(data, offset, super().xRead)
        if random.random() < self._disk.written_back:
            super().xWrite(data, offset)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        if self.contents is None:
            return super().xRead(amount, offset)
        return self.contents.read(amount, offset, super().xRead)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self.contents is None:
            super().xTruncate(size)
        else:
            self.contents.truncate(size)

    def xFileSize(self) -> int:  # noqa: N802
        return super().xFileSize() if self.contents is None else self.contents.size

    def xSync(self, flags: int) -> None:  # noqa: N802
        trouble = self._disk.trouble
        time.sleep(random.uniform(*trouble.sync_s))
        # Only of what a commit waits for: SQLite overlooks that a checkpoint fails, and apsw would not.
        if trouble.sync_fails and self._is_log and self._is_dirty:
            error = apsw.IOError("the disk is broken")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
            raise error
        if self.contents is not None:
            self.contents.sync(super().xWrite, super().xTruncate)
        super().xSync(flags)
        self._is_dirty = False
        if self._is_log:
            self._disk.note_sync()
        if self._syncs_folder:
            self._syncs_folder = False
            self._disk.folder_synced()


class Contents:
    """What is in a file, for all in this process who have it open; what was not synced is only here."""

    def __init__(self, path: Path) -> None:
        # Held open, so that its number is not given to another file.
        self._fd = os.open(path, os.O_RDONLY)
        self.size = self._real = os.fstat(self._fd).st_size
        self._blocks: dict[int, bytearray] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        os.close(self._fd)

    def read(self, amount: int, offset: int, real: Callable[[int, int], bytes]) -> bytes:
        with self._lock:
            end = min(offset + amount, self.size)
            if end <= offset:
                return b""
            first, last = offset // BLOCK, (end - 1) // BLOCK
            found = b"".join(bytes(self._block(number, real)) for number in range(first, last + 1))
            return found[offset - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int, real: Callable[[int, int], bytes]) -> bytearray:
        if number in self._blocks:
            return self._blocks[number]
        there = min(max(self._real - number * BLOCK, 0), BLOCK)
        return bytearray((real(there, number * BLOCK) if there else b"").ljust(BLOCK, b"\0"))

    def write(self, data: bytes, offset: int, real: Callable[[int, int], bytes]) -> None:
        with self._lock:
            self.size = max(self.size, offset + len(data))
            while data:
                number, start = divmod(offset, BLOCK)
                part = data[: BLOCK - start]
                block = self._blocks[number] = self._block(number, real)
                block[start : start + len(part)] = part
                data, offset = data[len(part) :], offset + len(part)

    def truncate(self, size: int) -> None:
        with self._lock:
            self.size, self._real = size, min(size, self._real)
            for number in [number for number in self._blocks if number * BLOCK >= size]:
                del self._blocks[number]
            if (last := self._blocks.get(size // BLOCK)) is not None:
                last[size % BLOCK :] = bytes(BLOCK - size % BLOCK)

    def sync(self, write: Callable[[bytes, int], None], truncate: Callable[[int], None]) -> None:
        with self._lock:
            for number, block in sorted(self._blocks.items()):
                write(bytes(block[: self.size - number * BLOCK]), number * BLOCK)
            truncate(self.size)
            self._blocks.clear()
            self._real = self.size


def control_of(folder: Path) -> Path:
    return Path(f"{folder}.trouble")


def program_on(folder: Path, *, full: bool = True, fails_writes: bool = False, **options: Any) -> list[str]:
    """What Python has to run for a service on a `Disk` of these options; not ``full``: ``synchronous = NORMAL``.

    ``fails_writes``: on the real one, but for the writes that fail.
    """
    return [__file__, json.dumps({"folder": str(folder), "full": full, "fails_writes": fails_writes, **options})]


def set_trouble(folder: Path, trouble: Trouble) -> None:
    """From now on the disk of ``folder`` is like that, in every process."""
    new = Path(f"{folder}.trouble-new")
    new.write_text(json.dumps(trouble))
    new.rename(control_of(folder))


def syncs(folder: Path) -> int:
    """How often a log was synced."""
    return Path(f"{folder}.syncs").stat().st_size


def remember(folder: Path) -> None:
    """Which files the folder has is on the disk, by another name of each."""
    made = Path(f"{folder}.making-{os.getpid()}-{threading.get_ident()}")
    made.mkdir()
    for path in folder.iterdir():
        if not path.name.endswith("-shm"):
            os.link(path, made / path.name)
    made.rename(f"{folder}.synced-{time.time_ns()}")


def survivors(folder: Path) -> list[Path]:
    """The files that were in the folder when it was last synced, with what was synced of them."""
    synced = sorted(folder.parent.glob(f"{folder.name}.synced-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return list(synced[-1].iterdir()) if synced else []


def cut_power(folder: Path) -> None:
    """Once every process is dead: leave only the survivors."""
    for path in folder.iterdir():
        path.unlink()
    for path in survivors(folder):
        path.rename(folder / path.name)
    for leftover in (*folder.parent.glob(f"{folder.name}.synced-*"), *folder.parent.glob(f"{folder.name}.making-*")):
        shutil.rmtree(leftover)
    remember(folder)


def _launch(folder: str, full: bool, fails_writes: bool, **options: Any) -> Disk:
    from tracker.spool import file

    disk = Disk(Path(folder), **options)
    if fails_writes:  # not both: SQLite may wait for Python with a lock that Python waits for in a file of ours
        disk.let_writes_fail()
    else:
        apsw.set_default_vfs(disk.name)
    if not full:
        run = file._run
        file._run = lambda connection, sql, *values: run(connection, sql.replace("= FULL", "= NORMAL"), *values)
    return disk


if __name__ in ("__main__", "__mp_main__"):  # the latter is what workers call it
    DISK = _launch(**json.loads(sys.argv[1]))
if __name__ == "__main__":
    from tracker.cli import main

    sys.exit(main(sys.argv[2:]))
