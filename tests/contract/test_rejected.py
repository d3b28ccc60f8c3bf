"""What one store can never take, no store takes, and nothing of its batch either."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from databases import Database
from samples import NOON, event, registered

from tracker.core.errors import EventRejected
from tracker.core.model import Delivery, Event
from tracker.stores import Store, limits

pytestmark = pytest.mark.anyio


def altered(**fields: Any) -> Event:
    return msgspec.structs.replace(event("opened"), **fields)


REJECTED = {
    "NUL in a URL": event("clicked", url="https://a/\0"),
    "NUL in a user agent": event("opened", user_agent="a\0b"),
    "NUL behind a backslash": event("opened", user_agent="\\\0"),
    "NUL in a reason": event("failed", delivery=Delivery("550", "\0")),
    "NUL in a message id": event("opened", "m\0"),
    "half a surrogate pair": event("clicked", url="https://a/\ud83d"),
    "half a pair in a key": event("clicked", "\ud83d"),
    "long message id": event("opened", "m" * 513),
    "long recipient": registered(recipient="é" * 257),
    "no hit": altered(count=0),
    "too many hits": altered(count=2**31),
    "negative link": event("clicked", link=-1),
    "huge link": event("clicked", link=2**40),
    "before 1970": altered(occurred_at=-1),
    "after 9999": altered(last_at=limits.MAX_TIME + 1),
    "short id": altered(id=b"short"),
    "wide version": event("opened", version=2**15),
}

ACCEPTED = {
    "u0000 spelled out": event("clicked", url="https://a/\\u0000", user_agent="\\\\u0000"),
    "a whole pair": event("clicked", url="https://a/\U0001f600"),
    "longest keys": registered("é" * 256, "r" * 512, list_="l" * 512, account="a" * 512),
    "most hits": altered(count=2**31 - 1),
    "earliest": altered(occurred_at=0, last_at=0, recorded_at=0),
    "latest": altered(last_at=limits.MAX_TIME),
    "empty text": event("", "", url="", user_agent="", source=b"", account=""),
}


@pytest.mark.parametrize("bad", REJECTED.values(), ids=REJECTED)
async def test_rejected_with_its_whole_batch(store: Store, database: Database, bad: Event) -> None:
    with pytest.raises(EventRejected):
        await store.record([event("opened", "m-good"), bad])
    assert await store.status("default", "m-good") is None
    assert await database.execute("SELECT id FROM tracker.events") == []


@pytest.mark.parametrize("good", ACCEPTED.values(), ids=ACCEPTED)
async def test_accepted_up_to_the_limits(store: Store, good: Event) -> None:
    await store.record([good])
    (stored,) = await store.events(good.facts.account, good.facts.message_id)
    assert stored[0] == good


@pytest.mark.parametrize(
    "bad", [altered(count=2**80), event("clicked", url="\ud83d"), altered(occurred_at=NOON * 10**6)], ids=repr
)
async def test_what_the_limits_miss_the_database_rejects(
    store: Store, monkeypatch: pytest.MonkeyPatch, bad: Event
) -> None:
    monkeypatch.setattr(limits, "check", lambda events: None)
    with pytest.raises(EventRejected) as caught:
        await store.record([event("opened", "m-good"), bad])
    assert caught.value.__cause__ is not None
    assert await store.status("default", "m-good") is None
