"""``tracker erase``: removes all that identifies a person.

Owns how that is asked for and answered. What goes is `stores.erasing`.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from tracker.core.errors import InvalidRequest
from tracker.parts import unrecognised_directory
from tracker.stores.accounts import Accounts
from tracker.stores.audit import CLI
from tracker.stores.erasing import Erasure
from tracker.stores.limits import is_key
from tracker.web.api.unrecognised import UnrecognisedReports

from .accounts import Commands, add_account_option
from .opening import opened_store
from .terminal import read_settings


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``erase``."""
    erase = commands.add_parser("erase", help="remove all that identifies a recipient; the counts stay")
    erase.add_argument("recipient", help="the caller's reference to the person")
    add_account_option(erase)
    erase.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    return asyncio.run(_erase(parsed.account, parsed.recipient))


async def _erase(account: str, recipient: str) -> int:
    if not is_key(recipient) or not recipient:
        raise InvalidRequest([("recipient", "must be a recipient's reference")])
    settings = read_settings()
    async with opened_store(settings) as store:
        await Accounts(store.database).settings(account)  # raises where there is no such account
        unrecognised = UnrecognisedReports(unrecognised_directory(settings))
        erasure = Erasure(store.database, store.digests, unrecognised.forget)
        erased = await erasure.erase(account, recipient, time.time_ns() // 1000, CLI)
    print(f"erased: {len(erased.messages)} messages, {erased.events} events")
    return 0
