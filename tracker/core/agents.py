"""Who acted in an open or a click: facts in, a verdict with its reasons out.

Owns the rules and their version. A verdict never changes what the client was answered, and facts are
never changed by a verdict. Version 1 judges each event by itself, from signals that are certain:
what is uncertain is `human`, with no reason given.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .model import Actor, EventType, Facts, Verdict

RULE_VERSION: Final = 1

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


def classify(facts: Facts) -> Verdict | None:
    """The verdict on one event; None for the types that are not judged."""
    return _verdict(facts.type, facts.purpose or "", facts.user_agent or "")


@lru_cache(maxsize=4096)
def _verdict(type_: str, purpose: str, agent: str) -> Verdict | None:
    if type_ not in JUDGED_TYPES:
        return None
    actor, reasons = _judge(type_, purpose.lower(), agent)
    return Verdict(actor, reasons, RULE_VERSION)


def _judge(type_: str, purpose: str, agent: str) -> tuple[Actor, tuple[str, ...]]:
    if any(word in purpose for word in PREFETCH_WORDS):
        return Actor.MACHINE, ("prefetch_header",)
    if type_ != EventType.OPENED:
        return Actor.HUMAN, ()
    if agent == APPLE_MAIL_PRIVACY:
        return Actor.MACHINE, ("apple_mail_privacy",)
    if all(mark in agent for mark in GMAIL_PREFETCH):
        return Actor.MACHINE, ("gmail_prefetch",)
    for mark, reason in IMAGE_PROXIES.items():
        if mark in agent:
            return Actor.PROXY, (reason,)
    return Actor.HUMAN, ()
