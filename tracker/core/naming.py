"""Whether a text names somebody, in whichever spelling that others write references in.

Owns the spellings. Must not know what the text is of.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final
from urllib.parse import unquote, unquote_plus

_TIMES: Final = 3
"""So often is a text encoded on top of itself, at most: a link within a link within a link."""
_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|([/"\\]))')
_XTEXT: Final = re.compile(r"\+([0-9a-fA-F]{2})")


class Names:
    """References to people, or ids of messages.

    Each must be a word of its own, or "7" would be in everything, unless it has ``inside_from`` characters: that is for
    texts where it does no harm to find one by chance.
    """

    def __init__(self, references: Iterable[str], *, inside_from: int | None = None) -> None:
        self._inside, self._words = set[str](), set[str]()
        for reference in filter(None, references):
            is_long = inside_from is not None and len(reference) >= inside_from
            (self._inside if is_long else self._words).add(reference.casefold())

    def found_in(self, text: str) -> bool:
        """Whether ``text`` has one of them in it."""
        return any(self._is_in(spelling) for spelling in _spellings(text.casefold()))

    def _is_in(self, text: str) -> bool:
        # A pattern takes far longer than to see that there is nothing.
        return any(one in text for one in self._inside) or any(
            _as_a_word(one).search(text) for one in self._words if one in text
        )


def _spellings(text: str) -> Iterator[str]:
    """The text as it is, as URLs, JSON and HTML have it, several times over, and as bounces have addresses."""
    for _ in range(_TIMES):
        before = text
        for read in _READINGS:
            yield from _as_is(text)
            text = read(text).casefold()
        if text == before:
            return
    yield from _as_is(text)


def _as_is(text: str) -> Iterator[str]:
    yield text
    if "+" in text:
        yield unquote_plus(text).casefold()
        yield _XTEXT.sub(_unescaped, text)  # RFC 3461: ann+40example.net
    if "=" in text:
        yield text.replace("=", "@")  # VERP: bounces+ann=example.net@...


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else str(match[2])


_READINGS: Final = (unquote, partial(_ESCAPE.sub, _unescaped), html.unescape)


def _as_a_word(text: str) -> re.Pattern[str]:
    character = r"[^\W_]" if "@" in text else r"\w"  # what is stuck to an address with "_" is none of it
    return re.compile(f"(?<!{character}){re.escape(text)}(?!{character})")
