"""pgbouncer in transaction mode in front of a test database: few sessions, which go from one client to the next."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .serving import free_port, until

BINARY = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """``pgbouncer`` for the database at ``url``, with its configuration in ``folder``. ``async with`` runs it."""

    def __init__(self, url: str, folder: Path, *, sessions: int) -> None:
        assert BINARY is not None
        parts = urlsplit(url)
        self._sockets = Path(parse_qs(parts.query)["host"][0])
        self._port = free_port()
        self._name = parts.path.removeprefix("/")
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/{self._name}?sslmode=disable"
        self._configuration = (
            f"[databases]\n{self._name} = host={self._sockets} port=5432 user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 100\n"
        )
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        # Not in the test's own folder, which other users cannot look into.
        path = self._folder / "pgbouncer.ini"
        path.write_text(self._configuration)
        assert BINARY is not None
        command = [BINARY, "-q", str(path)]
        if os.geteuid() == 0:  # which it refuses to run as
            command[1:1] = ["-u", self._sockets.owner()]
        with (self._folder / "pgbouncer.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - as quick as a fork
        await until(self._listens)

    async def stop(self) -> None:
        """At once: its clients are cut off in the middle of their transactions."""
        if self._process:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 30)
            self._process = None

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "pgbouncer.log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        return True

    async def __aenter__(self) -> PgBouncer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
