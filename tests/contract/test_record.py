"""What every store does with events: keep each once, and fold it into its message's status."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from databases import Database
from samples import AGENT, NOON, PROXY, event, folded, registered

from tracker.core.agents import classify
from tracker.core.model import Consent, Delivery, Event, RecipientChange, Suppression
from tracker.core.status import Status
from tracker.stores import Store

pytestmark = pytest.mark.anyio

HIT: dict[str, Any] = {
    "user_agent": AGENT,
    "accept": "image/*",
    "address": "192.0.2.0",
    "source": b"\x00\xff345678",
    "network": "v1:a",
}
URL = "https://shop.example/söck€n?q=a%20b&c=\\u0000&d=\U0001f600"


def one_of_each() -> list[Event]:
    return [
        registered(at=NOON - 5_000_000),
        event("sent", at=NOON - 4_000_000),
        event("opened", count=3, **HIT),
        event("opened", at=NOON - 3, user_agent=PROXY),
        event("clicked", link=2, url=URL, **HIT),
        event("clicked", link=0, url="https://shop.example/", purpose="prefetch"),
        event("failed", delivery=Delivery("550 5.1.1", "no such usér")),
        event("unsubscribed", list="news", **HIT),
        event("delivered", reporter="ses", reported_id="a-1", delivery=Delivery("250 2.0.0")),
        event("recipient_reset", change=RecipientChange("lead-7", resets=(Suppression.INVALID,), reason="new address")),
        event("consent_changed", change=RecipientChange("lead-7", Consent.GRANTED, Consent.UNKNOWN)),
        event("invented_later"),
    ]


async def counted(database: Database, table: str) -> int:
    (row,) = await database.execute(f"SELECT count(*) AS n FROM tracker.{table}")
    number: int = row["n"]
    return number


async def test_events_come_back_as_they_went_in(store: Store) -> None:
    events = one_of_each()
    await store.record(events)
    expected = [(each, classify(each.facts)) for each in sorted(events, key=lambda each: each.id)]
    assert await store.events("default", "m-1") == expected


async def test_events_are_listed_from_a_key_on(store: Store) -> None:
    events = [event("opened", at=NOON) for _ in range(5)]
    others = [event("opened", "m-2"), event("opened", account="other")]
    await store.record(events + others)
    ids = sorted(each.id for each in events)
    pages, after = [], b""
    while page := await store.events("default", "m-1", after=after, limit=2):
        pages.append([each.id for each, _ in page])
        after = pages[-1][-1]
    assert pages == [ids[:2], ids[2:4], ids[4:]]


async def test_status_is_the_fold_of_the_events(store: Store) -> None:
    events = one_of_each()
    await store.record(events)
    assert await store.status("default", "m-1") == folded(*events)


async def test_messages_and_accounts_are_apart(store: Store) -> None:
    mine, other, elsewhere = event("clicked"), event("opened", "m-2"), event("opened", account="other")
    await store.record([elsewhere, other, mine])
    assert await store.status("default", "m-1") == folded(mine)
    assert await store.status("default", "m-2") == folded(other)
    assert await store.status("other", "m-1") == folded(elsewhere)


@pytest.mark.parametrize("message_id", ["m-0", "", "m\0", "\ud800", "m" * 600])
async def test_nothing_is_known_of_other_messages(store: Store, message_id: str) -> None:
    await store.record([event("opened")])
    assert await store.status("default", message_id) is None
    assert await store.events("default", message_id) == []


async def test_an_empty_batch_is_nothing(store: Store) -> None:
    await store.record([])


async def test_a_repeated_batch_changes_nothing(store: Store, database: Database) -> None:
    events = one_of_each()
    await store.record(events)
    before = await database.execute("SELECT * FROM tracker.messages")
    await store.record(events)
    await store.record(list(reversed(events[:4])))
    assert await database.execute("SELECT * FROM tracker.messages") == before
    assert await counted(database, "events") == len(events)
    assert await counted(database, "verdicts") == 4


async def test_an_event_twice_in_a_batch_counts_once(store: Store) -> None:
    events = one_of_each()
    await store.record(events + events[::-1])
    assert await store.status("default", "m-1") == folded(*events)


async def test_a_user_agent_is_stored_once(store: Store, database: Database) -> None:
    for message_id in ("m-1", "m-2"):
        await store.record([event("opened", message_id, user_agent=AGENT), event("opened", user_agent=PROXY)])
    assert await counted(database, "user_agents") == 2


async def test_concurrent_overlapping_batches_count_once(database: Database) -> None:
    messages = [f"m-{number}" for number in range(40)]
    events = [
        maker(message_id) for message_id in messages for maker in (registered, lambda m: event("clicked", m, **HIT))
    ]
    events += [event("unsubscribed", message_id, user_agent=f"agent {message_id}") for message_id in messages]
    stores = [database.store() for _ in range(3)]
    try:
        for third in (events[0::3], events[1::3], events[2::3]):
            batches = (third, third[::-1], third[len(third) // 2 :] + third[: len(third) // 2])
            await asyncio.gather(*(each.record(batch) for each, batch in zip(stores, batches, strict=True)))
        for message_id in messages:
            expected = folded(*(each for each in events if each.facts.message_id == message_id))
            assert await stores[0].status("default", message_id) == expected
        assert await counted(database, "events") == len(events)
    finally:
        for each in stores:
            await each.close()


async def test_concurrent_batches_on_messages_that_are_new_to_all_of_them(database: Database) -> None:
    messages = [f"m-{number}" for number in range(40)]
    batches = [
        [registered(message_id) for message_id in messages],
        [event("clicked", message_id, **HIT) for message_id in messages],
        [event("delivered", message_id) for message_id in reversed(messages)],
    ]
    stores = [database.store() for _ in batches]
    try:
        await asyncio.gather(*(each.record(batch) for each, batch in zip(stores, batches, strict=True)))
        for message_id, *events in zip(messages, batches[0], batches[1], reversed(batches[2]), strict=True):
            assert await stores[0].status("default", message_id) == folded(*events)
    finally:
        for each in stores:
            await each.close()


async def test_the_view_says_what_the_status_says(store: Store, database: Database) -> None:
    events = one_of_each()
    started = time.time_ns() // 1000
    await store.record(events[:3])
    (earlier,) = await database.execute("SELECT * FROM tracker.message_status")
    await store.record(events[3:])
    (row,) = await database.execute("SELECT * FROM tracker.message_status")
    assert row.pop("version") > earlier["version"]
    # The clock that counts is the database's, in milliseconds at worst.
    assert started - 1000 <= earlier["updated_at"] <= row.pop("updated_at") <= time.time_ns() // 1000
    assert {**row, "links": msgspec.json.decode(row["links"])} == flat(folded(*events))


def flat(status: Status) -> dict[str, Any]:
    """The contract's fields of one message, as the view has them."""
    assert status.registration is not None
    times = [name for name in Status.__struct_fields__ if name.endswith("_at")]
    return {
        "account": status.account,
        "message_id": status.message_id,
        "batch": status.registration.batch,
        "recipient": status.registration.recipient,
        "stage": status.stage.name.lower(),
        "label": status.label,
        "last_action": status.last_action,
        "status": status.failure,
        "rewritten_at": status.rewritten_at,
        "failed_at": status.failed_at,
        **{name: getattr(status, name) for name in times},
        **{f"opens_{actor}": number for actor, number in msgspec.structs.asdict(status.opens).items()},
        **{f"clicks_{actor}": number for actor, number in msgspec.structs.asdict(status.clicks).items()},
        "links": [
            {"index": index, "url": url, "clicks": msgspec.structs.asdict(clicks)}
            for (index, url), clicks in status.links.items()
        ],
    }


async def recipients(database: Database) -> dict[tuple[str, str], tuple[int | None, int | None, int | None]]:
    return {
        (row["recipient"], row["list"]): (row["first_seen_at"], row["last_seen_at"], row["unsubscribed_at"])
        for row in await database.execute("SELECT * FROM tracker.recipients")
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0)])
async def test_an_unsubscribe_reaches_its_recipient(store: Store, database: Database, order: tuple[int, ...]) -> None:
    events = [registered(at=NOON), registered(at=NOON + 9), event("unsubscribed", at=NOON + 5)]
    for index in order:
        await store.record([events[index]])
    assert await recipients(database) == {("lead-77", "news"): (NOON, NOON + 9, NOON + 5)}


async def test_an_unsubscribe_is_from_the_list_it_names(store: Store, database: Database) -> None:
    await store.record([registered(at=NOON), event("unsubscribed", at=NOON + 5, list="offers")])
    assert await recipients(database) == {
        ("lead-77", "news"): (NOON, NOON, None),
        ("lead-77", "offers"): (None, None, NOON + 5),
    }


async def test_a_message_without_a_recipient_concerns_nobody(store: Store, database: Database) -> None:
    await store.record([registered(recipient=None), event("unsubscribed")])
    assert await recipients(database) == {}
