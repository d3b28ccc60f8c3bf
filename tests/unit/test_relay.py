"""The relay against a real spool, and a store whose failures a test can plan."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from spools import counted, hit, opened, run, until

from tracker import relay as relay_module
from tracker.core.errors import EventRejected, StoreUnavailable
from tracker.core.model import Event
from tracker.relay import Relay, backoff_s, pause_s
from tracker.spool import Spool


class PlannedStore:
    """Keeps events by id. ``fault`` sees each batch first, and raises what is to go wrong with it."""

    def __init__(self, fault: Callable[[Sequence[Event]], None] = lambda events: None) -> None:
        self.fault = fault
        self.kept: dict[bytes, Event] = {}
        self.calls = 0

    async def record(self, events: Sequence[Event]) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        self.fault(events)
        self.kept.update((event.id, event) for event in events)

    def messages(self) -> set[str]:
        return {event.facts.message_id for event in self.kept.values()}


@contextlib.asynccontextmanager
async def relaying(spool: Spool, store: PlannedStore) -> AsyncIterator[Relay]:
    relay = Relay(spool, store)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_BACKOFF_S", (0.001, 0.005))


def names(*numbers: int) -> set[str]:
    return {f"m-{n}" for n in numbers}


def poisoned(error: Exception, *numbers: int) -> Callable[[Sequence[Event]], None]:
    def fault(events: Sequence[Event]) -> None:
        if any(event.facts.message_id in names(*numbers) for event in events):
            raise error

    return fault


def test_what_is_appended_reaches_the_store_and_leaves_the_spool(tmp_path: Path) -> None:
    async def main() -> None:
        store = PlannedStore()
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(2500)])
            before = counted("relayed")
            async with relaying(spool, store) as relay:
                await until(lambda: spool.depth == 0)
                assert len(store.kept) == 2500
                await until(lambda: relay.lag_s() == 0)
                await asyncio.sleep(0.05)  # it rests now, and must notice what comes
                calls = store.calls
                await spool.append(hit("later"), 0)
                async with asyncio.timeout(2):
                    await until(lambda: "m-later" in store.messages())
                assert store.calls == calls + 1
                await until(lambda: counted("relayed") - before == 2501)

    run(main())


def test_it_waits_for_a_store_that_is_away_and_loses_nothing(tmp_path: Path) -> None:
    def away(events: Sequence[Event]) -> None:
        raise StoreUnavailable

    async def main() -> None:
        store = PlannedStore(away)
        async with opened(tmp_path) as spool:
            await spool.append(hit(1), 0)
            failures = counted("relay_failures")
            async with relaying(spool, store) as relay:
                await until(lambda: counted("relay_failures") - failures >= 5)
                assert spool.depth == 1
                assert relay.lag_s() > 0
                assert await spool.append_soon(hit(2), 0)
                store.fault = lambda events: None
                await until(lambda: spool.depth == 0)
            assert store.messages() == names(1, 2)

    run(main())


def test_a_rejected_event_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        store = PlannedStore(poisoned(EventRejected("bad"), 3, 4, 77))
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(100)])
            rejected, relayed = counted("relay_rejected"), counted("relayed")
            async with relaying(spool, store):
                await until(lambda: spool.depth == 0)
            assert store.messages() == names(*range(100)) - names(3, 4, 77)
            assert counted("relay_rejected") - rejected == 3
            assert counted("relayed") - relayed == 97
            assert spool.status().set_aside == 3

    run(main())


def test_an_event_that_breaks_the_store_is_set_aside_after_a_few_tries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        store = PlannedStore(poisoned(KeyError("ann@example.com"), 0, 50))
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(100)])
            async with relaying(spool, store):
                await until(lambda: spool.depth == 0)
            assert store.messages() == names(*range(100)) - names(0, 50)
            assert spool.status().set_aside == 2
        assert "KeyError" in caplog.text
        assert "in fault" in caplog.text  # where it happened
        assert "ann@example.com" not in caplog.text

    run(main())


def test_a_store_that_breaks_at_every_event_gets_none_of_them_set_aside(tmp_path: Path) -> None:
    def broken(events: Sequence[Event]) -> None:
        raise KeyError

    async def main() -> None:
        store = PlannedStore(broken)
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(100)])
            failures = counted("relay_failures")
            async with relaying(spool, store):
                await until(lambda: counted("relay_failures") - failures >= 6)
                assert spool.depth == 100
                assert spool.status().set_aside == 0
                store.fault = lambda events: None
                await until(lambda: spool.depth == 0)
            assert len(store.kept) == 100

    run(main())


def test_a_batch_whose_answer_was_lost_is_sent_again_under_the_same_ids(tmp_path: Path) -> None:
    async def main() -> None:
        seen: list[list[bytes]] = []

        class Forgetful(PlannedStore):
            async def record(self, events: Sequence[Event]) -> None:
                await super().record(events)
                seen.append([event.id for event in events])
                if len(seen) < 3:
                    raise StoreUnavailable

        store = Forgetful()
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(10)])
            async with relaying(spool, store):
                await until(lambda: spool.depth == 0)
        assert seen[0] == seen[1] == seen[2]
        assert len(store.kept) == 10

    run(main())


def test_a_batch_that_is_too_much_for_the_store_is_made_smaller(tmp_path: Path) -> None:
    sizes: list[int] = []

    def fault(events: Sequence[Event]) -> None:
        sizes.append(len(events))
        if len(events) > 3:
            raise StoreUnavailable("the connection was lost")

    async def check() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(number), number) for number in range(20)])
            store = PlannedStore(fault)
            async with relaying(spool, store):
                await until(lambda: len(store.kept) == 20)

    run(check())
    assert sizes[:4] == [20] * 4, "it is most likely away, so that is tried first"
    assert max(sizes) == 20


def test_a_store_that_is_away_is_asked_with_ever_fewer_events(tmp_path: Path) -> None:
    sizes: list[int] = []

    def away(events: Sequence[Event]) -> None:
        sizes.append(len(events))
        raise StoreUnavailable

    async def check() -> None:
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(number), number) for number in range(1500)])
            async with relaying(spool, PlannedStore(away)):
                await until(lambda: len(sizes) > 7)

    run(check())
    assert sizes[:8] == [1500, 1000, 1000, 1000, 500, 250, 125, 62]


def test_drain_relays_what_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        store = PlannedStore()
        async with opened(tmp_path) as spool:
            await spool.append_all([(hit(n), n) for n in range(2500)])
            assert await Relay(spool, store).drain(30)
            assert (spool.depth, len(store.kept)) == (0, 2500)

    run(main())


def test_drain_gives_up_in_time_and_leaves_the_rest_in_the_spool(tmp_path: Path) -> None:
    class Hanging(PlannedStore):
        async def record(self, events: Sequence[Event]) -> None:
            await asyncio.sleep(3600)

    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append(hit(), 0)
            assert not await Relay(spool, PlannedStore(poisoned(StoreUnavailable(), 1))).drain(30)
            assert not await Relay(spool, Hanging()).drain(0.05)
            assert spool.depth == 1

    run(main())


@pytest.mark.parametrize(
    ("work_s", "hits_per_s", "lag_s", "fill", "rest_s"),
    [
        (0.01, 0, 0, 0, 0),
        (0.01, 5_000, 0, 0, 0.01),
        (0.01, 50_000, 0, 0, 0.09),
        (0.01, 50_000, 10, 0, 0.01),
        (0.01, 50_000, 30, 0, 0),
        (0.01, 50_000, 0, 0.25, 0.01),
        (0.01, 50_000, 0, 0.6, 0),
        (10, 50_000, 0, 0, 5),
    ],
)
def test_the_pause_makes_way_for_requests_but_not_for_long(
    work_s: float, hits_per_s: float, lag_s: float, fill: float, rest_s: float
) -> None:
    assert pause_s(work_s, hits_per_s=hits_per_s, lag_s=lag_s, fill=fill) == pytest.approx(rest_s)


def test_the_backoff_doubles_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for failures, longest in ((1, 0.1), (2, 0.2), (5, 1.6), (10, 30), (10_000, 30)):
        waits = {backoff_s(failures) for _ in range(20)}
        assert len(waits) > 1
        assert all(longest / 2 <= wait <= longest for wait in waits)
