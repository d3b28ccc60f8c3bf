"""The relay: moves events from the spool to the status store, for ever.

Owns the pace, the retries, and what is done with an event that the store can never take. Must not know
which store it is, nor what an event means.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from tracker import metrics
from tracker.core.errors import EventRejected, SpoolUnavailable, StoreUnavailable
from tracker.core.model import Event
from tracker.spool import Spool

_BATCH_ROWS: Final = 4000
"""As many are worth it: a message's status is read, folded and written once in a batch, however many hits it has."""
_PROBE_ROWS: Final = 1000
"""Enough to find out whether a store that was away is back; reading more again and again takes memory."""
_GATHER_S: Final = 0.02
"""The least rest after a batch that was not full: the next one is worth its two commits then."""
_REST_S: Final = 5.0
"""The longest rest after a batch."""
_GLANCE_S: Final = 0.1
_IDLE_S: Final = 5.0
_WIPE_EVERY_S: Final = 30.0
"""How often at most the spool is wiped at a moment when it is empty; when nothing comes, it is at once."""
_STORE_S: Final = 60.0
_BACKOFF_S: Final = (0.1, 30.0)
_STATUS_EVERY_S: Final = 1.0
_PATIENCE: Final = 3
"""How often a batch may fail for an unknown reason before its events are tried one by one."""
_HOPELESS: Final = 32
"""As many failures one by one, and no success, and it isn't the events that are at fault."""

_Rows: TypeAlias = list[tuple[int, Event]]
"""Sequence numbers in the spool, and events."""

logger = logging.getLogger(__name__)


def pause_s(work_s: float, *, hits_per_s: float, lag_s: float, fill: float) -> float:
    """How long to rest after a batch that took ``work_s`` seconds.

    Serving and relaying share one processor core, since they share Python's lock, and it is serving that
    people wait for. So the relay works for a share of the time: all of it when no requests come, down to a
    tenth at 10,000 hits a second. The share grows with the backlog, so that this is for bursts only: to half
    of the time when the oldest event is 10 s old (``lag_s``) or a quarter of the spool is in use (``fill``
    0.25), to all of it at twice that.
    """
    share = min(1.0, max(0.1, 1 - hits_per_s / 10_000, lag_s / 20, 2 * fill))
    return min(_REST_S, work_s * (1 / share - 1))


def backoff_s(failures: int) -> float:
    """How long to wait after ``failures`` in a row: doubling, and scattered, so that nodes don't return at once."""
    least, most = _BACKOFF_S
    longest = min(most, least * 2.0 ** min(failures - 1, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for security


class Sink(Protocol):
    """Where events go."""

    async def record(self, events: Sequence[Event]) -> None:
        """Keep ``events``, for good; those kept before, by their id, change nothing.

        Raises `StoreUnavailable` where waiting may help, `EventRejected` where an event can never be kept.
        """


class Relay:
    """Moves what is in ``spool`` to ``store``; both are open."""

    def __init__(self, spool: Spool, store: Sink) -> None:
        self._spool = spool
        self._store = store
        self._at_work = asyncio.Lock()
        self._failures = 0
        self._rows_at_once = _BATCH_ROWS
        self._crashes = 0
        self._fill = 0.0
        self._oldest_at: int | None = None
        self._looked_at = -_STATUS_EVERY_S
        self._wiped_at = 0.0

    async def run(self) -> None:
        """Relay until cancelled. A batch that is cut off by that is simply relayed again later."""
        while True:
            started, seen = time.monotonic(), self._spool.appended
            self._spool.stored.clear()
            rows = await self._batch()
            if rows is None:
                await asyncio.sleep(backoff_s(self._failures))
            elif rows:
                await self._rest(time.monotonic() - started, self._spool.appended - seen)
                if rows < self._rows_at_once:
                    await asyncio.sleep(_GATHER_S)
            else:
                await self._wait_for_rows()

    async def _rest(self, work_s: float, hits: int) -> None:
        """Rest after a batch that took ``work_s``, during which ``hits`` came in, as long as they keep coming."""
        rested_s, hits_per_s = 0.0, hits / max(work_s, 1e-3)
        while (rest_s := pause_s(work_s, hits_per_s=hits_per_s, lag_s=self.lag_s(), fill=self._fill) - rested_s) > 0:
            seen, rest_s = self._spool.appended, min(rest_s, _GLANCE_S)
            await asyncio.sleep(rest_s)
            rested_s += rest_s
            hits_per_s = (self._spool.appended - seen) / rest_s

    async def drain(self, timeout_s: float) -> bool:
        """Relay what is there, as long as that works, for at most ``timeout_s``; True when nothing is left.

        Call it once `run` has been cancelled. What remains stays in the spool for the next start.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while rows := await self._batch():
                    pass
        except TimeoutError:
            return False
        return rows == 0

    def lag_s(self) -> float:
        """How old the oldest event is that the store does not have: seconds; 0 when there is none."""
        return 0.0 if self._oldest_at is None else max(0.0, time.time() - self._oldest_at / 1e6)

    async def _wait_for_rows(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._spool.stored.wait()
        except TimeoutError:
            await self._wipe()
            # Then looks all the same: a wake-up that was missed must not stop everything.

    async def _batch(self) -> int | None:
        """Relay the oldest rows; returns how many they were, or None where it must be tried again."""
        async with self._at_work:
            rows: int | None = None
            try:
                rows = await self._move()
                self._failures = self._crashes = 0
                self._rows_at_once = min(_BATCH_ROWS, 2 * self._rows_at_once)
            except (StoreUnavailable, SpoolUnavailable, TimeoutError) as error:
                self._failed(str(error) or "timeout")
                self._rows_at_once = min(self._rows_at_once, _PROBE_ROWS)
                if self._failures > _PATIENCE:  # perhaps there is too much in it for one transaction
                    self._rows_at_once = max(1, self._rows_at_once // 2)
            except Exception as error:
                self._crashes += 1
                # Without the message of the exception, which may quote an address.
                trace = "".join(traceback.format_tb(error.__traceback__))
                self._failed(f"unexpected {type(error).__name__}\n{trace}")
            await self._look()
            return rows

    async def _move(self) -> int:
        rows = await asyncio.to_thread(self._spool.read, self._rows_at_once)
        self._oldest_at = rows[0][1].recorded_at if rows else None
        if rows:
            await self._record(rows)
            metrics.RELAYED.inc(await self._spool.ack(rows[-1][0]))
            self._oldest_at = rows[-1][1].recorded_at if self._spool.depth else None
            if not self._spool.depth and time.monotonic() - self._wiped_at > _WIPE_EVERY_S:
                await self._wipe()
        return len(rows)

    async def _wipe(self) -> None:
        was_empty = True  # where it can't be done, it can't at once either
        with suppress(SpoolUnavailable):
            was_empty = await self._spool.wipe()
        if was_empty:
            self._wiped_at = time.monotonic()

    async def _record(self, rows: _Rows) -> None:
        try:
            await self._store_all(rows)
        except EventRejected as error:
            if len(rows) == 1:
                await self._spool.set_aside(rows[0][0], str(error))
            else:
                await self._record(rows[: len(rows) // 2])
                await self._record(rows[len(rows) // 2 :])
        except (StoreUnavailable, TimeoutError):
            raise
        except Exception:
            if self._crashes < _PATIENCE:
                raise
            await self._isolate(rows)

    async def _isolate(self, rows: _Rows) -> None:
        """Set aside the events at which the store breaks, but only while it takes others."""
        suspects: list[_Rows] = []
        pending, works = [rows], False
        while pending:
            part = pending.pop()
            error = await self._try(part)
            if error is None:
                works = True
            elif len(part) > 1:
                pending += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                suspects.append(part)
                if not works and (len(suspects) >= _HOPELESS or not pending):
                    raise error
        for suspect in suspects:  # once more: it may have been the store that was broken, and is well now
            if error := await self._try(suspect):
                await self._spool.set_aside(suspect[0][0], repr(error))

    async def _try(self, rows: _Rows) -> Exception | None:
        try:
            await self._store_all(rows)
        except (StoreUnavailable, TimeoutError):
            raise
        except Exception as error:
            return error
        return None

    async def _store_all(self, rows: _Rows) -> None:
        async with asyncio.timeout(_STORE_S):
            await self._store.record([event for _, event in rows])

    def _failed(self, reason: str) -> None:
        self._failures += 1
        metrics.RELAY_FAILURES.inc()
        logger.warning("batch to be tried again: %s", reason, extra={"action": "relay_batch_failed"})

    async def _look(self) -> None:
        """Bring the gauges up to date, and how full the spool is."""
        metrics.SPOOL_DEPTH.set(self._spool.depth)
        metrics.SPOOL_OLDEST_SECONDS.set(self.lag_s())
        now = time.monotonic()
        if now - self._looked_at >= _STATUS_EVERY_S:
            self._looked_at = now
            try:
                status = await asyncio.to_thread(self._spool.status)
            except SpoolUnavailable:
                return
            self._fill = status.bytes / self._spool.max_bytes
