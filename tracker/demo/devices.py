"""What readers and mail filters say they are, and where they are: real user agents, and addresses of nobody.

Owns the texts. Must not know what anyone does. People's user agents and filters' differ, so that it can be told
afterwards who a hit was really from.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

_WEBKIT: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_BLINK: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE_PREFETCH: Final = "Mozilla/5.0"
APPLE_MAIL: Final = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT}"
SAFARI: Final = f"{APPLE_MAIL} Version/18.5 Safari/605.1.15"
GMAIL_PROXY: Final = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
FILTER: Final = f"Mozilla/5.0 (Windows NT 6.1; WOW64) {_BLINK} Chrome/57.0.2987.133 Safari/537.36"

_WINDOWS: Final = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_BLINK}"
_IPHONE_MAIL: Final = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_WEBKIT} Mobile/15E148"
_IPHONE: Final = (
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_WEBKIT} Version/18.6 Mobile/15E148 Safari/604.1"
)
_IPAD: Final = f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_WEBKIT} Version/18.6 Mobile/15E148 Safari/604.1"
_PIXEL: Final = f"Mozilla/5.0 (Linux; Android 16; Pixel 9) {_BLINK} Chrome/142.0.0.0 Mobile Safari/537.36"
_GALAXY: Final = (
    f"Mozilla/5.0 (Linux; Android 15; SM-S921B) {_BLINK} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"
)
_CHROME: Final = f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36"
_EDGE: Final = f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"
_OUTLOOK: Final = (
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.18526)"
)
_THUNDERBIRD: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0"
_FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
_YAHOO_PROXY: Final = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"


class Device(NamedTuple):
    """How one person reads mail."""

    share: int
    """How many people do, of a hundred."""
    opens_with: str | None
    """What fetches the pixel when the person reads; None: nothing does, it was fetched ahead."""
    clicks_with: str
    prefetches_with: str | None = None

    @property
    def is_proxied(self) -> bool:
        """Whether the pixel is fetched from elsewhere."""
        return "Proxy" in (self.opens_with or "")


DEVICES: Final = (
    Device(20, None, _IPHONE, APPLE_PREFETCH),
    Device(5, None, SAFARI, APPLE_PREFETCH),
    Device(14, GMAIL_PROXY, _PIXEL),
    Device(10, GMAIL_PROXY, _CHROME),
    Device(6, GMAIL_PROXY, _IPHONE),
    Device(3, _YAHOO_PROXY, _GALAXY),
    Device(9, _IPHONE_MAIL, _IPHONE),
    Device(4, APPLE_MAIL, _IPAD),
    Device(4, APPLE_MAIL, SAFARI),
    Device(17, _OUTLOOK, _EDGE),
    Device(5, _OUTLOOK, _CHROME),
    Device(3, _THUNDERBIRD, _FIREFOX),
)

FILTERS: Final = (
    FILTER,
    f"{_WINDOWS} Chrome/106.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:102.0) Gecko/20100101 Firefox/102.0",
    f"Mozilla/5.0 (X11; Linux x86_64) {_BLINK} Chrome/117.0.0.0 Safari/537.36",
)
"""Mail filters that say they are a browser, as most do; an old one, often."""


def persons_address(random: Random) -> str:
    """An address of its own, of those kept for documentation (RFC 3849)."""
    return f"2001:db8:{random.getrandbits(16):x}:{random.getrandbits(16):x}::{random.getrandbits(16):x}"


def machines_address(random: Random) -> str:
    """An address that no list has (RFC 5737)."""
    return f"{random.choice(('192.0.2', '198.51.100', '203.0.113'))}.{random.randrange(1, 255)}"


def listed_address(random: Random) -> str:
    """An address in a network that the built-in list has: Microsoft's, for its filters."""
    return f"104.47.{random.randrange(1, 127)}.{random.randrange(1, 255)}"
