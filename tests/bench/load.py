"""Servers pinned to one core and load from another: what every figure over HTTP needs.

Owns the processes, the paths that are asked for, and the check that all that was answered was stored. Must not compute
a figure.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS: Final = 256
MESSAGES: Final = 1000
KEY: Final = "bench-key-of-the-benchmark-only"
AGENT: Final = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
BUSY: Final = 0.95
"""Of one core: a load generator that takes more may have been the limit."""
_SETTLED_S: Final = 0.2
"""How long the spool has to be empty: requests that were under way when the load ended come later."""
_PATIENCE_S: Final = 30.0
_HEADERS: Final = ("-H", f"User-Agent: {AGENT}", "-H", "Accept: image/*")
_SCRIPT: Final = """
local requests, at = {}, 0
init = function()
  for path in io.lines(os.getenv("BENCH_PATHS")) do requests[#requests + 1] = wrk.format("GET", path) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True)
class Load:
    """What one round of load came to."""

    rate: float
    """Answers a second."""
    answered: int
    generator: float
    """The share of its core that the generator took."""


@dataclass
class Tracker:
    """The service under test, on SQLite, with a batch of registered messages."""

    url: str
    store: Path
    process: subprocess.Popen[bytes]
    answered: int = 0
    """Hits that were answered since it began."""
    messages: int = 0
    """That were registered."""

    def backlog(self) -> int:
        """Rows that the spool holds."""
        return int(self.metric("tracker_spool_depth"))

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(self.url + "/metrics", timeout=30) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stored(self) -> int:
        """Hits in the store, by their counts."""
        query = "SELECT ifnull(sum(count), 0) FROM events WHERE type IN ('opened', 'clicked')"
        with contextlib.closing(apsw.Connection(str(self.store), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(10_000)
            return int(str(db.execute(query).get))

    def drain(self, rounds: int = 1) -> float:
        """Wait until the store holds every hit that was answered; returns when, by `time.perf_counter`.

        It is the spool that is looked at, since to count in the store would take the time of who stores. Raises
        `AssertionError` where the store holds fewer hits in the end, or more than were asked for: what was under way
        when a round ended is stored, and its answer was not counted, so that may be one for each connection and round.
        """
        deadline = time.perf_counter() + _PATIENCE_S
        while True:
            while self.backlog():
                deadline = time.perf_counter() + _PATIENCE_S
                time.sleep(0.02)
            drained_at = time.perf_counter()
            time.sleep(_SETTLED_S)
            stored = self.stored()
            if (stored >= self.answered and not self.backlog()) or drained_at > deadline:
                break
        excess = stored - self.answered
        assert 0 <= excess <= CONNECTIONS * rounds, f"{self.answered} answered, {stored} stored"
        return drained_at


@contextlib.contextmanager
def tracking(folder: Path, *, workers: int = 1, cores: str = SERVER_CORE, **settings: str) -> Iterator[Tracker]:
    """``tracker serve`` with its data in ``folder``; ``settings`` are environment variables."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "TRACKER_DATA_DIR": str(folder / "data"),
        "TRACKER_BASE_URL": url,
        "TRACKER_API_KEY": KEY,
        "TRACKER_LOG_LEVEL": "error",
        **settings,
    }
    command = [sys.executable, "-m", "tracker", "serve", "--port", str(port), "--workers", str(workers)]
    with running(command, cores, environment) as process:
        _wait(url + "/readyz")
        yield Tracker(url, folder / "data" / "status.db", process)


@contextlib.contextmanager
def bare() -> Iterator[str]:
    """The bare ASGI function."""
    port = free_port()
    with running([sys.executable, str(Path(__file__).with_name("bare.py")), str(port)], SERVER_CORE, os.environ):
        _wait(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """nginx's ``empty_gif`` with a buffered access log, in one process."""
    port, configuration = free_port(), folder / "nginx.conf"
    folder.mkdir(parents=True, exist_ok=True)
    configuration.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 4096; }}
        http {{
            access_log {folder}/access.log combined buffer=64k flush=1s;
            keepalive_requests 1000000000;
            server {{ listen 127.0.0.1:{port}; location / {{ empty_gif; }} }}
        }}"""
    )
    with running(["nginx", "-c", str(configuration), "-e", str(folder / "error.log")], SERVER_CORE, os.environ):
        _wait(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def running(command: Sequence[str], cores: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process on some cores, ended at the end."""
    process = subprocess.Popen(["taskset", "-c", cores, *command], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str) -> None:
    for _ in range(400):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"{url} did not come up")


def register(tracker: Tracker, html: str) -> list[dict[str, object]]:
    """The answers of `MESSAGES` newly registered messages."""
    recipients = [
        {"message_id": f"0190a5e0-7b1c-7def-8abc-{tracker.messages + number:012x}"} for number in range(MESSAGES)
    ]
    tracker.messages += MESSAGES
    content = {"html": html, "batch": "bench", "recipients": recipients}
    request = urllib.request.Request(
        tracker.url + "/v1/rewrite/batch", json.dumps(content).encode(), {"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request) as answer:
        return [json.loads(line) for line in answer]


def load(url: str, paths: Path, seconds: float, *, connections: int = CONNECTIONS) -> Load:
    """As many requests as are answered, from wrk, over the paths that a file lists."""
    script = paths.with_suffix(".lua")
    script.write_text(_SCRIPT)
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", *_HEADERS]
    process = subprocess.Popen(
        [*command, "-s", str(script), url],
        env={**os.environ, "BENCH_PATHS": str(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    count, rate = re.search(r"(\d+) requests in", printed), re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if status or "Non-2xx" in printed or "Socket errors" in printed or count is None or rate is None:
        raise SystemExit(f"the load failed:\n{printed}")
    return Load(float(rate[1]), int(count[1]), (usage.ru_utime + usage.ru_stime) / seconds)


def latencies_us(url: str, paths: Path, per_second: float, seconds: float, *, clients: int = 16) -> list[int]:
    """How long each answer took in microseconds, at a fixed rate, from h2load over HTTP/1.1."""
    log = paths.with_suffix(".log")
    log.unlink(missing_ok=True)
    uris = paths.with_suffix(".uris")
    uris.write_text("".join(f"{url}{path}\n" for path in paths.read_text().split()))
    total = int(per_second * seconds)
    command = ["taskset", "-c", LOAD_CORE, "h2load", "--h1", f"-n{total}", f"-c{clients}", "-t1"]
    command += [f"--rps={per_second / clients:.3f}", f"-i{uris}", f"--log-file={log}", *_HEADERS]
    subprocess.run(command, check=True, capture_output=True)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    assert len(rows) == total, f"{len(rows)} of {total} answered"
    assert all(row[1] in ("200", "302") for row in rows), "not all were answered as they should be"
    return [int(row[2]) for row in rows]


def fdatasync_us(folder: Path, times: int = 200) -> float:
    """The median time in microseconds that the disk takes to have 4 kB appended and synced."""
    taken = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - start) * 1e6)
    return statistics.median(taken)
