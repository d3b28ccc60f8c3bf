"""Replays what published figures say scanners and people do, and prints whom the rules take for whom, as Markdown.

``python -m tests.bench.replay [--seed N]``. Only the pure core is asked. What is drawn, and from which sources, is in
`tests.bench.traces`; it is compared with what was published first, and the run fails where it differs.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from tracker.core.agents import ClassifierSettings, judge
from tracker.core.model import Actor

from .traces import ARRIVED_US, PRIVACY, SCENARIOS, TABBED, Mail, check

CAUGHT_GOAL: Final = 0.95
LOST_GOAL: Final = 0.01
OPTIONS: Final = {
    "the defaults": ClassifierSettings(),
    "`burst_s` 1": ClassifierSettings(burst_s=1),
    "`bursts` off": ClassifierSettings(bursts=False),
    "`probable_networks` off": ClassifierSettings(probable_networks=False),
    "`quick_open_s` 10, `quick_click_s` 10": ClassifierSettings(quick_open_s=10, quick_click_s=10),
    "`quick_open_s` 20": ClassifierSettings(quick_open_s=20),
    "`quick_open_s` 60, `quick_click_s` 30": ClassifierSettings(quick_open_s=60, quick_click_s=30),
}
WHO: Final = {Actor.MACHINE: "a machine", Actor.HUMAN: "a person", Actor.PROXY: "a person, through an image proxy"}

Matrix = Counter[tuple[Actor, Actor]]
"""How often who was taken for whom."""
Drawn = Mapping[str, Sequence[Mail]]


class Share(NamedTuple):
    """So many of so many."""

    part: int
    whole: int

    def __str__(self) -> str:
        return f"{self.value:.1%}" if self.whole else ""

    @property
    def value(self) -> float:
        return self.part / self.whole


@dataclass
class Tally:
    """What became of the hits of some mails."""

    mails: int = 0
    clicks: Matrix = field(default_factory=Counter)
    opens: Matrix = field(default_factory=Counter)
    stages: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """Of mails with clicks: whether a person's was among them, and whether one was taken for a person's."""

    def add(self, other: Tally) -> None:
        self.mails += other.mails
        self.clicks += other.clicks
        self.opens += other.opens
        self.stages += other.stages

    def stage(self, clicked: bool) -> Share:
        """Of the mails that a person clicked, or that only machines did, those whose stage says so."""
        right = self.stages[clicked, clicked]
        return Share(right, right + self.stages[clicked, not clicked])


def caught(hits: Matrix) -> Share:
    """Of machines' hits, those taken for a machine's."""
    return Share(hits[Actor.MACHINE, Actor.MACHINE], sum(hits[Actor.MACHINE, taken] for taken in WHO))


def lost(hits: Matrix) -> Share:
    """Of people's hits, those taken for a machine's."""
    people = (Actor.HUMAN, Actor.PROXY)
    return Share(
        sum(hits[who, Actor.MACHINE] for who in people), sum(hits[who, taken] for who in people for taken in WHO)
    )


def tally(mails: Sequence[Mail], settings: ClassifierSettings) -> Tally:
    found = Tally(len(mails))
    for mail in mails:
        verdicts = judge([event for event, _ in mail.hits], ARRIVED_US, settings)
        clicks: Matrix = Counter()
        for event, who in mail.hits:
            (found.opens if event.facts.link is None else clicks)[who, verdicts[event.id].actor] += 1
        if clicks:
            found.clicks.update(clicks)
            found.stages[any(w is Actor.HUMAN for w, _ in clicks), any(t is Actor.HUMAN for _, t in clicks)] += 1
    return found


def total(tallies: Mapping[str, Tally], without: str = "") -> Tally:
    whole = Tally()
    for name, found in tallies.items():
        if name != without:
            whole.add(found)
    return whole


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def print_goals(tallies: Mapping[str, Tally]) -> None:
    """Also by how much the loss hangs on the one assumption about people that it hangs on most."""
    whole, others, tabs = total(tallies), lost(total(tallies, TABBED).clicks), lost(tallies[TABBED].clicks)
    found, gone = caught(whole.clicks), lost(whole.clicks)
    rows: list[Sequence[object]] = [
        ("machines' clicks caught", found, f"95 % or more: {'met' if found.value >= CAUGHT_GOAL else 'missed'}"),
        ("people's clicks lost", gone, f"at most 1 %: {'met' if gone.value <= LOST_GOAL else 'missed'}"),
    ]
    for times in (0, 3):
        share = Share(others.part + times * tabs.part, others.whole + times * tabs.whole)
        rows.append((f"the same if {times} times as many people open links in tabs", share, ""))
    rows.append(("mails that only machines clicked, and that do not become Clicked", whole.stage(False), ""))
    rows.append(("mails that people clicked, and that become Clicked", whole.stage(True), ""))
    table(("figure", "share", "goal"), rows)


def print_scenarios(tallies: Mapping[str, Tally]) -> None:
    rows: list[list[object]] = []
    for name, found in [*tallies.items(), ("all", total(tallies))]:
        cells: list[object] = [name, found.mails]
        for share in (caught(found.clicks), lost(found.clicks), caught(found.opens), lost(found.opens)):
            cells += [share.whole or "", share]
        rows.append(cells)
    kinds = (
        "machines' clicks",
        "caught",
        "people's clicks",
        "lost",
        "machines' opens",
        "caught",
        "people's opens",
        "lost",
    )
    table(("what happens", "mails", *kinds), rows)


def print_matrix(title: str, hits: Matrix) -> None:
    rows: list[list[object]] = []
    for who, name in WHO.items():
        whole = sum(hits[who, taken] for taken in WHO)
        if whole:
            rows.append([name, *(f"{hits[who, taken]} ({Share(hits[who, taken], whole)})" for taken in WHO)])
    table((title, *(f"taken for `{taken}`" for taken in WHO)), rows)


def print_options(drawn: Drawn) -> None:
    rows: list[Sequence[object]] = []
    for name, settings in OPTIONS.items():
        tallies = {scenario: tally(mails, settings) for scenario, mails in drawn.items()}
        whole, scanned = total(tallies), total(tallies, PRIVACY)
        rows.append((name, caught(whole.clicks), lost(whole.clicks), caught(scanned.opens), lost(whole.opens)))
    table(("settings", "clicks caught", "clicks lost", "scanners' opens caught", "people's opens lost"), rows)


def main() -> None:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    check(Random(seed))
    random = Random(seed)
    drawn = {scenario.name: scenario.mails(random) for scenario in SCENARIOS}
    tallies = {name: tally(mails, OPTIONS["the defaults"]) for name, mails in drawn.items()}
    print_goals(tallies)
    print_scenarios(tallies)
    print_matrix("clicks of", total(tallies).clicks)
    print_matrix("opens of", total(tallies).opens)
    print_options(drawn)


if __name__ == "__main__":
    main()
