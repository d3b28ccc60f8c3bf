from __future__ import annotations

import pytest

from tracker.core.agents import RULE_VERSION, classify
from tracker.core.model import Actor, Facts

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
)
GMAIL_PREFETCH = "Mozilla/5.0 (Windows NT 10.0) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
GMAIL_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO_PROXY = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"


@pytest.mark.parametrize(
    ("type_", "agent", "purpose", "actor", "reasons"),
    [
        ("opened", CHROME, None, Actor.HUMAN, ()),
        ("opened", "Mozilla/5.0", None, Actor.MACHINE, ("apple_mail_privacy",)),
        ("opened", "Mozilla/5.0 ", None, Actor.HUMAN, ()),
        ("clicked", "Mozilla/5.0", None, Actor.HUMAN, ()),
        ("opened", GMAIL_PREFETCH, None, Actor.MACHINE, ("gmail_prefetch",)),
        ("opened", "Edge/12.246", None, Actor.HUMAN, ()),
        ("opened", GMAIL_PROXY, None, Actor.PROXY, ("gmail_image_proxy",)),
        ("opened", YAHOO_PROXY, None, Actor.PROXY, ("yahoo_image_proxy",)),
        ("clicked", GMAIL_PROXY, None, Actor.HUMAN, ()),
        ("opened", None, None, Actor.HUMAN, ()),
        ("clicked", CHROME, "prefetch", Actor.MACHINE, ("prefetch_header",)),
        ("clicked", CHROME, "prefetch;prerender", Actor.MACHINE, ("prefetch_header",)),
        ("opened", CHROME, "Preview", Actor.MACHINE, ("prefetch_header",)),
        ("clicked", CHROME, "navigate", Actor.HUMAN, ()),
    ],
)
def test_who_acted(type_: str, agent: str | None, purpose: str | None, actor: Actor, reasons: tuple[str, ...]) -> None:
    verdict = classify(Facts("default", "m", type_, user_agent=agent, purpose=purpose))
    assert verdict is not None
    assert (verdict.actor, verdict.reasons, verdict.rule_version) == (actor, reasons, RULE_VERSION)


@pytest.mark.parametrize("type_", ["unsubscribed", "delivered", "rewritten", "something_new"])
def test_other_types_are_not_judged(type_: str) -> None:
    assert classify(Facts("default", "m", type_, user_agent="Mozilla/5.0", purpose="prefetch")) is None
