"""What each message adds to the counts of its batch, as a function of its status.

Owns the measures and their keys. The counts of a batch are the sum over its messages, so a status that changes adds
the difference. Must not know where counts are kept, nor compare batches: that is `report`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator, Sequence
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


class Share(NamedTuple):
    """As much of a status as is counted: the same for most messages of a batch, whose counts are found once, then."""

    tracked: tuple[bool, bool]
    """Opens, and clicks."""
    opened_hour: int | None
    """Of the first open that moves the stage: whole hours since the epoch, as all hours here."""
    clicked_hour: int | None
    opens: tuple[int, int, int]
    """By people, by proxies, by machines."""
    clicks: tuple[int, int, int]
    links: tuple[tuple[str, int, int, int], ...]
    devices: tuple[str, ...]
    reported: tuple[bool, ...]
    """Whether it was said to be what `_REPORTED` lists."""
    failure: str | None
    """Why it failed, where it did."""
    is_reached: bool


def share_of(status: Status) -> Share | None:
    """What the message adds to the counts of its batch; None, unless it is registered with one."""
    registration = status.registration
    if registration is None or registration.batch is None:
        return None
    return Share(
        (registration.tracks_opens, registration.tracks_clicks),
        None if status.first_opened_at is None else status.first_opened_at // HOUR_US,
        None if status.first_clicked_at is None else status.first_clicked_at // HOUR_US,
        _numbers(status.opens),
        _numbers(status.clicks),
        tuple((url, *_numbers(hits)) for (_, url), hits in status.links.items()) if status.links else (),
        tuple(status.devices),
        (
            status.sent_at is not None,
            status.delivered_at is not None,
            status.replied_at is not None,
            status.unsubscribed_at is not None,
            status.complained_at is not None,
        ),
        None if status.failed is None else status.failure or "",
        status.stage is not Stage.FAILED,
    )


def _numbers(hits: Counts) -> tuple[int, int, int]:
    return hits.human, hits.proxy, hits.machine


def counted(share: Share | None) -> dict[Key, int]:
    """The counts that a share in them comes to."""
    if share is None:
        return {}
    opened = _Seen(share.opened_hour is not None, share.opens[0] > 0, share.opens[2] > 0)
    clicked = _Seen(share.clicked_hour is not None, share.clicks[0] > 0, share.clicks[2] > 0)
    counts = dict.fromkeys(_of_stages(share.tracked, opened, clicked, share.is_reached), 1)
    counts |= {key: 1 for key, is_so in zip(_REPORTED, share.reported, strict=True) if is_so}
    if share.failure is not None:
        counts[Key(Measure.FAILED, short_key(share.failure))] = 1
    _count_hours(counts, share)
    for device in share.devices:
        counts[Key(Measure.DEVICE, device)] = 1
    _count_hits(counts, share.opens, Measure.OPENS, Measure.OPENERS)
    _count_hits(counts, share.clicks, Measure.CLICKS, Measure.CLICKERS)
    _count_links(counts, share.links)
    return counts


_REPORTED: Final = tuple(
    map(Key, (Measure.SENT, Measure.DELIVERED, Measure.REPLIED, Measure.UNSUBSCRIBED, Measure.COMPLAINED))
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


def _count_hours(counts: dict[Key, int], share: Share) -> None:
    hours = [hour for hour in (share.opened_hour, share.clicked_hour) if hour is not None]
    if share.tracked[0] and hours:
        counts[Key(Measure.OPENED_HOUR, str(min(hours)))] = 1
    if share.tracked[1] and share.clicked_hour is not None:
        counts[Key(Measure.CLICKED_HOUR, str(share.clicked_hour))] = 1


def _count_hits(counts: dict[Key, int], hits: Sequence[int], total: Measure, unique: Measure) -> None:
    for actor, count in _by_actor(hits):
        counts[Key(total, actor)] = count
        counts[Key(unique, actor)] = 1


def _count_links(counts: dict[Key, int], links: Iterable[tuple[str, int, int, int]]) -> None:
    for url, *hits in links:
        short = short_key(url)
        for actor, count in _by_actor(hits):
            key = Key(_LINK_MEASURES[actor], short)
            counts[key] = counts.get(key, 0) + count
        if hits[0]:
            counts[Key(Measure.LINK, short)] = 1


def _by_actor(hits: Sequence[int]) -> list[tuple[Actor, int]]:
    return [(actor, count) for actor, count in zip(_ACTORS, hits, strict=True) if count]


_ACTORS: Final = (Actor.HUMAN, Actor.PROXY, Actor.MACHINE)
_LINK_MEASURES: Final = {
    Actor.HUMAN: Measure.LINK_HUMAN,
    Actor.PROXY: Measure.LINK_PROXY,
    Actor.MACHINE: Measure.LINK_MACHINE,
}
