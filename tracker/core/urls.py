"""What a link is, whether it may be wrapped, and how its destination is written into a Location header.

Owns the rules for one URL. Must not know where in a message the URL stood.

A destination is the caller's string, never a re-serialised one: what is signed is what a browser would
resolve, byte for byte, less the white space that the URL standard drops before it starts.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote_plus, urlsplit

import idna


class Reason(enum.Enum):
    """Why a link is left as it is."""

    EMPTY = "empty"
    ANCHOR = "anchor"
    """``#part``: leads nowhere outside the mail."""
    RELATIVE = "relative"
    """Nothing says what it is relative to; ``<base>`` is not followed."""
    SCHEME = "scheme"
    """Not http or https: mailto, tel, cid, an app's own scheme ..."""
    PLACEHOLDER = "placeholder"
    """Has a template tag that someone downstream fills in."""
    INVALID_URL = "invalid_url"
    """No browser would follow it, or browsers differ: no host, a backslash, a control character."""
    USERINFO = "userinfo"
    """Carries a user name or password, which also disguise where a link leads."""
    TOO_LONG = "too_long"
    """The tracked link would be longer than Outlook follows."""
    OPT_OUT = "opt_out"
    """An attribute, here or at a link to the same URL, asks not to track it."""
    OWN_LINK = "own_link"
    """One of this message's own tracked links."""
    UNSUBSCRIBE = "unsubscribe"
    """Leads to the unsubscribe page."""
    EXCLUDED_HOST = "excluded_host"
    """The settings exclude the host."""
    ONE_USE = "one_use"
    """The settings say that links like this one work once, so that no scanner may be led to them."""
    LINK_TEXT = "link_text"
    """The text of the link is itself a URL, and the settings say to leave such links."""
    TRACKING_OFF = "tracking_off"
    """Clicks are not tracked for this message."""
    WRAPPED = "wrapped"
    """A URL in the text part that is broken over two lines."""
    REWRITTEN_BEFORE = "rewritten_before"
    """The message was rewritten before; what it left then is left again."""


@dataclass(frozen=True, slots=True)
class LinkRules:
    """What the settings say about links. Hosts are as `plain_host` has them; ``*.example.com`` means all below it."""

    excluded_hosts: frozenset[str] = frozenset()
    one_use_paths: tuple[str, ...] = ()
    """Pieces of a path, lower case: a URL that has one in its path or query is a one-use link."""

    def reason(self, host: str, rest: str) -> Reason | None:
        """Why the settings leave a URL with this host, and this path and query; None if they do not."""
        if self.excluded_hosts and _is_excluded(plain_host(host), self.excluded_hosts):
            return Reason.EXCLUDED_HOST
        if self.one_use_paths and any(map(rest.lower().__contains__, self.one_use_paths)):
            return Reason.ONE_USE
        return None


# URL standard, 4.4: leading and trailing C0 controls and spaces go, and every tab and newline anywhere.
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = str.maketrans("", "", "\t\n\r")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_POSTAL_OPT_OUTS = ("http+notrack", "https+notrack")
# Half a surrogate pair is no character; the rest can split a header or lead elsewhere in one browser than in another.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WEB = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s\[\]<>^|%:@\"`{}]+)(?::[0-9]{0,5})?")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")

# What opens a tag of the template languages that mailers use. An opening alone is enough: a quote inside
# a tag ends the attribute early.
_TAG_OPENING = re.compile(r"\{\{|\{%|\{#|\[\[|\*\||<%|\$\{|%%")
_PERCENT_NAME = re.compile(r"%([A-Za-z_][A-Za-z0-9_.-]*)%")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")


def has_placeholder(url: str) -> bool:
    """Whether ``url`` has a template tag: ``{{ }}``, ``{% %}``, ``[[ ]]``, ``*|X|*``, ``%X%``, ``<%= %>``, ``${}``."""
    if "%" not in url and "{" not in url and "[" not in url and "*" not in url:
        return False
    return bool(_TAG_OPENING.search(url)) or any(map(_is_percent_tag, _PERCENT_NAME.finditer(url)))


def _is_percent_tag(match: re.Match[str]) -> bool:
    # In a valid URL both of the percent signs start an escape: %C3%BCber%20uns has no tag "BCber".
    name = match[1]
    if len(name) == 2 and _HEX_PAIR.fullmatch(name):
        return False
    return not (_HEX_PAIR.match(name) and _HEX_PAIR.match(match.string, match.end()))


def clean(href: str) -> str:
    """``href`` without the white space and controls that the URL standard drops before it parses."""
    url = href.strip(_C0_OR_SPACE)
    return url if url.isprintable() else url.translate(_TAB_OR_NEWLINE)


def destination(href: str, rules: LinkRules) -> str | Reason:
    """Where a link leads, as it is to be signed; or the reason why it must not be wrapped.

    ``href`` is the attribute's value after its character references were decoded. A URL without a scheme but
    with a host (``//host/path``) is taken as https.
    """
    url = clean(href)
    if not url:
        return Reason.EMPTY
    if url[0] == "#":
        return Reason.ANCHOR
    if has_placeholder(url):
        return Reason.PLACEHOLDER
    if url.startswith("//"):
        url = "https:" + url
    match = _WEB.fullmatch(url)
    if not match:
        return _not_web(url)
    authority, rest = match[2], match[3]
    return _unsafe(url, authority) or rules.reason(_host(authority), rest) or url


def _not_web(url: str) -> Reason:
    scheme = _SCHEME.match(url)
    if not scheme:
        return Reason.RELATIVE
    name = scheme[1].lower()
    if name in ("http", "https"):  # without a host
        return Reason.INVALID_URL
    return Reason.OPT_OUT if name in _POSTAL_OPT_OUTS else Reason.SCHEME


def _unsafe(url: str, authority: str) -> Reason | None:
    """Why a web URL must not be led to, if so."""
    if "\\" in url or (not url.isprintable() and _FORBIDDEN.search(url)):
        return Reason.INVALID_URL
    if "@" in authority:
        return Reason.USERINFO
    if not _HOST.fullmatch(authority):
        return Reason.INVALID_URL
    port = "" if authority.endswith("]") else authority.partition(":")[2]
    if port.isdecimal() and int(port) > 65535:
        return Reason.INVALID_URL
    ascii_authority = _ascii_authority(authority)
    return None if ascii_authority and _is_host(_host(ascii_authority)) else Reason.INVALID_URL


def _is_host(host: str) -> bool:
    """Whether an ASCII host that looks like an address is one; a name is none (URL standard, 3.5)."""
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            return False
        return True
    if not _ENDS_IN_NUMBER.fullmatch(host):
        return True
    *parts, last = map(_ipv4_number, host.removesuffix(".").split("."))
    return len(parts) < 4 and all(0 <= part < 256 for part in parts) and 0 <= last < 256 ** (4 - len(parts))


def _ipv4_number(text: str) -> int:
    """One number of an IPv4 address, which may be octal or hexadecimal; -1 where it is none."""
    base = 16 if text[:2] in ("0x", "0X") else 8 if text[:1] == "0" else 10
    digits = text[2:] if base == 16 else text
    if not digits.isalnum():  # int() would take a sign, white space and underscores
        return 0 if base == 16 and not digits else -1
    try:
        return int(digits, base)
    except ValueError:
        return -1


def _host(authority: str) -> str:
    """The host of an authority without userinfo, the port taken off."""
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def _ascii_authority(authority: str) -> str | None:
    """The authority with its host as A-labels (UTS 46, as browsers do); None where it has none."""
    if authority.isascii():  # an IPv6 address among them
        return authority
    host, colon, port = authority.partition(":")
    try:
        return idna.encode(host, uts46=True, transitional=False).decode() + colon + port
    except (idna.IDNAError, UnicodeError):
        return None


def plain_host(host: str) -> str:
    """``host`` in the one spelling that hosts are compared in: lower case, A-labels, no dot at the end."""
    plain = host if host.isascii() else _ascii_authority(host) or host
    return plain.lower().removesuffix(".")


def _is_excluded(host: str, excluded: frozenset[str]) -> bool:
    if host in excluded:
        return True
    labels = host.split(".")
    return any("*." + ".".join(labels[start:]) in excluded for start in range(1, len(labels)))


def with_params(url: str, params: Mapping[str, str]) -> str:
    """``url`` with ``params`` added to its query, before the fragment; keys that are there already stay as they are.

    The query is never parsed and written again, so what stands in it keeps its exact escapes.
    """
    if not params:
        return url
    head, hash_sign, fragment = url.partition("#")
    base, mark, query = head.partition("?")
    present = {unquote_plus(pair.partition("=")[0]) for pair in query.split("&")}
    added = [f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in params.items() if k not in present]
    if not added:
        return url
    joint = "" if query.endswith("&") or (mark and not query) else "&" if mark else "?"
    return base + mark + query + joint + "&".join(added) + hash_sign + fragment


@lru_cache(maxsize=512)
def location(url: str) -> bytes | None:
    """``url`` as a Location header: the same bytes, an IDN host as A-labels, other non-ASCII percent-encoded.

    None if it is not a safe absolute http or https URL after all, so that nothing else is ever redirected to.
    """
    match = _WEB.fullmatch(url)
    if not match or _unsafe(url, match[2]):
        return None
    if url.isascii():
        return url.encode()
    scheme, authority, rest = match.groups()
    encoded = _NOT_ASCII.sub(lambda run: quote(run[0], safe=""), rest)
    return f"{scheme}://{_ascii_authority(authority)}{encoded}".encode()


def origin(text: str) -> str:
    """``text`` as an origin (``https://HOST``, ``https://HOST:PORT``), in lower case, without a default port.

    Raises ValueError, in words, where it is none.
    """
    url = urlsplit(text.rstrip("/"))
    if url.scheme not in ("http", "https") or not url.hostname or url.path or url.query or url.fragment or "@" in text:
        raise ValueError("must be an origin: https://HOST or https://HOST:PORT, without a path")
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", url.netloc):
        raise ValueError("must have an ASCII host name; write an international one as its A-label (xn--...)")
    default = {"http": 80, "https": 443}[url.scheme]
    host = url.netloc.lower()
    return f"{url.scheme}://{host.rpartition(':')[0] if url.port == default else host}"  # reading it checks the port
