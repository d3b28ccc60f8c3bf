"""What the counts of a batch come to: counts in, a `BatchReport` out.

Owns what each rate is a share of, and what is left open since it was not tracked. Must not know where counts come
from, nor compare batches: that is `comparison`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from .batches import OTHER, Key, Measure
from .figures import (
    REST,
    BatchReport,
    DeviceCount,
    Devices,
    FailureCount,
    Hits,
    LinkCounts,
    Metric,
    OpenedBy,
    Point,
    Rate,
)
from .intervals import Share, wilson
from .model import Actor, EventType
from .status import Counts

MOST_SHOWN: Final = 20
"""How many links, devices or reasons are named; the rest is one more, called `REST`."""
MOST_HOURS: Final = 14 * 24
"""The longest span of a series by the hour."""
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def report(
    batch: str, created_at: int, counts: Mapping[Key, int], withdrawn: Mapping[tuple[str, str], int]
) -> BatchReport:
    """What ``counts`` come to.

    ``created_at`` is in microseconds since the epoch; ``withdrawn`` are hits by event type (``opened``, ``clicked``)
    and actor.
    """
    read = _Reader(counts)
    failures = read.keyed(Measure.FAILED)
    series, step_s = _series(read)
    return BatchReport(
        batch=batch,
        created_at=created_at,
        messages=read(Measure.MESSAGES),
        sent=read(Measure.SENT),
        delivered=read(Measure.DELIVERED),
        failed=failures.total(),
        failures=[FailureCount(*pair) for pair in _most(failures)],
        reached=read(Measure.REACHED),
        opens=_hits(read, withdrawn, EventType.OPENED),
        opened_by=_opened_by(read),
        clicks=_hits(read, withdrawn, EventType.CLICKED),
        replied=read(Measure.REPLIED),
        unsubscribed=read(Measure.UNSUBSCRIBED),
        complained=read(Measure.COMPLAINED),
        rates={metric.value: rate for metric, rate in _rates(read, failures.total())},
        links=_links(read),
        devices=_devices(read.keyed(Measure.DEVICE)),
        series=series,
        step_s=step_s,
    )


class _Reader:
    """Counts, by measure."""

    def __init__(self, counts: Mapping[Key, int]) -> None:
        self._counts = counts
        self._keyed: dict[str, Counter[str]] = {}
        for (measure, key), count in counts.items():
            self._keyed.setdefault(measure, Counter())[key] = count

    def __call__(self, measure: Measure) -> int:
        """The count of a measure without keys, never below zero: that would be a mistake, and a report never fails."""
        return max(0, self._counts.get(Key(measure), 0))

    def keyed(self, measure: Measure) -> Counter[str]:
        """The counts of a measure with keys, those above zero."""
        return +self._keyed.get(measure, Counter())

    def by_actor(self, measure: Measure) -> Counts:
        """The counts of a measure whose keys are actors."""
        return _by_actor(self.keyed(measure))


def _by_actor(counts: Mapping[str, int]) -> Counts:
    return Counts(*(counts.get(actor, 0) for actor in (Actor.HUMAN, Actor.PROXY, Actor.MACHINE)))


def _rate(count: int, of: int) -> Rate:
    # More than all it can only be by a mistake in the counts, and then the report must not fail.
    share = Share(count, max(count, of))
    interval = wilson(share)
    return Rate(*share, share.value, *interval) if interval else Rate(*share, None, None, None)


def _rates(read: _Reader, failed: int) -> Iterable[tuple[Metric, Rate]]:
    messages, delivered = read(Measure.MESSAGES), read(Measure.DELIVERED)
    yield Metric.OPEN_RATE, _rate(read(Measure.OPENED), read(Measure.REACHED_OPENS))
    yield Metric.CLICK_RATE, _rate(read(Measure.CLICKED), read(Measure.REACHED_CLICKS))
    yield Metric.CLICK_TO_OPEN, _rate(read(Measure.CLICKED_BOTH), read(Measure.OPENED_BOTH))
    yield Metric.DELIVERY_RATE, _rate(delivered, messages if delivered or failed >= messages else 0)
    reported = failed or delivered or read(Measure.SENT)
    yield Metric.FAILURE_RATE, _rate(failed, messages if reported else 0)
    for metric, measure in (
        (Metric.REPLY_RATE, Measure.REPLIED),
        (Metric.UNSUBSCRIBE_RATE, Measure.UNSUBSCRIBED),
        (Metric.COMPLAINT_RATE, Measure.COMPLAINED),
    ):
        yield metric, _rate(read(measure), read(Measure.REACHED))


def _hits(read: _Reader, withdrawn: Mapping[tuple[str, str], int], type_: EventType) -> Hits | None:
    of_opens = type_ is EventType.OPENED
    tracked = read(Measure.TRACKED_OPENS if of_opens else Measure.TRACKED_CLICKS)
    if not tracked:
        return None
    return Hits(
        tracked=tracked,
        unique=read.by_actor(Measure.OPENERS if of_opens else Measure.CLICKERS),
        total=read.by_actor(Measure.OPENS if of_opens else Measure.CLICKS),
        withdrawn=_by_actor({actor: count for (type_of, actor), count in withdrawn.items() if type_of == type_}),
    )


def _opened_by(read: _Reader) -> OpenedBy | None:
    if not read(Measure.TRACKED_OPENS):
        return None
    opened, proxy, implied = read(Measure.OPENED), read(Measure.OPENED_PROXY), read(Measure.OPENED_IMPLIED)
    return OpenedBy(
        human=max(0, opened - proxy - implied),
        proxy=proxy,
        implied=implied,
        machine_only=read(Measure.OPENED_MACHINE),
        proxy_share=_rate(proxy, opened).rate,
    )


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    """The greatest counts, and the rest last."""
    named = ((key, count) for key, count in counts.items() if key not in (OTHER, REST))
    most = sorted(named, key=lambda pair: (-pair[1], pair[0]))[:MOST_SHOWN]
    rest = counts.total() - sum(count for _, count in most)
    return [*most, *([(REST, rest)] if rest else [])]


def _links(read: _Reader) -> list[LinkCounts]:
    unique = read.keyed(Measure.LINK)
    totals = [read.keyed(measure) for measure in (Measure.LINK_HUMAN, Measure.LINK_PROXY, Measure.LINK_MACHINE)]
    urls = {url for counts in (unique, *totals) for url in counts}
    links = [LinkCounts(url, unique[url], Counts(*(total[url] for total in totals))) for url in urls]
    links.sort(key=lambda link: (link.url == OTHER, -link.unique, -link.total.total, link.url))
    shown = [link for link in links[:MOST_SHOWN] if link.url != OTHER]
    rest = links[len(shown) :]
    if rest:
        by_actor = ((link.total.human, link.total.proxy, link.total.machine) for link in rest)
        shown.append(
            LinkCounts(REST, sum(link.unique for link in rest), Counts(*map(sum, zip(*by_actor, strict=True))))
        )
    return shown


def _devices(kinds: Counter[str]) -> Devices:
    parts: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for kind, count in kinds.items():
        names = kind.split("/", 2) if kind.count("/") >= 2 else [OTHER] * 3
        for part, name in zip(parts, names, strict=True):
            part[name] += count
    return Devices(*([DeviceCount(*pair) for pair in _most(part)] for part in parts))


def _series(read: _Reader) -> tuple[list[Point], int]:
    """The points, and how long each lasts in seconds."""
    opened, clicked = ({int(hour): n for hour, n in read.keyed(m).items()} for m in _HOURLY)
    hours = sorted({*opened, *clicked})
    step = _DAY_S if hours and hours[-1] - hours[0] >= MOST_HOURS else _HOUR_S
    points: dict[int, tuple[int, int]] = {}
    for hour in hours:
        start = hour * _HOUR_S // step * step
        before = points.get(start, (0, 0))
        points[start] = (before[0] + opened.get(hour, 0), before[1] + clicked.get(hour, 0))
    return [Point(start * 1_000_000, *counts) for start, counts in points.items()], step


_HOURLY: Final = (Measure.OPENED_HOUR, Measure.CLICKED_HOUR)
