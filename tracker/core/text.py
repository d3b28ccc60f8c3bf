"""Where the links of a plain-text body stand: spans into the caller's own string.

Owns what counts as a link in text, and where it ends. Must not change a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .html import Span


class TextLink(NamedTuple):
    """One URL in a text body."""

    value: Span
    url: str
    opted_out: bool
    wrapped: bool
    """It stands in angle brackets and goes on in the next line: where it ends can't be told for sure."""


_URL: Final = re.compile(r"(?<![A-Za-z0-9+])https?://[^\s<>\"]+", re.IGNORECASE)
# RFC 3986, appendix C: angle brackets are the way to write a URL that a line break would cut.
_BRACKETED_REST: Final = re.compile(r"[ \t]*\r?\n[ \t]*[^\s<>]+(?:[ \t]*\r?\n[ \t]*[^\s<>]+)*[ \t]*>")
_SPARKPOST_OPT_OUT: Final = '[[data-msys-clicktrack="0"]]'
_CLOSING: Final = ".,;:!?'" + "\u2019\u201d\u00bb\u2026\u3001\u3002\uff0c\uff01\uff1f"
_MARKS: Final = "*_~|"
"""Written on both sides of what they emphasise. A URL may well end in one, a token of ours among them."""
_PAIRS: Final = {")": "(", "]": "[", "}": "{", "\uff09": "\uff08", "\u300d": "\u300c"}


def scan(text: str) -> Iterator[TextLink]:
    """The http and https URLs of ``text``, in order, less the punctuation that closes the sentence around them."""
    for match in _URL.finditer(text):
        found, start = match[0], match.start()
        opted_out = False
        at = found.find(_SPARKPOST_OPT_OUT.partition('"')[0])
        if at > 0 and text.startswith(_SPARKPOST_OPT_OUT, start + at):
            found, opted_out = found[:at], True
        bracketed = text[start - 1 : start] == "<"
        if not (bracketed and text[match.end() : match.end() + 1] == ">"):
            found = _trim(found, text[max(start - 3, 0) : start])
        wrapped = bracketed and _BRACKETED_REST.match(text, match.end()) is not None
        yield TextLink(Span(start, start + len(found)), found, opted_out, wrapped)


def _trim(url: str, before: str) -> str:
    """``url`` without the punctuation at its end.

    Closing brackets go only where none opens within it, marks only where they also stand ``before`` it.
    """
    end = len(url)
    # How many of each may still go: one for each that has no partner in the URL, or has one before it.
    spare = {mark: before.count(mark) for mark in _MARKS if mark in before}
    while end:
        last = url[end - 1]
        if last in _PAIRS and last not in spare:
            spare[last] = url.count(last) - url.count(_PAIRS[last])
        if last not in _CLOSING:
            if spare.get(last, 0) <= 0:
                break
            spare[last] -= 1
        end -= 1
    return url[:end]
