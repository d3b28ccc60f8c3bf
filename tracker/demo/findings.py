"""What the service found out about the three batches, beside what the demo knows to be true.

Owns how it is printed. Every number is read from the API; only who a hit was from is the demo's own knowledge.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from .client import Client
from .crowd import Hit
from .devices import FILTERS
from .readers import WIDTH
from .spring import Mail, pool

SHOWN_METRICS: Final = ("open_rate", "click_rate", "unsubscribe_rate")


def compare_path(batches: Sequence[str]) -> str:
    """Where the page is that compares them."""
    return f"/console/compare?{urlencode([('batch', batch) for batch in batches])}"


def show_comparison(client: Client, batches: Sequence[str]) -> None:
    """The batches' numbers, and what is said of them."""
    found = client.comparison(batches)
    row = "   {:17} {:>8} {:>9} {:>6}  {:>16}  {:>16}  {:>16}".format
    print(row("batch", "messages", "delivered", "failed", "opened", "clicked", "unsubscribed"))
    for batch in found["batches"]:
        rates = [_rate(batch["rates"][metric]) for metric in SHOWN_METRICS]
        print(row(batch["batch"], batch["messages"], batch["delivered"], batch["failed"], *rates))
    print()
    sentences = [one["sentence"] for one in found["differences"] if one["metric"] in SHOWN_METRICS]
    for sentence in (*sentences, *found["notes"]):
        _print_wrapped(sentence)


def _print_wrapped(text: str) -> None:
    text = text.replace(" %", "\0%")  # not to be torn apart
    print(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="     ").replace("\0", " "))


def _rate(rate: dict[str, Any]) -> str:
    share = f"{100 * rate['rate']:.1f} %" if rate["rate"] is not None else "not known"
    return f"{rate['count']}/{rate['of']} = {share}"


def show_recognised(client: Client, mails: Sequence[Mail]) -> None:
    """Of the clicks by filters and by people, how many the service took for what they are."""
    clicked = [mail for mail in mails if _links(mail.recipient.scan) or _links(mail.recipient.reading)]
    found: Counter[tuple[bool, bool]] = Counter()
    missed_alone = 0
    with pool() as workers:
        for mail, events in zip(
            clicked, workers.map(lambda mail: client.events(mail.message_id), clicked), strict=True
        ):
            for event in (event for event in events if event["type"] == "clicked"):
                by_filter, told_apart = event["user_agent"] in FILTERS, event["actor"] == "machine"
                found[by_filter, told_apart] += event["count"]
                if by_filter and not told_apart and _links(mail.recipient.scan) == 1:
                    missed_alone += event["count"]
    by_filters, by_people = (found[who, True] + found[who, False] for who in (True, False))
    print(f"\n   Of {by_filters} clicks by mail filters, {found[True, True]} were told apart as machines'.")
    if missed_alone:
        print(f"   Of the others, {missed_alone} were the only one in their message, so nothing gave them away.")
    print(f"   Of {by_people} clicks by people, {found[False, False]} were recognised as theirs.")


def _links(hits: Sequence[Hit]) -> int:
    return sum(hit.link is not None for hit in hits)
