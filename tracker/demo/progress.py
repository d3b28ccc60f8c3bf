"""How far something that takes seconds is: a bar on a terminal, and a line at its end everywhere.

Must not know what it is that takes so long.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final

WIDTH: Final = 40


class Progress:
    """Of ``total`` steps; ``line`` is printed at the end, with their number in place of ``{}``."""

    def __init__(self, total: int, line: str) -> None:
        self._total = total
        self._line = line
        self._done = 0

    def __enter__(self) -> Progress:
        self.advance(0)
        return self

    def advance(self, steps: int) -> None:
        """So many steps more are done."""
        self._done += steps
        if sys.stdout.isatty():
            bar = "#" * (WIDTH * self._done // max(self._total, 1))
            print(f"\r   [{bar:{WIDTH}}] {self._done} of {self._total}", end="", flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        if kind is None:
            print(f"   {self._line.format(self._done)}", flush=True)
