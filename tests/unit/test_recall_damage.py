"""What a node remembers of recipients, where its file is damaged, of another form, gone, or can't be made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from recalls import DIGESTS, Source, complained, following
from spools import run, until

from tracker.recall import Recall


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recipients.db"


def test_a_damaged_file_is_made_anew(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0", "r-1", "r-2")
        assert await Recall(source, path, DIGESTS, source_name="a").known("default", "news", ["r-0"]) == {}
        async with following(source, path) as recall:
            await complained(recall, "r-0", "r-1", "r-2")

    path.write_bytes(b"no database at all " * 1000)
    run(main())
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)
    run(main())


def test_damage_that_only_a_look_up_meets_is_mended_by_whoever_follows(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0", "r-1")
        async with following(source, path) as recall:
            await complained(recall, "r-0", "r-1")
            db = apsw.Connection(str(path))
            db.set_busy_timeout(5000)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # or the log has what is damaged in the file
            db.close()
            with path.open("r+b") as file:
                file.write(b"\xff" * 16)
            reader = Recall(source, path, DIGESTS, source_name="a")
            assert await reader.known("default", "news", ["r-0"]) == {}
            await complained(reader, "r-0", "r-1")
            assert not path.with_suffix(".damaged").exists()

    run(main())


@pytest.mark.parametrize("change", ["PRAGMA user_version = 99", "UPDATE progress SET progress = 'nonsense'"])
def test_a_file_of_another_form_is_made_anew(path: Path, change: str) -> None:
    async def main() -> None:
        async with following(Source("r-0", "r-1"), path) as recall:
            await complained(recall, "r-0", "r-1")
        db = apsw.Connection(str(path))
        db.execute(change)
        db.close()
        async with following(Source("r-2"), path) as recall:
            await complained(recall, "r-2")

    run(main())


def test_a_file_that_was_removed_is_made_anew(path: Path) -> None:
    async def main() -> None:
        async with following(Source("r-0"), path) as recall:
            await complained(recall, "r-0")
            for file in path.parent.glob("recipients.db*"):
                file.unlink()
            assert set(await recall.known("default", "news", ["r-0"])) <= {"r-0"}
            await until(path.exists)
            await complained(recall, "r-0")

    run(main())


def test_without_a_usable_folder_nothing_is_known_and_nothing_fails(tmp_path: Path) -> None:
    async def main() -> None:
        recall = Recall(Source("r-0"), tmp_path / "absent" / "recipients.db", DIGESTS, source_name="a", poll_s=0.01)
        task = asyncio.create_task(recall.run())
        await asyncio.sleep(0.1)
        assert not task.done()
        assert await recall.known("default", "news", ["r-0"]) == {}
        task.cancel()
        await asyncio.wait([task])

    run(main())
