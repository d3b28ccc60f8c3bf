"""The state in the columns is complete: folding batch by batch ends where folding everything at once does."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterable

from databases import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import AGENT, NOON, PROXY, event, folded

from tracker.core.model import Delivery, Event, EventType, MessageClass, Registration

MESSAGES = ("m-1", "m-2")
moments = st.integers(NOON - 3, NOON + 3)
lists = st.sampled_from(["news", "offers"])
registrations = st.none() | st.builds(
    Registration,
    recipient=st.none() | st.sampled_from(["lead-1", "lead-2"]),
    batch=st.none() | st.just("b"),
    list=lists,
    message_class=st.sampled_from(MessageClass),
    tracks_opens=st.booleans(),
    tracks_clicks=st.booleans(),
    link_count=st.integers(0, 9),
    rfc822_message_id=st.none() | st.just("<ä@example>"),
)
reports = st.builds(Delivery, status_code=st.none() | st.just("550 5.1.1"), reason=st.none() | st.just("full"))


def kinds(account: str) -> st.SearchStrategy[Event]:
    """Any event of ``account``; moments are few, so that many are equal."""
    common = {"account": st.just(account), "message_id": st.sampled_from(MESSAGES), "at": moments}
    hits = {
        "count": st.integers(1, 3),
        "user_agent": st.sampled_from([None, AGENT, PROXY, "Mozilla/5.0"]),
        "purpose": st.none() | st.just("prefetch"),
    }
    link = {"link": st.none() | st.integers(0, 2), "url": st.none() | st.sampled_from(["https://a/", "https://ä/"])}
    return st.one_of(
        st.builds(event, st.just("rewritten"), registration=registrations, **common),
        st.builds(event, st.just("opened"), **hits, **common),
        st.builds(event, st.just("clicked"), **hits, **link, **common),
        st.builds(event, st.sampled_from(["failed", "dropped", "deferred"]), delivery=st.none() | reports, **common),
        st.builds(event, st.just("unsubscribed"), list=st.none() | lists, **common),
        st.builds(event, st.sampled_from(["sent", "delivered", "replied", "complained", "unheard_of"]), **common),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_in_any_batches_ends_in_the_same_state(database: Database, data: st.DataObject) -> None:
    account = f"a-{uuid.uuid4()}"
    events = data.draw(st.lists(kinds(account), min_size=1, max_size=12))
    batches = data.draw(st.lists(st.lists(st.sampled_from(events)), max_size=5))
    asyncio.run(check(database, account, events, [*batches, events]))


async def check(database: Database, account: str, events: list[Event], batches: list[list[Event]]) -> None:
    store = database.store()
    try:
        for batch in batches:
            await store.record(batch)
        for message_id in MESSAGES:
            mine = [each for each in events if each.facts.message_id == message_id]
            assert await store.status(account, message_id) == (folded(*mine) if mine else None)
        rows = await database.execute(f"SELECT * FROM tracker.recipients WHERE account = '{account}'")
        stored = {(row["recipient"], row["list"]): (row["first_seen_at"], row["unsubscribed_at"]) for row in rows}
        assert stored == recipients(events)
    finally:
        await store.close()


def recipients(events: Iterable[Event]) -> dict[tuple[str, str], tuple[int | None, int | None]]:
    """By recipient and list: when first registered, and when last unsubscribed, from all pairs of events."""
    seen, left = defaultdict[tuple[str, str], list[int]](list), defaultdict[tuple[str, str], list[int]](list)
    for first in events:
        registration = first.facts.registration
        if registration is None or registration.recipient is None:
            continue
        seen[registration.recipient, registration.list].append(first.occurred_at)
        for second in events:
            facts = second.facts
            if facts.type == EventType.UNSUBSCRIBED and facts.message_id == first.facts.message_id:
                left[registration.recipient, facts.list or registration.list].append(second.occurred_at)
    return {key: (min(seen[key], default=None), max(left[key], default=None)) for key in {*seen, *left}}
