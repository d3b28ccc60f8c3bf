"""Draws what happens to mails, in seconds after they arrived: opens and clicks of scanners and of people.

Owns the figures it draws from, published or assumed, and says which is which. Must not judge who acted: each hit comes
with who it was. No agent of a scanner gives it away here, as most give an ordinary Chrome's (gophish#973).

Published, and drawn as published (`check` compares):

- putyourlightson/craft-campaign#546: 836 scanner bursts, that is five or more clicks within a second; when they start
  after sending (each figure is one bracket's share, not a sum), the pixel before them, and the time between.
- GetResponse, 5.5 billion mails, July 2019 to June 2020 (through MarketingCharts): when people open and click.
- Litmus, State of Email Engagement 2019, 10 billion opens: how long people read.

Published, and taken as a number below: where it stands, the source is named. Most sources count machines among people.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from statistics import NormalDist
from typing import Final, NamedTuple

from tracker.core.model import Actor, Event, Facts

SECOND_US: Final = 1_000_000
ARRIVED_US: Final = 1_700_000_000 * SECOND_US
HOUR_S: Final = 3600.0
Points = Sequence[tuple[float, float]]
"""Seconds, and the share of cases that took no longer."""

BURST_STARTS: Final[Points] = (
    (3, 0), (10, 4 / 836), (20, 22 / 836), (60, 577 / 836), (300, 814 / 836), (1800, 830 / 836), (86_400, 1),
)  # fmt: skip
"""craft-campaign#546; but where the first bracket begins. Even in the logarithm within each, which gives the published
median of 43 s."""
PIXELS: Final[Points] = ((2, 0), (9, 0.5), (10, 0.61), (20, 0.84), (60, 1))
"""craft-campaign#546: the scanner's open; the first and the last are assumed. Late bursts are drawn with late pixels,
which gives the published 33 s between them."""
OPENS: Final[Points] = ((1 * HOUR_S, 0.215), (6 * HOUR_S, 0.506), (24 * HOUR_S, 0.73))
CLICKS: Final[Points] = ((1 * HOUR_S, 0.336), (3 * HOUR_S, 0.514), (24 * HOUR_S, 0.81))
"""GetResponse. Log-normal between these points and beyond them: of the first minutes, nothing is published."""
READS: Final[Points] = ((0.5, 0), (2, 0.15), (8, 0.385))
READ_LONGER_S: Final = 11.6
"""Litmus: 15 % less than 2 s, 23.5 % 2 to 8 s, the rest longer; by so much that the mean is 13.4 s."""

CLICKS_PER_OPEN: Final = 0.141
"""Acoustic, Marketing Benchmark Report 2019: of those who open."""
MAIL_PRIVACY, IMAGE_PROXIES, OWN_CLIENTS = 0.41, 0.33, 0.26
"""Litmus, December 2021: Apple's privacy proxy 41.0 %, Gmail 30.4 % and Yahoo 2.5 %, all others."""
FORWARDS: Final = 0.0063
"""Litmus 2010: of those who open."""
RECHECK_S: Final = 12.0
"""resend-node#901: one case of a person's click that was repeated from another network."""
PAGE_STAY_S, PAGE_STAY_SHAPE = 43.4, 0.7
"""Liu and others, through nngroup.com (2011): "a little less than a minute" in the mean, most leave early: a Weibull
distribution with falling hazard. The shape itself is assumed."""
TABS: Final = 0.10
"""Weinreich and others 2006: over 10 % of page visits begin in a new window. Of those who follow several links; that
it holds for mail is assumed."""
FLEET: Final = 3
"""gophish#2646: one scan came from three addresses within two seconds."""

# Assumed: nothing is published on these.
NEWSLETTERS = 0.5
"""The share of mails with 7 to 10 links, as in craft-campaign#546 and mautic#9798. The others have as many different
ones as 174 open-source templates of transactional mails with links:"""
TEMPLATE_LINKS = {1: 63, 2: 45, 3: 26, 4: 6, 5: 18, 6: 16}
SWEEP_GAP_S = 0.05
"""Mean time between two clicks of one scanner, where all come "in one sub-second sweep" (craft-campaign#546)."""
STEADY_GAP_S = 1.0
"""The same where "each click seems to take about one second" (mautic#9798)."""
SLOW_GAP_S = 20.0
"""The same for scanners with random delays, which paminga.com reports without a figure."""
NETWORKS = {"published": 0.13, "probable": 0.07}
"""Of scanners that follow one link only: how many come from a listed network."""
LINKS_FOLLOWED = {1: 80, 2: 15, 3: 4, 4: 1}
"""Per cent of the people who click; "at best 1 or 2 links" (anymail#200)."""
RETURN_S = 3.0
"""At least this, and as much again in the mean, to load a page, and to go back to the mail and to its next link."""
TAB_GAP_S, TAB_GAP_SPREAD = 3.0, 0.6
"""Median and log-normal spread between two links opened in tabs, the mail staying in view."""
FORWARD_S = 60.0
"""Mean time from reading a mail to its arrival where it is forwarded to."""
MAIL_PRIVACY_S = 600.0
"""Mean time from arrival to Apple's fetch of the images."""

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
PROXY_AGENT = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
MAIL_PRIVACY_AGENT = "Mozilla/5.0"
NETWORK_FACTS = {"published": "microsoft-defender/any/certain/1", "probable": "mimecast/any/probable/1"}


class Mail:
    """One message: how many links it has, and what happens to it."""

    def __init__(self, random: Random, min_links: int = 1) -> None:
        self.random = random
        self.links = 0
        while self.links < min_links:
            self.links = (
                random.randint(7, 10)
                if random.random() < NEWSLETTERS
                else random.choices(list(TEMPLATE_LINKS), list(TEMPLATE_LINKS.values()))[0]
            )
        self.hits: list[tuple[Event, Actor]] = []
        """With who it was: `Actor.PROXY` is a person's open through an image proxy."""

    def hit(self, at_s: float, who: Actor, link: int | None, agent: str, source: bytes, network: str | None) -> None:
        """Somebody opens the mail, or follows a link of it."""
        at, url = ARRIVED_US + round(at_s * SECOND_US), None if link is None else f"https://example.com/{link}"
        type_ = "opened" if link is None else "clicked"
        facts = Facts("a", "m", type_, link=link, url=url, user_agent=agent, source=source, network=network)
        self.hits.append((Event(len(self.hits).to_bytes(16, "big"), "n", at, at, at, 1, facts), who))


def at_quantile(points: Points, share: float) -> float:
    """The seconds that this share of cases did not exceed; between two points even in the logarithm."""
    right = max(1, bisect_left([below for _, below in points], share))
    (low_s, low), (high_s, high) = points[right - 1], points[right]
    return low_s * math.pow(high_s / low_s, (share - low) / (high - low))


def log_normal(points: Points, random: Random) -> float:
    """Seconds drawn so that the points hold, as log-normal as they let it be."""
    scores = [(NormalDist().inv_cdf(share), math.log(at_s)) for at_s, share in points]
    score = random.gauss(0, 1)
    pieces = list(pairwise(scores))
    (z1, log1), (z2, log2) = next((piece for piece in pieces if score < piece[1][0]), pieces[-1])
    return math.exp(log1 + (score - z1) / (z2 - z1) * (log2 - log1))


def scan_times(random: Random) -> tuple[float, float]:
    """When a scanner loads the mail, and when it begins with the links."""
    share = random.random()
    return at_quantile(PIXELS, share), at_quantile(BURST_STARTS, share)


def read_s(random: Random) -> float:
    share = random.random()
    longest_s, quickly = READS[-1]
    return at_quantile(READS, share) if share < quickly else longest_s + random.expovariate(1 / READ_LONGER_S)


def scan(mail: Mail, gap_s: float, *, fleet: int = 1, network: str | None = None, from_s: float = 0) -> None:
    """A scanner loads the mail, then follows all of its links."""
    sources = [mail.random.randbytes(8) for _ in range(fleet)]
    fact = NETWORK_FACTS.get(network or "")
    pixel_s, at_s = scan_times(mail.random)
    mail.hit(from_s + pixel_s, Actor.MACHINE, None, CHROME, mail.random.choice(sources), fact)
    for link in range(mail.links):
        mail.hit(from_s + at_s, Actor.MACHINE, link, CHROME, mail.random.choice(sources), fact)
        at_s += mail.random.expovariate(1 / gap_s)


def scan_one_link(mail: Mail) -> None:
    mail.links = 1
    network = mail.random.choices([*NETWORKS, None], [*NETWORKS.values(), 1 - sum(NETWORKS.values())])[0]
    scan(mail, SWEEP_GAP_S, network=network)


def read(mail: Mail, client: str, *, clicks: bool | None = None, tabs: bool = False) -> float:
    """A person reads the mail, and may click. Returns when they have read it."""
    if clicks is None:
        clicks = mail.random.random() < CLICKS_PER_OPEN
    at_s, source = log_normal(CLICKS if clicks else OPENS, mail.random), mail.random.randbytes(8)
    if client == "own":
        mail.hit(at_s, Actor.HUMAN, None, CHROME, source, None)
    elif client == "proxy":
        mail.hit(at_s, Actor.PROXY, None, PROXY_AGENT, mail.random.randbytes(8), None)
    elif client == "privacy":
        fetched_s = mail.random.expovariate(1 / MAIL_PRIVACY_S)
        mail.hit(fetched_s, Actor.MACHINE, None, MAIL_PRIVACY_AGENT, mail.random.randbytes(8), None)
    at_s += read_s(mail.random)
    if clicks:
        follow(mail, at_s, source, tabs)
    return at_s


def follow(mail: Mail, at_s: float, source: bytes, tabs: bool) -> None:
    """A person follows one link or several, in tabs or one after another."""
    numbers = [number for number in LINKS_FOLLOWED if number > 1 or not tabs]
    wanted = mail.random.choices(numbers, [LINKS_FOLLOWED[number] for number in numbers])[0]
    for link in mail.random.sample(range(mail.links), min(wanted, mail.links)):
        mail.hit(at_s, Actor.HUMAN, link, CHROME, source, None)
        at_s += tab_gap_s(mail.random) if tabs else return_gap_s(mail.random)


def tab_gap_s(random: Random) -> float:
    return random.lognormvariate(math.log(TAB_GAP_S), TAB_GAP_SPREAD)


def return_gap_s(random: Random) -> float:
    stayed_s = random.weibullvariate(PAGE_STAY_S, PAGE_STAY_SHAPE)
    return RETURN_S + random.expovariate(1 / RETURN_S) + stayed_s


def recheck(mail: Mail) -> None:
    """A filter repeats each click of a person, from elsewhere."""
    read(mail, "own", clicks=True)
    clicks = [event for event, _ in mail.hits if event.facts.link is not None]
    for event in clicks:
        after_s = (event.occurred_at - ARRIVED_US) / SECOND_US + RECHECK_S
        mail.hit(after_s, Actor.MACHINE, event.facts.link, CHROME, mail.random.randbytes(8), None)


def forward(mail: Mail) -> None:
    """Scanned, read, forwarded, and scanned there."""
    scan(mail, SWEEP_GAP_S)
    read_by_s = read(mail, "own")
    scan(mail, SWEEP_GAP_S, from_s=read_by_s + mail.random.expovariate(1 / FORWARD_S))


def read_behind_scanner(mail: Mail) -> None:
    scan(mail, SWEEP_GAP_S)
    read(mail, "own")


class Scenario(NamedTuple):
    """A kind of thing that happens to mails, and to how many."""

    name: str
    number: int
    happens: Callable[[Mail], object]
    min_links: int = 1

    def mails(self, random: Random) -> list[Mail]:
        """That many, each with what happened to it."""
        mails = [Mail(random, self.min_links) for _ in range(self.number)]
        for mail in mails:
            self.happens(mail)
        return mails


PRIVACY: Final = "person, Apple's privacy proxy"
TABBED: Final = "person, several links in tabs"

READERS: Final = 100_000
_CLICKERS: Final = READERS * CLICKS_PER_OPEN
_SEVERAL: Final = 1 - LINKS_FOLLOWED[1] / 100
_ONE_LINK: Final = (1 - NEWSLETTERS) * TEMPLATE_LINKS[1] / sum(TEMPLATE_LINKS.values())

SCENARIOS: Final = (
    # How many mails each kind of scanner sees is assumed; those with one link are as many as there are such mails.
    Scenario("scanner, one address, a sub-second sweep", 3000, lambda mail: scan(mail, SWEEP_GAP_S), 2),
    Scenario("scanner, one address, about a second a link", 1000, lambda mail: scan(mail, STEADY_GAP_S), 2),
    Scenario("scanner, several addresses", 1500, lambda mail: scan(mail, STEADY_GAP_S, fleet=FLEET), 2),
    Scenario("scanner, a published network", 1000, lambda mail: scan(mail, STEADY_GAP_S, network="published"), 2),
    Scenario("scanner, slow, a probable network", 500, lambda mail: scan(mail, SLOW_GAP_S, network="probable"), 2),
    Scenario("scanner, slow, an unknown network", 500, lambda mail: scan(mail, SLOW_GAP_S), 2),
    Scenario("scanner, one link only", round(7500 * _ONE_LINK / (1 - _ONE_LINK)), scan_one_link),
    Scenario("a person's clicks checked again", round(_CLICKERS * 0.01), recheck),
    Scenario("person, own client", round(READERS * OWN_CLIENTS), lambda mail: read(mail, "own")),
    Scenario("person, image proxy", round(READERS * IMAGE_PROXIES), lambda mail: read(mail, "proxy")),
    Scenario(PRIVACY, round(READERS * MAIL_PRIVACY), lambda mail: read(mail, "privacy")),
    Scenario("person, no images", round(_CLICKERS * 0.05), lambda mail: read(mail, "blocked", clicks=True)),
    Scenario(
        TABBED, round(_CLICKERS * _SEVERAL * TABS),
        lambda mail: read(mail, "own", clicks=True, tabs=True), 2,
    ),
    Scenario("person in a company with a scanner", 3000, read_behind_scanner),
    Scenario("forwarded: scanner, person, scanner", round(READERS * FORWARDS), forward),
)  # fmt: skip


def check(random: Random, draws: int = 50_000) -> None:
    """Raises SystemExit if what is drawn is not what was published, by more than chance.

    A figure that is not drawn from, but has to come out, has the error of the 836 bursts it was published of.
    """
    scans = [scan_times(random) for _ in range(draws)]
    drawn: dict[str, tuple[list[float], Points, float]] = {
        "burst starts": ([start for _, start in scans], BURST_STARTS, math.inf),
        "median of the burst starts": ([start for _, start in scans], [(43, 0.5)], 836),
        "pixels": ([pixel for pixel, _ in scans], PIXELS, math.inf),
        "time between the two": ([start - pixel for pixel, start in scans], [(0, 0), (33, 0.5)], 836),
        "opens": ([log_normal(OPENS, random) for _ in range(draws)], OPENS, math.inf),
        "clicks": ([log_normal(CLICKS, random) for _ in range(draws)], CLICKS, math.inf),
        "reading": ([read_s(random) for _ in range(draws)], READS, math.inf),
    }
    for name, (seconds, points, published_of) in drawn.items():
        for at_s, share in points:
            found = sum(second <= at_s for second in seconds) / draws
            error = math.sqrt(share * (1 - share) * (1 / draws + 1 / published_of))
            if abs(found - share) > 4 * error:
                raise SystemExit(f"{name}: {found:.2%} within {at_s} s, published {share:.2%}")
    mean_s = sum(drawn["reading"][0]) / draws
    if abs(mean_s - 13.4) > 0.3:
        raise SystemExit(f"people read for {mean_s:.1f} s, published 13.4 s")
