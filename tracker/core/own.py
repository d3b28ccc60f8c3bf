"""Knows what is ours in a body: links by their tokens, never by their looks, and placeholders by their names.

Owns how they are recognised. Must not decide what becomes of them.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import InvalidToken
from .tokens import DEFAULT_ACCOUNT, Purpose, Token, TokenCodec


class Placeholder:
    """A template tag of ours: ``{{name}}`` or ``{{{name}}}``, with or without spaces."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pattern = re.compile(rf"\{{\{{\{{\s*{name}\s*\}}\}}\}}|\{{\{{\s*{name}\s*\}}\}}")

    def spans(self, body: str) -> list[tuple[int, int]]:
        """Start and end of each place where it stands."""
        if self._name not in body:  # which is far cheaper to find out
            return []
        return [match.span() for match in self._pattern.finditer(body)]


UNSUBSCRIBE_URL: Final = Placeholder("unsubscribe_url")
OPEN_PIXEL: Final = Placeholder("open_pixel")


class OwnLinks:
    """The links below one tracking origin (``https://host``, no slash at the end) that we have signed for its account.

    They are ours however the scheme and the host are spelled, and whatever was put behind the token: what
    they do is the same.
    """

    def __init__(self, codec: TokenCodec, origin: str, account: str = DEFAULT_ACCOUNT) -> None:
        self._codec = codec
        self._account = account
        self.origin = origin
        self._host = origin.partition("//")[2]
        port = "" if self._host.rpartition(":")[2].isdecimal() else "(?::443|:80)?"
        start = rf"(?i:(?:https?:)?//{re.escape(self._host)}){port}/([ocu])/([A-Za-z0-9_-]+)"
        self._link = re.compile(start + r"(?:\.gif)?(?:[/?#].*)?", re.DOTALL)
        self._anywhere = re.compile(start)

    def read(self, url: str) -> Token | None:
        """What one of our own links says; None for any other URL."""
        match = self._link.fullmatch(url.strip())
        return self._verify(match) if match else None

    def hidden(self, url: str) -> Token | None:
        """What a link of ours that no person sees says; None for any other URL."""
        ours = self.read(url)
        return ours if ours and ours.honeypot else None

    def tokens(self, body: str) -> list[Token]:
        """What every link of ours in ``body`` says, wherever it stands."""
        if self._host not in body:
            return []
        return [token for match in self._anywhere.finditer(body) if (token := self._verify(match))]

    def unsubscribe_spans(self, body: str) -> list[tuple[int, int]]:
        """Start and end of each unsubscribe link of ours, in an attribute or not, up to the end of its token."""
        found = [match for match in self._anywhere.finditer(body) if match[1] == "u"]
        return [match.span() for match in found if self._verify(match)]

    def _verify(self, match: re.Match[str]) -> Token | None:
        try:
            return self._codec.verify(_PURPOSES[match[1]], match[2], self._account)
        except InvalidToken:
            return None


_PURPOSES: Final = {"o": Purpose.OPEN, "c": Purpose.CLICK, "u": Purpose.UNSUBSCRIBE}
