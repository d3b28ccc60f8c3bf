"""Erasing a person while her events come in, in any order and from several nodes: nothing of her is left."""

from __future__ import annotations

import asyncio
import random
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from databases import Database, SqliteDatabase
from erasures import AGENT, ANN, COMMON, LATER, erase, known_by, late, life_of_ann, traces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import NOON, event, registered

from tracker.core.accounts import Account, Directory
from tracker.core.errors import StoreUnavailable
from tracker.core.model import Event
from tracker.retention import sweep
from tracker.stores import Store
from tracker.stores.retention import Retention

pytestmark = pytest.mark.anyio

NOBODY_SET_ANYTHING = Directory([Account("default", "http://t.example")])


@given(order=st.permutations(range(23)), cut=st.lists(st.integers(1, 22), max_size=6), at=st.integers(0, 23))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_order_nothing_is_left_of_the_person(
    tmp_path: Path, order: list[int], cut: list[int], at: int
) -> None:
    """Batches of any size in any order, the erasure anywhere among them: her events can only be dropped or removed."""

    async def main() -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            database = SqliteDatabase(Path(folder) / "status.db")
            store = known_by(database)
            events = [*life_of_ann(), *late()]
            # Where hers comes first, Bob's message counts as hers, and goes.
            events[2] = event("opened", "other-1", user_agent=COMMON, at=LATER)
            shuffled = [events[number] for number in order]
            cuts = sorted({0, *cut, at, len(shuffled)})
            for start, end in pairwise(cuts):
                if start == at:
                    await erase(store)
                await store.record(shuffled[start:end])
            if at == len(shuffled):
                await erase(store)
            # A withdrawal that came after the erasure leaves the user agent's text to the hourly sweep.
            await sweep(Retention(store.database), NOBODY_SET_ANYTHING, 0)
            left = await traces(database)
            status = await store.status("default", "other-1")
            await store.close()
            assert left == []
            assert status is not None
            assert (status.clicks.human, status.opens.human) == (1, 2)

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
async def test_at_the_same_time_as_batches_of_several_nodes(database: Database, seed: int) -> None:
    stores = [known_by(database) for _ in range(3)]
    for store in stores:
        await store.open()
    chosen = random.Random(seed)
    messages = [f"perl-{number}" for number in range(12)]
    parts = [registered(one, ANN, at=NOON + at) for at, one in enumerate(messages)]
    parts += [event("opened", one, at=NOON + 100 + at, user_agent=AGENT) for at, one in enumerate(messages)]
    parts += [registered(f"bob-{number}", "bob") for number in range(12)]
    chosen.shuffle(parts)

    async def relay(store: Store, events: list[Event]) -> None:
        for start in range(0, len(events), 3):
            await until_taken(store, events[start : start + 3])

    async def erasing_() -> None:
        await asyncio.sleep(chosen.random() / 20)
        await erase(stores[2])

    await asyncio.gather(relay(stores[0], parts[::2]), relay(stores[1], parts[1::2]), erasing_())
    assert await traces(database) == []
    for number in range(12):
        assert await stores[0].status("default", f"bob-{number}") is not None
    for store in stores:
        await store.close()


async def until_taken(store: Store, events: list[Event]) -> None:
    """As the relay does it."""
    for _ in range(50):
        try:
            return await store.record(events)
        except StoreUnavailable:
            await asyncio.sleep(0.01)
    raise AssertionError("the store never takes it")
