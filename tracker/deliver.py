"""Tells the accounts' own systems of changes, by signed webhooks: at least once, and in order for each message.

Owns the pace, the leases and what is done with an answer. Must not know how changes come about, nor how to connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tracker import metrics
from tracker.core.errors import StoreUnavailable
from tracker.core.webhooks import Outcome, headers, retry_after_s, verdict
from tracker.outgoing import Unreachable
from tracker.relay import backoff_s
from tracker.stores import Change
from tracker.stores.outbox import Delivery, Endpoint, Failure, Outbox

_LOOK_S: Final = 0.5
_IDLE_S: Final = 5.0
"""How often to look whether there is an endpoint at all."""
_AT_ONCE: Final = 8
_AHEAD: Final = 32
_SEND_S: Final = 15.0
_LEASE_S: Final = 40.0
_RENEW_S: Final = 10.0
"""No request begins under a lease older than this, so that each has ended before its lease has."""
_LAST_S: Final = 2.0
"""How long requests under way may still take when the process stops; they are made again otherwise."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_encode: Final = msgspec.json.Encoder().encode

logger = logging.getLogger(__name__)


class Sender(Protocol):
    """What requests go out through: `tracker.outgoing.Outgoing`."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status code of the answer. Raises `Unreachable` where there is none."""


def webhook_id(account: str, sequence: int) -> str:
    """What tells a change from all others of its receiver: the same however often it is sent."""
    return f"chg_{account}_{sequence}"


def payload(change: Change) -> bytes:
    """What a receiver is told of ``change``: JSON of less than 20 kB, by the limits on what is in it."""
    changed_at = _rfc3339(change.changed_at)
    data: dict[str, Any] = {
        "message_id": change.message_id,
        "batch": change.batch,
        "recipient": change.recipient,
        "stage": change.stage,
        "previous_stage": change.previous_stage,
        "label": change.label,
        "last_action": change.last_action,
        "status": change.failure,
        "correction": change.is_correction,
        "changed_at": changed_at,
        "sequence": change.sequence,
    }
    return _encode({"type": "message.stage_changed", "timestamp": changed_at, "data": data})


def _rfc3339(time_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Answer(NamedTuple):
    outcome: Outcome
    words: str
    """For operators."""
    at: int
    """Microseconds."""


class Deliverer:
    """Delivers what is in ``outbox`` through ``sender``, as ``owner``: a name that no other process has.

    ``clock`` gives seconds since the Unix epoch; deliveries are due and signed by it. ``jitter`` gives numbers in
    [0, 1) that scatter the attempts.
    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        *,
        owner: str,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._owner = owner
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._working: dict[str, asyncio.Task[None]] = {}
        self._crashes: dict[str, tuple[int, float]] = {}
        """By endpoint, how often in a row its work has failed and when (by the monotonic clock) to try again."""

    async def run(self) -> None:
        """Deliver until cancelled. What is cut off by that is delivered again later, by whoever comes next."""
        try:
            while True:
                pause_s = await self._look()
                await asyncio.sleep(pause_s)
        finally:
            for task in self._working.values():
                task.cancel()
            await asyncio.gather(*self._working.values(), return_exceptions=True)
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._outbox.release_leases(self._owner)

    async def _look(self) -> float:
        """Begin what there is to do; returns after how many seconds to look again."""
        try:
            endpoints = await self._outbox.endpoints_to_serve(self._owner, int(self._clock() * 1e6))
            self._failures = 0
        except Exception as error:
            self._failures += 1
            logger.warning("cannot look for webhooks: %s", _shown(error), extra={"action": "webhooks_look_failed"})
            return backoff_s(self._failures)
        for endpoint_id, has_work in endpoints.items():
            _, not_before = self._crashes.get(endpoint_id, (0, 0.0))
            if has_work and endpoint_id not in self._working and time.monotonic() >= not_before:
                self._working[endpoint_id] = asyncio.create_task(self._work(endpoint_id))
        return (_LOOK_S if endpoints else _IDLE_S) * random.uniform(0.75, 1.25)  # noqa: S311 - not for security

    async def _work(self, endpoint_id: str) -> None:
        """Work for one endpoint, whose troubles are its own."""
        try:
            work = _Work(endpoint_id, self._outbox, self._sender, self._owner, self._clock, self._jitter)
            await work.run()
            self._crashes.pop(endpoint_id, None)
        except Exception as error:
            failures = self._crashes.get(endpoint_id, (0, 0.0))[0] + 1
            self._crashes[endpoint_id] = failures, time.monotonic() + backoff_s(failures)
            logger.warning(
                "webhooks of %s to be tried again: %s", endpoint_id, _shown(error), extra={"action": "webhooks_broken"}
            )
        finally:
            del self._working[endpoint_id]


class _Work:
    """What is done for one endpoint from the moment there is something to do until there is nothing more."""

    def __init__(
        self,
        endpoint_id: str,
        outbox: Outbox,
        sender: Sender,
        owner: str,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._id = endpoint_id
        self._outbox = outbox
        self._sender = sender
        self._owner = owner
        self._clock = clock
        self._jitter = jitter
        self._leased_at = -_LEASE_S
        self._endpoint: Endpoint | None = None
        self._ready: list[Delivery] = []
        self._under_way: dict[asyncio.Task[_Answer], Delivery] = {}
        self._failed = 0

    async def run(self) -> None:
        """Work until all is delivered that can be now, or the lease is another's."""
        try:
            while await self._renew():
                await self._settle()
                await self._begin()
                if not self._under_way:
                    return
                await asyncio.wait(self._under_way, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            if self._failed:
                logger.info("webhooks of %s: %d failed", self._id, self._failed, extra={"action": "webhooks_failed"})

    def _lease_is_old(self) -> bool:
        return time.monotonic() - self._leased_at > _RENEW_S

    async def _renew(self) -> bool:
        """Have the lease, and the endpoint as it is now: its secret may have been replaced."""
        if self._lease_is_old():
            asked_at = time.monotonic()
            self._endpoint = await self._outbox.take_lease(self._id, self._owner, _LEASE_S)
            self._leased_at = asked_at
        return self._endpoint is not None

    async def _begin(self) -> None:
        """Send as many of those due as there is room for."""
        if not self._ready:
            self._ready = await self._due()
        if not self._ready and await self._outbox.fill(self._id, self._now()):
            self._ready = await self._due()
        while self._ready and self._endpoint and len(self._under_way) < _AT_ONCE and not self._lease_is_old():
            delivery = self._ready.pop(0)
            self._under_way[asyncio.create_task(self._send(self._endpoint, delivery))] = delivery

    async def _due(self) -> list[Delivery]:
        under_way = {delivery.sequence for delivery in self._under_way.values()}
        due = await self._outbox.due(self._id, self._now(), _AHEAD + len(under_way))
        return [delivery for delivery in due if delivery.sequence not in under_way]

    def _now(self) -> int:
        return int(self._clock() * 1e6)

    async def _send(self, endpoint: Endpoint, delivery: Delivery) -> _Answer:
        try:
            outcome, words = await self._post(endpoint, delivery)
        except Unreachable as error:
            outcome, words = Outcome.RETRY, str(error)
        except TimeoutError:
            outcome, words = Outcome.RETRY, "no answer in time"
        except Exception as error:  # must not keep all others from being sent
            logger.error("a webhook cannot be sent: %s", _shown(error), extra={"action": "webhook_broken"})
            outcome, words = Outcome.RETRY, f"unexpected {type(error).__name__}"
        return _Answer(outcome, words, self._now())

    async def _post(self, endpoint: Endpoint, delivery: Delivery) -> tuple[Outcome, str]:
        if delivery.change is None:
            return Outcome.RETRY, "the change is no longer kept"
        body, now = payload(delivery.change), self._clock()
        previous = endpoint.previous_secret if now * 1e6 < (endpoint.previous_until or 0) else None
        id_ = webhook_id(endpoint.account, delivery.sequence)
        signed = headers(endpoint.secret, id_, int(now), body, previous_secret=previous)
        async with asyncio.timeout(_SEND_S):
            status = await self._sender.post(endpoint.url, signed, body)
        return verdict(status), f"the answer is {status}"

    async def _settle(self) -> None:
        """Note what has become of those that were sent."""
        ended = {task: delivery for task, delivery in self._under_way.items() if task.done()}
        answers = [(delivery, task.result()) for task, delivery in ended.items()]
        delivered = [delivery.sequence for delivery, answer in answers if answer.outcome is Outcome.DELIVERED]
        failures = [self._failure(*one) for one in answers if one[1].outcome is Outcome.RETRY]
        if any(answer.outcome is Outcome.GONE for _, answer in answers):
            self._ready = []
            await self._outbox.disable(self._id, "the receiver answered 410 Gone")
            logger.warning("webhook endpoint %s disabled: 410", self._id, extra={"action": "webhook_endpoint_disabled"})
        if delivered or failures:
            await self._outbox.settle(self._id, delivered, failures)
            self._count(delivered, failures)
        for task in ended:
            del self._under_way[task]

    def _failure(self, delivery: Delivery, answer: _Answer) -> Failure:
        delay_s = retry_after_s(delivery.attempts + 1, self._jitter()) if delivery.change else None
        next_at = None if delay_s is None else answer.at + int(delay_s * 1e6)
        return Failure(delivery.sequence, answer.at, next_at, answer.words)

    def _count(self, delivered: Sequence[int], failures: Sequence[Failure]) -> None:
        dead = [failure.sequence for failure in failures if failure.next_at is None]
        metrics.WEBHOOKS_DELIVERED.inc(len(delivered))
        metrics.WEBHOOKS_FAILED.inc(len(failures) - len(dead))
        metrics.WEBHOOKS_DEAD.inc(len(dead))
        self._failed += len(failures)
        if dead:
            logger.warning("webhooks of %s given up: changes %s", self._id, dead, extra={"action": "webhooks_dead"})

    async def _end(self) -> None:
        """Wait a little for what is under way, and note it."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_LAST_S):
                if self._under_way:
                    await asyncio.wait(self._under_way)
                await self._settle()


def _shown(error: Exception) -> str:
    """What went wrong, without the message of an unexpected exception, which may quote an address or a URL."""
    if isinstance(error, StoreUnavailable | TimeoutError):
        return str(error) or "timeout"
    trace = "".join(traceback.format_tb(error.__traceback__))
    return f"unexpected {type(error).__name__}\n{trace}"
