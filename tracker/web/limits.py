"""How often: the calls of one API key, and what comes from one network with tokens or keys that are none.

Owns the counting, in memory and for this process alone. Must not know what is answered to whom is over a limit.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from tracker import metrics

from .clients import ClientAddresses

MAX_BUCKETS: Final = 16_384
"""Keys or networks that are counted at a time, some 3 MB; the one not seen for longest is forgotten, to its favour."""
KEY_BURST_S: Final = 5
"""How many seconds' calls of a key may come at once: a mailer sends in bursts."""


class Buckets:
    """Token buckets by name: each gains ``per_second`` tokens and holds ``burst`` at most. A rate of 0 is no limit."""

    def __init__(
        self, per_second: float, burst: float, *, most: int = MAX_BUCKETS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By name, the one not seen for longest first: what was left, and when."""

    def wait_s(self, name: str) -> int:
        """The whole seconds until there is a token, 0 where there is one. Takes none."""
        if not self._per_second:
            return 0
        left, at = self._buckets.get(name, (self._burst, 0.0))
        return max(0, math.ceil((1 - left) / self._per_second - (self._clock() - at)))

    def take(self, name: str) -> int:
        """Take a token. Returns 0, or if there is none, the whole seconds until there is one again."""
        if not self._per_second:
            return 0
        now = self._clock()
        left, at = self._buckets.get(name, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        wait_s = 0 if left >= 1 else math.ceil((1 - left) / self._per_second)
        self._buckets[name] = (left if wait_s else left - 1, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return wait_s


class CallLimit:
    """The calls of each API key."""

    def __init__(self, per_second: int) -> None:
        self._buckets = Buckets(per_second, per_second * KEY_BURST_S)

    def wait_s(self, key_id: str) -> int:
        """Count a call; returns 0, or the seconds that its caller has to wait."""
        return _counted("key", self._buckets.take(key_id))


class InvalidTraffic:
    """Requests whose token or key is none, by the network of the client. What is valid is never limited by it."""

    def __init__(self, clients: ClientAddresses, per_minute: int) -> None:
        self._clients = clients
        self._buckets = Buckets(per_minute / 60, per_minute)

    def wait_s(self, scope: Scope) -> int:
        """Count such a request; returns 0, or the seconds that its network has to wait."""
        return _counted("network", self._buckets.take(self._clients.network(scope)))


def _counted(kind: str, wait_s: int) -> int:
    if wait_s:
        metrics.LIMITED.labels(kind).inc()
    return wait_s
