"""How many opens a second one process takes, each on disk before its answer, against a bare ASGI function.

``python -m tests.bench.serve [--rounds N] [--seconds S] [--connections C]``. Needs wrk, and two processor cores: the
server under test has one, the load generator the other. Rounds of the two are interleaved; before each round the
backlog is drained, and after the last the store must hold every open that was answered.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import apsw

MESSAGES = 1000
CONNECTIONS = 256
SERVER_CORE, LOAD_CORE = "0", "1"
KEY = "bench-key-of-the-benchmark-only"
SCRIPT = """
local paths = {}
for line in io.lines(os.getenv("BENCH_PATHS")) do paths[#paths + 1] = line end
local at = math.random(#paths)
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
"""
AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"


def main() -> None:
    """Run the rounds and print a table of ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as (bare, tracker):
        paths = Path(folder) / "paths"
        paths.write_text("\n".join(_register(tracker)) + "\n")
        (Path(folder) / "script.lua").write_text(SCRIPT)
        store = Path(folder) / "data" / "status.db"
        answered, rows = 0, []
        _drain(store, 0)
        for _ in range(options.rounds):
            bare_rate, _ = _load(bare, Path(folder), options)
            started = time.perf_counter()
            rate, count = _load(tracker, Path(folder), options)
            answered += count
            stored = _drain(store, answered)
            with_drain = count / (time.perf_counter() - started)
            rows.append((bare_rate, rate / bare_rate, with_drain / bare_rate))
            print(f"bare {bare_rate:8.0f}/s  tracker {rate:8.0f}/s  with draining {with_drain:8.0f}/s", file=sys.stderr)
        excess = stored - answered
        # Requests under way when the load generator stopped were stored, and their answers were not counted.
        assert 0 <= excess <= options.connections * options.rounds, f"{answered} answered, {stored} stored"
    print("| figure | median | least | most |\n|---|---|---|---|")
    for name, ratios in (("opens/s, stored before the answer, / bare ASGI", [row[1] for row in rows]),
                         ("the same, draining included, / bare ASGI", [row[2] for row in rows])):  # fmt: skip
        print(f"| {name} | {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")
    print(f"\n{answered} opens answered, all of them stored.")


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[tuple[str, str]]:
    ports = _free_ports()
    environment = {
        **os.environ,
        "TRACKER_DATA_DIR": str(folder / "data"),
        "TRACKER_BASE_URL": f"http://127.0.0.1:{ports[1]}",
        "TRACKER_API_KEY": KEY,
        "TRACKER_LOG_LEVEL": "warning",
    }
    commands = (
        [sys.executable, str(Path(__file__).with_name("bare.py")), str(ports[0])],
        [sys.executable, "-m", "tracker", "serve", "--port", str(ports[1])],
    )
    with contextlib.ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(subprocess.Popen(["taskset", "-c", SERVER_CORE, *command], env=environment))
            stack.callback(process.terminate)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            _wait(url)
        yield urls[0], urls[1]


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(2)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait(url: str) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + "/readyz", timeout=5).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"{url} did not come up")


def _register(tracker: str) -> list[str]:
    """The pixel paths of newly registered messages."""
    recipients = [{"message_id": f"0190a5e0-7b1c-7def-8abc-{number:012x}"} for number in range(MESSAGES)]
    content = {"html": "<p>bench</p>", "batch": "bench", "recipients": recipients}
    request = urllib.request.Request(
        tracker + "/v1/rewrite/batch", json.dumps(content).encode(), {"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request) as answer:
        return [json.loads(line)["open_url"].removeprefix(tracker) for line in answer]


def _load(url: str, folder: Path, options: argparse.Namespace) -> tuple[float, int]:
    """Opens a second, and how many were answered."""
    environment: Mapping[str, str] = {**os.environ, "BENCH_PATHS": str(folder / "paths")}
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds:.0f}s"]
    command += ["-H", f"User-Agent: {AGENT}", "-H", "Accept: image/*", "-s", str(folder / "script.lua"), url]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise SystemExit(printed)
    count, rate = re.search(r"(\d+) requests in", printed), re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if count is None or rate is None:
        raise SystemExit(printed)
    return float(rate[1]), int(count[1])


def _drain(store: Path, expected: int) -> int:
    """Wait until the store holds ``expected`` opens; returns how many it holds in the end."""
    query = "SELECT ifnull(sum(count), 0) FROM events WHERE type = 'opened'"
    stored = -1
    while True:
        with contextlib.closing(apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(10_000)
            before, stored = stored, int(str(db.execute(query).get))
        if stored >= expected and stored == before:
            return stored
        time.sleep(0.05)


if __name__ == "__main__":
    main()
