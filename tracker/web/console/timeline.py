"""A message's page: where it stands, and all that happened to it, with who acted and why we think so.

Owns which facts of an event are shown. Must not judge them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from uuid import UUID

from starlette.responses import Response

from tracker.core.errors import NotThere
from tracker.core.model import Actor, Event, EventType, Facts, RecipientChange, Registration, Verdict
from tracker.core.status import Status
from tracker.stores import Store
from tracker.web.api.requests import event_cursor

from . import words
from .rendering import Renderer, path
from .requests import Visit
from .streaks import burst, grouped

EVENTS_PER_PAGE: Final = 200

MOST_IN_COLUMN: Final = 36
"""Chars of what is shown beside others; what is longer has a line for itself, and comes first."""

Detail = tuple[str, str]
"""What it is, and what it says."""


class Entry(NamedTuple):
    """One event as the timeline shows it."""

    event: Event
    title: str
    actor: Actor | None
    reasons: list[str]
    is_by_company: bool
    """Whether only other hits near it showed a machine: by itself it looks like a person's."""
    details: list[Detail]


class Timeline:
    """The pages of messages."""

    def __init__(self, renderer: Renderer, store: Store) -> None:
        self._renderer = renderer
        self._store = store

    async def message(self, visit: Visit) -> Response:
        """One message, with a page of its events."""
        message_id = visit.request.path_params["message_id"]
        status = await self._store.status(visit.account, message_id)
        if status is None:
            raise NotThere("There is no such message, or not yet: what was just recorded takes a moment to get here.")
        after = event_cursor(visit.query.fields.get("after", []))
        found = await self._store.events(visit.account, message_id, after=after, limit=EVENTS_PER_PAGE + 1)
        shown = found[:EVENTS_PER_PAGE]
        next_ = _next(message_id, shown[-1][0]) if len(found) > len(shown) else None
        # Pages follow the order of recording; within one, what happened first comes first.
        shown.sort(key=lambda one: (one[0].occurred_at, one[0].id))
        values = {
            "status": status,
            "registration": status.registration or Registration(),
            "stage": words.STAGES[status.stage],
            "times": _times(status),
            "links": sorted(status.links.items()),
            "groups": [
                ([_entry(*one) for one in hits], burst(hits) if len(hits) > 1 else None) for hits in grouped(shown)
            ],
            "most_in_column": MOST_IN_COLUMN,
            "next": next_,
            "is_first": not after,
        }
        return self._renderer.page("message.html", visit, values)


def _next(message_id: str, last: Event) -> str:
    return path("messages", message_id, after=str(UUID(bytes=last.id)))


_TIMES: Final = {
    "rewritten_at": "Prepared",
    "sent_at": "Sent",
    "delivered_at": "Delivered",
    "failed_at": "Failed",
    "first_opened_at": "First opened",
    "last_opened_at": "Last opened",
    "first_clicked_at": "First click",
    "last_clicked_at": "Last click",
    "replied_at": "Replied",
    "unsubscribed_at": "Unsubscribed",
    "complained_at": "Called spam",
}


def _times(status: Status) -> list[tuple[str, int]]:
    """What happened when, as far as it did."""
    times = [(name, getattr(status, field)) for field, name in _TIMES.items()]
    return [(name, at) for name, at in times if at is not None]


def _entry(event: Event, verdict: Verdict | None) -> Entry:
    reasons = verdict.reasons if verdict else ()
    details = [(name, text) for name, text in _details(event) if text]
    if verdict:
        details.append(("Judged by", f"rules version {verdict.rule_version}"))
    return Entry(
        event=event,
        title=words.event(event.facts.type),
        actor=verdict.actor if verdict else None,
        reasons=[words.reason(reason) for reason in reasons],
        is_by_company=not words.BY_COMPANY.isdisjoint(reasons),
        details=sorted(details, key=lambda one: len(one[1]) <= MOST_IN_COLUMN),
    )


def _details(event: Event) -> Iterator[tuple[str, str | None]]:
    facts = event.facts
    if facts.type in (EventType.CLICKED, EventType.REVOKED_CLICK):
        yield "Link" if facts.link is None else words.link(facts.link), facts.url
    yield "List", facts.list
    if facts.delivery:
        yield "Mail server's answer", facts.delivery.status_code
        yield "Reason", facts.delivery.reason
    if facts.registration:
        yield from _registered(facts.registration)
    if facts.change:
        yield from _changed(facts.change)
    yield from _client(facts)
    yield "Reported by", facts.reporter
    yield "Recorded on", event.node


def _registered(registration: Registration) -> Iterator[tuple[str, str | None]]:
    tracked = {"opens": registration.tracks_opens, "clicks": registration.tracks_clicks}
    yield "Batch", registration.batch
    yield "Recipient", registration.recipient
    yield "List", registration.list
    yield "Class", registration.message_class
    yield "Tracked", " and ".join(what for what, is_tracked in tracked.items() if is_tracked) or "nothing"
    yield "Links", str(registration.link_count)
    yield "Message-ID", registration.rfc822_message_id


def _changed(change: RecipientChange) -> Iterator[tuple[str, str | None]]:
    yield "Recipient", change.recipient
    yield "Opens may be tracked", change.opens
    yield "Clicks may be tracked", change.clicks
    yield "Lifted", ", ".join(change.resets)
    yield "Reason", change.reason


def _client(facts: Facts) -> Iterator[tuple[str, str | None]]:
    yield "Program", facts.user_agent
    yield "Prefetch header", facts.purpose
    yield "Accepts", facts.accept
    yield "Address", facts.address
    yield "Network", facts.network
