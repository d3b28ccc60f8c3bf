"""Every message's status from its stored events, folded by other code than the service's own.

Written from the contract: one pass over sorted facts, nothing incremental, no verdicts read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .load import READERS

Row = dict[str, Any]

_ACTORS = {(reader.user_agent, reader.purpose): reader for reader in READERS}


def actor_of(event: Row) -> str | None:
    """Who acted, where the type of the event has such a one."""
    reader = _ACTORS[event["user_agent"], event["purpose"]]
    return {"opened": reader.opener, "clicked": reader.clicker}.get(event["type"])


def statuses(events: Iterable[Row]) -> dict[str, Row]:
    """The rows that the view ``message_status`` must have, by message."""
    by_message: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        by_message[event["message_id"]].append(event)
    return {message_id: _status(message_id, found) for message_id, found in by_message.items()}


def _status(message_id: str, events: list[Row]) -> Row:
    of = {type_: [e for e in events if e["type"] == type_] for type_ in ("rewritten", "unsubscribed")}
    opens, clicks = _counts(events, "opened"), _counts(events, "clicked")
    opened = _times(events, "opened", ("human", "proxy"))
    clicked = _times(events, "clicked", ("human",))
    left = min((e["occurred_at"] for e in of["unsubscribed"]), default=None)
    stage = "unsubscribed" if left else "clicked" if clicked[0] else "opened" if opened[0] else "sent"
    first = min(of["rewritten"], key=lambda e: (e["occurred_at"], e["id"]), default=None)
    registration = json.loads(first["detail"])["registration"] if first else {}
    return {
        "account": "default",
        "message_id": message_id,
        "batch": registration.get("batch"),
        "recipient": registration.get("recipient"),
        "stage": stage,
        "label": None if stage == "sent" else stage.capitalize(),
        "last_action": stage.capitalize(),
        "rewritten_at": first["occurred_at"] if first else None,
        "first_opened_at": opened[0],
        "last_opened_at": opened[1],
        "first_clicked_at": clicked[0],
        "last_clicked_at": clicked[1],
        "unsubscribed_at": left,
        **{f"opens_{actor}": opens[actor] for actor in ("human", "proxy", "machine")},
        **{f"clicks_{actor}": clicks[actor] for actor in ("human", "proxy", "machine")},
        "links": _links(events),
    }


def _counts(events: Iterable[Row], type_: str) -> dict[str, int]:
    counts = {"human": 0, "proxy": 0, "machine": 0}
    for event in events:
        if event["type"] == type_:
            counts[actor_of(event) or ""] += event["count"]
    return counts


def _times(events: Iterable[Row], type_: str, actors: tuple[str, ...]) -> tuple[int | None, int | None]:
    found = [e for e in events if e["type"] == type_ and actor_of(e) in actors]
    first = min((e["occurred_at"] for e in found), default=None)
    return first, max((e["last_at"] for e in found), default=None)


def _links(events: Iterable[Row]) -> dict[tuple[int, str], dict[str, int]]:
    by_link: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for event in events:
        if event["type"] == "clicked":
            by_link[event["link"], event["url"]].append(event)
    return {link: _counts(found, "clicked") for link, found in by_link.items()}


def recipients(events: Iterable[Row]) -> dict[tuple[str, str], tuple[int, int, int | None]]:
    """What must be known of each recipient and list: first and last registration, and the last unsubscribe."""
    seen: dict[tuple[str, str], list[int]] = defaultdict(list)
    left: dict[tuple[str, str], list[int]] = defaultdict(list)
    owner: dict[str, str] = {}
    events = list(events)
    for event in events:
        if event["type"] == "rewritten":
            registration = json.loads(event["detail"])["registration"]
            owner[event["message_id"]] = registration["recipient"]
            seen[registration["recipient"], registration["list"]].append(event["occurred_at"])
    for event in events:
        if event["type"] == "unsubscribed" and event["message_id"] in owner:
            left[owner[event["message_id"]], event["list"]].append(event["occurred_at"])
    return {key: (min(times), max(times), max(left[key], default=None)) for key, times in seen.items()}
