"""What comes of erased people once an operator lets them back in, or an id of theirs is given again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from databases import Database
from erasures import AGENT, ANN, IDS, LATER, erase, known_by, life_of_ann, reset, traces
from samples import NOON, event, registered

from tracker.stores import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    """An open store that knows the keys of tombstones."""
    store = known_by(database)
    await store.open()
    yield store
    await store.close()


async def test_an_operators_reset_lets_the_person_back_in_and_nothing_of_before(
    store: Store, database: Database
) -> None:
    await store.record(life_of_ann())
    await erase(store)
    await store.record([reset(at=NOON)])  # one of before
    assert await store.erased("default", [ANN]) == {ANN}
    await store.record([reset(at=LATER), registered("new-1", ANN, at=LATER + 1)])
    assert await store.erased("default", [ANN]) == set()
    await store.record(
        [*life_of_ann(), event("opened", "perl-2", at=LATER + 2), event("opened", "new-1", at=LATER + 3)]
    )
    assert await store.status("default", "new-1") is not None
    for message_id in IDS:
        assert await store.status("default", message_id) is None
    rows = await database.execute("SELECT message_id FROM tracker.events ORDER BY occurred_at")
    assert [row["message_id"] for row in rows if row["message_id"] != "other-1"] == ["", "new-1", "new-1"]
    await erase(store, at=LATER + 10)
    assert await store.erased("default", [ANN]) == {ANN}
    await store.record([reset(at=LATER)])  # delivered once more
    assert await store.erased("default", [ANN]) == {ANN}
    assert await traces(database) == []


@pytest.mark.parametrize("recipient", [ANN, "bob", None], ids=["hers", "anothers", "nobodys"])
async def test_an_id_given_again_after_the_erasure_is_of_the_new_message(store: Store, recipient: str | None) -> None:
    """Or an unsubscribe from it would be confirmed and kept nowhere."""
    await store.record([registered("perl-1", ANN)])
    await erase(store)
    await store.record([reset(at=LATER)])
    new = [registered("perl-1", recipient, at=LATER + 1), event("unsubscribed", "perl-1", at=LATER + 2, list="news")]
    for batch in (new, [event("opened", "perl-1", at=LATER + 3)]):
        await store.record(batch)
    status = await store.status("default", "perl-1")
    assert status is not None
    assert status.unsubscribed_at == LATER + 2
    if recipient is not None:
        known = await store.recipient("default", recipient)
        assert known is not None
        assert [one.list for one in known[1] if one.is_unsubscribed] == ["news"]


async def test_what_is_late_is_dropped_also_where_an_id_was_given_again(store: Store, database: Database) -> None:
    await store.record([registered("perl-1", ANN)])
    await erase(store)
    await store.record([registered("perl-1", "bob", at=LATER)])
    old = [
        registered("perl-1", ANN, at=NOON),
        registered("perl-1", ANN, at=LATER + 1),
        event("clicked", "perl-1", at=NOON + 1, user_agent=AGENT, address="198.51.100.77"),
    ]
    for late_ in old:
        await store.record([late_])
    assert await store.erased_of(old) == old
    status = await store.status("default", "perl-1")
    assert status is not None
    assert status.registration is not None
    assert (status.registration.recipient, status.clicks.human) == ("bob", 0)
    rows = await database.execute("SELECT occurred_at FROM tracker.events")
    assert len(rows) == 1


async def test_what_was_set_aside_of_a_message_whose_id_was_given_again_stays(store: Store) -> None:
    await erase(store)
    await store.record([registered("perl-1", ANN)])
    again = [registered("perl-1", "bob", at=LATER), event("opened", "perl-1", at=LATER + 1)]
    assert await store.erased_of(again) == []
    assert await store.erased_of(again[1:]) == again[1:]


@pytest.mark.parametrize("type_", ["unsubscribed", "complained"])
async def test_an_objection_from_a_mail_of_before_undoes_the_reset(
    store: Store, database: Database, type_: str
) -> None:
    """Nobody knows any more which list of whose it is of, and the page says that it is done."""
    await store.record([registered("perl-1", ANN), registered("perl-2", "bob")])
    await erase(store)
    await erase(store, "bob")
    await store.record([reset(at=LATER), reset("bob", at=LATER)])
    await store.record([event(type_, "perl-1", at=LATER - 1, list="news")])  # the reset knew of it
    assert await store.erased("default", [ANN, "bob"]) == set()
    await store.record([event("opened", "perl-1", at=LATER + 1), event("opened", "perl-2", at=LATER + 1)])
    assert await store.erased("default", [ANN, "bob"]) == set()
    await store.record([event(type_, "perl-1", at=at, list="news") for at in (LATER + 3, LATER + 2)])
    assert await store.erased("default", [ANN, "bob"]) == {ANN}
    await store.record([reset(at=LATER + 3)])
    assert await store.erased("default", [ANN]) == {ANN}
    await store.record([reset(at=LATER + 4)])
    assert await store.erased("default", [ANN]) == set()
    (row,) = await database.execute("SELECT count(*) AS n FROM tracker.events WHERE message_id <> ''")
    assert row["n"] == 0


async def test_an_objection_that_comes_before_the_reset_it_is_later_than_is_heeded(store: Store) -> None:
    await store.record([registered("perl-1", ANN)])
    await erase(store)
    await store.record([event("unsubscribed", "perl-1", at=LATER + 1, list="news")])
    await store.record([reset(at=LATER)])
    assert await store.erased("default", [ANN]) == {ANN}


async def test_an_objection_before_the_registration_of_the_new_message_is_heeded(store: Store) -> None:
    """As it comes from two nodes."""
    await store.record([registered("perl-1", ANN)])
    await erase(store)
    await store.record([reset(at=LATER)])
    await store.record([event("unsubscribed", "perl-1", at=LATER + 2, list="news")])
    await store.record([registered("perl-1", ANN, at=LATER + 1)])
    assert await store.erased("default", [ANN]) == {ANN}
