"""Client addresses: which one to believe behind proxies, what of it may be kept, and how sources are told apart.

Owns these three rules. Must not read a clock: the key of the day comes in as an argument.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Keep(enum.StrEnum):
    """How much of a client's address reaches the disk."""

    NONE = "none"
    TRUNCATED = "truncated"
    """/24 of an IPv4 address, /48 of an IPv6 address."""
    FULL = "full"


def client(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The client of a request: the last hop that is not a trusted proxy.

    ``forwarded_for`` are the values of all X-Forwarded-For headers in order. Each entry was added by the hop to
    its right, so the list is believed from the right, as long as a trusted proxy vouches for it. What can't be
    parsed ends the search: the hop that sent it is then the client.
    """
    address = _parse(peer)
    if address is None or not _is_trusted(address, trusted):
        return address
    for entry in reversed([entry for value in forwarded_for for entry in value.split(",")]):
        hop = _parse(entry)
        if hop is None:
            return address
        address = hop
        if not _is_trusted(address, trusted):
            return address
    return address


def kept(address: Address | None, keep: Keep) -> str | None:
    """What of ``address`` may be stored: nothing, its network, or all of it."""
    if address is None or keep is Keep.NONE:
        return None
    if keep is Keep.FULL:
        return str(address)
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def day_key(key: bytes, day: int) -> bytes:
    """The key of one day, counted from the Unix epoch."""
    return hashlib.blake2b(day.to_bytes(4, "big"), key=key, digest_size=32).digest()


def source(address: Address | None, day_key: bytes) -> bytes | None:
    """8 bytes that tell sources apart within one day. Who has the key can try addresses against them."""
    if address is None:
        return None
    return hashlib.blake2b(address.packed, key=day_key, digest_size=8).digest()


def _parse(text: str) -> Address | None:
    """The address in one entry: with a port, in brackets, or with a zone, as proxies write it."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
