"""Bursts: several destinations of one message followed within seconds, as mail filters do and people don't.

Owns how close together is too close. The rule is symmetric in time: what comes later condemns what came before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .model import Event, EventType

_SECOND_US: Final = 1_000_000

SOURCE_WINDOW_US: Final = 5 * _SECOND_US
SOURCE_DESTINATIONS: Final = 2
"""So many destinations within `SOURCE_WINDOW_US`, or less where an account says so, from one source are a burst."""

ANY_WINDOW_US: Final = 10 * _SECOND_US
ANY_DESTINATIONS: Final = 3
"""So many within `ANY_WINDOW_US` from any source are one, too: filters come from several addresses."""

SWEEP_WINDOW_US: Final = 120 * _SECOND_US
SWEEP_DESTINATIONS: Final = 5
SWEEP_AFTER_US: Final = 600 * _SECOND_US
"""And so many within `SWEEP_WINDOW_US` from one are a slow filter's, all of them within `SWEEP_AFTER_US` of the mail's
arrival. Later it may be a reader of a digest."""

EARLY_US: Final = 60 * _SECOND_US
"""A hit this long before the reported arrival still counts as one soon after it: filters look before they accept.
Where it is longer before, the report's time must be wrong."""

HONEYPOT_US: Final = 10 * _SECOND_US
"""A click this near to one on the hidden link is the same machine's."""

OPEN_BEFORE_US: Final = 60 * _SECOND_US
"""An open this long before a click of a burst belongs to it: a filter loads the mail, then tries its links, of half of
the bursts seen more than 33 s after that."""

OPEN_AFTER_US: Final = 5 * _SECOND_US
"""An open from the same source this long after one belongs to it, too."""

REACH_US: Final = OPEN_BEFORE_US + SWEEP_WINDOW_US
"""Whether a hit belongs to a burst depends on nothing that is further away than this."""

_CLICKED: Final = EventType.CLICKED.value


def found_in(
    hits: Iterable[Event], source_window_us: int = SOURCE_WINDOW_US, arrived: int | None = None
) -> dict[bytes, str]:
    """Those of ``hits``, opens and clicks of one message, that belong to a burst, by id, each with the reason.

    ``arrived`` is when the mail did, in microseconds since the epoch: without it, slow filters can't be told apart.
    """
    hits = list(hits)
    if not any(event.facts.type == _CLICKED for event in hits):
        return {}
    hits.sort(key=lambda event: (event.occurred_at, event.id))
    clicks = [event for event in hits if event.facts.type == _CLICKED]
    found = {event.id: "near_honeypot" for event in _near_honeypot(clicks)}
    found |= {event.id: "burst" for event in _bursts(clicks, ANY_WINDOW_US, ANY_DESTINATIONS)}
    for of_source in _by_source(clicks):
        soon = [event for event in of_source if arrived is not None and _is_soon(event, arrived)]
        found |= {event.id: "sweep_from_one_source" for event in _bursts(soon, SWEEP_WINDOW_US, SWEEP_DESTINATIONS)}
        burst = _bursts(of_source, source_window_us, SOURCE_DESTINATIONS)
        found |= {event.id: "burst_from_one_source" for event in burst}
    if found:
        opens = [event for event in hits if event.facts.type != _CLICKED]
        belonging = _belonging(opens, [event for event in clicks if event.id in found])
        found |= {event.id: "open_with_burst" for event in belonging}
    return found


def _is_soon(event: Event, arrived: int) -> bool:
    return arrived - EARLY_US <= event.occurred_at <= arrived + SWEEP_AFTER_US


def _by_source(clicks: Sequence[Event]) -> Iterable[list[Event]]:
    sources: dict[bytes, list[Event]] = defaultdict(list)
    for event in clicks:
        if event.facts.source is not None:
            sources[event.facts.source].append(event)
    return sources.values()


def _bursts(clicks: Sequence[Event], window_us: int, destinations: int) -> Iterator[Event]:
    """Those of ``clicks``, in order of time, that are within ``window_us`` of so many different destinations."""
    in_window: Counter[str | None] = Counter()
    left = marked = 0
    for right, click in enumerate(clicks):
        if not click.facts.honeypot:
            in_window[click.facts.url] += 1
        while click.occurred_at - clicks[left].occurred_at > window_us:
            gone = clicks[left]
            left += 1
            if not gone.facts.honeypot:
                in_window[gone.facts.url] -= 1
                if not in_window[gone.facts.url]:
                    del in_window[gone.facts.url]
        if len(in_window) >= destinations:
            yield from clicks[max(left, marked) : right + 1]
            marked = right + 1


def _near_honeypot(clicks: Sequence[Event]) -> Iterator[Event]:
    times = [click.occurred_at for click in clicks]
    done = 0
    for at in [click.occurred_at for click in clicks if click.facts.honeypot]:
        end = bisect_right(times, at + HONEYPOT_US)
        yield from clicks[max(done, bisect_left(times, at - HONEYPOT_US)) : end]
        done = end


def _belonging(opens: Iterable[Event], burst: Sequence[Event]) -> Iterator[Event]:
    """Those of ``opens`` that belong to the clicks of ``burst``, which are in order of time."""
    times = [click.occurred_at for click in burst]
    by_source: dict[bytes | None, list[int]] = defaultdict(list)
    for click in burst:
        by_source[click.facts.source].append(click.occurred_at)
    for event in opens:
        at, source = event.occurred_at, event.facts.source
        after = by_source.get(source, ()) if source is not None else ()
        if _any_within(times, at, at + OPEN_BEFORE_US) or _any_within(after, at - OPEN_AFTER_US, at):
            yield event


def _any_within(times: Sequence[int], first: int, last: int) -> bool:
    return bisect_left(times, first) < bisect_right(times, last)
