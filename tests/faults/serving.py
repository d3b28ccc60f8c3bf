"""The service as a process of its own: start, kill, stop, and what it says of itself."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from databases import Database, PostgresDatabase, SqliteDatabase

from tracker.spool import inspect

from .wire import BROKEN, Answer, fetch

API_KEY = "key-of-the-fault-tests"
SIGNING_KEY = "signing-key-of-the-fault-tests-0123456789"
PATIENCE_S = 60.0
"""For what takes a second, on a machine that is busy with other things."""


async def until(condition: Callable[[], bool | Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Wait until ``condition`` holds; fails when it does not in time."""
    deadline = time.monotonic() + patience_s
    while not (await found if isinstance(found := condition(), Awaitable) else found):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.03)


class Service:
    """``tracker serve`` on the data dir ``data``. Its output goes to a file beside it."""

    def __init__(self, data: Path, store_url: str, *, workers: int = 1, **settings: str) -> None:
        self.data = data
        self.port = free_port()
        self.workers = workers
        self.log = data.with_name(data.name + ".log")
        self.launch = ["-m", "tracker"]
        """What Python runs: a program that takes the arguments of ``tracker``."""
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "PROMETHEUS_"))},
            "TRACKER_DATA_DIR": str(data),
            "TRACKER_STORE_URL": store_url,
            "TRACKER_API_KEY": API_KEY,
            "TRACKER_SIGNING_KEYS": SIGNING_KEY,
            "TRACKER_TRUSTED_PROXIES": "127.0.0.1/32",
            "TRACKER_LOG_LEVEL": "warning",
            "TRACKER_DRAIN_S": "0.2",
            **{f"TRACKER_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    async def start(self, *, ready: bool = True) -> float:
        """Start, and wait until it is ready, or answers at all; returns the seconds that took."""
        started = time.monotonic()
        command = [sys.executable, *self.launch, "serve", "--port", str(self.port), "--workers", str(self.workers)]
        with self.log.open("ab") as log:
            # In a group of its own, so that all its processes can be killed at once.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - as quick as a fork
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        await self.wait_for(200 if ready else None)
        return time.monotonic() - started

    async def wait_for(self, readiness: int | None) -> None:
        """Wait until ``/readyz`` answers with the status ``readiness``, or with any."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}\n{self.last_words()}"
            with suppress(*BROKEN):
                answer = await fetch(self.port, "/readyz")
                if readiness in (None, answer.status):
                    return
            await asyncio.sleep(0.02)
        raise AssertionError(f"not ready in time\n{self.last_words()}")

    def kill(self) -> None:
        """Kill -9 every process of it at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    async def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def worker_pids(self) -> list[int]:
        """The processes that serve, where there are several."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in _command_line(int(pid))]

    async def metrics(self) -> dict[str, float]:
        """Every metric without labels, by its name without ``tracker_`` and ``_total``."""
        lines = (await fetch(self.port, "/metrics")).body.decode().splitlines()
        samples = (line.split() for line in lines if line.startswith("tracker_") and "{" not in line)
        return {name.removeprefix("tracker_").removesuffix("_total"): float(value) for name, value, *_ in samples}

    async def api(self, path: str) -> Answer:
        return await fetch(self.port, path, headers={"Authorization": f"Bearer {API_KEY}"})

    def depth(self) -> int:
        """Rows in all spool files, those of dead processes included."""
        statuses = inspect(self.data / "spool")
        assert not [status for status in statuses if status.error]
        return sum(status.rows for status in statuses)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


@contextmanager
def serving(data: Path, database: Database | str, *, workers: int = 1, **settings: str) -> Iterator[Service]:
    """A service, not started yet, of which nothing is left at the end."""
    service = Service(data, database if isinstance(database, str) else url_of(database), workers=workers, **settings)
    try:
        yield service
    finally:
        if service._process is not None:
            service.kill()


def url_of(database: Database) -> str:
    if isinstance(database, SqliteDatabase):
        return f"sqlite:///{database.path}"
    assert isinstance(database, PostgresDatabase)
    return database.url


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it did not end yet (it may wait for someone to notice that)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def serves(pid: int) -> bool:
    """Whether a worker has its spool open, which is the first thing it does."""
    with suppress(OSError):
        return any(link.readlink().name.endswith(".db-wal") for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def free_port() -> int:
    """A port to listen on, now and after a break."""
    # Below the ports that the kernel gives to clients: one of them might take it while the service is down.
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
