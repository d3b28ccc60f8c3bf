"""Charts as SVG, made of numbers on the server: intervals, shares of a whole, curves over time.

Owns how they are drawn. Must not know what is drawn. All text is escaped; there is no style in them but classes, and
nothing is told by colour alone. Widths are percentages, so that text keeps its size on a screen of any width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from markupsafe import Markup

from .words import level, plain_percent

LETTERS: Final = "ABCDEFGHIJ"
"""What stands for each batch of a comparison in its charts."""
PARTS: Final = ("people", "proxies", "clicks alone")
"""The pieces of a bar, in their order: each has a pattern of its own."""
MOST_NAME_CHARS: Final = 24
MIN_LINE_POINTS: Final = 2

_ROW = 46
_AXIS = 24
_CURVE_TOP, _CURVE_HEIGHT, _LETTER = 16, 180, 13
_HOUR_STEPS = (1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 720)


class Dot(NamedTuple):
    """A share and its interval; all None where it is not known. The letter is empty where there is but one."""

    letter: str
    name: str
    value: float | None
    low: float | None
    high: float | None
    missing: str = "not tracked"
    """What is said where it is not known."""


class Bar(NamedTuple):
    """How many there are of each of `PARTS`."""

    letter: str
    name: str
    counts: tuple[int, int, int]


class Curve(NamedTuple):
    """A share that grows with time: hours and what it had come to by then, in order; None: it is not known.

    It is drawn in steps, since nobody measured what lies between.
    """

    letter: str
    name: str
    points: Sequence[tuple[float, float]] | None


def intervals(id_: str, title: str, dots: Sequence[Dot]) -> Markup:
    """A dot with its interval for each of ``dots``, below each other on one scale that begins at zero."""
    top = _ceiling(dot.high or 0 for dot in dots)
    rows = [_interval(dot, at * _ROW, top) for at, dot in enumerate(dots)]
    bottom = len(dots) * _ROW
    axis = _axis(bottom, [(share / top, level(share)) for share in (0, top / 2, top)])
    said = "; ".join(f"{_named(dot)}: {_said(dot)}" for dot in dots)
    return _chart(id_, title, said, bottom + _AXIS, [*rows, axis])


def bars(id_: str, title: str, rows: Sequence[Bar]) -> Markup:
    """A bar of the whole width for each of ``rows``, in pieces."""
    drawn = [_patterns(id_)] + [_bar(id_, row, at * _ROW) for at, row in enumerate(rows)]
    said = "; ".join(f"{_named(row)}: {_split(row)}" for row in rows)
    return _chart(id_, title, said, len(rows) * _ROW, drawn)


def curves(id_: str, title: str, lines: Sequence[Curve]) -> Markup:
    """A line for each of ``lines`` on one axis of hours and one scale of shares."""
    known = [line for line in lines if line.points]
    hours = max((line.points[-1][0] for line in known if line.points), default=0) or 1
    top = _ceiling(share for line in known for _, share in line.points or ())
    plot = Markup('<svg class="plot" y="{}" width="100%" height="{}" viewBox="0 0 100 100"{}>{}</svg>').format(
        _CURVE_TOP,
        _CURVE_HEIGHT,
        Markup(' preserveAspectRatio="none"'),
        Markup("").join([_grid(), *(_steps(line, hours, top) for line in known)]),
    )
    bottom = _CURVE_TOP + _CURVE_HEIGHT
    scale = Markup('<text class="scale" y="{}">{}</text>').format(_CURVE_TOP + 14, level(top))
    axis = _axis(bottom, [(hour / hours, f"{hour:g} h") for hour in _hours(hours)])
    ends = _ends(known, hours, top)
    said = "; ".join(f"{_named(line)}: {_grown(line)}" for line in lines)
    return _chart(id_, title, said, bottom + _AXIS, [plot, *ends, scale, axis])


def _chart(id_: str, title: str, said: str, height: float, parts: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" tabindex="0" width="100%" height="{height:g}"'
        ' aria-labelledby="{id}-title {id}-said">'
        '<title id="{id}-title">{title}</title><desc id="{id}-said">{said}</desc>{parts}</svg>'
    ).format(id=id_, title=title, said=said, height=height, parts=Markup("").join(parts))


def _interval(dot: Dot, y: float, top: float) -> Markup:
    line = y + 32
    head = _head(dot.letter, dot.name, dot.missing if dot.value is None else plain_percent(dot.value), y)
    track = Markup('<line class="track" x1="{x1}%" x2="{x2}%" y1="{y}" y2="{y}"/>').format(x1=_x(0), x2=_x(1), y=line)
    if dot.value is None or dot.low is None or dot.high is None:
        return head + track
    interval = Markup(
        '<line class="interval" x1="{x1}%" x2="{x2}%" y1="{y}" y2="{y}"/><circle cx="{x}%" cy="{y}" r="5"/>'
    ).format(x1=_x(dot.low / top), x2=_x(dot.high / top), x=_x(dot.value / top), y=line)
    return head + track + interval


def _head(letter: str, name: str, value: str, y: float) -> Markup:
    shown = name if len(name) <= MOST_NAME_CHARS else name[: MOST_NAME_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"
    lettered = Markup('<tspan class="letter">{}</tspan> ').format(letter) if letter else ""
    return Markup(
        '<text x="{left}%" y="{y}">{letter}{name}</text>'
        '<text class="value" x="{right}%" y="{y}" text-anchor="end">{value}</text>'
    ).format(left=_x(0), right=_x(1), y=y + 18, letter=lettered, name=shown, value=value)


def _bar(id_: str, row: Bar, y: float) -> Markup:
    total = sum(row.counts)
    if not total:
        return _head(row.letter, row.name, "none opened", y)
    drawn = [_head(row.letter, row.name, f"{plain_percent(row.counts[1] / total)} by proxies", y)]
    before = 0
    for part, count in enumerate(row.counts):
        drawn.append(
            Markup('<rect class="part-{}" fill="url(#{}-{})" x="{}%" y="{}" width="{}%" height="16"/>').format(
                part, id_, part, _x(before / total), y + 25, _round(100 * count / total)
            )
        )
        before += count
    return Markup("").join(drawn)


def _patterns(id_: str) -> Markup:
    """Solid, hatched, dotted."""
    marks = ("", '<path d="M0 8 8 0" class="mark"/>', '<circle cx="4" cy="4" r="1.5" class="mark"/>')
    return Markup("<defs>{}</defs>").format(
        Markup("").join(
            Markup(
                '<pattern id="{}-{}" width="8" height="8" patternUnits="userSpaceOnUse">'
                '<rect width="8" height="8" class="ground-{}"/>{}</pattern>'
            ).format(id_, part, part, Markup(mark))  # noqa: S704 - ours, from above
            for part, mark in enumerate(marks)
        )
    )


def _grid() -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="0" x2="100" y1="{y}" y2="{y}"/>').format(y=y) for y in (0, 50, 100)
    )


def _steps(line: Curve, hours: float, top: float) -> Markup:
    """A line from the first point on; a single one is no line, but the dot at its end."""
    places = [(_round(100 * hour / hours), _round(100 - 100 * share / top)) for hour, share in line.points or ()]
    if len(places) < MIN_LINE_POINTS:
        return Markup("")
    corners = [(after[0], before[1]) for before, after in pairwise(places)]
    path = [places[0], *(place for step in zip(corners, places[1:], strict=True) for place in step)]
    points = " ".join(f"{x},{y}" for x, y in path)
    return Markup('<polyline class="curve curve-{}" points="{}"/>').format(line.letter.lower() or "a", points)


def _ends(lines: Iterable[Curve], hours: float, top: float) -> list[Markup]:
    """Dots at the ends of the lines, and their letters as near as they go without one on top of another."""
    ends = [(*line.points[-1], line.letter or plain_percent(line.points[-1][1])) for line in lines if line.points]
    ends.sort(key=lambda end: -end[1])
    bottom = _CURVE_TOP + _CURVE_HEIGHT
    drawn, y = [], 0.0
    for at, (hour, share, letter) in enumerate(ends):
        below = (len(ends) - 1 - at) * _LETTER
        place = bottom - _CURVE_HEIGHT * share / top
        y = min(max(place - 5, y + _LETTER), bottom - below)
        drawn.append(
            Markup(
                '<circle cx="{x}%" cy="{}" r="4"/>'
                '<text class="letter" x="{x}%" dx="-7" y="{}" text-anchor="end">{}</text>'
            ).format(_round(place), _round(y), letter, x=_x(hour / hours))
        )
    return drawn


def _axis(y: float, ticks: Sequence[tuple[float, str]]) -> Markup:
    anchors: dict[float, str] = {0: "start", 1: "end"}
    return Markup("").join(
        Markup('<text class="tick" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
            _x(at), y + 17, anchors.get(at, "middle"), text
        )
        for at, text in ticks
    )


def _hours(hours: float) -> list[float]:
    """Ticks of an axis of so many hours, not more than six."""
    step = next((step for step in _HOUR_STEPS if hours / step <= 5), math.ceil(hours / 5))
    return [hour for hour in range(0, math.floor(hours) + 1, step) if hour <= hours * 0.93 or hour == hours]


def _ceiling(shares: Iterable[float]) -> float:
    """A round number that is not below any of ``shares``, all from 0 to 1."""
    most = max([*shares, 0.0005])
    unit = 10.0 ** math.floor(math.log10(most))
    return min(1.0, next(unit * step for step in (1, 2, 4, 6, 8, 10) if unit * step >= most * (1 - 1e-9)))


def _x(share: float) -> float:
    """A place on the plot, in percent of the chart's width."""
    return _round(100 * min(1.0, max(0.0, share)))


def _round(value: float) -> float:
    return round(value, 2)


def _named(row: Dot | Bar | Curve) -> str:
    return f"{row.letter}, {row.name}" if row.letter else row.name


def _said(dot: Dot) -> str:
    if dot.value is None or dot.low is None or dot.high is None:
        return dot.missing
    return f"{plain_percent(dot.value)}, interval {plain_percent(dot.low)} to {plain_percent(dot.high)}"


def _split(row: Bar) -> str:
    total = sum(row.counts)
    if not total:
        return "none opened"
    return ", ".join(f"{plain_percent(count / total)} {part}" for count, part in zip(row.counts, PARTS, strict=True))


def _grown(line: Curve) -> str:
    if line.points is None:
        return "not tracked"
    if not line.points:
        return "nothing yet"
    hour, share = line.points[-1]
    return f"{plain_percent(share)} after {hour:g} {'hour' if hour == 1 else 'hours'}"
