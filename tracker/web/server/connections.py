"""All connections of one process: how many there may be, of whom, and whose time is over.

Owns the limits' values, and the clock that they are measured with. Must not know HTTP: `protocol` does.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Protocol

from tracker import metrics
from tracker.config import Settings
from tracker.core import addresses
from tracker.core.addresses import Keep, Network

from . import refusals
from .refusals import Refusal

STATE: Final = "connections"
"""Where the protocol finds `Connections` in the state that the application's lifespan hands to the server."""
RESERVED_FILES: Final = 96
"""Open files that are no connections of clients: the store's, the spool's, webhooks, what a restart of these needs."""
LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
CROWDED_IDLE_S: Final = 5.0
"""How long a connection may be idle while more than half of all that there may be are in use."""
SWEEP_S: Final = 0.5
"""How often it is looked whose time is over: a sweep over all connections costs less than a timer for each request."""
MAX_STEP_S: Final = 2.0
"""How far the clock goes on between two sweeps at most: while a process is stopped, nobody's time runs out."""

logger = logging.getLogger(__name__)


class Phase(enum.IntEnum):
    """What a connection is waiting for. From `LAST` on, what the client sends is thrown away."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    ANSWER = 3
    LAST = 4
    """For the answers to earlier requests, before it is closed."""
    CLOSING = 5
    """For the client to take what was written, or to go."""


class Connection(Protocol):
    """What is asked of each of them."""

    transport: asyncio.Transport
    phase: Phase
    deadline: float
    """By `Connections.now`, as all times here."""
    write_deadline: float
    """Until when the client has to read what was written."""
    source: str | None
    """Whom it counts for, if it is counted."""

    def expire(self) -> None:
        """Its time is over."""

    def close_within(self, seconds: float) -> None:
        """Nothing more is expected of it."""


class Connections:
    """All connections of one process, which may open ``open_files``.

    Clients in ``exempt`` are those that many others come through: they may have any number of connections.
    """

    def __init__(self, settings: Settings, exempt: Sequence[Network], open_files: int) -> None:
        self.max_header_bytes = settings.max_header_bytes
        self.max_url_bytes = settings.max_url_bytes
        self.max_body_bytes = settings.max_body_bytes
        self.header_s = settings.header_timeout_s + SWEEP_S  # what is left of the first one does not count
        self.body_s = settings.body_timeout_s + SWEEP_S
        self.write_s = settings.write_timeout_s + SWEEP_S
        self.idle_s = settings.idle_timeout_s + SWEEP_S
        self.most = max(1, min(settings.max_connections, open_files - RESERVED_FILES))
        if self.most < settings.max_connections:
            text = "the limit of open files leaves %d connections, fewer than TRACKER_MAX_CONNECTIONS"
            logger.warning(text, self.most, extra={"action": "few_connections"})
        self.now = 0.0
        """A clock, in seconds, as of the last sweep."""
        self._per_source = settings.connections_per_source
        self._exempt = exempt
        self._open: set[Connection] = set()
        self._sources: Counter[str] = Counter()
        self._source = lru_cache(maxsize=8192)(self._read_source)

    def enter(self, connection: Connection, peer: str) -> Refusal | None:
        """Count a new connection; returns why it has to go again. It leaves in any case."""
        self._open.add(connection)
        connection.source = self._source(peer)
        if connection.source:
            self._sources[connection.source] += 1
            if 0 < self._per_source < self._sources[connection.source]:
                return refusals.MANY_FROM_SOURCE
        return refusals.MANY if len(self._open) > self.most else None

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._open.discard(connection)
        source = connection.source
        if source:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]

    async def run(self) -> None:
        """Sweep for ever."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep((now := time.monotonic()) - last)
            last = now

    def sweep(self, elapsed_s: float) -> None:
        """End the connections whose time is over; the sweep before was ``elapsed_s`` ago."""
        self.now += min(elapsed_s, MAX_STEP_S)
        metrics.CONNECTIONS.set(len(self._open))
        crowded = len(self._open) > self.most / 2
        for connection in list(self._open):
            if connection.deadline <= self.now or connection.write_deadline <= self.now:
                connection.expire()
            elif connection.phase < Phase.CLOSING and connection.transport.is_closing():
                # Closed by the server, which waits for the client to read what is written, however long it takes.
                connection.close_within(self.write_s)
            elif crowded and connection.phase is Phase.IDLE:
                connection.deadline = min(connection.deadline, self.now + CROWDED_IDLE_S)

    def _read_source(self, peer: str) -> str | None:
        """Whom a connection counts for: an address, or the /48 of an IPv6 address; None: it is not counted."""
        address = addresses.client(peer, (), ())
        if address is None or any(address in network for network in self._exempt):
            return None
        return addresses.kept(address, Keep.FULL if address.version == 4 else Keep.TRUNCATED)
