"""The demo's service: a process of its own, with settings that suit it where none were given.

Owns starting and stopping it. Must not know what the demo does with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from tracker import config, datadir
from tracker.core.errors import ConfigError

from .client import Client, Unreachable

START_S: Final = 30.0


def prepare(port: int) -> datadir.Prepared:
    """Complete settings for a service on ``port``: they go into the environment, which the service inherits.

    The demo's readers say in X-Forwarded-For where they are, so that each has an address of its own.
    """
    suiting = {"BASE_URL": f"http://127.0.0.1:{port}", "TRUSTED_PROXIES": "127.0.0.1/32"}
    for name, value in suiting.items():
        if not config.is_set(os.environ, name):
            os.environ[config.PREFIX + name] = value
    return datadir.prepare(config.read(os.environ))


@contextlib.contextmanager
def service(client: Client, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service, ready for ``client``, and stopped in order at the end. Raises `ConfigError` and `Unreachable`."""
    environment = {"TRACKER_LOG_LEVEL": "warning", **os.environ}
    command = [sys.executable, "-m", "tracker", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603  # our own command
        try:
            _wait_until_ready(client, process)
            yield process
        finally:
            process.terminate()


def _wait_until_ready(client: Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConfigError(f"the service did not start (exit code {process.returncode})")
        with contextlib.suppress(Unreachable):
            if client.request("GET", "/readyz").status == 200:
                return
        time.sleep(0.05)
    raise Unreachable("the service did not become ready")


def is_free(port: int) -> bool:
    """Whether nobody listens on ``port`` of the loopback."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
