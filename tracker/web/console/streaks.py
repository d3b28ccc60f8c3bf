"""Hits that make up one burst, as one entry of a timeline.

Owns which are shown together, and what is said of them. Must not judge them: that is `core.bursts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tracker.core.bursts import SWEEP_WINDOW_US
from tracker.core.model import Event, EventType, Verdict

from . import words

Judged = tuple[Event, Verdict | None]

_SECOND_US: Final = 1_000_000


class Burst(NamedTuple):
    """What is said of several hits together."""

    title: str
    hits: int
    """How many there are."""
    reasons: list[str]


def grouped(events: Sequence[Judged]) -> list[list[Judged]]:
    """``events``, in order of time: hits of one burst that follow each other together, all others by themselves."""
    groups: list[list[Judged]] = []
    for one in events:
        if groups and _belong(groups[-1][-1], one):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _belong(before: Judged, after: Judged) -> bool:
    reasons = [set(verdict.reasons) & words.BY_COMPANY if verdict else set() for _, verdict in (before, after)]
    if not all(reasons) or after[0].occurred_at - before[0].occurred_at > SWEEP_WINDOW_US:
        return False
    source = before[0].facts.source
    # A burst may come from several sources. What its reason says holds of all its clicks together.
    return (source is not None and source == after[0].facts.source) or "burst" in reasons[0] & reasons[1]


def burst(hits: Sequence[Judged]) -> Burst:
    """What is said of ``hits``, in order of time."""
    events = [event for event, _ in hits]
    count = sum(event.count for event in events)
    seconds = max(1, -(-(max(event.last_at for event in events) - events[0].occurred_at) // _SECOND_US))
    codes = dict.fromkeys(reason for _, verdict in hits if verdict for reason in verdict.reasons)
    # That an open came with the clicks goes without saying where they stand together.
    told = [code for code in codes if code != "open_with_burst"] or list(codes)
    return Burst(f"{_what(events, count)} within {seconds} s", count, [words.reason(code) for code in told])


def _what(events: Sequence[Event], count: int) -> str:
    """``5 links and the pixel``: different ones; and how many hits, where that does not say it."""
    links = {(event.facts.link, event.facts.url) for event in events if event.facts.type == EventType.CLICKED}
    has_opens = any(event.facts.type == EventType.OPENED for event in events)
    found = [f"{len(links)} links" if len(links) > 1 else "one link"] if links else []
    found += ["the pixel"] if has_opens else []
    hits = f", {count} hits" if count > len(links) + has_opens else ""
    return words.capital(" and ".join(found)) + hits
