"""Answers as CSV (RFC 4180): how a cell is written, and a table that is sent as it is read.

Owns what keeps a spreadsheet from taking data for a formula. Must not know where rows come from.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final
from urllib.parse import quote

from starlette.responses import StreamingResponse

from tracker.web.responses import UNCACHED

MEDIA_TYPE: Final = "text/csv"

Cell = str | int | float | None
"""Nothing, where it is None."""

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
"""What spreadsheets take a text for a formula by, full-width in some languages, or drop before they look (OWASP)."""


def csv_response(
    name: str, columns: Sequence[str], pages: AsyncIterator[Iterable[Sequence[Cell]]]
) -> StreamingResponse:
    """A file ``name`` of all the rows of ``pages``, each of which is sent as it comes.

    Should reading fail on the way, the answer breaks off, so that nobody takes a part for the whole.
    """

    async def lines() -> AsyncIterator[str]:
        yield _lines([columns])
        async for rows in pages:
            yield _lines(rows)

    headers = {**UNCACHED, "Content-Disposition": _attachment(name)}
    return StreamingResponse(lines(), media_type=MEDIA_TYPE, headers=headers)


def _lines(rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(cell) for cell in row] for row in rows])
    return text.getvalue()


def _cell(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _attachment(name: str) -> str:
    """What names the file (RFC 6266), in ASCII too; without what has a meaning in the paths of any system."""
    safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")
    plain = re.sub(r"[^\x00-\x7f]", "_", safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"
