"""Runs the service, for real or as a demo.

Owns how the server is started and what it says then. Must not know what the service does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from tracker import config, datadir, logs, metrics
from tracker.demo import run_demo
from tracker.parts import check_places

from .terminal import UNUSABLE_CONFIG, warn

GRACE_S: Final = 10
"""How long requests in flight may take when the service stops; a body that never ends must not hold it for ever."""
BACKLOG: Final = 2048
"""Connections that wait to be accepted, where the kernel allows as many: what comes while a worker is replaced."""
WORKER_SILENCE_S: Final = 10
"""How long a worker may not answer its supervisor before it is replaced: on a busy machine, starting takes a while."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``serve`` and ``demo``."""
    serve = commands.add_parser("serve", help="run the service")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    serve.add_argument("--workers", type=_workers, default=1, help="processes to run (default: %(default)s)")
    serve.set_defaults(run=_serve)

    demo = commands.add_parser("demo", help="run the service, send it a newsletter, open, click, unsubscribe")
    demo.add_argument(
        "--port", type=_port, default=8000, help="port to listen on (default: %(default)s, or a free one)"
    )
    demo.add_argument("--once", action="store_true", help="stop at the end instead of leaving the service running")
    demo.set_defaults(run=lambda parsed: run_demo(parsed.port, once=parsed.once))


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("must be a port, from 1 to 65535")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)


def _serve(parsed: argparse.Namespace) -> int:
    if not config.is_set(os.environ, "BASE_URL"):
        os.environ["TRACKER_BASE_URL"] = f"http://127.0.0.1:{parsed.port}"
    for name in config.unknown_names(os.environ):
        warn(f"{name} is not a setting")
    os.umask(0o077)  # the embedded store too is for the owner only
    prepared = datadir.prepare(config.read(os.environ))
    settings = prepared.settings
    check_places(settings)
    if settings.base_url.startswith("http://") and not settings.base_url.startswith("http://127.0.0.1"):
        warn(f"{settings.base_url} is not https: mail programs may refuse it")
    if prepared.new_api_key:
        print(_welcome(local_url(parsed.host, parsed.port), settings, prepared.new_api_key), flush=True)
    logs.configure(settings.log_level)
    # The server raises the signal again once it has stopped. It did what was asked: that is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return _run_server(parsed, settings.data_dir)


def _run_server(parsed: argparse.Namespace, data_dir: Path) -> int:
    """Serve until told to stop; returns the exit code."""
    options: dict[str, Any] = {
        "app": "tracker.web.app:create",
        "factory": True,
        "interface": "asgi3",
        "host": parsed.host,
        "port": parsed.port,
        "workers": parsed.workers,
        "loop": "uvloop",
        "http": "tracker.web.server.protocol:Connection",
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "backlog": BACKLOG,
        "timeout_graceful_shutdown": GRACE_S,
        "timeout_worker_healthcheck": WORKER_SILENCE_S,
    }
    if parsed.workers == 1:
        uvicorn.run(**options)
        return 0
    _share_metrics(data_dir)
    server = uvicorn.Config(**options)
    workers = Supervisor(server, [server.bind_socket()])
    workers.run()
    return UNUSABLE_CONFIG if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes) else 0


class Supervisor(Multiprocess):
    """The server's own supervisor of workers, which hears of a worker's death at once, and forgets its gauges."""

    def __init__(self, server: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(server, sockets)
        self._known: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that are gone."""
        for worker in self.processes:
            # With this end open here too, a worker that dies while it is asked would be waited for like a slow one.
            worker.child_conn.close()
        super().keep_subprocess_alive()
        pids = {worker.pid for worker in self.processes}
        for gone in self._known - pids:
            metrics.forget_process(gone)
        self._known = pids


def local_url(host: str, port: int) -> str:
    """Where this very machine reaches the service: the public URL may lead nowhere yet."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _welcome(url: str, settings: config.Settings, api_key: str) -> str:
    return (
        f"Made a new API key, shown this once and kept in {settings.data_dir / datadir.API_KEY_FILE}:\n\n"
        f"  {api_key}\n\n"
        "Try it in another terminal:\n\n"
        f"  curl -s {url}/v1/rewrite -H 'Authorization: Bearer {api_key}' "
        """-d '{"message_id": "m-1001", "html": "<p><a href=\\"https://example.com/\\">Hello</a></p>"}'\n"""
    )


def _share_metrics(data_dir: Path) -> None:
    """Let the workers keep their metrics in files of one directory, where any of them can add them up."""
    directory = data_dir / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
