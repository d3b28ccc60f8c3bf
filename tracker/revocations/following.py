"""What is revoked, in force: changed on this node at once, and on the others by way of the store.

Owns how soon a change is seen, and what is known while the store is away. The same way goes what has to be noted of
administrative acts that don't wait for the store.

Every process of a node looks at the node's file, and tells the store what it does not know yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from tracker import metrics
from tracker.core.errors import StoreUnavailable
from tracker.core.revocations import Entries, Key, Kind, Revocation, Revoked, changed, merged, pruned
from tracker.stores.audit import Act, LateAct, log

from .file import MAX_ACTS, DiskUnavailable, NodeFile, NodeState, Stamp

LOOK_S: Final = 0.5
"""How often each process looks whether the node's file has changed."""
POLL_S: Final = 1.0
"""How often it asks the store whether another node has changed anything."""

_STORE_S: Final = 4.0
_BACKOFF_S: Final = (0.25, 0.75)

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where all nodes meet: `tracker.stores.revocations.StoredRevocations`."""

    async def version(self) -> int:
        """Grows with every change."""

    async def read(self) -> Mapping[Key, Revocation]:
        """All of it."""

    async def merge(self, entries: Entries, acts: Sequence[LateAct], now: int) -> Mapping[Key, Revocation]:
        """Add what is not known there yet; what holds then."""


class Revocations:
    """Keeps ``current`` in step with the file ``path``, and that with ``source``.

    ``batch_tags`` gives what tokens may carry for a batch of an account.
    """

    def __init__(self, source: Source, path: Path, batch_tags: Callable[[str, str], Iterable[bytes]]) -> None:
        self._source = source
        self._file = NodeFile(path)
        self._batch_tags = batch_tags
        self._state = NodeState()
        self._stamp: Stamp | None = None
        self._shared: NodeState | None = None
        """The state that the store has all of, at `_version`."""
        self._version: int | None = None
        self._failures = 0
        self._filing = asyncio.Lock()
        self._sharing = asyncio.Lock()
        self._news = asyncio.Event()
        self.current = Revoked((), batch_tags)

    def in_force(self, account: str) -> list[Revocation]:
        """What is revoked now, the latest first."""
        found = [entry for entry in self._state.revocations if entry.account == account and entry.is_revoked]
        return sorted(found, key=lambda entry: (-entry.changed_at, entry.key))

    async def look(self) -> None:
        """Take in what the node's file has, where that has changed. Never raises: a damaged one is as good as none."""
        async with self._filing:
            try:
                stamp = await asyncio.to_thread(self._file.stamp)
                if stamp == self._stamp:
                    return
                self._stamp = stamp  # what can't be read is told of once
                found = await asyncio.to_thread(self._file.read)
                if _with(found, self._state).revocations == found.revocations:
                    await self._take(found, stamp)
                    return
                # Somebody found it damaged, and began anew.
            except Exception as error:
                self._version = None  # all that the store has is to be taken in anew
                self._shared = None
                metrics.REVOCATIONS_DAMAGED.inc()
                logger.error(
                    "the node's revocations cannot be read: %s",
                    error if isinstance(error, ValueError) else type(error).__name__,
                    extra={"action": "revocations_damaged"},
                )
        await self._restore()

    async def _restore(self) -> None:
        """Put what this process knows back into the file, which has lost it."""
        if self._state != NodeState():
            with contextlib.suppress(DiskUnavailable):
                await self._change_file(lambda state: _with(state, self._state))

    async def change(
        self, account: str, kind: str, value: str, actor: str, *, is_revoked: bool = True, reason: str = ""
    ) -> Revocation:
        """Revoke something or lift that; in force on this node when this returns, whether or not the store is there.

        ``actor`` is the id of an API key, or `tracker.stores.audit.CLI`. Raises `DiskUnavailable`: then it is not in
        force; and what `core.revocations.changed` raises.
        """
        asked = Revocation(account, kind, value, is_revoked, _now(), actor, reason)
        made = asked

        def apply(state: NodeState) -> NodeState:
            nonlocal made
            entries = pruned(state.entries, asked.changed_at)
            made = changed(entries, asked)
            return _with_act(NodeState(_sorted({**entries, made.key: made}), state.acts), _act(made))

        await self._change_file(apply)
        log(_act(made))
        return made

    async def note(self, act: Act) -> None:
        """Note an act that was just done; where the disk can't take it, the log has it alone."""
        try:
            await self._change_file(lambda state: _with_act(state, act))
        except DiskUnavailable as error:
            logger.error("an act could not be noted: %s", error, extra={"action": "audit_failed"})
        log(act)

    async def run(self) -> None:
        """Follow the file and the store until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_file())
            tasks.create_task(self._follow_store())

    async def refresh(self) -> bool:
        """Be in step with the store now; whether that could be done. Never raises."""
        async with self._sharing:
            self._news.clear()
            try:
                async with asyncio.timeout(_STORE_S):
                    await self._share()
            except (StoreUnavailable, DiskUnavailable, TimeoutError) as error:
                self._failed(str(error) or "timeout")
                return False
            except Exception as error:
                # Without the message of the exception, which may quote anything.
                trace = "".join(traceback.format_tb(error.__traceback__))
                self._failed(f"unexpected {type(error).__name__}\n{trace}")
                return False
            if self._failures:
                self._failures = 0
                logger.info("revocations are shared again", extra={"action": "revocations_available"})
        return True

    async def _follow_file(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def _follow_store(self) -> None:
        while True:
            if not await self.refresh():
                await asyncio.sleep(random.uniform(*_BACKOFF_S))  # noqa: S311 - not for security
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._news.wait()

    async def _share(self) -> None:
        version, state = await self._source.version(), self._state
        if version == self._version and state is self._shared:
            return
        known: Entries = await self._source.read()
        now = _now()
        if state.acts or pruned(merged(known, state.entries), now) != known:
            known = await self._source.merge(state.entries, state.acts, now)
        told = {late.uid for late in state.acts}

        def take(before: NodeState) -> NodeState:
            rest = tuple(late for late in before.acts if late.uid not in told)
            return NodeState(_sorted(pruned(merged(before.entries, known), now)), rest)

        try:
            await self._change_file(take)
        except DiskUnavailable:
            async with self._filing:  # in force all the same, for as long as this process runs
                await self._take(take(self._state), self._stamp)
            raise
        is_shared = not self._state.acts and self._state.entries == known
        self._version, self._shared = version, self._state if is_shared else None

    def _failed(self, reason: str) -> None:
        # It may come back as another one, restored from a backup, at a version that we think we know.
        self._version = None
        self._failures += 1
        if self._failures == 1:
            logger.warning(
                "revocations are not shared with other nodes for now: %s",
                reason,
                extra={"action": "revocations_unavailable"},
            )

    async def _change_file(self, change: Callable[[NodeState], NodeState]) -> None:
        async with self._filing:
            await self._take(*await asyncio.to_thread(self._file.change, change, self._state))
        if self._state is not self._shared:
            self._news.set()

    async def _take(self, state: NodeState, stamp: Stamp | None) -> None:
        self._stamp = stamp
        if state.revocations != self._state.revocations:
            self.current = await asyncio.to_thread(Revoked, state.revocations, self._batch_tags)
        if state != self._state:
            self._state = state


def _sorted(entries: Entries) -> tuple[Revocation, ...]:
    return tuple(entries[key] for key in sorted(entries))


def _with(state: NodeState, known: NodeState) -> NodeState:
    """``state`` with all that ``known`` has besides: of two entries about the same, the later one."""
    acts = {late.uid: late for late in (*state.acts, *known.acts)}
    return NodeState(_sorted(pruned(merged(state.entries, known.entries), _now())), tuple(acts.values()))


def _with_act(state: NodeState, act: Act) -> NodeState:
    if len(state.acts) >= MAX_ACTS:
        logger.error("too many acts wait for the store, one is not noted", extra={"action": "audit_failed"})
        return state
    return NodeState(state.revocations, (*state.acts, LateAct(secrets.token_bytes(16), _now(), act)))


def _act(entry: Revocation) -> Act:
    done = {Kind.SESSION: "session_ended", Kind.SESSIONS: "sessions_ended"}.get(Kind(entry.kind))
    return Act(
        entry.account,
        entry.actor,
        done or ("revoked" if entry.is_revoked else "lifted"),
        f"{entry.kind} {entry.value}",
        {"reason": entry.reason} if entry.reason else {},
    )


def _now() -> int:
    return time.time_ns() // 1000
