"""What a node remembers of recipients: over restarts, a store that is away, and processes that share it."""

from __future__ import annotations

import asyncio
import multiprocessing
import stat
from pathlib import Path

import apsw
import pytest
from recalls import DIGESTS, NOON, Source, complained, following
from spools import run, until

from tracker.recall.file import Progress, look_up
from tracker.stores import OnList
from tracker.stores.store import Position, RecipientChanges, What

DAY_US = 86_400_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recipients.db"


def test_it_is_filled_page_by_page_for_the_owner_only(path: Path) -> None:
    async def main() -> None:
        async with following(Source("r-0", "r-1", "r-2", "r-3", "r-4"), path) as recall:
            await complained(recall, "r-0", "r-1", "r-2", "r-3", "r-4")
            for file in path.parent.glob("recipients*"):
                assert stat.S_IMODE(file.stat().st_mode) == 0o600

    run(main())


def test_what_changes_is_seen_and_the_rest_is_not_read_again(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0", "r-1")
        source.rows["r-0"] -= DAY_US
        async with following(source, path) as recall:
            await complained(recall, "r-0", "r-1")
            source.rows["new"] = source.now
            await complained(recall, "r-0", "r-1", "new")
            source.now += 3_600_000_000
            rounds = len(source.asked)
            await until(lambda: len(source.asked) > rounds + 2)
        assert source.asked[-1] == Position(source.now - 300_000_000)

    run(main())


def test_a_restart_goes_on_where_it_was_and_knows_all_at_once(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0", "r-1")
        async with following(source, path):
            await until(lambda: len(source.asked) > 3)
        source = Source("r-0", "r-1")
        source.is_away = True
        async with following(source, path) as recall:
            assert set(await recall.known("default", "news", ["r-0", "r-1", "new"])) == {"r-0", "r-1"}
            await asyncio.sleep(0.1)
            source.is_away = False
            await until(lambda: bool(source.asked))
            # The end of a round, or later: the last one may have been cut off after a page.
            assert source.asked[0] >= Position(NOON - 300_000_000)

    run(main())


def test_a_round_that_was_cut_off_goes_on_and_looks_back_from_its_beginning() -> None:
    first = RecipientChanges(NOON, [(Position(5, "a", "r"), ())])
    cut_off = Progress("a").after(first, is_last=False)
    assert cut_off.position == Position(5, "a", "r")
    ended = cut_off.after(RecipientChanges(NOON + 3_600_000_000, []), is_last=True)
    assert ended.position == Position(NOON - 300_000_000)
    assert ended.is_complete


def test_what_is_gone_from_the_store_is_forgotten_within_a_day(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0", "r-1", "r-2")
        async with following(source, path) as recall:
            await complained(recall, "r-0", "r-1", "r-2")
            del source.rows["r-1"]
            source.now += DAY_US
            await complained(recall, "r-0", "r-2")

    run(main())


def test_a_clock_that_was_put_back_hides_nothing(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0")
        async with following(source, path) as recall:
            await complained(recall, "r-0")
            source.now -= DAY_US
            source.rows["new"] = source.now
            await complained(recall, "r-0", "new")

    run(main())


def test_another_store_is_read_from_the_beginning_and_the_old_one_forgotten_then(path: Path) -> None:
    async def main() -> None:
        async with following(Source("r-0", "r-1"), path) as recall:
            await complained(recall, "r-0", "r-1")
        other = Source("r-1", "r-2")
        other.rows = dict.fromkeys(other.rows, 7)
        other.is_away = True
        async with following(other, path, name="b") as recall:
            await complained(recall, "r-0", "r-1")
            other.is_away = False
            await complained(recall, "r-1", "r-2")

    run(main())


def test_an_unexpected_fault_of_the_store_is_outlived(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Source):
        async def recipient_changes(self, after: Position, what: What, *, limit: int) -> RecipientChanges:
            if self.is_away:
                raise ValueError("@".join(("someone", "example.com")))
            return await super().recipient_changes(after, what, limit=limit)

    async def main() -> None:
        source = Broken("r-0")
        source.is_away = True
        async with following(source, path) as recall:
            await asyncio.sleep(0.1)
            source.is_away = False
            await complained(recall, "r-0")

    run(main())
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("tracker.recall")]
    assert len(warnings) == 1
    assert "ValueError" in warnings[0]
    assert "someone@" not in warnings[0]


def follow_until_killed(path: Path) -> None:
    async def main() -> None:
        async with following(Source("r-0"), path):
            await asyncio.sleep(60)

    asyncio.run(main())


def test_of_two_processes_one_follows_and_the_other_takes_over(path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=follow_until_killed, args=(path,))
    process.start()

    async def main() -> None:
        try:
            await until(lambda: path.exists() and known(path) == {"r-0"})
            source = Source("r-0", "r-1")
            async with following(source, path) as recall:
                await asyncio.sleep(0.2)
                assert source.asked == []
                await complained(recall, "r-0")
                process.kill()
                await complained(recall, "r-0", "r-1")
        finally:
            process.kill()
            process.join()

    run(main())


def known(path: Path) -> set[str]:
    try:
        return set(look_up(path, DIGESTS, "default", "news", ["r-0"]))
    except apsw.Error:
        return set()


def test_who_is_erased_is_forgotten_and_refused_by_a_digest(path: Path) -> None:
    async def main() -> None:
        source = Source("r-0", "r-1", "r-2")
        async with following(source, path) as recall:
            await complained(recall, "r-0", "r-1", "r-2")
            source.erased["r-1"] = source.now
            del source.rows["r-1"]

            async def refused() -> None:
                while (found := await recall.known("default", "news", ["r-1"])) != {"r-1": OnList(None, None, True)}:
                    assert found["r-1"].standing is not None
                    await asyncio.sleep(0.01)

            await asyncio.wait_for(refused(), 20)
            assert await recall.known("other", "news", ["r-1"]) == {}
        source.is_away = True
        async with following(source, path) as recall:
            assert (await recall.known("default", "news", ["r-1"]))["r-1"].is_erased
            assert not (await recall.known("default", "news", ["r-0"]))["r-0"].is_erased

    run(main())


def test_the_files_name_nobody(path: Path) -> None:
    async def main() -> None:
        source = Source(*(f"person-{number}@example.net" for number in range(5)))
        async with following(source, path) as recall:
            wanted = list(source.rows)
            await until(lambda: len(source.asked) > 4)
            assert set(await recall.known("default", "news", wanted)) == set(wanted)
            for file in path.parent.iterdir():
                assert b"person-" not in file.read_bytes(), file.name

    run(main())
