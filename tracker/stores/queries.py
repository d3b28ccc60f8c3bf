"""Reads the SQL that ships inside the package: named queries, and migrations by number.

Owns the two file formats. Must not know a database, nor what any query means.

The files of ``sql/DIALECT/`` hold queries that each begin with a line ``-- name: the_name``. A migration is a file
``NNNN_what_it_does.sql``; the numbers count up from 1 without a gap, and a migration that was ever
released is never changed.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final, NamedTuple

from tracker.core.errors import ConfigError

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Migration(NamedTuple):
    """One step from a schema to the next."""

    number: int
    name: str
    sql: str


def load_queries(dialect: str) -> dict[str, str]:
    """The queries of ``dialect`` (``sqlite`` or ``postgres``), by name. Raises ValueError where one is there twice."""
    folder = files(__package__).joinpath("sql", dialect)
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)
    return split_queries("\n".join(path.read_text("utf-8") for path in paths))


def split_queries(text: str) -> dict[str, str]:
    """The queries of a text, by name. What stands before the first name is left out.

    Raises ValueError where a name is there twice.
    """
    _, *parts = _HEADER.split(text)
    names = parts[::2]
    if len(set(names)) < len(names):
        raise ValueError("a query's name is there twice")
    return {name: sql.strip() for name, sql in zip(names, parts[1::2], strict=True)}


def load_migrations(dialect: str) -> list[Migration]:
    """The migrations of ``dialect`` (``sqlite`` or ``postgres``) in their order."""
    folder = files(__package__).joinpath("migrations", dialect)
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name)
    migrations = [Migration(int(path.name[:4]), path.name, path.read_text("utf-8")) for path in paths]
    if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError(f"the migrations for {dialect} do not count up from 1")
    return migrations


def missing(migrations: list[Migration], applied: int) -> list[Migration]:
    """The migrations to apply to a database that has had the first ``applied`` of them.

    Raises `ConfigError` where the database has had more of them than this code knows.
    """
    if applied > len(migrations):
        raise ConfigError(
            f"the store's schema is at version {applied}, but this tracker knows only {len(migrations)}:"
            " run the newer tracker"
        )
    return migrations[applied:]
