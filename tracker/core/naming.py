"""Whether a text names somebody, in whichever spelling that others write references in.

Owns the spellings. Must not know what the text is of.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

_TIMES: Final = 3
"""So often is a text encoded on top of itself, at most: a link within a link within a link."""
_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([/"\\]))')


class Names:
    """References to people, or ids of messages; ``least_chars`` is for texts in which what is shorter is by chance."""

    def __init__(self, references: Iterable[str], least_chars: int = 1) -> None:
        words = sorted({one.casefold() for one in references if len(one) >= least_chars})
        # Words of their own, or "7" would be in everything. What is stuck to an address with "_" is none of it.
        patterns = (_word(one, r"[^\W_]" if "@" in one else r"\w") for one in words)
        self._pattern = re.compile("|".join(patterns)) if words else None

    def found_in(self, text: str) -> bool:
        """Whether ``text`` has one of them in it."""
        return self._pattern is not None and any(self._pattern.search(one) for one in _spellings(text.casefold()))


def _spellings(text: str) -> Iterator[str]:
    """The text as it is, as URLs, HTML and JSON have it, several times over, and as a bounce's address has it."""
    for _ in range(_TIMES + 1):
        yield text
        if "+" in text:
            yield text.replace("+", " ")
        if "=" in text:
            yield text.replace("=", "@")  # VERP: bounces+ann=example.net@...
        plain = html.unescape(_ESCAPE.sub(_unescaped, unquote(text))).casefold()
        if plain == text:
            return
        text = plain


def _word(text: str, character: str) -> str:
    return f"(?<!{character}){re.escape(text)}(?!{character})"


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else str(match[2])
