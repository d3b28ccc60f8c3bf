"""Figures B6, B7, B8 and B13: rewriting, against pytracking and against a regex, in time and in bytes.

All of it in one process, a round of each in turn, so that whatever else the machine does slows all. What counts is
processor time. Needs pytracking and lxml (the group ``bench``); the real templates are a folder of .html mails that
EMAIL_CORPUS names.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytracking
from pytracking.html import adapt_html

from tracker.core.plan import Options, Tracks
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import Message, TokenCodec

from .figures import Better, Figure, Measured
from .newsletter import newsletter

B6: Final = Figure("B6", "rewriting a newsletter of 20 kB with 8 links, speed / pytracking's", 5.0)
B6_REAL: Final = Figure("B6b", "rewriting real templates, speed / pytracking's", 8.0)
B7: Final = Figure("B7", "rewriting the newsletter, speed / one regex that puts a constant into <a href>", 0.3)
B8: Final = Figure("B8", "time a recipient in a batch of 1,000 / in a call for one", 0.35, Better.LESS)
B13: Final = Figure("B13", "bytes added to the newsletter / by pytracking", 0.15, Better.LESS)
FIGURES: Final = (B6, B6_REAL, B7, B8, B13)

ORIGIN: Final = "https://t.example.com"
CORPUS: Final = Path(os.environ.get("EMAIL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
REWRITER: Final = Rewriter(TokenCodec([b"a key of the benchmark, 32 bytes long"]), ORIGIN)
CONFIGURATION: Final = pytracking.Configuration(
    base_open_tracking_url=f"{ORIGIN}/o/", base_click_tracking_url=f"{ORIGIN}/c/", encryption_bytestring_key=None
)
RECIPIENTS: Final = 1000
_HREF: Final = re.compile(r"""(<a\b[^>]*?\bhref\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE)


def measure(rounds: int) -> list[Measured]:
    """All of them; the one of real templates only where there are some."""
    letter = newsletter()
    measured = [_against(B6, [letter], rounds), *_in_batches(letter, rounds)]
    mails = [path.read_bytes().decode() for path in sorted(CORPUS.rglob("*.html"))]
    if mails:
        measured.insert(1, _against(B6_REAL, mails, rounds))
        measured[1].notes.append(f"{len(mails)} templates of others, as they are.")
    else:
        print(f"B6b is not measured: no .html file below {CORPUS}; name a folder with EMAIL_CORPUS", file=sys.stderr)
    added, theirs = (len(str(work(letter, 1))) - len(letter) for work in (_html, _pytracking))
    bare = REWRITER.prepare(letter, None, Options(footer=False)).render(message(1), Tracks())
    footer = len(letter) + added - len(bare.html or "")
    note = f"{added} bytes, and {theirs}; {footer} of ours are the unsubscribe link, of which pytracking makes none."
    measured.append(Measured(B13, [added / theirs], [note]))
    return measured


def message(number: int) -> Message:
    """One of a batch."""
    return Message("default", f"0190b5b4-6a3f-7c3e-9a52-{number:012x}", "2026-11-newsletter")


def _html(html: str, number: int) -> object:
    """Everything that a call of the API does between its decoding and its encoding."""
    template = REWRITER.prepare(html, None)
    rewritten = template.render(message(number), Tracks()).html
    assert not template.failures, "what could not be rewritten takes no time"
    return rewritten


def _pytracking(html: str, number: int) -> object:
    metadata = {"message_id": message(number).message_id}
    rewritten: str = adapt_html(html, metadata, configuration=CONFIGURATION)
    return rewritten


def _regex(html: str, number: int) -> object:
    return _HREF.sub(rf'\1"{ORIGIN}/c/{number}"', html)


def _batch(html: str, number: int) -> object:
    template = REWRITER.prepare(html, None)
    for one in range(number, number + RECIPIENTS):
        template.render(message(one), Tracks())
    return None


def _seconds(work: Callable[[str, int], object], mails: Sequence[str], repeats: int) -> float:
    """Processor time for one mail."""
    start = time.process_time()
    for _ in range(repeats):
        for number, html in enumerate(mails):
            work(html, number)
    return (time.process_time() - start) / len(mails) / repeats


def _against(figure: Figure, mails: Sequence[str], rounds: int) -> Measured:
    repeats = max(1, 100 // len(mails))
    pairs = [(_seconds(_html, mails, repeats), _seconds(_pytracking, mails, repeats)) for _ in range(rounds + 1)][1:]
    ours, theirs = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    note = f"{ours:.0f} us a mail, and {theirs:.0f} us."
    return Measured(figure, [theirs / ours for ours, theirs in pairs], [note])


def _in_batches(letter: str, rounds: int) -> list[Measured]:
    regex, batch = [], []
    for _ in range(rounds + 1):
        one = _seconds(_html, [letter], 100)
        regex.append(_seconds(_regex, [letter], 1000) / one)
        batch.append(_seconds(_batch, [letter], 1) / RECIPIENTS / one)
    return [Measured(B7, regex[1:]), Measured(B8, batch[1:])]
