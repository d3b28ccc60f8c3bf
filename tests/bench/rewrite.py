"""Measures rewriting against pytracking, and the length of the click path. Prints Markdown.

Both rewrite every mail in turn, in one process: a round of one, a round of the other, and so on, so that whatever
else the machine does slows both. Needs pytracking and lxml (the group ``bench``) and the corpus: a folder of .html
mails, named by EMAIL_CORPUS. What counts is processor time. Usage: python -m tests.bench.rewrite [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytracking
from pytracking.html import adapt_html

from tracker.core.plan import Tracks
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import Message, TokenCodec, pack

ORIGIN = "https://t.example.com"
CORPUS = Path(os.environ.get("EMAIL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
CODEC = TokenCodec([b"a key of the benchmark, 32 bytes long"])
REWRITER = Rewriter(CODEC, ORIGIN)
CONFIGURATION = pytracking.Configuration(
    base_open_tracking_url=f"{ORIGIN}/o/", base_click_tracking_url=f"{ORIGIN}/c/", encryption_bytestring_key=None
)
SHOP_LINK = (
    "https://www.nordlicht-shop.example/p/wanderstiefel"
    "?utm_source=newsletter&utm_medium=email&utm_campaign=november&utm_content=hero"
)


def ours(html: str, message_id: str) -> object:
    """Everything that a call of the API does between its decoding and its encoding."""
    return REWRITER.prepare(html, None).render(Message("default", message_id, "2026-11-newsletter"), Tracks())


def theirs(html: str, message_id: str) -> object:
    rewritten: str = adapt_html(html, {"message_id": message_id}, configuration=CONFIGURATION)
    return rewritten


def newsletter() -> str:
    """A mail of 20 kB with 8 links to the web."""
    paragraph = '<tr><td style="font-family:Arial,sans-serif;font-size:15px;padding:0 24px">{}</td></tr>\n'
    words = "The days grow short, and so does the list of what you need for the hills. " * 4
    rows = [paragraph.format(words)] * 56
    for number in range(8):
        link = SHOP_LINK.replace("&", "&amp;").replace("wander", f"item-{number}-")
        rows[number * 5] = paragraph.format(f'<a href="{link}" style="color:#1a1a1a"><img src="i{number}.png"></a>')
    head = "<!DOCTYPE html>\n<html><head><title>November</title></head>"
    return f"{head}<body><table>\n{''.join(rows)}</table></body></html>"


def message_id(number: int) -> str:
    return f"0190b5b4-6a3f-7c3e-9a52-{number:012x}"


def compare(mails: list[str], rounds: int) -> tuple[list[float], list[float]]:
    """Microseconds a mail, for each round of ours and of theirs."""
    repeats = max(1, 100 // len(mails))

    def measure(rewrite: Callable[[str, str], object]) -> float:
        start = time.process_time()
        for number, html in enumerate(mails * repeats):
            rewrite(html, message_id(number))
        return (time.process_time() - start) / len(mails) / repeats * 1e6

    pairs = [(measure(ours), measure(theirs)) for _ in range(rounds + 1)][1:]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def row(name: str, mails: list[str], rounds: int, goal: int) -> str:
    mine, other = compare(mails, rounds)
    cells = [f"{statistics.median(times):.0f} ({min(times):.0f}-{max(times):.0f})" for times in (mine, other)]
    ratios = [b / a for a, b in zip(mine, other, strict=True)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    return f"| {name} | {cells[0]} | {cells[1]} | {spread} | {goal} |"


def click_paths(mails: list[str]) -> list[str]:
    """How long the click path is, and how much longer than the link itself."""
    links = [
        link
        for html in mails
        for link in REWRITER.prepare(html, None).render(Message("default", message_id(1), "b"), Tracks()).links
        if link.tracked_url
    ]
    lengths = [len(link.tracked_url or "") - len(ORIGIN) for link in links]
    ratios = [length / len(link.url) for length, link in zip(lengths, links, strict=True)]
    tokens = CODEC.tokens_for(Message("default", message_id(1), "2026-11-newsletter"))
    shop = len(f"/c/{tokens.click(0, pack(SHOP_LINK))}")
    return [
        "| click path | characters | ratio to the link |",
        "|---|---|---|",
        f"| median of {len(links)} links | {statistics.median(lengths):.0f} | {statistics.median(ratios):.2f} |",
        f"| 90th percentile | {ninetieth(lengths):.0f} | {ninetieth(ratios):.2f} |",
        f"| shop link of {len(SHOP_LINK)} characters (goal 135) | {shop} | {shop / len(SHOP_LINK):.2f} |",
    ]


def ninetieth(values: list[int] | list[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def main(rounds: int) -> None:
    mails = [path.read_bytes().decode() for path in sorted(CORPUS.rglob("*.html"))]
    if not mails:
        sys.exit(f"no .html file below {CORPUS}: name a folder with EMAIL_CORPUS")
    letter = newsletter()
    print("Microseconds a mail: median (least-most) of the rounds.\n")
    print("| mails | tracker | pytracking | ratio | goal |\n|---|---|---|---|---|")
    print(row(f"newsletter, {len(letter) / 1000:.0f} kB, 8 links", [letter], rounds, 3))
    print(row(f"corpus, {len(mails)} mails", mails, rounds, 5))
    print("", *click_paths(mails), sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
