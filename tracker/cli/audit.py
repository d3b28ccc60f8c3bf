"""``tracker audit``: what administrators did, the latest first.

Owns how it is printed.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

import msgspec

from tracker.stores.audit import Audit, KeptAct

from .accounts import Commands, account_name
from .opening import opened_store
from .terminal import as_time, print_json, print_rows

_COLUMNS: Final = ("at", "account", "actor", "act", "subject", "detail")
_MOST: Final = 10_000


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``audit``."""
    audit = commands.add_parser("audit", help="list what administrators did, the latest first")
    audit.add_argument("--account", type=account_name, help="only what concerns this account")
    audit.add_argument("--limit", type=_limit, default=100, help="so many at most (default: %(default)s)")
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.set_defaults(run=_list)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MOST):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {_MOST}")
    return int(text)


def _list(parsed: argparse.Namespace) -> int:
    async def read() -> list[KeptAct]:
        async with opened_store() as store:
            return await Audit(store.database).latest(parsed.account, parsed.limit)

    acts = asyncio.run(read())
    if parsed.json:
        print_json([{"id": kept.id, "at": as_time(kept.at), **msgspec.structs.asdict(kept.act)} for kept in acts])
        return 0
    rows = [
        {
            "at": as_time(kept.at), "account": kept.act.account, "actor": kept.act.actor, "act": kept.act.act,
            "subject": kept.act.subject or None,
            "detail": msgspec.json.encode(kept.act.detail).decode() if kept.act.detail else None,
        }
        for kept in acts
    ]  # fmt: skip
    print_rows(_COLUMNS, rows)
    return 0
