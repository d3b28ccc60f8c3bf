"""Who acted in an open or a click: facts in, a verdict with its reasons out.

Owns the rules and their version. A verdict never changes what the client was answered, and facts are never changed by a
verdict. A request's own signs come first, then the time since the mail arrived, then what else happened to the message
at that time: a hit that is recorded later can change the verdict on an earlier one. Who is not told apart is `human`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from .bursts import EARLY_US, REACH_US, found_in
from .model import Actor, Event, EventType, Facts, Verdict
from .networks import parse_match

__all__ = [
    "JUDGED_TYPES",
    "REACH_US",
    "RULE_VERSION",
    "ClassifierSettings",
    "arrived_at",
    "classify",
    "differ",
    "judge",
]

RULE_VERSION: Final = 2

JUDGED_TYPES: Final = frozenset({EventType.OPENED, EventType.CLICKED})
"""The types that get a verdict. An unsubscribe is never filtered; the rest is said by mail servers."""

APPLE_MAIL_PRIVACY: Final = "Mozilla/5.0"
"""The whole user agent with which Apple Mail Privacy Protection fetches images ahead of any reading."""

GMAIL_PREFETCH: Final = ("Chrome/42.0.2311.135", "Edge/12.246")
"""Both stand in the user agent with which Gmail fetches images ahead of any reading."""

IMAGE_PROXIES: Final = {
    "GoogleImageProxy": "gmail_image_proxy",
    "ggpht.com": "gmail_image_proxy",
    "YahooMailProxy": "yahoo_image_proxy",
}
"""Marks of proxies that fetch an image when a person opens the mail, by the reason they give."""

PREFETCH_WORDS: Final = ("prefetch", "preview", "prerender")
"""Values of Sec-Purpose (Fetch standard), Purpose, X-Purpose and X-Moz that announce a fetch nobody asked for."""

SCANNERS: Final = re.compile(
    "barracuda|proofpoint|mimecast|symantec|messagelabs|trendmicro|ironport|sophos|fireeye|zscaler|forcepoint"
    "|urldefense|safelinks|(?:link|url|mail|security|virus|vulnerability)[ -]?scanner"
)
"""Names that mail filters give in their user agents. Most give a browser's. People have scanners for bar codes."""

TOOLS: Final = re.compile(
    "curl(?![a-z])|wget(?![a-z])|python-|python/|aiohttp/|okhttp|go-http-client|go http package|libwww|headless"
    "|phantomjs|guzzlehttp|node-fetch|postmanruntime|^(?:java/|axios/|undici|apache-httpclient)"
)
"""Programs that fetch without a person. Old telephones have Java, and a link preview names its HTTP client."""

PREVIEWS: Final = re.compile(
    "slackbot|slack-imgproxy|facebookexternalhit|facebookcatalog|^whatsapp/|telegrambot|skypeuripreview|bingpreview"
    "|linkedinbot|twitterbot|discordbot|applebot|googlebot|adsbot-google|google-inspectiontool|googleother|iframely|embedly"
    "|crawler|spider|preview|(?<!cu)bot(?:[/;)]|$)"
)
"""Programs that show what a link leads to, or index it. Cubot makes telephones; WhatsApp's browser for people ends with
its name."""

SOON_S: Final = {"probable_network": 600, "no_image_accepted": 60}
"""Signs that decide nothing by themselves, by how soon after the mail's arrival they do."""

_SECOND_US: Final = 1_000_000
_OPENED: Final = EventType.OPENED.value
_Seconds = Annotated[float, Meta(ge=0, le=600)]


class ClassifierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an account lets count as a sign of a machine, beyond what is certain."""

    bursts: bool = True
    """Whether several destinations of one message within seconds make a machine."""
    burst_s: Annotated[float, Meta(gt=0, le=5)] = 5
    """Within how many seconds two destinations from one source do. 1 spares most people who open links in tabs."""
    sweeps: bool = True
    """Whether five destinations within two minutes from one source do, soon after the mail's reported arrival."""
    probable_networks: bool = True
    """Whether a hit from a network that is probably a filter's makes one, within ten minutes of the mail's arrival."""
    quick_open_s: _Seconds = 0
    """An open sooner than this after the mail's reported arrival is a machine's. 0: however soon."""
    quick_click_s: _Seconds = 0
    """The same for a click, which costs more to lose."""
    honeypot: bool = False
    """Whether messages get a hidden link that no person sees."""


def arrived_at(sent_at: int | None, delivered_at: int | None) -> int | None:
    """When the mail arrived as far as was reported: its delivery, or else its sending. Never when it was rewritten."""
    return sent_at if delivered_at is None else delivered_at


def classify(facts: Facts) -> Verdict | None:
    """The verdict on one request by itself; None for the types that are not judged."""
    return _verdict(facts.type, facts.purpose or "", facts.user_agent or "", facts.network or "", facts.honeypot)


def judge(hits: Iterable[Event], arrived: int | None, settings: ClassifierSettings) -> dict[bytes, Verdict]:
    """The verdicts on ``hits``, opens and clicks of one message, by their ids; in any order, each once.

    What is more than `REACH_US` away from a hit has no part in the verdict on it.
    """
    hits = list(hits)
    verdicts = {event.id: _timed(event, arrived, settings) for event in hits}
    if settings.bursts and len(hits) > 1:
        sweeps_since = arrived if settings.sweeps else None
        for id_, reason in found_in(hits, round(settings.burst_s * _SECOND_US), sweeps_since).items():
            if verdicts[id_].actor is Actor.HUMAN:
                verdicts[id_] = Verdict(Actor.MACHINE, (reason,), RULE_VERSION)
    return verdicts


def differ(old: Verdict, new: Verdict) -> bool:
    """Whether the two say anything else, whatever the version of the rules."""
    return (old.actor, old.reasons) != (new.actor, new.reasons)


def _timed(event: Event, arrived: int | None, settings: ClassifierSettings) -> Verdict:
    facts = event.facts
    verdict = classify(facts)
    if verdict is None:
        raise ValueError(f"a {facts.type} event gets no verdict")
    if arrived is None or verdict.actor is not Actor.HUMAN or event.occurred_at < arrived - EARLY_US:
        return verdict
    since_us = event.occurred_at - arrived
    quick_s = settings.quick_open_s if facts.type == _OPENED else settings.quick_click_s
    if quick_s and since_us < quick_s * _SECOND_US:
        return Verdict(Actor.MACHINE, ("before_arrival" if since_us < 0 else "soon_after_arrival",), RULE_VERSION)
    weak = tuple(sign for sign in _weak_signs(facts, settings) if since_us < SOON_S[sign] * _SECOND_US)
    return Verdict(Actor.MACHINE, (*weak, "soon_after_arrival"), RULE_VERSION) if weak else verdict


def _weak_signs(facts: Facts, settings: ClassifierSettings) -> Iterable[str]:
    if settings.probable_networks and _network(facts.type, facts.network or "") == "probable":
        yield "probable_network"
    if facts.type == _OPENED and facts.accept and "image/" not in facts.accept and "*/*" not in facts.accept:
        yield "no_image_accepted"


@lru_cache(maxsize=4096)
def _verdict(type_: str, purpose: str, agent: str, network: str, honeypot: bool) -> Verdict | None:
    if type_ not in JUDGED_TYPES:
        return None
    actor, reasons = _judge(type_, purpose.lower(), agent)
    if honeypot:
        actor, reasons = Actor.MACHINE, ("honeypot",)
    elif actor is not Actor.MACHINE and _network(type_, network) == "certain":
        actor, reasons = Actor.MACHINE, ("scanner_network",)
    return Verdict(actor, reasons, RULE_VERSION)


def _judge(type_: str, purpose: str, agent: str) -> tuple[Actor, tuple[str, ...]]:
    if any(word in purpose for word in PREFETCH_WORDS):
        return Actor.MACHINE, ("prefetch_header",)
    if not agent.strip():
        return Actor.MACHINE, ("no_user_agent",)
    opened = type_ == _OPENED
    if opened and agent == APPLE_MAIL_PRIVACY:
        return Actor.MACHINE, ("apple_mail_privacy",)
    if opened and all(mark in agent for mark in GMAIL_PREFETCH):
        return Actor.MACHINE, ("gmail_prefetch",)
    for mark, reason in IMAGE_PROXIES.items():
        if opened and mark in agent:
            return Actor.PROXY, (reason,)
    agent = agent.lower()
    for pattern, reason in ((SCANNERS, "scanner_agent"), (TOOLS, "tool_agent"), (PREVIEWS, "preview_agent")):
        if pattern.search(agent):
            return Actor.MACHINE, (reason,)
    return Actor.HUMAN, ()


@lru_cache(maxsize=4096)
def _network(type_: str, network: str) -> str | None:
    """How certain it is that the network is a filter's, for events of the type."""
    match = parse_match(network)
    if match is None or match.scope not in ("any", "opens" if type_ == _OPENED else "clicks"):
        return None
    return match.certainty
