"""The clients of requests: which address is theirs behind proxies, and what is kept of it.

Owns the reading of addresses from requests. Must not know what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from tracker.core import addresses
from tracker.core.networks import NetworkList

MAX_CACHED_CHARS: Final = 256
"""Of X-Forwarded-For: longer than through any proxies, it is read anew each time, and takes up no room."""


class ClientAddresses:
    """What is kept of a client's address: as much as the settings allow, its source of the day, its network's entry."""

    def __init__(
        self, trusted: Sequence[addresses.Network], keep: addresses.Keep, key: bytes, networks: NetworkList
    ) -> None:
        self.behind_proxy = bool(trusted)
        self._trusted = trusted
        self._keep = keep
        self._key = key
        self._networks = networks
        self._cached = lru_cache(maxsize=8192)(self._read)

    def read(self, peer: str, forwarded_for: tuple[str, ...], day: int) -> tuple[str | None, bytes | None, str | None]:
        """What is kept of a client on ``day``, counted from the Unix epoch."""
        is_long = forwarded_for and sum(map(len, forwarded_for)) > MAX_CACHED_CHARS
        return (self._read if is_long else self._cached)(peer, forwarded_for, day)

    def _read(self, peer: str, forwarded_for: tuple[str, ...], day: int) -> tuple[str | None, bytes | None, str | None]:
        client = addresses.client(peer, forwarded_for, self._trusted)
        if client is None:
            return None, None, None
        source = addresses.source(client, addresses.day_key(self._key, day))
        return addresses.kept(client, self._keep), source, self._networks.match(client)

    def network(self, scope: Scope) -> str:
        """The /24 or /48 that a request comes from; where that can't be told, one for all such requests."""
        forwarded_for: list[str] = []
        if self.behind_proxy:
            forwarded_for = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        peer = scope["client"]
        client = addresses.client(peer[0] if peer else "", forwarded_for, self._trusted)
        return addresses.kept(client, addresses.Keep.TRUNCATED) or ""
