"""Verdicts do not depend on when what is recorded: a later hit changes those on earlier ones, and all that follows."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

import msgspec
import pytest
from databases import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import AGENT, NOON, PROXY, event, folded, registered

from tracker.core.accounts import Account
from tracker.core.agents import ClassifierSettings
from tracker.core.batches import counted, share_of
from tracker.core.model import Event
from tracker.core.status import Stage
from tracker.stores import Store, judging
from tracker.stores.accounts import Accounts
from tracker.stores.batches import Batches
from tracker.stores.counting import KEYS

SECOND = 1_000_000
CLASSIFIERS = (
    ClassifierSettings(),
    ClassifierSettings(quick_open_s=30, quick_click_s=10),
    ClassifierSettings(probable_networks=False, burst_s=2),
    ClassifierSettings(bursts=False, quick_click_s=10),
)
moments = st.sampled_from([-250, -180, -120, -70, -60, -30, -10, -6, -5, -3, 0, 2, 5, 8, 10, 15, 60, 70, 120, 250]).map(
    lambda seconds: NOON + seconds * SECOND
)
hits = {
    "at": moments,
    "user_agent": st.sampled_from([AGENT, AGENT, AGENT, PROXY]),
    "source": st.sampled_from([b"source-1", b"source-2"]),
    "network": st.sampled_from([None, None, None, "a-filter/any/probable/2026-11-23"]),
}
clicks = st.builds(
    event,
    st.just("clicked"),
    link=st.just(0),
    url=st.sampled_from(["https://a/", "https://b/", "https://c/", "https://d/", "https://e/"]),
    honeypot=st.sampled_from([False] * 9 + [True]),
    **hits,
)
opens = st.builds(event, st.just("opened"), **hits)
arrivals = st.builds(event, st.sampled_from(["sent", "delivered"]), at=moments)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    classifier=st.sampled_from(CLASSIFIERS),
    events=st.lists(st.one_of(clicks, clicks, clicks, opens, arrivals), min_size=2, max_size=9),
    data=st.data(),
)
def test_any_batches_end_in_the_same_verdicts(
    database: Database, classifier: ClassifierSettings, events: list[Event], data: st.DataObject
) -> None:
    account = f"a-{uuid.uuid4().hex[:20]}"
    mine = [_of(each, account) for each in [registered(), *events]]
    marks = data.draw(st.lists(st.booleans(), min_size=len(mine), max_size=len(mine)))
    batches: list[list[Event]] = [[]]
    for each, ends in zip(data.draw(st.permutations(mine)), marks, strict=True):
        batches[-1].append(each)
        if ends:
            batches.append([])
    asyncio.run(_check(database, account, classifier, mine, batches))


def _of(each: Event, account: str) -> Event:
    return msgspec.structs.replace(each, facts=msgspec.structs.replace(each.facts, account=account))


async def _check(
    database: Database, account: str, classifier: ClassifierSettings, events: list[Event], batches: list[list[Event]]
) -> None:
    store = database.store()
    accounts = Accounts(store.database)
    try:
        await accounts.add_account(Account(account, f"https://{account}.example"), "https://t.example")
        await accounts.put_settings(account, {"classifier": msgspec.to_builtins(classifier)})
        for batch in batches:
            await store.record(batch)
        expected = folded(*events, settings=classifier)
        assert await store.status(account, "m-1") == expected
        stored = await store.events(account, "m-1")
        by_actor = Counter(verdict.actor for _, verdict in stored if verdict)
        totals = [msgspec.structs.asdict(counts) for counts in (expected.opens, expected.clicks)]
        assert by_actor == Counter({actor: totals[0][actor] + totals[1][actor] for actor in totals[0]})
        counts = (await Batches(store.database).counts(account, ["2026-11"]))["2026-11"].counts
        assert {key: count for key, count in counts.items() if key.measure != KEYS} == counted(share_of(expected))
    finally:
        await store.close()


def click(url: str, at: int, source: bytes = b"source-1") -> Event:
    return event("clicked", at=at, link=1, url=url, user_agent=AGENT, source=source)


@pytest.mark.anyio
async def test_a_burst_takes_a_lone_click_back_and_a_later_one_counts_again(store: Store) -> None:
    await store.record([registered(), event("opened", at=NOON - SECOND, user_agent=AGENT)])
    await store.record([click("https://a/", NOON)])
    assert await stage(store) is Stage.CLICKED
    await store.record([click("https://b/", NOON + 5 * SECOND)])
    assert await stage(store) is Stage.SENT
    verdicts = [verdict for _, verdict in await store.events("default", "m-1") if verdict]
    assert [(verdict.actor, verdict.reasons) for verdict in verdicts] == [
        ("machine", ("open_with_burst",)),
        ("machine", ("burst_from_one_source",)),
        ("machine", ("burst_from_one_source",)),
    ]
    await store.record([click("https://a/", NOON + 600 * SECOND)])
    assert await stage(store) is Stage.CLICKED
    changes = await store.changes("default")
    told = [(change.stage, change.previous_stage, change.is_correction) for change in changes]
    assert told == [
        ("opened", None, False),
        ("clicked", "opened", False),
        ("sent", "clicked", True),
        ("clicked", "sent", False),
    ]


@pytest.mark.anyio
async def test_a_late_report_of_the_delivery_changes_verdicts(store: Store) -> None:
    await Accounts(store.database).put_settings("default", {"classifier": {"quick_open_s": 10}})
    await store.record([registered(), event("opened", at=NOON + 9 * SECOND, user_agent=AGENT)])
    assert await stage(store) is Stage.OPENED
    await store.record([event("delivered", at=NOON)])
    assert await stage(store) is Stage.DELIVERED


async def stage(store: Store) -> Stage:
    status = await store.status("default", "m-1")
    assert status is not None
    return status.stage


@pytest.mark.anyio
async def test_settings_of_a_newer_tracker_stop_nothing(store: Store) -> None:
    await Accounts(store.database).put_settings("default", {"classifier": {"bursts": False, "of_tomorrow": 1}})
    await store.record([registered(), click("https://a/", NOON), click("https://b/", NOON)])
    assert await stage(store) is Stage.SENT


@pytest.mark.anyio
async def test_only_so_many_hits_are_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else whoever has one link could make recording slow for everybody."""
    monkeypatch.setattr(judging, "MOST_NEAR", 3)
    await store.record([registered(), *(click("https://a/", NOON + number * 1000) for number in range(10))])
    await store.record([click("https://b/", NOON + SECOND)])
    status = await store.status("default", "m-1")
    assert status is not None
    assert (status.clicks.human, status.clicks.machine) == (7, 4)
    assert (status.first_clicked_at, status.last_clicked_at) == (NOON, NOON + 6000)
    assert status.devices == {"desktop/Linux/Firefox": 7}
