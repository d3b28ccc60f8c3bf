"""The demo from start to end: the acts in their order, over HTTP, and what to try then.

Must not reach into the service: what it shows, it read from the API.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import subprocess
import sys

from tracker import config, datadir

from . import acts, process
from .cast import CAST, Send
from .client import Client, Unreachable
from .crowd import BATCHES
from .feed import Feed
from .findings import compare_path, show_comparison, show_recognised
from .mailserver import report_deliveries
from .readers import read_letters
from .spring import play


def run_demo(port: int, *, once: bool) -> int:
    """Run the demo, and leave the service running until it is interrupted unless ``once``; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no dash is no reason to stop
    if not process.is_free(port):
        port = process.free_port()
        print(f"The port asked for is taken, so this uses {port}.\n")
    prepared = process.prepare(port)
    if prepared.new_api_key:
        print(f"Made a new API key, kept in {prepared.settings.data_dir / datadir.API_KEY_FILE}:\n")
        print(f"  {prepared.new_api_key}")
    client = Client(f"http://127.0.0.1:{port}", prepared.settings.api_key)
    run = secrets.token_hex(4)
    try:
        with process.service(client, port) as running:
            message_id = _tell_of_few(client, run)
            names = _tell_of_many(client, run)
            if not once:
                _leave_running(client, prepared.settings, message_id, names, running)
    except Unreachable as error:
        print(f"The demo stopped: {error}", file=sys.stderr)
        return 1
    return 0


def _tell_of_few(client: Client, run: str) -> str:
    """One letter to the cast, and the next; returns the id of the message whose timeline was shown."""
    feed = Feed(client)
    november, december = Send("nov", run), Send("dec", run)
    _heading(f"1. The mailer has the November letter rewritten for {len(CAST)} people; this is {CAST[0]}'s")
    letters = acts.rewrite_letters(client, november)
    _heading("2. The mail server says what became of them")
    report_deliveries(client, letters)
    _heading("3. Readers and machines do what they do")
    read_letters(client, letters)
    _heading("4. What looked like a person's click turns out to be a mail filter's")
    acts.show_correction(client, feed, letters["hal"])
    _heading("5. What the status store says of everyone, and then of all that happened to ada's letter")
    acts.show_results(client, november)
    print()
    acts.show_timeline(client, november.message_id(CAST[0]))
    _heading("6. The December letter to the same people: POST /v1/rewrite/batch")
    refused = acts.rewrite_next(client, december)
    acts.show_changes(feed, november, december, refused)
    return november.message_id(CAST[0])


def _tell_of_many(client: Client, run: str) -> list[str]:
    """Three batches, and how they compare; returns their names."""
    _heading("7. In spring, two subject lines and a reminder: 900 people, mail filters and image proxies")
    mails = play(client, run)
    names = [batch.name(run) for batch in BATCHES]
    _heading("8. How the batches compare: GET /v1/reports")
    show_comparison(client, names)
    show_recognised(client, mails)
    return names


def _leave_running(
    client: Client, settings: config.Settings, message_id: str, names: list[str], process: subprocess.Popen[bytes]
) -> None:
    _heading("The service is still running. See the comparison as a page:")
    print(f"   {client.base_url}{compare_path(names)}")
    if config.is_set(os.environ, "API_KEY"):
        print("   Sign in with the API key that you set for this run.")
    else:
        print(f"   Sign in with the API key, which is in {settings.data_dir / datadir.API_KEY_FILE}")
    _heading("Or try:")
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


def _heading(text: str) -> None:
    print(f"\n{text}", flush=True)
