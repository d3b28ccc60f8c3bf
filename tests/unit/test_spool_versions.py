"""Spool files of each version, as it wrote them: this one reads them all, and version 1 reads what this one writes."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from spools import hit, messages, opened, run, until

from tracker.core.model import decode_facts, encode_facts
from tracker.spool import Spool
from tracker.spool.file import SpoolFile

GOLDEN = Path(__file__).parents[1] / "golden" / "spool"
VERSION_1_READS = "SELECT id, occurred_at, last_at, count, recorded_at, facts FROM event ORDER BY seq"
VERSION_1_WRITES = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)"


def golden(version: int, folder: Path) -> tuple[Path, list[list[object]]]:
    """The file of that version, as the spool of a service, and what is in it."""
    folder.mkdir(exist_ok=True)
    path = folder / "spool-0.db"
    shutil.copy(GOLDEN / f"version-{version}.db", path)
    return path, json.loads((GOLDEN / f"version-{version}.json").read_text())


def contents(spool: Spool) -> list[list[object]]:
    return [
        [seq, e.id.hex(), e.occurred_at, e.last_at, e.count, e.recorded_at, encode_facts(e.facts).hex()]
        for seq, e in spool.read(1000)
    ]


def pragma(path: Path, name: str) -> object:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        return connection.pragma(name)


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_every_version_are_read_and_go_on(tmp_path: Path, version: int) -> None:
    path, expected = golden(version, tmp_path / "spool")
    assert pragma(path, "user_version") == version

    async def main() -> None:
        async with opened(tmp_path / "spool") as spool:
            assert contents(spool) == expected
            await spool.append(hit("new"), 1)
            assert messages(spool)[-1] == "m-new"
            assert spool.status().set_aside == 1
            assert await spool.ack(spool.read(1000)[-1][0]) == len(expected) + 1
        assert pragma(path, "user_version") == version
        async with opened(tmp_path / "spool"):
            pass
        assert pragma(path, "user_version") == 2, "once it is empty it is of this version"

    run(main())


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_every_version_are_adopted(tmp_path: Path, version: int) -> None:
    path, expected = golden(version, tmp_path / "spool")
    path.rename(path.with_name("spool-7.db"))

    async def main() -> None:
        async with opened(tmp_path / "spool") as spool:
            await until(lambda: not path.with_name("spool-7.db").exists())
            assert [row[1:] for row in contents(spool)] == [row[1:] for row in expected]

    run(main())


def test_version_1_reads_what_this_one_wrote(tmp_path: Path) -> None:
    path, expected = golden(2, tmp_path / "spool")
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        rows: list[Any] = connection.execute(VERSION_1_READS).fetchall()
    found = [[id_.hex(), *numbers, encode_facts(decode_facts(facts)).hex()] for id_, *numbers, facts in rows]
    assert found == [row[1:] for row in expected]


def test_what_version_1_wrote_into_a_file_of_this_one_is_read(tmp_path: Path) -> None:
    path, expected = golden(2, tmp_path / "spool")
    back = (b"1" * 16, 5, 5, 1, 5, encode_facts(hit("back")))
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.pragma("user_version", 1)  # which it did at its start
        connection.execute(VERSION_1_WRITES, (1000, *back)).fetchall()

    async def main() -> None:
        async with opened(tmp_path / "spool") as spool:
            assert contents(spool) == [*expected, [1000, back[0].hex(), 5, 5, 1, 5, back[5].hex()]]
            await spool.append(hit("forth"), 1)
            assert messages(spool)[-2:] == ["m-back", "m-forth"]

    run(main())


@pytest.mark.parametrize("column", ["id", "occurred_at", "last_at", "count", "recorded_at", "facts", "seq"])
def test_a_row_that_was_changed_is_no_row_of_ours(tmp_path: Path, column: str) -> None:
    """In any of its columns, though the file is sound to SQLite."""
    path, expected = golden(2, tmp_path)
    chosen = expected[3][0]
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        value = {
            "id": "CAST(x'00' || substr(id, 2) AS BLOB)",
            "facts": "CAST(replace(facts, CAST('m-1' AS BLOB), CAST('m-9' AS BLOB)) AS BLOB)",
            "seq": "seq + 1000",
        }.get(column, f"{column} + 1")
        connection.execute(f"UPDATE event SET {column} = {value} WHERE seq = {chosen}").fetchall()
    file = SpoolFile(path, max_bytes=1 << 20)
    with pytest.raises(apsw.CorruptError, match="not what was written"):
        file.read(1000)
    file.open()
    aside = file.replace()
    assert aside.exists()
    assert file.status().set_aside == 1
    assert [row[1].hex() for row in file.read(1000)] == [row[1] for row in expected if row[0] != chosen]
    file.close()


def test_facts_with_a_seal_are_still_facts(tmp_path: Path) -> None:
    file = SpoolFile(tmp_path / "spool-0.db", max_bytes=1 << 20)
    facts = encode_facts(hit(1))
    file.insert([(bytes(16), 1, 2, 3, 4, facts)])
    [row] = file.read(10)
    assert len(row[6]) == len(facts) + 6
    assert decode_facts(row[6]) == hit(1)
    assert len(msgspec.msgpack.decode(row[6])) == len(msgspec.msgpack.decode(facts)) + 1
    file.close()
