"""Reports on batches: one batch's numbers, or several batches compared.

Owns how they are printed. What the numbers mean is `core.report` and `core.comparison`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

from tracker.core.comparison import MAX_BATCHES, NAMES, chosen_batches, compare, percent
from tracker.core.figures import BatchReport, Hits, Metric, Rate
from tracker.core.status import Counts
from tracker.stores.accounts import Accounts
from tracker.stores.batches import Batches

from .accounts import Commands, add_account_option
from .opening import opened_store
from .terminal import as_time, print_table

_NOT_KNOWN: Final = "-"
_Row = tuple[str, ...]


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``report``."""
    parser = commands.add_parser("report", help="show what a batch came to, or compare several with the first")
    parser.add_argument("batches", nargs="+", metavar="BATCH", help=f"as the mailer named it; {MAX_BATCHES} at most")
    add_account_option(parser)
    parser.set_defaults(run=_report)


def _report(parsed: argparse.Namespace) -> int:
    names = chosen_batches(parsed.batches, 1)
    reports = asyncio.run(_read(parsed.account, names))
    print_table([("", *names), *_numbers(reports), *_rates(reports)])
    if len(reports) == 1:
        _print_more(reports[0])
    else:
        comparison = compare(reports, time.time_ns() // 1000)
        print()
        for line in (*(difference.sentence for difference in comparison.differences), *comparison.notes):
            print(line)
    return 0


async def _read(account: str, names: Sequence[str]) -> list[BatchReport]:
    async with opened_store() as store:
        await Accounts(store.database).settings(account)  # raises where there is no such account
        return await Batches(store.database).reports(account, names)


def _numbers(reports: Sequence[BatchReport]) -> Iterator[_Row]:
    yield ("since", *(as_time(report.created_at) or _NOT_KNOWN for report in reports))
    for name in ("messages", "sent", "delivered", "failed", "replied", "unsubscribed", "complained"):
        yield (name, *(str(getattr(report, name)) for report in reports))
    by = [report.opened_by for report in reports]
    yield ("opened by people", *(_NOT_KNOWN if one is None else str(one.human) for one in by))
    yield (
        "opened through proxies alone",
        *(_NOT_KNOWN if one is None else _proxies(one.proxy, one.count) for one in by),
    )
    yield ("clicked, no open seen", *(_NOT_KNOWN if one is None else str(one.implied) for one in by))
    yield ("opened by machines alone", *(_NOT_KNOWN if one is None else str(one.machine_only) for one in by))
    yield ("opens by people/proxies/machines", *(_hits(report.opens) for report in reports))
    yield ("clicks by people/proxies/machines", *(_hits(report.clicks) for report in reports))


def _proxies(count: int, opened: int) -> str:
    return f"{count} ({percent(count / opened)} % of the opened)" if opened else str(count)


def _hits(hits: Hits | None) -> str:
    return _NOT_KNOWN if hits is None else _by_actor(hits.total)


def _by_actor(counts: Counts) -> str:
    return f"{counts.human}/{counts.proxy}/{counts.machine}"


def _rates(reports: Sequence[BatchReport]) -> Iterator[_Row]:
    for metric in Metric:
        yield (NAMES[metric], *(_rate(report.rates[metric]) for report in reports))


def _rate(rate: Rate) -> str:
    if rate.rate is None or rate.low is None or rate.high is None:
        return _NOT_KNOWN
    return f"{percent(rate.rate)} % ({percent(rate.low)} to {percent(rate.high)}) of {rate.of}"


def _print_more(report: BatchReport) -> None:
    """What there is only room for where one batch is shown."""
    if report.failures:
        print("\nFailed:")
        print_table([(f"  {one.status or 'no code given'}", str(one.count)) for one in report.failures])
    if report.links:
        print("\nLinks, by the messages in which people clicked, and clicks by people/proxies/machines:")
        print_table([(f"  {one.url}", str(one.unique), _by_actor(one.total)) for one in report.links])
    devices = report.devices
    for name, part in (("Devices", devices.device), ("Systems", devices.os), ("Programs", devices.client)):
        if part:
            print(f"\n{name}:")
            print_table([(f"  {one.name}", str(one.count)) for one in part])
