"""Erasing a person: every store forgets all of them, keeps the counts, and lets nothing of them back in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from databases import Database
from erasures import (
    AGENT,
    ANN,
    COMMON,
    ERASED_AT,
    KEYS,
    LATER,
    erase,
    everything,
    known_by,
    late,
    life_of_ann,
    traces,
)
from prometheus_client import REGISTRY
from samples import NOON, event, registered

from tracker.core.errors import StoreUnavailable
from tracker.stores import Store, erasing, removing
from tracker.stores.batches import Batches
from tracker.stores.erasing import Erased, Erasure
from tracker.stores.outbox import Outbox

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """An open store that knows the keys of tombstones."""
    store = known_by(database)
    await store.open()
    yield store
    await store.close()


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0


async def counts(store: Store) -> dict[str, dict[str, int]]:
    (found,) = (await Batches(store.database).counts("default", ["2026-11"])).values()
    summed: dict[str, dict[str, int]] = {}
    for (measure, key), count in found[2].items():
        summed.setdefault(measure, {})[key] = count
    return summed


async def test_all_of_the_person_goes_from_every_table(store: Store, database: Database) -> None:
    outbox = Outbox(store.database)
    for id_ in ("pending", "dead"):
        await outbox.add_endpoint(id_, "default", "https://hooks.example/", "secret")
    await store.record(life_of_ann())
    for id_ in ("pending", "dead"):
        await outbox.fill(id_, NOON)
    await database.execute("UPDATE tracker.webhook_deliveries SET state = 'dead' WHERE endpoint = 'dead'")
    said = {name for name, _ in await traces(database)}
    assert said >= {
        "events", "messages", "user_agents", "recipients", "standings", "reported_events", "changes", "batch_counts",
        "webhook_deliveries",
    }  # fmt: skip
    done = await erase(store)
    assert sorted(done.messages) == ["perl-1", "perl-2"]
    assert done.events == 11
    assert await traces(database) == []
    assert await store.recipient("default", ANN) is None
    other = await store.status("default", "other-1")
    assert other is not None
    assert other.registration is not None
    assert (other.registration.recipient, other.clicks.human) == ("bob", 1)
    rows = await database.execute("SELECT user_agent FROM tracker.user_agents")
    assert [row["user_agent"] for row in rows] == [COMMON]
    (row,) = await database.execute("SELECT count(*) AS n FROM tracker.verdicts")
    assert row["n"] == 2
    (row,) = await database.execute("SELECT count(*) AS n FROM tracker.webhook_deliveries")
    assert row["n"] > 0


async def test_the_counts_of_the_batch_stay(store: Store) -> None:
    await store.record(life_of_ann())
    before = await counts(store)
    await erase(store)
    after = await counts(store)
    sums = {measure: sum(keys.values()) for measure, keys in before.items() if measure != "keys"}
    assert {measure: sum(keys.values()) for measure, keys in after.items() if measure != "keys"} == sums
    assert (sums["messages"], sums["link_human"]) == (3, 3)
    # Only what named her is counted with others; what others use too stays what it is.
    assert before["link_human"] == {f"https://a.example/?u={ANN}": 1, "https://a.example/shared": 2}
    assert after["link_human"] == {"\N{HORIZONTAL ELLIPSIS}": 1, "https://a.example/shared": 2}
    assert all(after[measure] == keys for measure, keys in before.items() if not measure.startswith(("link", "keys")))


async def test_no_key_names_the_person_however_it_is_written_nor_of_what_was_not_counted_yet(
    store: Store, database: Database
) -> None:
    urls = [
        "https://a.example/?u=ann.perlmutter%2540example.net",
        "https://a.example/?u=ann.perlmutter&#64;example.net",
        r"https://a.example/?u=ann.perlmutter\u0040example.net",
        "https://a.example/x_perl-1_x",
    ]
    await store.record([registered("perl-1", ANN)])
    for number, url in enumerate(urls):
        at = NOON + number * 3_600_000_000
        await store.record([event("clicked", "perl-1", at=at, link=number, url=url, user_agent=COMMON)])
    before = await counts(store)
    for table in ("batches", "batch_counts"):  # as if it had been recorded before batches were counted
        await database.execute(f"DELETE FROM tracker.{table}")
    await database.execute("UPDATE tracker.messages SET is_counted = FALSE")
    await erase(store)
    after = await counts(store)
    assert set(before["link_human"]) == set(urls)
    assert after["link_human"] == {"\N{HORIZONTAL ELLIPSIS}": len(urls)}
    assert await traces(database) == []


async def test_what_comes_late_is_dropped_and_counted(store: Store, database: Database) -> None:
    life, dropped = life_of_ann(), metric("tracker_erased_total")
    await store.record(life)
    await erase(store)
    before = await everything(database)
    for batch in (late(), *([each] for each in late()), [*life, *late()]):
        await store.record(batch)
        assert await traces(database) == []
    after = await everything(database)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"tombstones"}
    # Three times what was late, and of what was delivered again all but the three of Bob's.
    assert metric("tracker_erased_total") - dropped == 3 * len(late()) + len(life) - 3
    assert await store.erased_of(again := late()) == again
    assert await store.erased_of([event("opened", "other-1"), registered("new", "bob")]) == []


async def test_others_are_recorded_beside_what_is_dropped(store: Store) -> None:
    await erase(store)
    await store.record([registered("perl-1", ANN), registered("other-1", "bob"), event("opened", "other-1")])
    assert await store.status("default", "perl-1") is None
    assert await store.status("default", "other-1") is not None


async def test_a_registration_that_was_under_way_takes_along_what_came_before_it(
    store: Store, database: Database
) -> None:
    await store.record([event("opened", "perl-1", user_agent=AGENT, address="198.51.100.77")])
    await erase(store)
    assert [name for name, _ in await traces(database)]  # whose that is nobody knows yet
    await store.record([registered("perl-1", ANN)])
    assert await traces(database) == []
    await store.record([event("clicked", "perl-1", user_agent=AGENT)])
    assert await traces(database) == []


async def test_it_can_be_repeated(store: Store, database: Database) -> None:
    await store.record(life_of_ann())
    assert len((await erase(store)).messages) == 2
    assert await erase(store, at=LATER) == Erased([], 0)
    assert await traces(database) == []
    rows = await database.execute("SELECT act, subject FROM tracker.audit")
    assert [row["act"] for row in rows] == ["recipient_erased"] * 2
    assert rows[0]["subject"] == store.digests.of_person("default", ANN)[-1].hex()


async def test_it_is_logged_once_it_is_done_and_names_nobody(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await store.record(life_of_ann())
    await erase(store)
    (line,) = [vars(record) for record in caplog.records if getattr(record, "action", "") == "audit"]
    assert (line["account"], line["actor"], line["act"]) == ("default", "api:test", "recipient_erased")
    assert "perlmutter" not in str(line)


async def test_one_that_broke_off_is_finished_by_the_next(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "PAGE_MESSAGES", 2)
    await store.record([registered(f"perl-{number}", ANN, at=NOON + number) for number in range(7)])
    pages = 0

    def breaking(keys: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise RuntimeError("broke off")
        return removing.removing(keys)

    monkeypatch.setattr(erasing, "removing", breaking)
    with pytest.raises(RuntimeError, match="broke off"):
        await erase(store)
    (row,) = await database.execute("SELECT count(*) AS n FROM tracker.messages")
    assert row["n"] == 3
    await store.record([registered("perl-8", ANN, at=NOON + 50)])
    assert await store.status("default", "perl-8") is None
    assert len((await erase(store)).messages) == 3
    assert await traces(database) == []


async def test_the_same_reference_in_another_account_is_another_person(store: Store, database: Database) -> None:
    await store.record([registered("m-1", ANN, account="other"), registered("perl-1", ANN)])
    await erase(store)
    await store.record([registered("m-2", ANN, account="other", at=LATER), event("opened", "m-1", account="other")])
    for message_id in ("m-1", "m-2"):
        assert await store.status("other", message_id) is not None
    assert await store.erased("other", [ANN]) == set()
    assert await store.erased("default", [ANN, "bob"]) == {ANN}
    assert await store.recipient("other", ANN) is not None


async def test_what_is_kept_beside_the_store_goes_before_the_store_forgets_what_it_was(store: Store) -> None:
    """If it breaks off there, the next one knows the messages still."""
    await store.record([registered("perl-1", ANN), registered("perl-2", ANN, at=NOON + 1)])
    told: list[str] = []

    def beside(names: Sequence[str]) -> None:
        told.extend(names)
        if "perl-1" in names and told.count("perl-1") == 1:
            raise OSError("the disk does not do it")

    erasure = Erasure(store.database, store.digests, beside)
    with pytest.raises(OSError, match="does not do it"):
        await erasure.erase("default", ANN, ERASED_AT, "api:test")
    erased = await erasure.erase("default", ANN, ERASED_AT, "api:test")
    assert sorted(erased.messages) == ["perl-1", "perl-2"]
    assert told == [ANN, "perl-1", "perl-2"] * 2


async def test_the_reports_go_also_where_the_file_can_not_be_scrubbed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy() -> None:
        raise StoreUnavailable("somebody reads")

    await store.record([registered("perl-1", ANN)])
    monkeypatch.setattr(store.database, "scrub", busy)
    told: list[str] = []
    with pytest.raises(StoreUnavailable, match="somebody reads"):
        await Erasure(store.database, store.digests, told.extend).erase("default", ANN, ERASED_AT, "api:test")
    assert told == [ANN, "perl-1"]


async def test_a_newer_key_does_not_bring_anybody_back(database: Database) -> None:
    old, new, none = known_by(database, KEYS[:1]), known_by(database), known_by(database, KEYS[1:])
    await old.open()
    await erase(old)
    await new.record([registered("perl-1", ANN)])
    assert await new.erased("default", [ANN]) == {ANN}
    assert await none.erased("default", [ANN]) == set()
    await erase(new)
    assert await none.erased("default", [ANN]) == {ANN}
    for store in (old, new, none):
        await store.record([registered("perl-1", ANN)])
        assert await store.status("default", "perl-1") is None
        await store.close()
