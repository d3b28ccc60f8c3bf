"""What every command needs of a terminal: exit codes, settings, and how results and complaints are printed.

Owns their form. Must not know any command.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tracker import config, datadir

FAILED: Final = 1
WRONG_ARGUMENTS: Final = 2
UNUSABLE_CONFIG: Final = 3
INTERRUPTED: Final = 130


def read_settings() -> config.Settings:
    """The process's settings, with the secrets of the data dir. Raises `ConfigError`."""
    return datadir.prepare(config.read(os.environ), with_api_key=False).settings


def say(text: str) -> None:
    """Print what is meant for a person, so that standard output has the result alone."""
    print(f"tracker: {text}", file=sys.stderr)


def warn(text: str) -> None:
    """Print what may be wrong."""
    say(f"warning: {text}")


def print_json(value: Any) -> None:
    """Print ``value`` as JSON, indented."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_rows(columns: Sequence[str], rows: Sequence[Mapping[str, str | Sequence[str] | None]]) -> None:
    """Print the ``columns`` of ``rows`` below their names, aligned."""
    lines = [[name.upper() for name in columns], *([_cell(row[name]) for name in columns] for row in rows)]
    print_table(lines)


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """Print lines of cells, aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: str | Sequence[str] | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else " ".join(value)


def as_time(at: int | None) -> str | None:
    """``at``, microseconds since the epoch, as RFC 3339 has it, to the second."""
    if at is None:
        return None
    return datetime.datetime.fromtimestamp(at // 1_000_000, datetime.UTC).isoformat().replace("+00:00", "Z")
