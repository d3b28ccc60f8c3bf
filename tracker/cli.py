"""The command ``tracker``: parses arguments, prints results, sets the exit code.

Owns what operators see in a terminal. Must not hold a rule of its own: every command calls what the
service calls.

Exit codes: 0 done, 1 it did not work, 2 wrong arguments, 3 the configuration is not usable.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from . import __version__, config, datadir, logs
from .core.errors import ConfigError, InvalidToken
from .core.plan import Options, Tracks
from .core.tokens import DEFAULT_ACCOUNT, Message, Purpose, TokenCodec
from .demo import run_demo
from .spool import inspect
from .web.app import build_rewriter, check_places, spool_directory
from .web.protocol import Protocol
from .web.requests import MessageId

UNUSABLE_CONFIG: Final = 3
GRACE_S: Final = 10
"""How long requests in flight may take when the service stops; a body that never ends must not hold it for ever."""
WORKER_SILENCE_S: Final = 30
"""How long a worker may not answer its supervisor before it is replaced: on a busy machine, starting takes a while."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ConfigError as error:
        print(f"tracker: {error}", file=sys.stderr)
        return UNUSABLE_CONFIG
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tracker", description="Self-hosted email tracking.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

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

    rewrite = commands.add_parser("rewrite", help="rewrite an HTML or text file and print it")
    rewrite.add_argument("file", type=Path, help="a file of UTF-8; .txt is taken as text, anything else as HTML")
    rewrite.add_argument(
        "--message-id", type=_message_id, default="preview", help="the message's id (default: %(default)s)"
    )
    rewrite.add_argument("--report", action="store_true", help="print the link report instead of the message")
    rewrite.set_defaults(run=_rewrite)

    token = commands.add_parser("token", help="look into tokens").add_subparsers(required=True, metavar="COMMAND")
    inspect_token = token.add_parser("inspect", help="say what a token, or a tracking link, carries")
    inspect_token.add_argument("token", help="a token or a whole tracking link")
    inspect_token.set_defaults(run=_inspect_token)

    spool = commands.add_parser("spool", help="look at the spool").add_subparsers(required=True, metavar="COMMAND")
    spool.add_parser("status", help="show its depth and the age of its oldest event").set_defaults(run=_spool_status)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("must be a port, from 1 to 65535")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)


def _message_id(text: str) -> str:
    try:
        return msgspec.convert(text, MessageId)
    except msgspec.ValidationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _serve(parsed: argparse.Namespace) -> int:
    if not config.is_set(os.environ, "BASE_URL"):
        os.environ["TRACKER_BASE_URL"] = f"http://127.0.0.1:{parsed.port}"
    for name in config.unknown_names(os.environ):
        print(f"tracker: warning: {name} is not a setting", file=sys.stderr)
    prepared = datadir.prepare(config.read(os.environ))
    settings = prepared.settings
    check_places(settings)
    if settings.base_url.startswith("http://") and not settings.base_url.startswith("http://127.0.0.1"):
        print(f"tracker: warning: {settings.base_url} is not https: mail programs may refuse it", file=sys.stderr)
    if prepared.new_api_key:
        print(_welcome(_local_url(parsed.host, parsed.port), settings, prepared.new_api_key), flush=True)
    logs.configure(settings.log_level)
    # The server raises the signal again once it has stopped. It did what was asked: that is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return _run_server(parsed, settings.data_dir)


def _run_server(parsed: argparse.Namespace, data_dir: Path) -> int:
    """Serve until told to stop; returns the exit code."""
    options: dict[str, Any] = dict(
        app="tracker.web.app:create",
        factory=True,
        interface="asgi3",
        host=parsed.host,
        port=parsed.port,
        workers=parsed.workers,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_worker_healthcheck=WORKER_SILENCE_S,
    )
    if parsed.workers == 1:
        uvicorn.run(**options)
        return 0
    _share_metrics(data_dir)
    server = uvicorn.Config(**options)
    workers = Multiprocess(server, [server.bind_socket()])
    workers.run()
    return UNUSABLE_CONFIG if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes) else 0


def _local_url(host: str, port: int) -> str:
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


def _settings() -> config.Settings:
    return datadir.prepare(config.read(os.environ), with_api_key=False).settings


def _rewrite(parsed: argparse.Namespace) -> int:
    settings = _settings()
    try:
        # Not universal newlines: every byte that is not a link's comes out as it went in.
        body = parsed.file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        print(f"tracker: {parsed.file}: {error}", file=sys.stderr)
        return 1
    is_text = parsed.file.suffix.lower() == ".txt"
    template = build_rewriter(settings).prepare(None if is_text else body, body if is_text else None, Options())
    rewritten = template.render(Message(DEFAULT_ACCOUNT, parsed.message_id), Tracks())
    for notice in rewritten.warnings:
        print(f"tracker: warning: {notice.code}: {notice.detail}", file=sys.stderr)
    if parsed.report:
        _print_json(rewritten.links)
    else:
        sys.stdout.buffer.write(((rewritten.text if is_text else rewritten.html) or "").encode())
    return 0


def _inspect_token(parsed: argparse.Namespace) -> int:
    codec = TokenCodec(_settings().signing_keys)
    # As it stands in a mail: with the brackets of List-Unsubscribe, with what a mail program added behind it.
    url = re.split(r"[?#]", parsed.token.strip(" \t\r\n<>"), maxsplit=1)[0]
    text = url.rpartition("/")[2].removesuffix(".gif")
    for purpose in Purpose:
        with contextlib.suppress(InvalidToken):
            token = codec.verify(purpose, text)
            fields = token._asdict() | {"purpose": purpose.name.lower()}
            fields["batch_tag"] = token.batch_tag.hex() if token.batch_tag else None
            _print_json(fields)
            return 0
    print("tracker: not a token of ours: cut short, changed, or signed with a key that is not here", file=sys.stderr)
    return 1


def _spool_status(parsed: argparse.Namespace) -> int:
    statuses = inspect(spool_directory(config.read(os.environ)))
    now = datetime.datetime.now(datetime.UTC).timestamp()
    for status in statuses:
        age = "-" if status.oldest_at is None else f"{max(0.0, now - status.oldest_at / 1e6):.1f} s"
        print(
            f"{status.file}: depth {status.rows}, oldest {age}, {status.bytes} bytes, set aside {status.set_aside}"
            + (f", unreadable: {status.error}" if status.error else "")
        )
    if not statuses:
        print("no spool yet: the service has not run on this data dir")
    return 1 if any(status.error for status in statuses) else 0


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
