"""Draws the figures: how far each is on the way to its goal, on one scale, as SVG.

Owns the drawing. Must not measure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from .figures import Better, Figure, Measured, short

_LABEL: Final = 330
_WIDTH: Final = 470
"""Of the scale, from a quarter of the goal to four times the goal."""
_ROW: Final = 26
_TOP: Final = 34
_LEAST, _MOST = 0.25, 4.0
_LABEL_CHARS: Final = 52


def draw(measured: Sequence[Measured]) -> str:
    """An SVG of a row for each figure: the median as a dot, the rounds as a line, the goal in the middle."""
    height = _TOP + _ROW * len(measured) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _WIDTH + 80}" height="{height}" '
        f'viewBox="0 0 {_LABEL + _WIDTH + 80} {height}" font-family="sans-serif" font-size="12" role="img">',
        "<title>The measured ratios, relative to their goals</title>",
        f'<rect width="100%" height="{height}" fill="#ffffff"/>',
    ]
    for times in (0.25, 0.5, 1.0, 2.0, 4.0):
        x, color = _x(times), "#222222" if times == 1 else "#dddddd"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height - 8}" stroke="{color}"/>')
        name = "goal" if times == 1 else f"{times:g} x"
        parts.append(f'<text x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle" fill="#444444">{name}</text>')
    for number, one in enumerate(measured):
        parts += _row(one, _TOP + _ROW * number + _ROW / 2)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(one: Measured, y: float) -> list[str]:
    name = f"{one.figure.id}  {one.figure.name}"
    name = name if len(name) <= _LABEL_CHARS else name[: _LABEL_CHARS - 1] + "…"
    ends = sorted(_x(progress(one.figure, ratio)) for ratio in (min(one.ratios), max(one.ratios)))
    x, color = _x(progress(one.figure, one.median)), "#1b7f4b" if one.is_met else "#b4492d"
    return [
        f'<text x="8" y="{y + 4:.1f}" fill="#222222">{escape(name)}</text>',
        f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}" stroke-width="3"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>',
        f'<text x="{_LABEL + _WIDTH + 14}" y="{y + 4:.1f}" fill="{color}">{short(one.median)}</text>',
    ]


def progress(figure: Figure, ratio: float) -> float:
    """How many times as good as the goal it is, whichever way is better."""
    return ratio / figure.goal if figure.better is Better.MORE else figure.goal / ratio


def _x(times: float) -> float:
    bounded = min(_MOST, max(_LEAST, times))
    return _LABEL + _WIDTH * (math.log(bounded / _LEAST) / math.log(_MOST / _LEAST))
