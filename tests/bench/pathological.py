"""Measures rewriting of what no mailer sends: time per byte, against a normal newsletter's. Prints Markdown.

What counts is processor time, the least of some runs, and every input is measured between two runs of the newsletter.
The parser alone is measured as well: what it takes can't be had back. Usage: python -m tests.bench.pathological [RUNS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import turbohtml

from tracker.core.plan import Tracks
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import Message, TokenCodec

REWRITER: Final = Rewriter(TokenCodec([b"a key of the benchmark, 32 bytes long"]), "https://t.example.com")
MESSAGE: Final = Message("default", "0190b5b4-6a3f-7c3e-9a52-000000000001")
LINK: Final = '<a href="https://shop.example/p">x</a>'
GOAL: Final = 2.0


def newsletter(rows: int = 10) -> str:
    """A mail of some 2 kB a row, each with a link."""
    words = "The days grow short, and so does the list of what you need for the hills. " * 4
    cell = '<tr><td style="font-family:Arial,sans-serif;font-size:15px;padding:0 24px">{}</td></tr>\n'
    link = '<a href="https://shop.example/p/boots?utm_source=newsletter&amp;utm_medium=email"><img src="boots.png"></a>'
    body = (cell.format(words) * 5 + cell.format(link)) * rows
    return f"<!DOCTYPE html>\n<html><head><title>November</title></head><body><table>\n{body}</table></body></html>"


ASKED: Final[Mapping[str, Callable[[int], str]]] = {
    "tags, nested": lambda n: "<div>" * n + LINK + "</div>" * n,
    "tags, nested and never closed": lambda n: '<div class="row">' * n + LINK,
    "tables, nested": lambda n: '<table class="row"><tr><td>' * n + LINK,
    "attributes of one tag, the same": lambda n: "<p " + "a " * 10 * n + ">" + LINK,
    "attributes of a link, the same": lambda n: '<a href="https://shop.example/p" ' + "a " * 10 * n + ">x</a>",
    "attributes of many tags": lambda n: '<td class=a id=b style=c width=1 height=2 align=left title="">' * (n // 4),
    "attribute, one": lambda n: f'<a title="{"x" * 20 * n}" href="https://shop.example/p">x</a>',
    "link, one": lambda n: f'<a href="https://shop.example/{"x" * 20 * n}">x</a>',
    "character references in a link": lambda n: f'<a href="https://shop.example/?{"&amp;" * 4 * n}">x</a>',
    "comments, never closed": lambda n: "<!-- a comment " * n + LINK,
    "conditional comments, never closed": lambda n: "<!--[if mso]> a comment " * n + LINK,
    "conditional comments": lambda n: "<!--[if mso]> a comment <![endif]-->" * n + LINK,
    "tags, never closed": lambda n: '<a href="' * n,
    "less-than signs in words": lambda n: "word < word " * n + LINK,
    "character references": lambda n: "&amp; &nbsp; &#8217; " * n + LINK,
    "line ends": lambda n: "\r\n" * 10 * n + LINK,
    "openings of placeholders": lambda n: "{{ {{{ " * n + LINK,
    "doctypes": lambda n: "<!doctype html>" * n + LINK,
    "bodies": lambda n: "<body class=a>" * n + LINK,
}
"""Of a size ``n``: what costs by the byte."""

DENSE: Final[Mapping[str, Callable[[int], str]]] = {
    "the shortest tags, never closed": lambda n: "<p>" * n + LINK,
    "links, nested": lambda n: '<a href="https://shop.example/p">' * n,
    "links, the shortest": lambda n: "<a href=//x>" * n,
    "links in a table, not in a cell": lambda n: "<table><a href=//x>" * n,
    "links to nowhere": lambda n: "<a href=#>x</a>" * n,
    "links in conditional comments": lambda n: f"<!--[if mso]>{LINK}<![endif]-->" * n,
    "links that are not to be tracked": lambda n: "<a href=//x data-no-track>x</a>" * n,
    "placeholders": lambda n: "{{unsubscribe_url}} " * n,
    "attributes of one tag, all different": lambda n: "<p " + " ".join(f"a{i}" for i in range(n)) + ">" + LINK,
    "attributes of a link, all different": lambda n: f"<a {' '.join(f'a{i}' for i in range(n))} href=//x>x</a>",
    "formatting, nested wrongly": lambda n: "<b><p>" * n + LINK,
    "links and formatting, nested wrongly": lambda n: "<a href=//x><b>" * n + "</a>" * n,
    "ends of the body": lambda n: "</body>" * n + LINK,
    "framesets": lambda n: "<frameset>" * n + LINK,
    "the start of a comment, in a script": lambda n: "<script>" + "<!--[if " * n,
    "less-than signs": lambda n: "<" * 10 * n,
    "nulls": lambda n: "\0" * 10 * n + LINK,
}
"""What costs by the piece, and has many pieces in few bytes: linear too, but not as cheap by the byte."""


def rewrite(html: str) -> object:
    """What a call does, less its JSON."""
    template = REWRITER.prepare(html, None)
    rewritten = template.render(MESSAGE, Tracks())
    assert not template.failures, template.failures
    return rewritten


def parse(html: str) -> object:
    """What the parser has of it."""
    return turbohtml.parse(html.replace("\r", "\n"), source_locations=True, allow_declarative_shadow_roots=False)


def seconds(work: Callable[[str], object], html: str, runs: int) -> float:
    """The least processor time of some runs."""
    least = float("inf")
    for _ in range(runs):
        start = time.process_time()
        work(html)
        least = min(least, time.process_time() - start)
    return least


def main(runs: int) -> None:
    usual = newsletter()
    print("| input | kB | ns a byte | of a newsletter's | the parser alone | us a piece |\n|---|---|---|---|---|---|")
    for name, make in {**ASKED, **DENSE}.items():
        html = make(100_000)
        normal = seconds(rewrite, usual, 20 * runs) / len(usual)
        taken = seconds(rewrite, html, runs)
        normal = min(normal, seconds(rewrite, usual, 20 * runs) / len(usual))
        ratio, parser = taken / len(html) / normal, seconds(parse, html, runs) / len(html) / normal
        over = " (over)" if name in ASKED and ratio > GOAL else ""
        print(
            f"| {name} | {len(html) // 1000} | {taken / len(html) * 1e9:.1f} | {ratio:.2f}{over} | {parser:.2f} "
            f"| {taken * 10:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
