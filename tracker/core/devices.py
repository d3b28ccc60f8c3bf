"""What people read mail on, as far as a user agent says: the kind of device, its system, the program.

Owns the names that reports use, of which there are few, whatever clients call themselves. Has no part in verdicts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

SYSTEMS: Final = {
    "iOS": "iOS",
    "Android": "Android",
    "Mac OS X": "macOS",
    "Windows": "Windows",
    "Windows Phone": "Windows",
    "Chrome OS": "ChromeOS",
    "Linux": "Linux",
    "Ubuntu": "Linux",
    "Fedora": "Linux",
    "Debian": "Linux",
}
"""By the parser's name."""

CLIENTS: Final = {
    "Apple Mail": "Apple Mail",
    "Mobile Safari UI/WKWebView": "Apple Mail",  # an app on iOS that shows a page; nearly always its Mail
    "Outlook": "Outlook",
    "Windows Live Mail": "Outlook",
    "Outlook-iOS": "Outlook mobile",
    "Thunderbird": "Thunderbird",
    "Lotus Notes": "Notes",
    "Airmail": "Airmail",
    "Evolution": "Evolution",
    "YahooMobileMail": "Yahoo Mail",
    "Chrome": "Chrome",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android app",
    "Safari": "Safari",
    "Mobile Safari": "Safari",
    "Firefox": "Firefox",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge": "Edge",
    "Edge Mobile": "Edge",
    "Opera": "Opera",
    "Opera Mobile": "Opera",
    "Samsung Internet": "Samsung Internet",
    "Facebook": "Facebook",
    "Instagram": "Instagram",
    "LinkedIn": "LinkedIn",
    "IE": "Internet Explorer",
}
"""By the parser's name: mail programs, and the browsers that links open in."""

OTHER: Final = "other"


@lru_cache(maxsize=8192)
def device_of(user_agent: str) -> str:
    """``KIND/SYSTEM/PROGRAM``; the kind is ``mobile``, ``tablet``, ``desktop`` or ``other``.

    Takes half a millisecond for one that was not asked for lately.
    """
    from user_agents import parse  # takes 0.2 s, which most commands need not wait for

    agent = parse(user_agent)
    kind = "mobile" if agent.is_mobile else "tablet" if agent.is_tablet else "desktop" if agent.is_pc else OTHER
    return "/".join((kind, SYSTEMS.get(agent.os.family, OTHER), CLIENTS.get(agent.browser.family, OTHER)))
