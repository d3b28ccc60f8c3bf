"""The endpoints that an account's webhooks go to: lists, adds and removes them, and has dead ones sent again.

Owns what is printed: a new secret once, on standard output and alone; no URL with what may be a secret in it.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from tracker.core.webhooks import SECRET_BYTES, check_url, new_secret
from tracker.stores.accounts import Accounts
from tracker.stores.audit import CLI
from tracker.stores.outbox import DeadLetter, EndpointState, Outbox

from .accounts import Commands, account_name, add_account_option
from .opening import opened_store
from .terminal import FAILED, WRONG_ARGUMENTS, as_time, print_json, print_rows, read_settings, say, warn

ROTATION_S: Final = 24 * 60 * 60
"""How long the secret before the present one signs too."""

_PAGE: Final = 1000
_MAX_SEQUENCE: Final = 2**63 - 1


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``webhooks``."""
    webhooks = commands.add_parser("webhooks", help="tell an account's own systems of changes of messages' stages")
    webhooks.set_defaults(run=_list, json=False, account=None)
    actions = webhooks.add_subparsers(metavar="COMMAND")
    list_ = actions.add_parser("list", help="list endpoints, and what waits for each")
    list_.add_argument("--account", type=account_name, help="only those of this account")
    list_.add_argument("--json", action="store_true", help="print JSON")
    list_.set_defaults(run=_list)
    add = actions.add_parser("add", help="add an endpoint, and print the secret of its signatures this once")
    add.add_argument("url", metavar="URL", help="where changes are sent to from now on; https")
    add_account_option(add)
    add.set_defaults(run=_add)
    for name, run, text in (
        ("disable", _disable, "send nothing to an endpoint for now; what changes waits"),
        ("enable", _enable, "send to an endpoint again, beginning with what waits"),
        ("remove", _remove, "remove an endpoint, and what waits for it"),
        ("rotate", _rotate, "make a new secret, and print it this once; the old one signs too for 24 hours"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("endpoint", metavar="ENDPOINT", help="as the list has it")
        action.set_defaults(run=run)
    _add_dead_commands(actions)


def _add_dead_commands(actions: Commands[argparse.ArgumentParser]) -> None:
    dead = actions.add_parser("dead", help="list what was given up after three days of trying, and the last error")
    dead.add_argument("endpoint", nargs="?", metavar="ENDPOINT", help="only what is for this one")
    dead.add_argument("--json", action="store_true", help="print JSON")
    dead.set_defaults(run=_dead)
    replay = actions.add_parser("replay", help="try again what was given up")
    replay.add_argument("endpoint", metavar="ENDPOINT", help="as the list has it")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--sequence", type=_sequence, nargs="+", metavar="N", help="these changes")
    which.add_argument("--all-dead", action="store_true", help="all that was given up")
    replay.set_defaults(run=_replay)


def _sequence(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= _MAX_SEQUENCE):
        raise argparse.ArgumentTypeError("must be the number of a change")
    return int(text)


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Outbox, Accounts]]:
    async with opened_store() as store:
        yield Outbox(store.database), Accounts(store.database)


def _shown_url(url: str) -> str:
    """``url`` without a user, a password and a query, any of which may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{'?...' if parts.query else ''}"


def _endpoint_row(state: EndpointState) -> dict[str, Any]:
    return {
        "id": state.id,
        "account": state.account,
        "url": _shown_url(state.url),
        "state": "enabled" if state.disabled_at is None else "disabled",
        "pending": state.pending,
        "dead": state.dead,
        "lag": state.lag,
        "created_at": as_time(state.created_at),
        "disabled_at": as_time(state.disabled_at),
        "disabled_reason": state.disabled_reason,
        "last_error": state.last_error,
    }


def _dead_row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "endpoint": letter.endpoint,
        "sequence": letter.sequence,
        "message_id": letter.message_id,
        "attempts": letter.attempts,
        "first_tried_at": as_time(letter.first_tried_at),
        "last_tried_at": as_time(letter.last_tried_at),
        "error": letter.error,
    }


def _print(parsed: argparse.Namespace, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> int:
    if parsed.json:
        print_json(rows)
    else:
        print_rows(columns, [{name: None if row[name] is None else str(row[name]) for name in columns} for row in rows])
    return 0


def _list(parsed: argparse.Namespace) -> int:
    async def read() -> list[EndpointState]:
        async with _opened() as (outbox, _):
            return await outbox.list_endpoints(parsed.account)

    columns = ("id", "account", "url", "state", "pending", "dead", "lag", "disabled_reason", "last_error")
    return _print(parsed, columns, [_endpoint_row(state) for state in asyncio.run(read())])


def _add(parsed: argparse.Namespace) -> int:
    try:
        url = check_url(parsed.url, private_allowed=read_settings().webhook_private_addresses)
    except ValueError as error:
        say(str(error))
        return WRONG_ARGUMENTS
    secret, endpoint_id = new_secret(secrets.token_bytes(SECRET_BYTES)), f"ep_{secrets.token_hex(8)}"

    async def add() -> None:
        async with _opened() as (outbox, accounts):
            await accounts.settings(parsed.account)  # raises where there is no such account
            await outbox.add_endpoint(endpoint_id, parsed.account, url, secret)

    asyncio.run(add())
    if url.startswith("http://"):
        warn(f"{_shown_url(url)} is not https: anybody on the way can read what is sent")
    say(f"added the endpoint {endpoint_id} for the account {parsed.account!r}: it gets the changes from now on.")
    say("Its requests are signed as Standard Webhooks says, with this secret, shown this once:")
    print(secret)
    return 0


def _disable(parsed: argparse.Namespace) -> int:
    return _change(parsed, lambda outbox: outbox.disable(parsed.endpoint, "by an operator", by=CLI), "disabled")


def _enable(parsed: argparse.Namespace) -> int:
    return _change(parsed, lambda outbox: outbox.enable(parsed.endpoint), "enabled")


def _remove(parsed: argparse.Namespace) -> int:
    return _change(parsed, lambda outbox: outbox.remove_endpoint(parsed.endpoint), "removed")


def _rotate(parsed: argparse.Namespace) -> int:
    secret = new_secret(secrets.token_bytes(SECRET_BYTES))
    until = _now() + ROTATION_S * 1_000_000
    done = "for 24 hours both secrets sign the requests of"
    code = _change(parsed, lambda outbox: outbox.rotate(parsed.endpoint, secret, until), done)
    if code == 0:
        print(secret)
    return code


def _change(parsed: argparse.Namespace, change: Callable[[Outbox], Awaitable[bool]], done: str) -> int:
    async def run() -> bool:
        async with _opened() as (outbox, _):
            return await change(outbox)

    if not asyncio.run(run()):
        say(f"there is no endpoint {parsed.endpoint!r}")
        return FAILED
    say(f"{done} the endpoint {parsed.endpoint}")
    return 0


def _dead(parsed: argparse.Namespace) -> int:
    async def read() -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        async with _opened() as (outbox, _):
            after = ("", 0)
            while page := await outbox.dead_letters(parsed.endpoint, after=after, limit=_PAGE):
                letters += page
                after = (page[-1].endpoint, page[-1].sequence)
        return letters

    columns = ("endpoint", "sequence", "message_id", "attempts", "first_tried_at", "last_tried_at", "error")
    return _print(parsed, columns, [_dead_row(letter) for letter in asyncio.run(read())])


def _replay(parsed: argparse.Namespace) -> int:
    async def run() -> int:
        async with _opened() as (outbox, _):
            return await outbox.replay(parsed.endpoint, None if parsed.all_dead else parsed.sequence, _now())

    replayed = asyncio.run(run())
    say(f"{replayed} to be tried again" if replayed else "nothing of that was given up")
    return 0 if replayed or parsed.all_dead else FAILED


def _now() -> int:
    return int(time.time() * 1e6)
