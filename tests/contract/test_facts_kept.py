"""What the edge found out about a hit is there again when the event is read, on every store."""

from __future__ import annotations

import json

import pytest
from databases import Database
from samples import AGENT, NOON, event

from tracker.core.model import Delivery, Event, RecipientChange
from tracker.stores import Store

pytestmark = pytest.mark.anyio

NETWORK = "microsoft-defender/any/certain/2026-11-23"


async def stored(store: Store, *events: Event) -> list[Event]:
    await store.record(list(events))
    return [each for each, _ in await store.events("default", "m-1")]


@pytest.mark.parametrize("honeypot", [True, False])
@pytest.mark.parametrize("network", [NETWORK, None])
async def test_network_and_honeypot_come_back(store: Store, network: str | None, honeypot: bool) -> None:
    made = event("clicked", link=0, url="https://a.example/", user_agent=AGENT, network=network, honeypot=honeypot)
    (found,) = await stored(store, made)
    assert found == made
    assert (found.facts.network, found.facts.honeypot) == (network, honeypot)


async def test_a_hidden_link_and_the_one_it_stands_for_stay_apart(store: Store) -> None:
    both = [event("clicked", link=0, url="https://a.example/", at=NOON + at, honeypot=bool(at)) for at in (0, 1)]
    assert await stored(store, *both) == sorted(both, key=lambda each: each.id)


async def test_other_details_are_not_taken_for_it(store: Store) -> None:
    made = [
        event("failed", delivery=Delivery("550", '{"honeypot": true}')),
        event("consent_changed", change=RecipientChange("honeypot")),
        event("opened"),
    ]
    assert not any(each.facts.honeypot for each in await stored(store, *made))


async def test_it_is_in_the_detail_of_its_row(store: Store, database: Database) -> None:
    await stored(store, event("clicked", honeypot=True))
    (row,) = await database.execute("SELECT detail FROM tracker.events")
    detail = row["detail"]
    assert (json.loads(detail) if isinstance(detail, str) else detail) == {"honeypot": True}
