"""Lists of networks that machines are known to come from, and the fact that an event keeps of a match.

Owns the format of a list and of that fact. Must not decide who acted, nor know where a list comes from.

A list is text: a line ``# version: 2026-11-23``, which holds for the ranges below it, comments, and a line
``CIDR NAME SCOPE CERTAINTY`` for each range, such as ``192.0.2.0/24 some-scanner clicks probable``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from .addresses import Address

MAX_RANGES: Final = 500_000
"""In one list. Apple's list of where its private relay comes from has 285,000."""

_VERSION_LINE: Final = re.compile(r"#\s*version:\s*(.*)")
_VERSION: Final = re.compile(r"[0-9A-Za-z._-]{1,40}")
_NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
_LENGTHS: Final = {bits: {str(length): length for length in range(bits + 1)} for bits in (32, 128)}

_Tables = Mapping[tuple[int, int], Mapping[int, str]]


class Scope(enum.StrEnum):
    """Which hits a network says something of."""

    ANY = "any"
    OPENS = "opens"
    CLICKS = "clicks"


class Certainty(enum.StrEnum):
    """Whether machines alone are in a network."""

    CERTAIN = "certain"
    PROBABLE = "probable"


class Match(NamedTuple):
    """What is known of a network, and since which version of the list."""

    name: str
    scope: Scope
    certainty: Certainty
    version: str


@dataclass(frozen=True, slots=True)
class NetworkList:
    """Ranges of addresses, and the fact that is recorded of each."""

    _tables: _Tables = field(default_factory=dict, repr=False)
    """By the bits of an address and of the prefix, longest prefix first; then by the prefix."""

    def match(self, address: Address) -> str | None:
        """The fact of the smallest range with ``address`` in it: ``NAME/SCOPE/CERTAINTY/VERSION``.

        It says all there is to know, so that it can still be judged when the list is another one, or gone.
        """
        bits, number = address.max_prefixlen, int(address)
        for (size, length), table in self._tables.items():
            if size == bits and (fact := table.get(number >> bits - length)):
                return fact
        return None

    def over(self, other: NetworkList) -> NetworkList:
        """Both lists as one; of a range that is in both, what this one says."""
        tables = {**other._tables, **self._tables}
        for size in other._tables.keys() & self._tables.keys():
            tables[size] = {**other._tables[size], **self._tables[size]}
        return NetworkList(_longest_first(tables))


def parse(text: str) -> NetworkList:
    """The list that ``text`` is; an empty text is an empty list.

    Raises ValueError, which says what is wrong and in which line.
    """
    tables: dict[tuple[int, int], dict[int, str]] = {}
    facts: dict[tuple[str, ...], str] = {}  # as few strings as there are kinds of ranges
    version, ranges = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        try:
            words = line.split()
            if not words or words[0].startswith("#"):
                if found := _VERSION_LINE.fullmatch(line.strip()):
                    version = _valid_version(found[1])
                    facts.clear()
                continue
            if not version:
                raise ValueError("a line such as '# version: 2026-11-23' must stand above the ranges")
            ranges += 1
            if ranges > MAX_RANGES:
                raise ValueError(f"there are more than {MAX_RANGES} ranges")
            cidr, *kind = words
            fact = facts.get(tuple(kind)) or facts.setdefault(tuple(kind), _fact(kind, version))
            size, prefix = _range(cidr)
            if tables.setdefault(size, {}).setdefault(prefix, fact) != fact:
                raise ValueError(f"{cidr} is there already, as {tables[size][prefix]}")
        except ValueError as error:
            raise ValueError(f"line {at}: {error}") from None
    if text and not version:
        raise ValueError("has no line such as '# version: 2026-11-23'")
    return NetworkList(_longest_first(tables))


@lru_cache(maxsize=1024)
def parse_match(text: str) -> Match | None:
    """What `NetworkList.match` made a fact of; None for any other text."""
    try:
        name, scope, certainty, version = text.split("/")
        match = Match(name, Scope(scope), Certainty(certainty), version)
    except ValueError:
        return None
    return match if _NAME.fullmatch(name) and _VERSION.fullmatch(version) else None


def _longest_first(tables: _Tables) -> _Tables:
    return {size: tables[size] for size in sorted(tables, reverse=True)}


def _valid_version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError("a version is 1 to 40 letters, digits, dots, hyphens and underscores, such as 2026-11-23")
    return text


def _fact(kind: list[str], version: str) -> str:
    if len(kind) != 3:
        raise ValueError("a range is written CIDR NAME SCOPE CERTAINTY")
    name, scope, certainty = kind
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of 1 to 40 small letters, digits and hyphens")
    if scope not in list(Scope):
        raise ValueError(f"{scope!r} is none of " + ", ".join(Scope))
    if certainty not in list(Certainty):
        raise ValueError(f"{certainty!r} is none of " + ", ".join(Certainty))
    return f"{name}/{scope}/{certainty}/{version}"


def _range(cidr: str) -> tuple[tuple[int, int], int]:
    """The bits of the address and of the prefix, and the prefix. `ipaddress.ip_network` takes twice as long."""
    address, slash, written = cidr.partition("/")
    bits, number = (128, int(IPv6Address(address))) if ":" in address else (32, int(IPv4Address(address)))
    length = _LENGTHS[bits].get(written) if slash else bits
    if length is None or "%" in address:
        raise ValueError(f"{cidr} is not a CIDR")
    prefix = number >> bits - length
    if prefix << bits - length != number:
        raise ValueError(f"{cidr} has bits set behind its prefix")
    return (bits, length), prefix
