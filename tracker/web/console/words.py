"""How the console says things: times, numbers, stages, and why an event counts as whose.

Owns the words. Must not know where anything comes from.
"""

from __future__ import annotations

import datetime
import re
from typing import Final

from markupsafe import Markup, escape

from tracker.core.model import Actor, EventType
from tracker.core.status import Stage
from tracker.web.responses import moment

ACTORS: Final = {Actor.HUMAN: "Person", Actor.PROXY: "Image proxy", Actor.MACHINE: "Machine"}

STAGES: Final = {stage: stage.name.capitalize() for stage in Stage}

EVENTS: Final[dict[str, str]] = {
    EventType.REWRITTEN: "Prepared for sending",
    EventType.SENT: "Sent",
    EventType.DEFERRED: "Put off by the mail server, which tries again",
    EventType.FAILED: "Failed",
    EventType.DROPPED: "Dropped before sending",
    EventType.DELIVERED: "Delivered",
    EventType.OPENED: "Opened",
    EventType.CLICKED: "Link followed",
    EventType.REVOKED_CLICK: "Link followed that is switched off: it led nowhere",
    EventType.REPLIED: "Replied",
    EventType.UNSUBSCRIBED: "Unsubscribed",
    EventType.COMPLAINED: "Called spam",
    EventType.CONSENT_CHANGED: "Consent to tracking changed",
    EventType.RECIPIENT_RESET: "Recipient may be written to again",
}

REASONS: Final = {
    "prefetch_header": "The request said that it was a fetch in advance, which nobody had asked for yet.",
    "no_user_agent": "The request named no program. Mail programs and browsers do.",
    "apple_mail_privacy": "Apple Mail loads images ahead of any reading, to hide who reads what.",
    "gmail_prefetch": "Gmail loaded the image ahead of any reading.",
    "gmail_image_proxy": "Gmail's image proxy loads an image when somebody looks at the mail, and hides who and where.",
    "yahoo_image_proxy": "Yahoo's image proxy loads an image when somebody looks at the mail, and hides who and where.",
    "scanner_agent": "The program named itself as a mail filter.",
    "tool_agent": "The program named itself as a tool that fetches without a person.",
    "preview_agent": "The program shows previews of links, or indexes them.",
    "scanner_network": "The address belongs to a mail filter's network.",
    "probable_network": "The address belongs to a network from which mail filters fetch.",
    "no_image_accepted": "The request for the image did not accept images.",
    "before_arrival": "It came before the mail was reported to have arrived.",
    "soon_after_arrival": "It came sooner after the mail's arrival than people are.",
    "honeypot": "It followed a hidden link that no person sees.",
    "near_honeypot": "A hidden link that no person sees was followed within seconds of it.",
    "burst": "Three or more different links of this message were followed within 10 seconds.",
    "sweep_from_one_source": "Five or more different links of this message were followed within two minutes from one "
    "address.",
    "burst_from_one_source": "Two or more different links of this message were followed within seconds from one "
    "address.",
    "open_with_burst": "It came with a burst of clicks: a mail filter loads the images, then tries the links.",
}
"""Why an event counts as a proxy's or a machine's, by the classifier's reason."""

BY_COMPANY: Final = frozenset(
    {"near_honeypot", "burst", "sweep_from_one_source", "burst_from_one_source", "open_with_burst"}
)
"""Reasons that lie in other hits near by: by itself, such a hit looks like a person's."""

_MOST_UNBROKEN_CHARS: Final = 20
_MINUS: Final = re.compile(r"(?<= )-(?=\d+\.\d+(?: to | points|\)))")
_HYPHENATED: Final = re.compile(r"\S*-\S*")


def reason(code: str) -> str:
    """A reason in words; one that is not known here as it is."""
    return REASONS.get(code, code).replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def event(type_: str) -> str:
    """What happened; a type that is not known here as it is."""
    return EVENTS.get(type_, type_)


def when(microseconds: int) -> str:
    """A moment, to the second and in UTC, which machines can read as well."""
    return _time(microseconds, "%b %Y, %H:%M:%S UTC")


def instant(microseconds: int) -> str:
    """A moment, to the millisecond and in UTC, which machines can read as well."""
    return _time(microseconds, f"%b %Y, %H:%M:%S.{microseconds // 1000 % 1000:03} UTC")


def day(microseconds: int) -> str:
    """The day of a moment, in UTC."""
    return _time(microseconds, "%b %Y")


def _time(microseconds: int, pattern: str) -> str:
    time = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=microseconds)
    return Markup('<time datetime="{}">{}</time>').format(moment(microseconds), f"{time.day} {time:{pattern}}")


def number(value: float) -> str:
    """A whole number with its thousands apart, which machines can read as well."""
    return Markup('<data value="{}">{}</data>').format(value, f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"))


def percent(share: float | None, missing: str = "") -> str:
    """A share as a percentage, which machines can read as well; ``missing`` where there is none."""
    if share is None:
        return missing
    return Markup('<data value="{}">{}</data>').format(repr(share), plain_percent(share))


def level(confidence: float) -> str:
    """How sure something is: ``95 %``, ``98.75 %``."""
    return f"{100 * confidence:.4g}\N{NARROW NO-BREAK SPACE}%"


def plain_percent(share: float) -> str:
    """A share as a percentage. What is something does not look like nothing."""
    hundredfold = share * 100
    if 0 < hundredfold < 0.01:
        return "<0.01\N{NARROW NO-BREAK SPACE}%"
    return f"{hundredfold:.{2 if 0 < hundredfold < 1 else 1}f}\N{NARROW NO-BREAK SPACE}%"


def prose(text: str) -> str:
    """A plain sentence of the reports as a page shows it: with real minus signs, and broken where it may be."""
    text = _MINUS.sub("\N{MINUS SIGN}", text)
    text = re.sub(r"(?<=\d) %", "\N{NARROW NO-BREAK SPACE}%", text).replace("% interval", "%\N{NO-BREAK SPACE}interval")
    pieces, end = [], 0
    for match in _HYPHENATED.finditer(text):
        pieces += [escape(text[end : match.start()]), name(match[0])]
        end = match.end()
    return Markup("").join([*pieces, escape(text[end:])])


def name(text: str) -> str:
    """A name that is not broken, at its hyphens say, unless it is too long for that."""
    return Markup('<span class="whole">{}</span>').format(text) if len(text) <= _MOST_UNBROKEN_CHARS else escape(text)


def link(index: int) -> str:
    """What the link with this index is called: people count from one."""
    return f"Link {index + 1}"


def capital(text: str) -> str:
    """``text`` as a sentence begins."""
    return text[:1].upper() + text[1:]


def sentence(name: str) -> str:
    """A name from the code in words: ``open_rate`` is ``Open rate``."""
    return re.sub("[_-]+", " ", name).capitalize()
