"""Webhook endpoints and deliveries on every store: who delivers, what, in which order, and that nothing is missed."""

from __future__ import annotations

import asyncio

import pytest
from databases import Database
from samples import AGENT, event, registered

from tracker.stores import Store, outbox
from tracker.stores.outbox import Failure, Outbox

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000_000
SECRET = "whsec_" + "A" * 44


@pytest.fixture
def box(store: Store) -> Outbox:
    return Outbox(store.database)


async def changed(store: Store, message_id: str, *stages: str) -> None:
    """Give a message these stages, one change each."""
    for stage in stages:
        await store.record([registered(message_id) if stage == "sent" else event(stage, message_id, user_agent=AGENT)])


async def added(box: Outbox, endpoint_id: str = "ep_1", account: str = "default") -> str:
    await box.add_endpoint(endpoint_id, account, "https://hooks.example/in", SECRET)
    return endpoint_id


async def due(box: Outbox, now: int = NOW, endpoint_id: str = "ep_1") -> list[tuple[int, str]]:
    return [(each.sequence, each.message_id) for each in await box.due(endpoint_id, now, 100)]


async def test_an_endpoint_gets_the_changes_from_its_creation_on(box: Outbox, store: Store) -> None:
    await changed(store, "m-old", "sent")
    await added(box)
    await added(box, "ep_2")
    await added(box, "ep_other", "other")
    await changed(store, "m-1", "sent")
    assert await box.endpoints_to_serve("node-a", NOW) == {"ep_1": True, "ep_2": True, "ep_other": False}
    assert await box.fill("ep_1", NOW) == 1
    assert await box.fill("ep_1", NOW) == 0
    assert await box.fill("ep_other", NOW) == 0
    (delivery,) = await box.due("ep_1", NOW, 100)
    assert delivery.change == (await store.changes("default"))[1]
    assert (delivery.sequence, delivery.message_id, delivery.attempts) == (2, "m-1", 0)
    assert await box.due("ep_1", NOW - 1, 100) == []
    await box.settle("ep_1", [2])
    assert await box.endpoints_to_serve("node-a", NOW) == {"ep_1": False, "ep_2": True, "ep_other": False}


async def test_listed_with_what_waits_for_them(box: Outbox, store: Store) -> None:
    await added(box)
    await added(box, "ep_other", "other")
    for message in ("m-1", "m-2", "m-3"):
        await changed(store, message, "sent")
    await box.fill("ep_1", NOW)
    await box.settle("ep_1", [], [Failure(1, NOW, NOW + 5, "refused"), Failure(2, NOW, None, "no answer in time")])
    await changed(store, "m-4", "sent")
    (state,) = await box.list_endpoints("default")
    assert (state.id, state.account, state.url) == ("ep_1", "default", "https://hooks.example/in")
    assert (state.pending, state.dead, state.lag, state.last_error) == (2, 1, 1, "refused")
    assert (state.disabled_at, state.disabled_reason) == (None, None)
    assert [each.id for each in await box.list_endpoints()] == ["ep_1", "ep_other"]
    assert await box.list_endpoints("nobody") == await box.list_endpoints("\0") == []


async def test_one_of_several_processes_has_the_lease(box: Outbox, database: Database) -> None:
    other = database.store()
    others = Outbox(other.database)
    await added(box)
    lease = await box.take_lease("ep_1", "node-a", 30)
    assert lease is not None
    assert (lease.account, lease.url, lease.secret, lease.previous_secret) == (
        "default", "https://hooks.example/in", SECRET, None,
    )  # fmt: skip
    assert SECRET not in repr(lease)
    assert "hooks.example" not in repr(lease)
    assert await others.take_lease("ep_1", "node-b", 30) is None
    assert await box.take_lease("ep_1", "node-a", 0.05) is not None  # its holder renews it
    await asyncio.sleep(0.1)
    assert await others.take_lease("ep_1", "node-b", 30) is not None  # it had run out
    assert await box.take_lease("ep_1", "node-a", 30) is None
    await box.release_leases("node-a")  # has none
    assert await box.take_lease("ep_1", "node-a", 30) is None
    await others.release_leases("node-b")
    assert await box.take_lease("ep_1", "node-a", 30) is not None
    await other.close()


async def test_of_many_at_once_one_gets_the_lease(box: Outbox, database: Database) -> None:
    stores = [database.store() for _ in range(4)]
    await added(box)
    leases = await asyncio.gather(
        *(Outbox(store.database).take_lease("ep_1", f"node-{n}", 30) for n, store in enumerate(stores * 3))
    )
    assert len([lease for lease in leases if lease]) == 1
    for store in stores:
        await store.close()


async def test_whoever_cannot_have_the_lease_has_nothing_to_do(box: Outbox, store: Store) -> None:
    await added(box)
    await changed(store, "m-1", "sent")
    await box.take_lease("ep_1", "node-a", 30)
    assert await box.endpoints_to_serve("node-a", NOW) == {"ep_1": True}
    assert await box.endpoints_to_serve("node-b", NOW) == {"ep_1": False}


async def test_the_changes_of_a_message_come_one_after_another(box: Outbox, store: Store) -> None:
    await added(box)
    await changed(store, "m-1", "sent", "delivered", "opened")
    await changed(store, "m-2", "sent", "delivered")
    await box.fill("ep_1", NOW)
    assert await due(box) == [(1, "m-1"), (4, "m-2")]
    await box.settle("ep_1", [4], [Failure(1, NOW, NOW + 5_000_000, "refused")])
    assert await due(box) == [(5, "m-2")]
    await box.settle("ep_1", [5])
    assert await due(box) == []
    assert await box.endpoints_to_serve("node-a", NOW) == {"ep_1": False}  # what is due is held back
    assert await due(box, NOW + 5_000_000) == [(1, "m-1")]
    (delivery,) = await box.due("ep_1", NOW + 5_000_000, 1)
    assert delivery.attempts == 1
    await box.settle("ep_1", [], [Failure(1, NOW + 5_000_000, None, "refused again")])
    assert await due(box) == [(2, "m-1")]  # a dead one holds back nothing


async def test_dead_letters_are_paged_and_replayed(box: Outbox, store: Store) -> None:
    await added(box)
    await added(box, "ep_2")
    for n in range(3):
        await changed(store, f"m-{n}", "sent")
    for endpoint in ("ep_1", "ep_2"):
        await box.fill(endpoint, NOW)
        await box.settle(endpoint, [], [Failure(2, NOW, NOW + 5, "first"), Failure(1, NOW, None, "refused")])
        await box.settle(endpoint, [], [Failure(n, NOW + 9, None, "refused") for n in (3, 2)])
    letters = await box.dead_letters()
    assert [(each.endpoint, each.sequence) for each in letters] == [(e, n) for e in ("ep_1", "ep_2") for n in (1, 2, 3)]
    assert letters[1]._asdict() == {
        "endpoint": "ep_1", "sequence": 2, "message_id": "m-1", "attempts": 2, "first_tried_at": NOW,
        "last_tried_at": NOW + 9, "error": "refused",
    }  # fmt: skip
    page = await box.dead_letters(limit=4)
    assert page + await box.dead_letters(after=(page[-1].endpoint, page[-1].sequence)) == letters
    assert await box.dead_letters("ep_2", after=("ep_2", 1)) == letters[4:]
    assert await box.dead_letters("\0") == []
    assert await due(box) == []
    assert await box.replay("ep_1", [2, 7, 2], NOW + 20) == 1
    assert await due(box, NOW + 20) == [(2, "m-1")]
    assert (await box.due("ep_1", NOW + 20, 1))[0].attempts == 0
    assert await box.replay("ep_1", None, NOW + 20) == 2
    assert await box.replay("\0", None, NOW) == await box.replay("ep_none", [1], NOW) == 0
    assert [each.endpoint for each in await box.dead_letters()] == ["ep_2"] * 3


async def test_disabled_and_enabled_again(box: Outbox, store: Store) -> None:
    await added(box)
    await changed(store, "m-1", "sent")
    await box.fill("ep_1", NOW)
    assert await box.disable("ep_1", "410")
    assert await box.disable("ep_1", "by hand")
    (state,) = await box.list_endpoints()
    assert state.disabled_reason == "410"
    assert state.disabled_at is not None
    await changed(store, "m-2", "sent")
    assert await box.endpoints_to_serve("node-a", NOW) == {}
    assert await box.take_lease("ep_1", "node-a", 30) is None
    assert (await due(box), await box.fill("ep_1", NOW)) == ([], 0)
    assert await box.enable("ep_1")
    assert (await box.list_endpoints())[0][4:6] == (None, None)
    assert await box.fill("ep_1", NOW) == 1
    assert await due(box) == [(1, "m-1"), (2, "m-2")]


async def test_rotated(box: Outbox) -> None:
    await added(box)
    assert await box.rotate("ep_1", "whsec_new", NOW)
    lease = await box.take_lease("ep_1", "node-a", 30)
    assert lease is not None
    assert (lease.secret, lease.previous_secret, lease.previous_until) == ("whsec_new", SECRET, NOW)


async def test_removed_with_its_deliveries(box: Outbox, store: Store, database: Database) -> None:
    await added(box)
    await changed(store, "m-1", "sent")
    await box.fill("ep_1", NOW)
    assert await box.remove_endpoint("ep_1")
    assert await database.execute("SELECT * FROM tracker.webhook_deliveries") == []
    assert await box.list_endpoints() == []
    assert (await due(box), await box.fill("ep_1", NOW)) == ([], 0)
    await box.settle("ep_1", [1], [Failure(2, NOW, NOW, "late")])


async def test_what_does_not_exist(box: Outbox) -> None:
    for endpoint in ("ep_none", "\0", "\ud83d"):
        assert not await box.remove_endpoint(endpoint)
        assert not await box.enable(endpoint)
        assert not await box.disable(endpoint, "why")
        assert not await box.rotate(endpoint, SECRET, NOW)
    for account in ("", "a.b", "a_b", "a" * 65, "ä"):
        with pytest.raises(ValueError, match="account"):
            await added(box, account=account)


async def test_no_more_wait_than_there_is_room_for(box: Outbox, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_PENDING", 3)
    await added(box)
    for n in range(1, 6):
        await changed(store, f"m-{n}", "sent")
    assert await box.fill("ep_1", NOW) == 3
    assert await box.fill("ep_1", NOW) == 0
    assert await box.endpoints_to_serve("node-a", NOW - 1) == {"ep_1": False}
    await box.settle("ep_1", [2], [Failure(1, NOW, None, "dead ones take no room")])
    assert await box.endpoints_to_serve("node-a", NOW - 1) == {"ep_1": True}
    assert await box.fill("ep_1", NOW) == 2
    assert await due(box) == [(3, "m-3"), (4, "m-4"), (5, "m-5")]


async def test_changes_that_are_no_longer_kept_stop_nothing(box: Outbox, store: Store, database: Database) -> None:
    await added(box)
    for n in range(1, 4):
        await changed(store, f"m-{n}", "sent")
    await database.execute("DELETE FROM tracker.changes WHERE sequence > 1 RETURNING sequence")
    assert await box.fill("ep_1", NOW) == 1
    await database.execute("DELETE FROM tracker.changes RETURNING sequence")
    (delivery,) = await box.due("ep_1", NOW, 100)
    assert (delivery.message_id, delivery.change) == ("m-1", None)
    await box.settle("ep_1", [1])
    assert await box.endpoints_to_serve("node-a", NOW) == {"ep_1": False}
    await changed(store, "m-4", "sent")
    await box.fill("ep_1", NOW)
    assert await due(box) == [(4, "m-4")]


async def test_the_cursor_misses_nothing_that_is_recorded_meanwhile(box: Outbox, database: Database) -> None:
    writers = [database.store() for _ in range(3)]
    await added(box)
    batches = [
        [event(stage, f"m-{n}-{k}") for k in range(5)] for n in range(20) for stage in ("sent", "delivered", "opened")
    ]
    seen: list[int] = []
    paged: list[int] = []
    done = asyncio.Event()

    async def read() -> None:
        while not (done.is_set() and not await writers[0].changes("default", after=max(paged, default=0))):
            paged.extend(change.sequence for change in await writers[0].changes("default", after=max(paged, default=0)))
            await asyncio.sleep(0)

    async def fill() -> None:
        while not (await box.fill("ep_1", NOW) == 0 and done.is_set()):
            while deliveries := await box.due("ep_1", NOW, 100):
                seen.extend(delivery.sequence for delivery in deliveries)
                await box.settle("ep_1", [delivery.sequence for delivery in deliveries])

    async def record() -> None:
        await asyncio.gather(*(writers[n % 3].record(batch) for n, batch in enumerate(batches)))
        done.set()

    await asyncio.gather(read(), fill(), record())
    changes = await writers[0].changes("default", limit=10_000)
    expected = [change.sequence for change in changes]
    assert expected == paged == list(range(1, len(expected) + 1))
    assert sorted(seen) == expected
    order: dict[str, list[int]] = {}
    by_sequence = {change.sequence: change.message_id for change in changes}
    for sequence in seen:
        order.setdefault(by_sequence[sequence], []).append(sequence)
    assert len(order) == 100
    assert all(sequences == sorted(sequences) for sequences in order.values())
    for writer in writers:
        await writer.close()


async def test_deliveries_are_made_by_several_at_once_without_a_double(
    box: Outbox, store: Store, database: Database
) -> None:
    other = database.store()
    await added(box)
    for n in range(20):
        await changed(store, f"m-{n}", "sent")
    made = await asyncio.gather(*(each.fill("ep_1", NOW) for each in [box, Outbox(other.database)] * 5))
    assert sum(made) == 20
    await other.close()
