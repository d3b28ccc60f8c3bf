"""Spool files cut off at every byte of their end, or with one bit flipped: no row that is wrong comes out of them."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from tracker.core.model import Event, Facts
from tracker.spool import Spool

NAMES = ("spool-0.db", "spool-0.db-wal")
LAST_BYTES = 64 << 10
ROWS_OF_A_PAGE = 64
"""More than there are on any."""

VITAL = (*range(108), *range(3500, 4096), *range(4096, 4300), *range(8100, 8192))


@dataclass(frozen=True)
class Original:
    """The files as a crash left them, and what is in them: first all that is in the main file."""

    files: dict[str, bytes]
    events: list[Event]
    in_main: int


def a_hit(number: int | str) -> Facts:
    agent = f"Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Gecko/20100101"
    return Facts("default", f"m-{number}", "clicked", link=1, url="https://shop.example/kettle", user_agent=agent)


def opened(folder: Path) -> Spool:
    spool = Spool(folder, node="n1", max_bytes=64 << 20)
    spool.open()
    return spool


def corrupt() -> int:
    return int(REGISTRY.get_sample_value("tracker_spool_corrupt_total") or 0)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("original")

    async def main() -> Original:
        spool = opened(folder)
        await spool.append_all([(a_hit(n), n) for n in range(1500)])
        await spool.close()
        spool = opened(folder)
        in_main = spool.depth
        for start in range(1500, 2000, 10):
            await spool.append_all([(a_hit(n), n) for n in range(start, start + 10)])
        files = {name: (folder / name).read_bytes() for name in NAMES}
        events = [event for _, event in spool.read(10_000)]
        await spool.close()
        return Original(files, events, in_main)

    return asyncio.run(main())


async def drained(spool: Spool) -> list[Event]:
    """All there is to read, in the way of the relay."""
    events = []
    while rows := await asyncio.to_thread(spool.read, 700):
        events += [event for _, event in rows]
        assert await spool.ack(rows[-1][0]) > 0, "it would be read for ever"
    return events


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def moved_away(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.corrupt-*") if path.name[-1].isdigit()]


async def after(folder: Path, original: Original, files: dict[str, bytes]) -> tuple[list[Event], int]:
    """What comes out of ``files``, and how many of them were corrupt; the spool works with them, and for good."""
    lay_out(folder, files)
    before = corrupt()
    spool = opened(folder)
    assert await spool.append_soon(a_hit("new"), 1)
    events = await drained(spool)
    assert [event.facts for event in events if event.facts == a_hit("new")] == [a_hit("new")]
    events = [event for event in events if event.facts != a_hit("new")]
    assert await asyncio.to_thread(spool.read, 1) == []
    found = corrupt() - before
    assert len(moved_away(folder)) == found
    await spool.append(a_hit("newer"), 2)
    await spool.close()
    spool = opened(folder)
    assert [event.facts for event in await drained(spool)] == [a_hit("newer")]
    await spool.close()
    assert corrupt() - before == found <= 1
    known = set(original.events)
    wrong = [event for event in events if event not in known]
    assert not wrong, f"delivered, and never recorded: {wrong[0]}"
    return events, found


def cuts(content: bytes, step: int) -> Iterator[int]:
    yield from range(max(len(content) - LAST_BYTES, 0), len(content), step)


STEPS = [997, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(7200)])]


@pytest.mark.parametrize("step", STEPS)
def test_a_log_cut_off_at_every_byte_of_its_end(original: Original, tmp_path: Path, step: int) -> None:
    async def main() -> None:
        most = 0
        for size in cuts(log := original.files["spool-0.db-wal"], step):
            events, found = await after(tmp_path / "s", original, {**original.files, "spool-0.db-wal": log[:size]})
            assert events == original.events[: len(events)], "not what was there at some time"
            assert len(events) >= max(most, original.in_main), "the more there is left of it, the more comes out"
            most = len(events)
            assert found == 0, "a torn log is what a crash leaves"
        assert original.in_main < most < len(original.events)

    asyncio.run(main())


@pytest.mark.parametrize("step", STEPS)
def test_a_file_cut_off_at_every_byte_of_its_end(original: Original, tmp_path: Path, step: int) -> None:
    async def main() -> None:
        for size in cuts(file := original.files["spool-0.db"], step):
            events, found = await after(tmp_path / "s", original, {"spool-0.db": file[:size]})
            assert found == 1
            lost_pages = (len(file) - size) // 4096 + 1
            assert len(events) >= original.in_main - lost_pages * ROWS_OF_A_PAGE
            assert len(set(events)) == len(events)

    asyncio.run(main())


FLIPS = [60, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]


@pytest.mark.parametrize("flips", FLIPS)
def test_one_bit_flipped_in_a_log(original: Original, tmp_path: Path, flips: int) -> None:
    rng = random.Random(flips)

    async def main() -> None:
        for _ in range(flips // 3):
            log = bytearray(original.files["spool-0.db-wal"])
            log[at := rng.randrange(len(log))] ^= 1 << rng.randrange(8)
            events, found = await after(tmp_path / "s", original, {**original.files, "spool-0.db-wal": bytes(log)})
            assert events == original.events[: len(events)], "not what was there at some time"
            commits = at * 50 // len(log)
            assert len(events) >= original.in_main + 10 * (commits - 10), "more was lost than what came after it"
            assert found == 0

    asyncio.run(main())


@pytest.mark.parametrize("flips", FLIPS)
def test_one_bit_flipped_in_a_file(original: Original, tmp_path: Path, flips: int) -> None:
    rng = random.Random(flips)

    async def main() -> None:
        file, before = original.files["spool-0.db"], original.events[: original.in_main]
        for number in range(flips):
            flipped = bytearray(file)
            # Every third where all else hangs on it: the header, the tables' names, the root of the tree.
            at = rng.choice(VITAL) if number % 3 == 0 else rng.randrange(len(file))
            flipped[at] ^= (bit := 1 << rng.randrange(8))
            events, found = await after(tmp_path / "s", original, {"spool-0.db": bytes(flipped)})
            lost = len(before) - len(set(events))
            where = f"bit {bit} of byte {at}: {lost} lost"
            assert found or events == before, where
            assert lost <= ROWS_OF_A_PAGE or at // 4096 == 1, where

    asyncio.run(main())
