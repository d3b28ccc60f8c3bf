"""``tracker reclassify``: judges what is stored anew.

Owns how its progress is shown. Must not know a rule.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

from tracker.core.agents import RULE_VERSION
from tracker.stores.accounts import Accounts
from tracker.stores.audit import CLI, Act, Audit
from tracker.stores.reclassify import Reclassify

from .accounts import Commands, add_account_option
from .opening import opened_store
from .terminal import say

_WIDTH: Final = 30


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``reclassify``."""
    reclassify = commands.add_parser(
        "reclassify", help="judge all opens and clicks anew, under the rules and settings of now"
    )
    add_account_option(reclassify)
    reclassify.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    return asyncio.run(_reclassify(parsed.account))


async def _reclassify(account: str) -> int:
    async with opened_store() as store:
        await Accounts(store.database).settings(account)  # raises where there is no such account
        await Audit(store.database).add(Act(account, CLI, "reclassified", "", {"rules": RULE_VERSION}))
        work = Reclassify(store.database)
        total = await work.number(account)
        done = corrected = stages = 0
        after: str | None = ""
        while after is not None:
            page = await work.page(account, after)
            done, corrected, stages = done + page.messages, corrected + page.corrected, stages + page.stages
            _show(done, total)
            after = page.after
    print(f"{done} messages judged by rules version {RULE_VERSION}: {corrected} corrected, {stages} stages moved")
    say(
        "a network list holds from when a hit is recorded, since its whole address is not kept:"
        " no newer list was applied to older hits"
    )
    return 0


def _show(done: int, total: int) -> None:
    """A bar on a terminal; on anything else, nothing: the last line says it all."""
    if sys.stderr.isatty():
        total = max(done, total, 1)
        bar = "#" * (_WIDTH * done // total)
        print(f"\r[{bar:{_WIDTH}}] {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
