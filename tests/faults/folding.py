"""Every message's status from its stored events, folded by other code than the service's own.

Written from the contract: one pass over sorted facts, nothing incremental, no verdicts read, and every hit compared
with every other one of its message.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from .load import BATCH, READERS

Row = dict[str, Any]
Actors = Mapping[Any, str]
"""Who acted, by the ids of opens and clicks."""

SECOND = 1_000_000

_READERS = {(reader.user_agent, reader.purpose): reader for reader in READERS}


def actors(events: Iterable[Row]) -> dict[Any, str]:
    """Who acted in each open and click: as its request says, and a person's is a machine's where it is in a burst."""
    found = {}
    for hits in _by_message(event for event in events if event["type"] in ("opened", "clicked")).values():
        burst = _in_bursts(hits)
        for event in hits:
            reader = _READERS[event["user_agent"], event["purpose"]]
            actor = reader.opener if event["type"] == "opened" else reader.clicker
            found[event["id"]] = "machine" if actor == "human" and event["id"] in burst else actor
    return found


def _in_bursts(hits: list[Row]) -> set[Any]:
    """The ids of those that belong to a burst.

    That is two destinations within 5 s from one source, or three within 10 s from any. Slow sweeps are told apart only
    after a reported arrival, and the load reports none.
    """
    clicks = [event for event in hits if event["type"] == "clicked"]
    burst: dict[Any, Row] = {}
    for start in clicks:
        following = [click for click in clicks if _is_within(start, click, 10)]
        from_one = [click for click in following if click["source"] == start["source"]]
        for found, seconds, destinations in ((following, 10, 3), (from_one, 5, 2)):
            window = [click for click in found if _is_within(start, click, seconds)]
            if len({click["url"] for click in window}) >= destinations:
                burst |= {click["id"]: click for click in window}
    opens = [
        event["id"]
        for event in hits
        if event["type"] == "opened"
        and any(
            _is_within(event, click, 60) or (_is_within(click, event, 5) and click["source"] == event["source"])
            for click in burst.values()
        )
    ]
    return {*burst, *opens}


def _is_within(first: Row, second: Row, seconds: int) -> bool:
    return bool(0 <= second["occurred_at"] - first["occurred_at"] <= seconds * SECOND)


def _by_message(events: Iterable[Row]) -> dict[str, list[Row]]:
    by_message: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        by_message[event["message_id"]].append(event)
    return by_message


def statuses(events: Iterable[Row], who: Actors) -> dict[str, Row]:
    """The rows that the view ``message_status`` must have, by message."""
    return {message_id: _status(message_id, found, who) for message_id, found in _by_message(events).items()}


def _status(message_id: str, events: list[Row], who: Actors) -> Row:
    of = {type_: [e for e in events if e["type"] == type_] for type_ in ("rewritten", "unsubscribed")}
    opens, clicks = _counts(events, "opened", who), _counts(events, "clicked", who)
    opened = _times(events, "opened", ("human", "proxy"), who)
    clicked = _times(events, "clicked", ("human",), who)
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
        "links": _links(events, who),
    }


def _counts(events: Iterable[Row], type_: str, who: Actors) -> dict[str, int]:
    counts = {"human": 0, "proxy": 0, "machine": 0}
    for event in events:
        if event["type"] == type_:
            counts[who[event["id"]]] += event["count"]
    return counts


def _times(events: Iterable[Row], type_: str, by: tuple[str, ...], who: Actors) -> tuple[int | None, int | None]:
    found = [e for e in events if e["type"] == type_ and who[e["id"]] in by]
    first = min((e["occurred_at"] for e in found), default=None)
    return first, max((e["last_at"] for e in found), default=None)


def _links(events: Iterable[Row], who: Actors) -> dict[tuple[int, str], dict[str, int]]:
    by_link: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for event in events:
        if event["type"] == "clicked":
            by_link[event["link"], event["url"]].append(event)
    return {link: _counts(found, "clicked", who) for link, found in by_link.items()}


def batch_counts(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    """What must be counted of the batch, as far as it is counted here, for the rows that `statuses` gives."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["batch"] != BATCH:
            continue
        counts["messages", ""] += 1
        counts["clicked", ""] += row["first_clicked_at"] is not None
        counts["opened", ""] += row["first_clicked_at"] is not None or row["first_opened_at"] is not None
        for actor in ("human", "proxy", "machine"):
            for hits in ("opens", "clicks"):
                counts[hits, actor] += row[f"{hits}_{actor}"]
    return {key: count for key, count in counts.items() if count}


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
            # What the clock of that moment dated in the future is known since it was put down.
            left[owner[event["message_id"]], event["list"]].append(min(event["occurred_at"], event["recorded_at"]))
    return {key: (min(times), max(times), max(left[key], default=None)) for key, times in seen.items()}
