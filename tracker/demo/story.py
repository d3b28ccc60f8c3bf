"""The demo from start to end: the service in a process of its own, the mail, the readers, the timeline.

Owns what is printed. Must not reach into the service: what it shows, it read from the API.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

from tracker import config, datadir
from tracker.core.errors import ConfigError

from .client import Client, Unreachable

START_S: Final = 30.0
SETTLE_S: Final = 15.0

APPLE_PREFETCH: Final = "Mozilla/5.0"
GMAIL_PROXY: Final = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE_MAIL: Final = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
SAFARI: Final = APPLE_MAIL + " Version/18.5 Safari/605.1.15"


def run_demo(port: int, *, once: bool) -> int:
    """Run the demo, and leave the service running until it is interrupted unless ``once``; returns the exit code."""
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
            message_id = _tell(client, prepared.settings)
        except Unreachable as error:
            print(f"The demo stopped: {error}", file=sys.stderr)
            return 1
        if not once:
            _leave_running(client, prepared.settings, message_id, process)
    return 0


def _tell(client: Client, settings: config.Settings) -> str:
    message_id = f"demo-{uuid.uuid4()}"
    folder = files(__package__)
    html = folder.joinpath("newsletter.html").read_text(encoding="utf-8")
    text = folder.joinpath("newsletter.txt").read_text(encoding="utf-8")
    _heading("1. The mailer has a newsletter rewritten, just before it sends it")
    rewritten = client.rewrite(
        {
            "message_id": message_id,
            "recipient": "lead-77",
            "batch": "demo",
            "html": html,
            "text": text,
            "link_params": {"utm_source": "demo"},
        }
    )
    print(f"   POST /v1/rewrite: {len(html)} characters of HTML became {len(rewritten['html'])}\n")
    for link in rewritten["links"]:
        action = "rewritten" if link["action"] == "rewritten" else f"left: {link['reason']}"
        print(f"   {link['part']:4}  {action:18} {link['url'][:72]}")
    print()
    for name, value in rewritten["headers"].items():
        print(f"   {name}: {value[:76]}")
    _act(client, settings, rewritten)
    _heading("3. What the status store says")
    _print_timeline(client, _settled(client, message_id))
    return message_id


def _act(client: Client, settings: config.Settings, rewritten: dict[str, Any]) -> None:
    _heading("2. Mail clients do what they do")

    def path(url: str) -> str:
        return url.removeprefix(settings.base_url)

    clicks = [link for link in rewritten["links"] if link["action"] == "rewritten" and link["part"] == "html"]
    pixel, unsubscribe = path(rewritten["open_url"]), path(rewritten["unsubscribe_url"])
    steps = (
        ("Apple's privacy service fetches the pixel ahead", "GET", pixel, APPLE_PREFETCH),
        ("a scanner tests a link with HEAD", "HEAD", path(clicks[0]["tracked_url"]), SAFARI),
        ("the reader opens the mail in Gmail", "GET", pixel, GMAIL_PROXY),
        ("the reader opens it again in Apple Mail", "GET", pixel, APPLE_MAIL),
        ("the reader clicks on the kettle", "GET", path(clicks[0]["tracked_url"]), SAFARI),
        ("the reader clicks on the soup", "GET", path(clicks[-1]["tracked_url"]), SAFARI),
        ("a scanner follows the unsubscribe link", "GET", unsubscribe, SAFARI),
        ("the reader presses Unsubscribe", "POST", unsubscribe, SAFARI),
    )
    for what, method, target, agent in steps:
        answer = client.request(method, target, {"User-Agent": agent, "Accept": "*/*"})
        to = f" to {answer.location}" if answer.location else ""
        print(f"   {what:48} {method:4} {target[:3]}...  {answer.status}{to[:60]}")


def _settled(client: Client, message_id: str) -> dict[str, Any]:
    """The message, once all that was done has reached the store: a moment later than it was answered."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        message = client.message(message_id)
        if message and message["rewritten_at"] and message["stage"] == "unsubscribed":
            return message
        time.sleep(0.05)
    raise Unreachable("the events did not get to the status store in time; see the log above")


def _print_timeline(client: Client, message: dict[str, Any]) -> None:
    for event in client.events(message["message_id"]):
        who = event["actor"] or ""
        why = f" ({', '.join(event['reasons'])})" if event["reasons"] else ""
        what = event["url"] or event["user_agent"] or ""
        times = f" x{event['count']}" if event["count"] > 1 else ""
        print(f"   {event['occurred_at'][11:23]}  {event['type'] + times:14} {who + why:30} {what[:60]}")
    opens, clicks = message["opens"], message["clicks"]
    print(f"\n   opens:  {opens['human']} human, {opens['proxy']} proxy, {opens['machine']} machine")
    print(f"   clicks: {clicks['human']} human, {clicks['proxy']} proxy, {clicks['machine']} machine")
    print(f"\n   Stage: {message['label']}")


def _leave_running(
    client: Client, settings: config.Settings, message_id: str, process: subprocess.Popen[bytes]
) -> None:
    _heading("The service is still running. Try:")
    key = f"-H 'Authorization: Bearer {settings.api_key}'"
    print(f"   curl -s {client.base_url}/v1/messages/{message_id} {key}")
    print(f"   curl -s {client.base_url}/v1/messages/{message_id}/events {key}")
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
    print(f"\n{text}\n", flush=True)
