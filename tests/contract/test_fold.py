"""The state in the columns is complete: folding batch by batch ends where folding everything at once does.

That goes for the verdicts, which later events change, and for the counts of batches, too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec
from databases import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import AGENT, NOON, PROXY, event, folded

from tracker.core.accounts import Account
from tracker.core.agents import ClassifierSettings
from tracker.core.batches import counted, share_of
from tracker.core.model import Delivery, Event, EventType, MessageClass, Registration
from tracker.stores.accounts import Accounts
from tracker.stores.batches import Batches
from tracker.stores.counting import KEYS

MESSAGES = ("m-1", "m-2")
SECOND = 1_000_000
moments = st.sampled_from([-700, -130, -71, -70, -60, -10, -6, -5, -4, 0, 3, 5, 10, 11, 60, 70, 130]).map(
    lambda seconds: NOON + seconds * SECOND
)
classifiers = st.builds(
    ClassifierSettings,
    bursts=st.booleans(),
    probable_networks=st.booleans(),
    quick_open_s=st.sampled_from([0, 10]),
    quick_click_s=st.sampled_from([0, 5]),
)
lists = st.sampled_from(["news", "offers"])
registrations = st.none() | st.builds(
    Registration,
    recipient=st.none() | st.sampled_from(["lead-1", "lead-2"]),
    batch=st.none() | st.sampled_from(["b-1", "b-2"]),
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
        "source": st.none() | st.sampled_from([b"source-1", b"source-2"]),
        "network": st.none() | st.just("a-filter/any/probable/2026-11-23"),
    }
    link = {
        "link": st.none() | st.integers(0, 2),
        "url": st.none() | st.sampled_from(["https://a/", "https://ä/", "https://b/", "https://b/" + "x" * 600]),
        "honeypot": st.sampled_from([False, False, False, True]),
    }
    return st.one_of(
        st.builds(event, st.just("rewritten"), registration=registrations, **common),
        st.builds(event, st.just("opened"), **hits, **common),
        st.builds(event, st.just("clicked"), **hits, **link, **common),
        st.builds(event, st.sampled_from(["failed", "dropped", "deferred"]), delivery=st.none() | reports, **common),
        st.builds(event, st.just("unsubscribed"), list=st.none() | lists, **common),
        st.builds(event, st.sampled_from(["sent", "delivered", "replied", "complained", "unheard_of"]), **common),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_in_any_batches_ends_in_the_same_state(database: Database, data: st.DataObject) -> None:
    account = f"a-{uuid.uuid4()}"
    classifier = data.draw(classifiers)
    events = data.draw(st.lists(kinds(account), min_size=1, max_size=16))
    batches = data.draw(st.lists(st.lists(st.sampled_from(events)), max_size=5))
    asyncio.run(check(database, account, classifier, events, [*batches, events]))


async def check(
    database: Database, account: str, classifier: ClassifierSettings, events: list[Event], batches: list[list[Event]]
) -> None:
    store = database.store()
    try:
        await Accounts(store.database).add_account(Account(account, f"https://{account}.example"), "https://t")
        await Accounts(store.database).put_settings(account, {"classifier": msgspec.to_builtins(classifier)})
        for batch in batches:
            await store.record(batch)
        counts: Counter[tuple[str, ...]] = Counter()
        for message_id in MESSAGES:
            mine = [each for each in events if each.facts.message_id == message_id]
            status = folded(*mine, settings=classifier) if mine else None
            assert await store.status(account, message_id) == status
            for key, count in counted(share_of(status)).items() if status else ():
                name = status.registration.batch if status and status.registration else ""
                counts[name or "", *key] += count
        stored_counts = await Batches(store.database).counts(account, ["b-1", "b-2"])
        assert counts == {
            (name, *key): count
            for name, batch in stored_counts.items()
            for key, count in batch.counts.items()
            if key.measure != KEYS
        }
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
