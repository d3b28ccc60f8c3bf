"""The demo from start to end: the service in a process of its own, and the acts in their order.

Owns that process. Must not reach into the service: what it shows, it read from the API.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

from tracker import config, datadir
from tracker.core.errors import ConfigError

from . import acts
from .cast import CAST, Send
from .client import Client, Unreachable
from .mailserver import report_deliveries
from .readers import read_letters

START_S: Final = 30.0


def run_demo(port: int, *, once: bool) -> int:
    """Run the demo, and leave the service running until it is interrupted unless ``once``; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no dash is no reason to stop
    port = port if _is_free(port) else 0
    if port == 0:
        port = _free_port()
        print(f"The port asked for is taken, so this uses {port}.\n")
    if not config.is_set(os.environ, "BASE_URL"):
        os.environ["TRACKER_BASE_URL"] = f"http://127.0.0.1:{port}"
    prepared = datadir.prepare(config.read(os.environ))
    if prepared.new_api_key:
        print(f"Made a new API key, kept in {prepared.settings.data_dir / datadir.API_KEY_FILE}:\n")
        print(f"  {prepared.new_api_key}")
    client = Client(f"http://127.0.0.1:{port}", prepared.settings.api_key)
    with _service(port) as process:
        try:
            _wait_until_ready(client, process)
            message_id = _tell(client)
        except Unreachable as error:
            print(f"The demo stopped: {error}", file=sys.stderr)
            return 1
        if not once:
            _leave_running(client, prepared.settings, message_id, process)
    return 0


def _tell(client: Client) -> str:
    """The acts in their order; returns the id of the message whose timeline was shown."""
    run = secrets.token_hex(4)
    november, december = Send("nov", run), Send("dec", run)
    _heading(f"1. The mailer has the November letter rewritten for {len(CAST)} people; this is {CAST[0]}'s")
    letters = acts.rewrite_letters(client, november)
    _heading("2. The mail server says what became of them")
    report_deliveries(client, letters)
    _heading("3. Readers and machines do what they do")
    read_letters(client, letters)
    _heading("4. What the status store says of everyone, and then of all that happened to ada's letter")
    acts.show_results(client, november)
    print()
    acts.show_timeline(client, november.message_id(CAST[0]))
    _heading("5. The December letter to the same people: POST /v1/rewrite/batch")
    refused = acts.rewrite_next(client, december)
    acts.show_changes(client, november, december, refused)
    return november.message_id(CAST[0])


def _leave_running(
    client: Client, settings: config.Settings, message_id: str, process: subprocess.Popen[bytes]
) -> None:
    _heading("The service is still running. Try:")
    key = f"-H 'Authorization: Bearer {settings.api_key}'"
    print(f"   curl -s {client.base_url}/v1/messages/{message_id} {key}")
    print(f"   curl -s {client.base_url}/v1/messages/{message_id}/events {key}")
    print(f"   curl -s {client.base_url}/v1/changes {key}")
    print(
        f"   curl -s {client.base_url}/v1/rewrite {key} "
        """-d '{"message_id": "m-1001", "html": "<a href=\\"https://example.com/\\">Hello</a>"}'"""
    )
    print(f"   {client.base_url}/metrics   {client.base_url}/openapi.json")
    print("\n   Ctrl-C stops it.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        process.wait()


@contextlib.contextmanager
def _service(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a process of its own, stopped in order at the end."""
    environment = {"TRACKER_LOG_LEVEL": "warning", **os.environ}
    command = [sys.executable, "-m", "tracker", "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603  # our own command
        try:
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


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _heading(text: str) -> None:
    print(f"\n{text}", flush=True)
