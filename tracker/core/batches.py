"""What each message adds to the counts of its batch, as a function of its status.

Owns the measures and their keys. The counts of a batch are the sum over its messages, so a status that changes adds
the difference. Must not know where counts are kept, nor compare batches: that is `report`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from .model import Actor
from .status import Counts, Stage, Status

HOUR_US: Final = 3_600_000_000


class Measure(enum.StrEnum):
    """What is counted: messages, if nothing else is said. Those with a key are counted for each key apart."""

    MESSAGES = "messages"
    TRACKED_OPENS = "tracked_opens"
    TRACKED_CLICKS = "tracked_clicks"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    """By the reply code, ``Dropped``, or nothing where none was given."""
    REACHED = "reached"
    """Those that did not fail, as far as is known: the stage is another."""
    REACHED_OPENS = "reached_opens"
    """Reached, and opens are tracked: what an open rate is a share of."""
    REACHED_CLICKS = "reached_clicks"
    OPENED = "opened"
    """Opened by a person, directly or through an image proxy, or clicked by one; opens are tracked."""
    OPENED_PROXY = "opened_proxy"
    """Of those: seen through image proxies alone."""
    OPENED_IMPLIED = "opened_implied"
    """Of those: no open was seen, but a click."""
    OPENED_MACHINE = "opened_machine"
    """Opened by machines alone, so not among those."""
    CLICKED = "clicked"
    """By a person; clicks are tracked."""
    CLICKED_MACHINE = "clicked_machine"
    """By machines alone, so not among those."""
    OPENED_BOTH = "opened_both"
    """Opened, where both opens and clicks are tracked: what clicks are a share of in click-to-open."""
    CLICKED_BOTH = "clicked_both"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    OPENS = "opens"
    """Hits, by actor."""
    CLICKS = "clicks"
    """Hits, by actor."""
    OPENERS = "openers"
    """Messages, by each actor who opened them."""
    CLICKERS = "clickers"
    """Messages, by each actor who clicked in them."""
    OPENED_HOUR = "opened_hour"
    """`OPENED`, by the hour of the first open or click: whole hours since the epoch."""
    CLICKED_HOUR = "clicked_hour"
    """`CLICKED`, by the hour of the first click."""
    DEVICE = "device"
    """Messages, by each kind of device that a person acted on."""
    LINK = "link"
    """Messages in which a person clicked, by destination."""
    LINK_HUMAN = "link_human"
    """Hits by people, by destination."""
    LINK_PROXY = "link_proxy"
    LINK_MACHINE = "link_machine"


OPEN_KEYED: Final = frozenset(
    {Measure.FAILED, Measure.DEVICE, Measure.LINK, Measure.LINK_HUMAN, Measure.LINK_PROXY, Measure.LINK_MACHINE}
)
"""Those whose keys come from outside: a batch has at most `MAX_KEYS` of each, the rest is counted as `OTHER`."""

MAX_KEYS: Final = 1000
MAX_KEY_CHARS: Final = 200
"""Of a longer one the key has the beginning and a digest."""
OTHER: Final = "\N{HORIZONTAL ELLIPSIS}"
"""The key of what is counted together: no URL, code or device is called that."""


def short_key(text: str) -> str:
    """``text``, or what stands for it where it is too long for a key."""
    if len(text) <= MAX_KEY_CHARS:
        return text
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8)
    return f"{text[:MAX_KEY_CHARS]}{OTHER}{digest.hexdigest()}"


class Key(NamedTuple):
    """One count of a batch."""

    measure: str
    key: str = ""


def counted(status: Status) -> dict[Key, int]:
    """What the message adds to the counts of its batch: nothing, unless it is registered with one."""
    registration = status.registration
    if registration is None or registration.batch is None:
        return {}
    tracked = (registration.tracks_opens, registration.tracks_clicks)
    opened = _Seen(status.first_opened_at is not None, status.opens.human > 0, status.opens.machine > 0)
    clicked = _Seen(status.first_clicked_at is not None, status.clicks.human > 0, status.clicks.machine > 0)
    counts = dict.fromkeys(_of_stages(tracked, opened, clicked, status.stage is not Stage.FAILED), 1)
    for key, at in _REPORTED:
        if getattr(status, at) is not None:
            counts[key] = 1
    if status.failed is not None:
        counts[Key(Measure.FAILED, short_key(status.failure or ""))] = 1
    _count_hours(counts, status, *tracked)
    for device in status.devices:
        counts[Key(Measure.DEVICE, device)] = 1
    _count_hits(counts, status.opens, Measure.OPENS, Measure.OPENERS)
    _count_hits(counts, status.clicks, Measure.CLICKS, Measure.CLICKERS)
    _count_links(counts, status)
    return counts


_REPORTED: Final = (
    (Key(Measure.SENT), "sent_at"),
    (Key(Measure.DELIVERED), "delivered_at"),
    (Key(Measure.REPLIED), "replied_at"),
    (Key(Measure.UNSUBSCRIBED), "unsubscribed_at"),
    (Key(Measure.COMPLAINED), "complained_at"),
)


class _Seen(NamedTuple):
    """What is known of a message's opens, or of its clicks."""

    counts: bool
    """Whether they move the stage."""
    by_human: bool
    by_machine: bool


@lru_cache(maxsize=1024)
def _of_stages(tracked: tuple[bool, bool], opened: _Seen, clicked: _Seen, reached: bool) -> tuple[Key, ...]:
    """What follows from a few facts alone, of which there are few combinations."""
    measures = [Measure.MESSAGES, *([Measure.REACHED] if reached else ())]
    is_opened = opened.counts or clicked.counts
    if tracked[0]:
        measures += _opening(opened, clicked, reached)
    if tracked[1]:
        measures += _clicking(clicked, reached)
    if all(tracked) and is_opened:
        measures += [Measure.OPENED_BOTH, *([Measure.CLICKED_BOTH] if clicked.counts else ())]
    return tuple(map(Key, measures))


def _opening(opened: _Seen, clicked: _Seen, reached: bool) -> Iterator[Measure]:
    yield Measure.TRACKED_OPENS
    if reached:
        yield Measure.REACHED_OPENS
    if opened.counts or clicked.counts:
        yield Measure.OPENED
        if not opened.counts:
            yield Measure.OPENED_IMPLIED
        elif not opened.by_human and not clicked.counts:
            yield Measure.OPENED_PROXY
    elif opened.by_machine:
        yield Measure.OPENED_MACHINE


def _clicking(clicked: _Seen, reached: bool) -> Iterator[Measure]:
    yield Measure.TRACKED_CLICKS
    if reached:
        yield Measure.REACHED_CLICKS
    if clicked.counts:
        yield Measure.CLICKED
    elif clicked.by_machine:
        yield Measure.CLICKED_MACHINE


def _count_hours(counts: dict[Key, int], status: Status, tracks_opens: bool, tracks_clicks: bool) -> None:
    times = [at for at in (status.first_opened_at, status.first_clicked_at) if at is not None]
    if tracks_opens and times:
        counts[Key(Measure.OPENED_HOUR, str(min(times) // HOUR_US))] = 1
    if tracks_clicks and status.first_clicked_at is not None:
        counts[Key(Measure.CLICKED_HOUR, str(status.first_clicked_at // HOUR_US))] = 1


def _count_hits(counts: dict[Key, int], hits: Counts, total: Measure, unique: Measure) -> None:
    for actor, count in _by_actor(hits):
        counts[Key(total, actor)] = count
        counts[Key(unique, actor)] = 1


def _count_links(counts: dict[Key, int], status: Status) -> None:
    for (_, url), hits in status.links.items():
        short = short_key(url)
        for actor, count in _by_actor(hits):
            key = Key(_LINK_MEASURES[actor], short)
            counts[key] = counts.get(key, 0) + count
        if hits.human:
            counts[Key(Measure.LINK, short)] = 1


def _by_actor(hits: Counts) -> Iterable[tuple[Actor, int]]:
    counts = ((Actor.HUMAN, hits.human), (Actor.PROXY, hits.proxy), (Actor.MACHINE, hits.machine))
    return [(actor, count) for actor, count in counts if count]


_LINK_MEASURES: Final = {
    Actor.HUMAN: Measure.LINK_HUMAN,
    Actor.PROXY: Measure.LINK_PROXY,
    Actor.MACHINE: Measure.LINK_MACHINE,
}
