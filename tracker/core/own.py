"""Knows what is ours in a body: links by their tokens, never by their looks, and placeholders by their names.

Owns how they are recognised. Must not decide what becomes of them.
"""

from __future__ import annotations

import re
from typing import Final

from .errors import InvalidToken
from .tokens import Purpose, Token, TokenCodec


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
    """The links below one tracking origin (``https://host``, no slash at the end) that we have signed."""

    def __init__(self, codec: TokenCodec, origin: str) -> None:
        self._codec = codec
        self.origin = origin
        self._paths = {f"{origin}/o/": Purpose.OPEN, f"{origin}/c/": Purpose.CLICK, f"{origin}/u/": Purpose.UNSUBSCRIBE}
        self._anywhere = re.compile(re.escape(origin) + r"/[ocu]/[A-Za-z0-9_-]+")

    def read(self, url: str) -> Token | None:
        """What one of our own links says; None for any other URL."""
        if not url.startswith(self.origin):
            return None
        path = url[: len(self.origin) + 3]
        purpose = self._paths.get(path)
        if purpose is None:
            return None
        try:
            return self._codec.verify(purpose, url.removeprefix(path).removesuffix(".gif"))
        except InvalidToken:
            return None

    def messages(self, body: str) -> frozenset[tuple[str, str]]:
        """Account and id of every message that a link of ours in ``body`` is for."""
        if self.origin not in body:
            return frozenset()
        tokens = map(self.read, self._anywhere.findall(body))
        return frozenset((token.account, token.message_id) for token in tokens if token)

    def unsubscribe_spans(self, body: str) -> list[tuple[int, int]]:
        """Start and end of each unsubscribe link of ours, in an attribute or not."""
        found = self._anywhere.finditer(body)
        return [m.span() for m in found if (token := self.read(m[0])) and token.purpose is Purpose.UNSUBSCRIBE]
