"""What is kept of batches, and what can be asked about them."""

from __future__ import annotations

import msgspec
import pytest
from databases import Database
from samples import AGENT, NOON, event, registered

from tracker.core.agents import ClassifierSettings
from tracker.core.batches import MAX_KEYS, OTHER, Key, Measure
from tracker.core.model import Consent, Delivery, Event, RecipientChange, Registration
from tracker.core.status import Stage
from tracker.stores import Store
from tracker.stores.accounts import Accounts
from tracker.stores.batches import BatchCounts, Batches
from tracker.stores.reclassify import PAGE_MESSAGES, Reclassify
from tracker.stores.retention import Retention

pytestmark = pytest.mark.anyio
SECOND = 1_000_000
DAY_MS = 86_400_000


@pytest.fixture
def batches(store: Store) -> Batches:
    return Batches(store.database)


def in_batch(message_id: str, batch: str | None = "b", recipient: str | None = None, *, at: int = NOON) -> Event:
    registration = Registration(recipient, batch, tracks_opens=True, tracks_clicks=True)
    return event("rewritten", message_id, registration=registration, at=at)


def click(message_id: str, url: str, at: int = NOON) -> Event:
    return event("clicked", message_id, link=0, url=url, user_agent=AGENT, source=b"a-source", at=at)


async def counts_of(batches: Batches, batch: str = "b") -> BatchCounts:
    return (await batches.counts("default", [batch]))[batch]


async def test_what_is_not_there(batches: Batches) -> None:
    assert await batches.counts("default", ["b", "\0", "x" * 600, "\ud800"]) == {}
    assert await batches.page("default") == []
    for name in ("b", "\0"):
        assert await batches.messages("default", name) == []
        assert await batches.of_recipient("default", name) == []
        assert await batches.matching("default", name) == []


async def test_accounts_and_batches_are_apart(store: Store, batches: Batches) -> None:
    other = msgspec.structs.replace(
        in_batch("m-1"), facts=msgspec.structs.replace(in_batch("m-1").facts, account="shop")
    )
    await store.record([in_batch("m-1"), in_batch("m-2"), in_batch("m-3", "c"), in_batch("m-4", None), other])
    found = await batches.counts("default", ["b", "c", "d"])
    assert {name: counts.counts[Key(Measure.MESSAGES)] for name, counts in found.items()} == {"b": 2, "c": 1}
    assert [status.message_id for status in await batches.messages("default", "b")] == ["m-1", "m-2"]
    assert [name for name, _ in await batches.page("shop")] == ["b"]


async def test_counts_without_keys(store: Store, batches: Batches) -> None:
    await store.record([in_batch("m-1"), click("m-1", "https://a/")])
    all_of_it = (await counts_of(batches)).counts
    totals = (await batches.counts("default", ["b"], without_keys=True))["b"].counts
    assert totals == {key: count for key, count in all_of_it.items() if not key.key}
    assert totals[Key(Measure.CLICKED)] == 1


async def test_pages_hold_everything_once(store: Store, batches: Batches) -> None:
    names = [f"batch-{number}" for number in range(7)]
    for name in names:
        await store.record([in_batch(f"{name}-{number}", name, "lead") for number in range(5)])
    seen: list[str] = []
    after: tuple[int, str] | None = None
    while page := await batches.page("default", after=after, limit=3):
        seen += [name for name, _ in page]
        after = page[-1][1], page[-1][0]
    assert seen == names[::-1]
    ids, last = [], ""
    while found := await batches.of_recipient("default", "lead", after=last, limit=4):
        ids += [status.message_id for status in found]
        last = ids[-1]
    assert ids == sorted(f"{name}-{number}" for name in names for number in range(5))
    matching = await batches.matching("default", "batch-3", after="batch-3-1", limit=2)
    assert [status.message_id for status in matching] == ["batch-3-2", "batch-3-3"]
    in_one = await batches.messages("default", "batch-2", after="batch-2-3")
    assert [status.message_id for status in in_one] == ["batch-2-4"]


async def test_a_batch_has_only_so_many_keys(store: Store, batches: Batches) -> None:
    too_many = MAX_KEYS + 50
    await store.record([in_batch(f"m-{number}") for number in range(too_many)])
    failures = [event("failed", f"m-{number}", delivery=Delivery(f"550 {number:05}")) for number in range(too_many)]
    await store.record(failures[: too_many // 2])
    await store.record(failures[too_many // 2 :])
    failed = {key.key: n for key, n in (await counts_of(batches)).counts.items() if key.measure == Measure.FAILED}
    assert len(failed) == MAX_KEYS + 1
    assert failed[OTHER] == 50
    assert sum(failed.values()) == too_many
    # What has a row goes on being counted there, and what was counted together is taken back from there.
    await store.record([event("failed", f"m-{too_many - 1}", delivery=Delivery("550 00000"), at=NOON - SECOND)])
    failed = {key.key: n for key, n in (await counts_of(batches)).counts.items() if key.measure == Measure.FAILED}
    assert (failed["550 00000"], failed[OTHER], sum(failed.values())) == (2, 49, too_many)


async def test_a_message_that_turns_out_to_be_of_another_batch_moves(store: Store, batches: Batches) -> None:
    await store.record([in_batch("m-1", "late"), click("m-1", "https://a/", NOON + SECOND)])
    await store.record([in_batch("m-1", "early", at=NOON - SECOND)])
    found = await batches.counts("default", ["late", "early"])
    assert +found["late"].counts == {
        Key("keys", measure): n for (_, measure), n in found["late"].counts.items() if _ == "keys"
    }
    assert found["early"].counts[Key(Measure.CLICKED)] == 1


async def test_hits_of_who_withdrew_are_counted_without_a_name(store: Store, batches: Batches) -> None:
    await store.record([in_batch("m-1", "b", "lead"), click("m-1", "https://a/")])
    denied = RecipientChange("lead", Consent.DENIED, Consent.DENIED)
    await store.record([event("consent_changed", "", change=denied, at=NOON - SECOND)])
    found = await counts_of(batches)
    assert found.withdrawn == {("clicked", "human"): 1}
    assert Key(Measure.CLICKED) not in found.counts
    assert found.counts[Key(Measure.MESSAGES)] == 1


async def test_counts_outlive_their_messages(store: Store, batches: Batches) -> None:
    await store.record([in_batch("m-1"), click("m-1", "https://a/")])
    before = await counts_of(batches)
    deleted = await Retention(store.database).delete_page("default", 1, NOON // 1000 + 2 * DAY_MS)
    assert deleted.messages == 1
    assert await counts_of(batches) == before


async def test_judging_anew_follows_the_settings(store: Store, batches: Batches) -> None:
    accounts, work = Accounts(store.database), Reclassify(store.database)
    await accounts.put_settings("default", {"classifier": {"bursts": False}})
    number = PAGE_MESSAGES + 3
    for index in range(number):
        id_ = f"m-{index:04}"
        await store.record(
            [in_batch(id_), click(id_, "https://a/"), click(id_, "https://b/", NOON + index % 2 * 60 * SECOND)]
        )
    assert (await counts_of(batches)).counts[Key(Measure.CLICKED)] == number
    await accounts.put_settings("default", {"classifier": msgspec.to_builtins(ClassifierSettings())})
    assert await work.number("default") == number
    first = await work.page("default")
    assert (first.messages, first.corrected, first.stages) == (PAGE_MESSAGES, PAGE_MESSAGES // 2, PAGE_MESSAGES // 2)
    assert first.after == f"m-{PAGE_MESSAGES - 1:04}"
    second = await work.page("default", first.after)
    assert (second.messages, second.after) == (3, None)
    bursts = (number + 1) // 2
    counts = (await counts_of(batches)).counts
    assert (counts[Key(Measure.CLICKED)], counts[Key(Measure.CLICKED_MACHINE)]) == (number - bursts, bursts)
    status = await store.status("default", "m-0000")
    assert status is not None
    assert status.stage is Stage.SENT
    changes = await store.changes("default", limit=10_000)
    assert sum(change.is_correction for change in changes) == bursts
    again = await work.page("default")
    assert (again.corrected, again.stages) == (0, 0)


async def test_a_message_that_is_known_again_keeps_its_counts(database: Database) -> None:
    """Two processes: what one has counted, the other goes on counting."""
    one, two = database.store(), database.store()
    try:
        await one.record([registered("m-1"), event("opened", "m-1", user_agent=AGENT)])
        await two.record([event("opened", "m-1", user_agent=AGENT, at=NOON + SECOND)])
        counts = (await Batches(two.database).counts("default", ["2026-11"]))["2026-11"].counts
        assert (counts[Key(Measure.OPENED)], counts[Key(Measure.OPENS, "human")]) == (1, 2)
    finally:
        await one.close()
        await two.close()


async def test_messages_from_before_there_were_counts(database: Database, store: Store, batches: Batches) -> None:
    """They count for nothing until something happens to them; then for all that they are, once."""
    ids = [f"m-{number}" for number in range(4)]
    await store.record([in_batch(id_) for id_ in ids])
    await store.record([click(ids[0], "https://a/"), event("failed", ids[3])])
    await database.execute("UPDATE tracker.messages SET is_counted = FALSE")
    await database.execute("DELETE FROM tracker.batch_counts")
    await database.execute("DELETE FROM tracker.batches")
    await store.record([event("opened", ids[1], user_agent=AGENT), in_batch("m-new")])
    counts = (await counts_of(batches)).counts
    assert (counts[Key(Measure.MESSAGES)], counts[Key(Measure.OPENED)], counts[Key(Measure.CLICKED)]) == (2, 1, 0)
    await store.record([click(ids[0], "https://b/", NOON + SECOND)])
    assert min((await counts_of(batches)).counts.values()) > 0
    assert await Reclassify(store.database).page("default") == (5, 0, 0, None)
    counts = (await counts_of(batches)).counts
    assert (counts[Key(Measure.MESSAGES)], counts[Key(Measure.FAILED)], counts[Key(Measure.REACHED)]) == (5, 1, 4)
    assert counts[Key(Measure.CLICKED_MACHINE)] == 1
    await Reclassify(store.database).page("default")
    assert (await counts_of(batches)).counts == counts
