"""What is measured: one ratio for each figure, its goal, and whether a round of it is worth anything.

Owns the arithmetic and the Markdown. Must not start a server, nor look at a clock.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


class Better(enum.Enum):
    """Which ratios meet a goal."""

    MORE = "at least"
    LESS = "at most"


@dataclass(frozen=True)
class Figure:
    """One ratio: what it is of, and the goal that it is held to."""

    id: str
    """As in ``B1``; what it is chosen by."""
    name: str
    goal: float
    better: Better = Better.MORE

    def meets(self, ratio: float) -> bool:
        """Whether that is the goal or better."""
        return ratio >= self.goal if self.better is Better.MORE else ratio <= self.goal


@dataclass
class Measured:
    """What the rounds of a figure came to."""

    figure: Figure
    ratios: list[float]
    notes: list[str] = field(default_factory=list)
    """What belongs under the table: sizes, how many events were compared, why it is less than the issue asks for."""

    @property
    def median(self) -> float:
        """The one ratio that is compared with the goal."""
        return statistics.median(self.ratios)

    @property
    def is_met(self) -> bool:
        """Whether the median meets the goal."""
        return self.figure.meets(self.median)


def table(measured: Sequence[Measured]) -> str:
    """The figures as Markdown: medians, and in brackets the least and the most of the rounds."""
    lines = ["| # | figure | ratio | goal | |", "|---|---|---|---|---|"]
    for one in measured:
        figure, ratios = one.figure, one.ratios
        spread = f"{short(one.median)} ({short(min(ratios))}-{short(max(ratios))})"
        goal = f"{figure.better.value} {short(figure.goal)}"
        lines.append(f"| {figure.id} | {figure.name} | {spread} | {goal} | {'met' if one.is_met else 'missed'} |")
    notes = [f"- {one.figure.id}: {note}" for one in measured for note in one.notes]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def short(ratio: float) -> str:
    """A ratio with as many digits as it is worth."""
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"
