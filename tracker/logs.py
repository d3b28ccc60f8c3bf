"""Structured logs: one JSON object a line, on standard error.

Owns the format. Must not let a token or an address through: neither paths of requests nor texts of
unexpected exceptions are logged.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import sys
import traceback
from typing import Final

import msgspec

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as a line of JSON: time (RFC 3339, UTC), level, logger, message, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info and record.exc_info[0]:
            # Where it happened and what kind it is, but not what it says: that may quote a mail or an address.
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = traceback.format_tb(record.exc_info[2])
        with contextlib.suppress(UnicodeEncodeError):  # a file's name, say, that is not UTF-8
            line = msgspec.json.decode(msgspec.json.encode(line, enc_hook=str))
        # In ASCII: Unicode has line ends of its own, and controls that terminals obey.
        return json.dumps(line, default=str, separators=(",", ":"))


def configure(level: str) -> None:
    """Send all logs from ``level`` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
