"""The spool as the service uses it: hits go in on the event loop, and groups of them go to the writer.

Owns the waiting: what shares a commit, who is answered when, what is counted as lost. Must not touch the
disk on the event loop's thread once it is open.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw
import msgspec

from tracker import metrics
from tracker.core.errors import SpoolFull, SpoolUnavailable
from tracker.core.model import Event, EventType, Facts, decode_facts, encode_facts

from .groups import Answer, Group
from .reading import SpoolStatus
from .rescue import CORRUPT
from .seals import Row
from .writer import Writer, unavailable

_ANSWER_WITHIN_S: Final = 0.25
_APPEND_WITHIN_S: Final = 10.0
_SLICE_S: Final = 0.025
_MAX_WAITING: Final = 25_000
"""Hits that may wait for a commit; as many again may be in the commit that is running."""
_MEND_S: Final = 60.0
_SHARE_ROWS: Final = frozenset({EventType.OPENED.value, EventType.CLICKED.value, EventType.REVOKED_CLICK.value})
_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class Spool:
    """The durable log in ``directory``, at most ``max_bytes`` a file, whose events bear the name ``node``.

    Its coroutines belong to the event loop on which it was opened. `read` and `status` may be called on
    any thread, and block.
    """

    def __init__(self, directory: Path, *, node: str, max_bytes: int) -> None:
        self.directory = directory
        self.node = node
        self.max_bytes = max_bytes
        self.appended = 0
        """Hits committed since it was opened."""
        self.stored = asyncio.Event()
        """Set when rows came in: for the one reader to wait for, and to clear before it reads."""
        self._group = Group()
        self._groups_in_hand = 0
        self._is_open = False

    def open(self) -> None:
        """Take a slot, check its file and start the writer, on a running event loop.

        Raises `SpoolUnavailable`. Blocks while it reads the whole file: about a second for each GB.
        """
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(self.directory, max_bytes=self.max_bytes, on_rows=lambda: self._tell(self.stored.set))
        self._writer.start()
        self._is_open = True
        self.stored.set()

    async def close(self, timeout_s: float = 30.0) -> None:
        """Commit what is waiting, tidy the file, release the slot.

        The writer does all that even if this is cancelled or the disk takes longer than ``timeout_s``.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._hand_over()
        stopped = asyncio.wrap_future(self._writer.stop())
        try:
            await asyncio.wait_for(asyncio.shield(stopped), timeout_s)
        except (TimeoutError, apsw.Error) as error:
            logger.error("spool not closed in order: %r", error, extra={"action": "spool_close_failed"})

    # Appending.

    async def append(self, facts: Facts, occurred_at: int) -> None:
        """Return when the event is on disk. Raises `SpoolUnavailable` or `SpoolFull`: then it is not stored.

        A disk that takes over 10 s counts as unavailable, though the event may be stored yet.
        ``occurred_at`` is in microseconds since the epoch.
        """
        await self.append_all([(facts, occurred_at)])

    async def append_all(self, batch: Sequence[tuple[Facts, int]]) -> None:
        """Like `append` for all of ``batch``, at most 25,000 events, in one commit: all of them, or none."""
        if not self._is_open:
            raise SpoolUnavailable("The spool is closed.")
        if not batch:
            return
        hits = [(encode_facts(facts), occurred_at, facts.type in _SHARE_ROWS) for facts, occurred_at in batch]
        group = self._group
        if len(group.hits) + len(hits) > _MAX_WAITING:
            raise SpoolFull("Too many events are waiting for the disk.")
        if not group.hits and not self._groups_in_hand:
            self._loop.call_soon(self._gather, 0)
        group.hits += hits
        if group.done is None:
            group.done = self._loop.create_future()
        try:
            async with asyncio.timeout(_APPEND_WITHIN_S):
                error = await asyncio.shield(group.done)
        except TimeoutError:
            raise SpoolUnavailable("The disk takes too long; the event may be stored yet.") from None
        if error:
            raise type(error)(str(error)) from error

    def append_soon(self, facts: Facts, occurred_at: int) -> asyncio.Future[bool]:
        """Await it for at most 250 ms: True when the event is on disk, False when it is not, or not yet.

        Never raises. An event that could not be stored is counted in `metrics.UNSTORED`, one that came
        too late for its answer in `metrics.ANSWERED_BEFORE_STORED`. Runs for every hit, so all it does is
        to add to a list and to return a future that it shares with others.
        """
        group = self._group
        if not self._is_open or len(group.hits) >= _MAX_WAITING:
            return _refused()
        try:
            hit = (encode_facts(facts), occurred_at, facts.type in _SHARE_ROWS)
        except Exception:
            logger.exception("event can't be encoded", extra={"action": "spool_encode_failed"})
            return _refused()
        if not group.hits and not self._groups_in_hand:
            self._loop.call_soon(self._gather, 0)
        group.hits.append(hit)
        answer = group.answer
        if answer is None or self._loop.time() >= answer.closes_at:
            answer = self._open_answer(group)
        answer.hits += 1
        return answer

    def _open_answer(self, group: Group) -> Answer:
        answer = Answer(loop=self._loop)
        answer.closes_at = self._loop.time() + _SLICE_S
        answer.timer = self._loop.call_later(_ANSWER_WITHIN_S, answer.give_up)
        group.answer = answer
        group.answers.append(answer)
        return answer

    def _gather(self, seen: int) -> None:
        """Hand over after a turn of the event loop in which none came, since who comes a turn late waits for two."""
        count = len(self._group.hits)
        if count > seen:
            self._loop.call_soon(self._gather, count)
        elif not self._groups_in_hand:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._group.hits:
            group, self._group = self._group, Group()
            self._groups_in_hand += 1
            self._writer.commit(group.hits, functools.partial(self._tell, self._settle, group))

    def _settle(self, group: Group, error: SpoolUnavailable | None) -> None:
        """The commit of ``group`` has ended: answer, and hand over the group that gathered meanwhile."""
        self._groups_in_hand -= 1
        if not self._groups_in_hand:
            self._hand_over()
        for answer in group.answers:
            answer.timer.cancel()
            if not answer.done():
                answer.set_result(error is None)
        if group.done is not None:
            group.done.set_result(error)
        if error is None:
            self.appended += len(group.hits)
            metrics.SPOOL_APPENDED.inc(len(group.hits))
            self.stored.set()
        else:
            metrics.UNSTORED.inc(sum(answer.hits for answer in group.answers))

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)

    # Reading.

    @property
    def depth(self) -> int:
        """Rows that are not acknowledged."""
        return self._writer.file.rows

    def status(self) -> SpoolStatus:
        """What this process's file holds. Raises `SpoolUnavailable`."""
        try:
            status = self._writer.file.status()
        except apsw.Error as error:
            raise unavailable(error) from error
        metrics.SPOOL_FILL_RATIO.set(status.bytes / self.max_bytes)
        return status

    async def check(self) -> None:
        """Raise `SpoolUnavailable` where commits fail: the last one did, and an empty one does as well."""
        if self._writer.is_failing:
            await self._do(self._writer.probe)

    def read(self, limit: int) -> list[tuple[int, Event]]:
        """The ``limit`` oldest rows, each with its sequence number, or those of them that can be decoded.

        The others are set aside, and wait in the file for a human. Raises `SpoolUnavailable`.
        """
        while True:
            rows = self._read_rows(limit)
            events = []
            for seq, id_, occurred_at, last_at, count, recorded_at, encoded in rows:
                try:
                    facts = decode_facts(encoded)
                except (msgspec.DecodeError, ValueError) as error:
                    self._ask(functools.partial(self._set_aside, seq, f"can't be decoded: {error}"))
                else:
                    events.append((seq, Event(id_, self.node, occurred_at, last_at, recorded_at, count, facts)))
            if events or not rows:
                return events

    def _read_rows(self, limit: int) -> list[Row]:
        file = self._writer.file
        generation = file.generation
        try:
            try:
                return file.read(limit)
            except CORRUPT as error:
                self._ask(functools.partial(self._writer.replace, file, generation, error))
                return file.read(limit)
        except apsw.Error as error:
            raise unavailable(error) from error

    async def ack(self, through: int) -> int:
        """Forget the rows up to and with sequence number ``through``; returns how many. Raises `SpoolUnavailable`."""
        return await self._do(functools.partial(self._writer.file.delete, through))

    async def wipe(self) -> bool:
        """Leave nothing of acknowledged rows in an empty file; False where it is not. Raises `SpoolUnavailable`."""
        return await self._do(self._writer.file.wipe)

    async def set_aside(self, sequence: int, reason: str) -> None:
        """Move a row that the store can never take to a table of its own. Raises `SpoolUnavailable`."""
        await self._do(functools.partial(self._set_aside, sequence, reason))

    async def aside(self, after: bytes, limit: int) -> tuple[list[Event], bytes | None]:
        """Events that were set aside, of those that can be decoded; and which id to go on after, if any.

        They come in the order of their ids, from the one behind ``after``. Raises `SpoolUnavailable`.
        """
        rows = await self._do(functools.partial(self._writer.file.aside, after, limit))
        events = []
        for id_, occurred_at, facts in rows:
            with contextlib.suppress(msgspec.DecodeError, ValueError, TypeError):
                at = int(occurred_at)
                events.append(Event(id_, self.node, at, at, at, 1, decode_facts(facts)))
        return events, rows[-1][0] if len(rows) == limit else None

    async def remove_aside(self, ids: Sequence[bytes]) -> int:
        """Remove events that were set aside, by id; returns how many rows. Raises `SpoolUnavailable`."""
        return await self._do(functools.partial(self._writer.file.remove_aside, ids))

    def _set_aside(self, sequence: int, reason: str) -> None:
        if self._writer.file.set_aside(sequence, reason[:500]):
            metrics.RELAY_REJECTED.inc()
            logger.error("row %d set aside", sequence, extra={"action": "spool_row_set_aside"})

    def _submit(self, work: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        if not self._is_open:
            raise SpoolUnavailable("The spool is closed.")
        return self._writer.submit(work)

    async def _do(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.wrap_future(self._submit(work))
        except (OSError, apsw.Error) as error:
            raise unavailable(error) from error

    def _ask(self, work: Callable[[], object]) -> None:
        try:
            self._submit(work).result(_MEND_S)
        except (OSError, apsw.Error) as error:
            raise unavailable(error) from error


def _refused() -> asyncio.Future[bool]:
    metrics.UNSTORED.inc()
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(False)
    return answer
