"""What the spool promises while the disk is well. `test_spool_files` has its files, `test_spool_faults` the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from prometheus_client import REGISTRY
from spools import all_of, counted, hit, messages, opened, run, until

from tracker.core.errors import SpoolFull, SpoolUnavailable
from tracker.spool import Spool, log


def test_an_event_comes_back_as_it_went_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            facts = hit(link=3, url="https://example.com/é", source=b"\x00" * 8)
            await spool.append(facts, 1_700_000_000_000_001)
            [(seq, event)] = spool.read(10)
            assert (seq, event.facts, event.node, event.count) == (1, facts, "n1", 1)
            assert event.occurred_at == event.last_at == 1_700_000_000_000_001
            assert len(event.id) == 16
            assert event.id[6] >> 4 == 7

    run(main())


def test_what_comes_together_shares_a_commit(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            assert all(await all_of(*(spool.append_soon(hit(n), n) for n in range(200))))
            events = [event for _, event in spool.read(1000)]
            assert len({event.recorded_at for event in events}) == 1
            assert [event.occurred_at for event in events] == list(range(200))
            ids = [event.id for event in events]
            assert ids == sorted(set(ids))

    run(main())


def test_what_comes_in_the_next_turns_shares_a_commit_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            answers = []
            for n in range(10):
                answers.append(spool.append_soon(hit(n), n))
                await asyncio.sleep(0)
            assert all(await all_of(*answers))
            assert len({event.recorded_at for _, event in spool.read(100)}) < 5

    run(main())


def test_what_comes_during_a_commit_shares_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            first = spool.append_soon(hit("first"), 0)
            await asyncio.sleep(0)  # the first is handed over now, and its end can't have been seen yet
            await all_of(first, *(spool.append_soon(hit(n), n) for n in range(50)))
            times = [event.recorded_at for _, event in spool.read(1000)]
            assert len(times) == 51
            assert len(set(times)) <= 2

    run(main())


def test_hits_alike_in_one_commit_are_one_row(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            before = counted("spool_appended")
            opens = [spool.append_soon(hit(), at) for at in (5, 3, 9)]
            leaves = [spool.append(hit(type_="unsubscribed"), at) for at in (1, 2)]
            await asyncio.gather(all_of(*opens, spool.append_soon(hit(link=1), 4)), *leaves)
            rows = [(e.facts.type, e.facts.link, e.occurred_at, e.last_at, e.count) for _, e in spool.read(10)]
            assert sorted(rows, key=str) == [
                ("opened", 1, 4, 4, 1),
                ("opened", None, 3, 9, 3),
                ("unsubscribed", None, 1, 1, 1),
                ("unsubscribed", None, 2, 2, 1),
            ]
            assert counted("spool_appended") - before == 6
            await spool.append_soon(hit(), 11)
            assert spool.depth == 5  # another commit, another row

    run(main())


def test_a_full_spool_refuses_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, max_bytes=200_000) as spool:

            async def fill() -> None:
                for n in range(1000):
                    await spool.append_all([(hit(n, "clicked?", url="x" * 900), k) for k in range(10)])

            with pytest.raises(SpoolFull):
                await fill()
            depth = spool.depth
            assert 100 < depth < 220
            assert depth % 10 == 0  # all of a batch or nothing
            before = counted("unstored")
            assert not any(await all_of(*(spool.append_soon(hit(n, url="y" * 9000), 0) for n in range(7))))
            assert counted("unstored") - before == 7
            assert spool.status().bytes <= 200_000
            await spool.set_aside(spool.read(1)[0][0], "the store can't take it")
            assert await spool.ack(spool.read(50)[-1][0]) == 50
            assert await spool.append_soon(hit("new"), 0)
            assert messages(spool)[-1] == "m-new"
            assert spool.depth == len(spool.read(1000)) == depth - 50

    run(main())


def test_how_full_it_is_shows_long_before_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, max_bytes=400_000) as spool:
            seen = []
            for n in range(30):
                await spool.append_all([(hit(n, "clicked?", url="x" * 900), k) for k in range(10)])
                spool.status()
                seen.append(REGISTRY.get_sample_value("tracker_spool_fill_ratio") or 0.0)
            assert seen == sorted(seen)
            assert seen[0] < 0.2 < 0.4 < seen[14] < 0.6 < 0.75 < seen[29] < 1

    run(main())


def test_the_number_of_waiting_hits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MAX_WAITING", 10)

    async def main() -> None:
        async with opened(tmp_path) as spool:
            before = counted("unstored")
            answers = [spool.append_soon(hit(n), n) for n in range(15)]
            with pytest.raises(SpoolFull):
                await spool.append(hit(), 0)
            assert await all_of(*answers) == [True] * 10 + [False] * 5
            assert counted("unstored") - before == 5
            assert spool.depth == 10

    run(main())


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([])
        before = counted("unstored")
        assert await spool.append_soon(hit(), 0) is False
        assert counted("unstored") - before == 1
        with pytest.raises(SpoolUnavailable):
            await spool.append(hit(), 0)
        with pytest.raises(SpoolUnavailable):
            await spool.ack(1)
        await spool.close()

    run(main())


def test_an_event_that_cannot_be_encoded_harms_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            before = counted("unstored")
            bad, good = spool.append_soon(hit(user_agent="\ud800"), 0), spool.append_soon(hit(), 0)
            assert await all_of(bad, good) == [False, True]
            assert counted("unstored") - before == 1

    run(main())


def test_sequence_numbers_are_not_used_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append(hit(1), 0)
            [(first, _)] = spool.read(10)
            assert await spool.ack(first) == 1
            await spool.append(hit(2), 0)
            assert await spool.ack(first) == 0
            [(second, _)] = spool.read(10)
            assert second > first

    run(main())


def test_a_row_set_aside_is_kept_with_its_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(3)])
            before = counted("relay_rejected")
            await spool.set_aside(2, "no such account")
            await spool.set_aside(2, "no such account")
            assert counted("relay_rejected") - before == 1
            assert messages(spool) == ["m-0", "m-2"]
            status = spool.status()
            assert (status.rows, status.set_aside) == (2, 1)
        with apsw.Connection(str(tmp_path / "spool-0.db")) as connection:
            assert connection.execute("SELECT reason FROM set_aside").get == "no such account"

    run(main())


def test_a_row_that_cannot_be_decoded_is_set_aside(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(4)])
            connection = apsw.Connection(str(tmp_path / "spool-0.db"))
            connection.pragma("user_version", 1)  # of which it may lack its seal
            connection.execute("UPDATE event SET facts = x'c1' WHERE seq < 3").fetchall()
            connection.execute("UPDATE event SET facts = x'93a17861ffa178' WHERE seq = 3").fetchall()
            connection.close()
            assert await asyncio.to_thread(spool.read, 2) == await asyncio.to_thread(spool.read, 1)
            assert messages(spool) == ["m-3"]
            assert spool.status().set_aside == 3

    run(main())


def test_one_request_that_is_cancelled_does_not_cancel_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:

            async def request(n: int) -> bool:
                return await spool.append_soon(hit(n), n)

            tasks = [asyncio.create_task(request(n)) for n in range(3)]
            durable = [asyncio.create_task(spool.append(hit("u", "unsubscribed"), n)) for n in range(2)]
            await asyncio.sleep(0)
            tasks[1].cancel()
            durable[0].cancel()
            found = await asyncio.gather(*tasks, *durable, return_exceptions=True)
            assert [type(one).__name__ for one in found] == [
                *("bool", "CancelledError", "bool"),
                *("CancelledError", "NoneType"),
            ]
            assert spool.depth == 5

    run(main())


def test_close_commits_what_waits_even_when_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        spool = Spool(tmp_path, node="n1", max_bytes=1 << 20)
        spool.open()
        answer = spool.append_soon(hit(), 0)
        closing = asyncio.create_task(spool.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert await answer
        await until(lambda: not (tmp_path / "spool-0.db-wal").exists())
        async with opened(tmp_path) as again:
            await until(lambda: again.depth == 1)

    run(main())
