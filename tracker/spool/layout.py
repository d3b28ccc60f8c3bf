"""What a spool file is made of: its tables, its version, and whether a file is one.

Owns the text of the tables. Must not change a file that is there.
"""

from __future__ import annotations

from typing import Final

import apsw

PAGE_BYTES: Final = 4096
SEALED: Final = 2
"""The version of files whose rows are all sealed. In those of another one, rows may be without a seal."""
COLUMNS: Final = "id, occurred_at, last_at, count, recorded_at, facts"
# A damaged row may hold values of any type: each is forced into the one that belongs there.
NUMBERS: Final = ", ".join(
    f"ifnull(CAST({name} AS INTEGER), 0)" for name in ("occurred_at", "last_at", "count", "recorded_at")
)
# Text that is none can't be read as text.
ASIDE: Final = ", ".join(
    [f"iif(typeof({name}) = 'text', CAST({name} AS BLOB), {name})" for name in COLUMNS.split(", ")]
    + ["CAST(ifnull(reason, '') AS BLOB)"]
)
_TABLES: Final = {
    "event": """event (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, occurred_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
        count INTEGER NOT NULL, recorded_at INTEGER NOT NULL, facts BLOB NOT NULL
    ) STRICT""",
    # ANY, since a damaged row may hold anything, and must find its place here all the same.
    "set_aside": """set_aside (
        id ANY, occurred_at ANY, last_at ANY, count ANY, recorded_at ANY, facts ANY, reason TEXT NOT NULL
    ) STRICT""",
}
"""Every file has this text in it, and one with any other text is corrupt: not a byte of it may change."""
SCHEMA: Final = "".join(f"CREATE TABLE IF NOT EXISTS {table};" for table in _TABLES.values())


def check(connection: apsw.Connection) -> None:
    """Raise `apsw.CorruptError` where anything is wrong with the file, but for what stands in its rows."""
    ours = {(name.encode(), f"CREATE TABLE {table}".encode()) for name, table in _TABLES.items()}
    # As bytes, which they may be in a damaged file.
    found = connection.execute("SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema").fetchall()
    if not ours.issuperset(found):
        raise apsw.CorruptError("the tables are not ours")
    if (result := connection.execute("PRAGMA quick_check(1)").get) != "ok":
        raise apsw.CorruptError(str(result))
    if connection.readonly("main"):  # which is what the file says of itself: it could be opened for writing
        raise apsw.CorruptError("the file says that it must not be written to")
