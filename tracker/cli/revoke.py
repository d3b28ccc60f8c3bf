"""``tracker revoke``: the kill switch from the node's own terminal, whether or not the service or the store is there.

Owns what is said of how far a change got. What is revoked, and how that spreads, is `tracker.revocations`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tracker.config import Settings
from tracker.core.errors import NotThere, StoreUnavailable
from tracker.core.revocations import LINKS, Kind, Revocation
from tracker.core.tokens import DEFAULT_ACCOUNT
from tracker.directory import ENVIRONMENT_KEY, SNAPSHOT_FILE, DirectoryWatch, default_settings
from tracker.parts import check_places, open_revocations, open_store
from tracker.stores.accounts import Accounts
from tracker.stores.audit import CLI

from .accounts import Commands, add_account_option
from .terminal import as_time, print_json, print_rows, read_settings, say, warn

_COLUMNS: Final = ("kind", "value", "revoked_at", "actor", "reason")


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``revoke`` and ``sessions``."""
    revoke = commands.add_parser("revoke", help="switch links off within seconds, list what is off, or lift that")
    actions = revoke.add_subparsers(required=True, metavar="KIND|list|lift")
    list_ = actions.add_parser("list", help="list what is revoked")
    add_account_option(list_)
    list_.add_argument("--json", action="store_true", help="print JSON")
    list_.set_defaults(run=_list)
    lift = actions.add_parser("lift", help="let links lead where they led before")
    lift.add_argument("kind", choices=LINKS, metavar="KIND", help=", ".join(LINKS))
    _add_value(lift, "as the list has it")
    lift.set_defaults(run=_change, is_revoked=False)
    for kind, help_, what in (
        (Kind.HOST, "all links to a host", "shop.example, or *.shop.example for every host below it"),
        (Kind.URL, "all links to one destination", "as the rewrite answer has it"),
        (Kind.MESSAGE, "the links of one message", "its id"),
        (Kind.BATCH, "the links of all messages of a batch", "its name"),
    ):
        one = actions.add_parser(kind, help=help_)
        _add_value(one, what)
        one.set_defaults(run=_change, kind=kind, is_revoked=True)
    sessions = commands.add_parser("sessions", help="end sessions of the console")
    end = sessions.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "end", help="end all sessions that were begun with an API key"
    )
    end.add_argument("key", metavar="KEY", help=f"its id, as `tracker keys list` has it, or {ENVIRONMENT_KEY}")
    end.set_defaults(run=_end_sessions)


def _add_value(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("value", metavar="VALUE", help=what)
    parser.add_argument("--reason", default="", help="why, for the list and the audit log")
    add_account_option(parser)


class _Node:
    """What this node knows by itself, and the way to the store."""

    def __init__(self, settings: Settings) -> None:
        self._store = open_store(settings)
        self.revocations = open_revocations(settings, self._store)
        self._watch = DirectoryWatch(
            Accounts(self._store.database),
            settings.data_dir / SNAPSHOT_FILE,
            default_origin=settings.base_url,
            defaults=default_settings(settings),
            api_key="",
        )

    async def load(self) -> None:
        self._watch.load()
        await self.revocations.look()

    async def share(self) -> bool:
        """Be in step with the store; whether that could be done."""
        try:
            await self._store.open()
        except StoreUnavailable:
            return False
        return await self._watch.refresh() and await self.revocations.refresh()

    async def account_of_key(self, id_: str) -> str | None:
        """Whose an API key is."""
        if id_ == ENVIRONMENT_KEY:
            return DEFAULT_ACCOUNT
        if self._watch.current.key_by_id(id_) is None:
            await self.share()
        key = self._watch.current.key_by_id(id_)
        return key.account if key else None

    async def knows(self, account: str) -> bool:
        """Whether there is such an account."""
        return account in self._watch.current.accounts or (
            await self.share() and account in self._watch.current.accounts
        )

    async def close(self) -> None:
        await self._store.close()


@asynccontextmanager
async def _opened() -> AsyncIterator[_Node]:
    settings = read_settings()
    check_places(settings)
    os.umask(0o077)  # what is made now is for the owner only
    node = _Node(settings)
    try:
        await node.load()
        yield node
    finally:
        await node.close()


def _change(parsed: argparse.Namespace) -> int:
    async def change() -> bool:
        async with _opened() as node:
            if not await node.knows(parsed.account):
                raise NotThere(f"there is no account {parsed.account!r}")
            made = await node.revocations.change(
                parsed.account, parsed.kind, parsed.value, CLI, is_revoked=parsed.is_revoked, reason=parsed.reason
            )
            done = "revoked" if made.is_revoked else "lifted"
            say(f"{done} the {made.kind} {made.value}: in force on this node within seconds")
            return await node.share()

    return _told(asyncio.run(change()))


def _end_sessions(parsed: argparse.Namespace) -> int:
    async def end() -> bool:
        async with _opened() as node:
            account = await node.account_of_key(parsed.key)
            if account is None:
                raise NotThere(f"there is no API key with the id {parsed.key!r}")
            await node.revocations.change(account, Kind.SESSIONS, parsed.key, CLI)
            say(f"ended all sessions of the API key {parsed.key}: on this node within seconds")
            return await node.share()

    return _told(asyncio.run(end()))


def _told(is_shared: bool) -> int:
    if not is_shared:
        warn("the store does not answer: other nodes follow when it is back and the service runs here")
    return 0


def _list(parsed: argparse.Namespace) -> int:
    async def read() -> Sequence[Revocation]:
        async with _opened() as node:
            await node.share()
            return [entry for entry in node.revocations.in_force(parsed.account) if entry.kind in LINKS]

    rows = [
        {
            "kind": one.kind, "value": one.value, "revoked_at": as_time(one.changed_at),
            "actor": one.actor, "reason": one.reason or None,
        }
        for one in asyncio.run(read())
    ]  # fmt: skip
    if parsed.json:
        print_json(rows)
    else:
        print_rows(_COLUMNS, rows)
    return 0
