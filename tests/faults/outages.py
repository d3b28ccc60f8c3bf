"""Stores that go away: PostgreSQL stopped in order or at once, and an SQLite file that cannot be opened."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from databases import SqliteDatabase
from postgres import Server, connected


class AwayDatabase(SqliteDatabase):
    """An SQLite store that cannot be opened, since a folder has its name, until it comes back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        path.mkdir()

    def come_back(self) -> None:
        self.path.rmdir()


async def stop(server: Server) -> None:
    await asyncio.to_thread(server.stop)


async def start(server: Server) -> None:
    await asyncio.to_thread(server.start)


async def restart_at_once(server: Server) -> None:
    """What ``pg_ctl stop -m immediate`` does, and a start, which recovers."""
    async with connected(server.url()) as db:
        folder = Path(await db.fetchval("SHOW data_directory"))
    pid = int((folder / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    deadline = time.monotonic() + 30
    while (folder / "postmaster.pid").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    await stop(server)  # the package's own books
    await start(server)
