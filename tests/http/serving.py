"""The service as its users meet it: a process with settings, a port, and what it prints.

Owns starting, waiting and stopping. Must not import the package under test: the same tests run against an
installed wheel, whose command stands in ``TRACKER_TEST_COMMAND``.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

API_KEY: Final = "a-key-for-tests-0123456789"
BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
"""What the tests' clients say they are, unless it matters: programs that say so count as machines."""
PATIENCE_S: Final = 30.0
"""How long anything may take on a busy machine. Nothing waits this long but to fail."""
CALL_TIMEOUT_S: Final = 30.0

_T = TypeVar("_T")


def command(*arguments: str) -> list[str]:
    """The command line that runs ``tracker`` with ``arguments``."""
    words = shlex.split(os.environ.get("TRACKER_TEST_COMMAND", ""))
    return [*(words or [sys.executable, "-m", "tracker"]), *arguments]


def environment(data_dir: Path | None, settings: Mapping[str, str]) -> dict[str, str]:
    """An environment without any setting but these, named without their prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "PROMETHEUS_"))}
    given = {f"TRACKER_{name}": value for name, value in settings.items()}
    return kept | ({"TRACKER_DATA_DIR": str(data_dir)} if data_dir else {}) | given


def run(
    data_dir: Path | None, *arguments: str, cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[bytes]:
    """Run one command of ``tracker`` to its end."""
    cwd = cwd or (data_dir.parent if data_dir else None)
    return subprocess.run(
        command(*arguments), env=environment(data_dir, settings), cwd=cwd, capture_output=True, timeout=PATIENCE_S
    )


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(read: Callable[[], _T], accept: Callable[[_T], object] = bool) -> _T:
    """What ``read`` gives as soon as ``accept`` likes it; fails when that does not happen."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        value = read()
        if accept(value):
            return value
        assert time.monotonic() < deadline, f"still {value!r}"
        time.sleep(0.02)


class Service:
    """A running service, and a client of it that follows no redirect."""

    def __init__(
        self, data_dir: Path, *, arguments: tuple[str, ...] = (), api_key: str = API_KEY, **settings: str
    ) -> None:
        self.data_dir = data_dir
        self.api_key = api_key
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.stdout = data_dir.with_name(data_dir.name + f"-{self.port}.out")
        self.stderr = data_dir.with_name(data_dir.name + f"-{self.port}.err")
        settings = {"DRAIN_S": "0", **({"API_KEY": api_key} if api_key else {}), **settings}
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                command("serve", "--port", str(self.port), *arguments),
                env=environment(data_dir, settings), cwd=data_dir.parent, stdout=out, stderr=err,
                start_new_session=True,  # so that a test can press Ctrl-C for its whole process group
            )  # fmt: skip
        headers = {"User-Agent": BROWSER}
        self.client = httpx2.Client(base_url=self.url, headers=headers, timeout=CALL_TIMEOUT_S, trust_env=False)

    def wait_until_ready(self) -> None:
        """Return when it takes requests."""

        def probe() -> bool:
            assert self.process.poll() is None, f"exit code {self.process.returncode}: {self.output()}"
            with contextlib.suppress(httpx2.TransportError):
                return self.client.get("/healthz").status_code == 200
            return False

        eventually(probe)

    def output(self) -> str:
        """All that it printed so far, logs included."""
        return self.stdout.read_text() + self.stderr.read_text()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stop it in order; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        self.client.close()
        return self.process.wait(PATIENCE_S)

    # What users do with it.

    def call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """A call of the API, with the key."""
        headers = {"Authorization": f"Bearer {self.api_key}", **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def rewrite(self, message_id: str, **fields: Any) -> dict[str, Any]:
        """``POST /v1/rewrite``, which must work."""
        body = {"message_id": message_id, "html": '<a href="https://shop.example/">Shop</a>', **fields}
        answer = self.call("POST", "/v1/rewrite", json={k: v for k, v in body.items() if v is not None})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def link(self, url: str, message_id: str = "m-1") -> str:
        """The tracked link of a message whose only link leads to ``url``."""
        quoted = url.replace("&", "&amp;").replace('"', "&quot;")
        (link,) = self.rewrite(message_id, html=f'<a href="{quoted}">Go</a>', unsubscribe={"footer": "never"})["links"]
        assert link["action"] == "rewritten", link
        return str(link["tracked_url"])

    def message(self, message_id: str) -> dict[str, Any] | None:
        """``GET /v1/messages/{message_id}``."""
        answer = self.call("GET", f"/v1/messages/{message_id}")
        return dict(answer.json()) if answer.status_code == 200 else None

    def events(self, message_id: str) -> list[dict[str, Any]]:
        """``GET /v1/messages/{message_id}/events``; nothing while the store does not know the message."""
        answer = self.call("GET", f"/v1/messages/{message_id}/events")
        return list(answer.json()["events"]) if answer.status_code == 200 else []

    def types(self, message_id: str) -> list[str]:
        """The types of a message's events, sorted, each as often as it was counted."""
        return sorted(event["type"] for event in self.events(message_id) for _ in range(event["count"]))

    def reached(self, message_id: str, *types: str) -> None:
        """Wait until the store has these events of a message, and see that it has no others.

        Events reach the store in the order in which they were stored, so an unsubscribe sent last shows that
        what came before it and was to record nothing did record nothing.
        """
        assert eventually(lambda: self.types(message_id), lambda found: len(found) >= len(types)) == sorted(types)

    def metric(self, name: str) -> float:
        """The sum of one metric's samples."""
        lines = (line.rpartition(" ") for line in self.client.get("/metrics").text.splitlines())
        return sum(float(value) for sample, _, value in lines if sample.partition("{")[0] == name)


@contextlib.contextmanager
def serving(
    data_dir: Path, *, arguments: tuple[str, ...] = (), api_key: str = API_KEY, **settings: str
) -> Iterator[Service]:
    """A service that is ready, stopped at the end."""
    service = Service(data_dir, arguments=arguments, api_key=api_key, **settings)
    try:
        service.wait_until_ready()
        yield service
    finally:
        try:
            service.stop()
        finally:
            service.process.kill()
            service.process.wait()
