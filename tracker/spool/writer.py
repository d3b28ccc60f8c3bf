"""The thread that does all the writing to a process's spool file, one job after the other.

Owns the slot, the file, and what becomes of a corrupt or a left-over one. Must not know who waits for a
commit: it reports to the callback it is given.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import apsw

from tracker import metrics, snapshot
from tracker.core.errors import SpoolFull, SpoolUnavailable
from tracker.core.model import uuid7

from .file import SpoolFile
from .rescue import CORRUPT
from .seals import NewRow
from .slots import Slot, take_left_over, take_lowest

Hit: TypeAlias = tuple[bytes, int, bool]
"""``(encoded facts, occurred_at, whether equal ones may share a row)``."""

_ADOPT_ROWS: Final = 1000
_ADOPT_AGAIN_S: Final = 10.0
"""How often it is looked for files that other processes leave behind, and one that fails is tried again."""
_RESCUE_AGAIN_S: Final = 10.0
"""How long to wait after a rescue that failed: it may have filled the disk before it did."""
_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class Writer:
    """Takes a free slot in ``directory``, and checks its file. Raises `SpoolUnavailable`.

    ``on_rows`` is called on the thread when rows came in other than by `commit`.
    """

    def __init__(self, directory: Path, *, max_bytes: int, on_rows: Callable[[], None]) -> None:
        self._on_rows = on_rows
        self._max_bytes = max_bytes
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.is_failing = False
        """The last commit failed."""
        self._last_stamp = 0
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            snapshot.sync_directory(directory.parent)  # or a power cut takes away the directory, and all in it
            self._slot = take_lowest(directory)
        except OSError as error:
            raise SpoolUnavailable(f"The spool directory can't be used: {error}") from error
        self.file = SpoolFile(self._slot.path, max_bytes=max_bytes)
        try:
            self._open()
            self._left_over: list[tuple[Slot, SpoolFile]] = []
            self._look_for_left_over()
        except (OSError, apsw.Error) as error:
            self._slot.release()
            raise SpoolUnavailable(f"The spool can't be opened: {error}") from error

    def _open(self) -> None:
        try:
            self._mended(self.file, self.file.open)
        except apsw.FullError as error:  # it goes on when there is room; links must work till then, too
            self.is_failing = True
            logger.error("no room to open the spool: %s", error, extra={"action": "spool_open_failed"})

    def start(self) -> None:
        """Start the thread. The first it does is to adopt what earlier processes left behind."""
        self._jobs.put(self._adopt)
        # A daemon, so that a disk that hangs can't keep the process from ending.
        threading.Thread(target=self._run, name="spool", daemon=True).start()

    def submit(self, work: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        """Do ``work`` on the thread, after all that was asked for before."""
        future: concurrent.futures.Future[_T] = concurrent.futures.Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(self._mended(self.file, work))
            except Exception as error:
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def stop(self) -> concurrent.futures.Future[None]:
        """Close the file and release the slot after all that was asked for; then the thread ends."""
        stopped = self.submit(self._release)
        self._jobs.put(None)
        return stopped

    def commit(self, hits: list[Hit], on_end: Callable[[SpoolUnavailable | None], None]) -> None:
        """Put ``hits`` on disk in one commit, then call ``on_end`` on the thread with the error, if any."""
        self._jobs.put(functools.partial(self._commit, hits, on_end))

    # What follows runs on the thread.

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                logger.exception("the writer goes on", extra={"action": "spool_job_failed"})

    def _commit(self, hits: list[Hit], on_end: Callable[[SpoolUnavailable | None], None]) -> None:
        started = time.perf_counter()
        failure: SpoolUnavailable | None = None
        try:
            rows = self._rows(hits)
            self._mended(self.file, lambda: self.file.insert(rows))
        except Exception as error:
            failure = unavailable(error)
            if not self.is_failing:  # once for each time that it begins: there are many commits
                logger.error("commits fail", exc_info=error, extra={"action": "spool_commit_failed"})
        if self.is_failing and failure is None:
            logger.warning("commits work again", extra={"action": "spool_commit_recovered"})
        self.is_failing = failure is not None
        metrics.SPOOL_COMMIT_SECONDS.observe(time.perf_counter() - started)
        on_end(failure)

    def probe(self) -> None:
        """Commit nothing, to see whether commits work again."""
        self._mended(self.file, self.file.probe)
        self.is_failing = False

    def _rows(self, hits: list[Hit]) -> list[NewRow]:
        """The rows for ``hits``: those with equal facts become one, where that is allowed."""
        now = time.time_ns() // 1000
        found: list[list[Any]] = []
        shared: dict[bytes, list[Any]] = {}
        for facts, at, may_share in hits:
            if may_share and (row := shared.get(facts)):
                row[0] = min(row[0], at)
                row[1] = max(row[1], at)
                row[2] += 1
                continue
            row = [at, at, 1, facts]
            found.append(row)
            if may_share:
                shared[facts] = row
        # Milliseconds and a sequence number in one counter, so that ids only grow, whatever the clock does.
        first = max(now // 1000 << 12, self._last_stamp + 1)
        self._last_stamp = first + len(found) - 1
        random = os.urandom(8)  # for the whole group, within which the counter tells the ids apart
        return [
            (uuid7(stamp >> 12, stamp, random), first_at, last_at, count, now, facts)
            for stamp, (first_at, last_at, count, facts) in enumerate(found, first)
        ]

    def _mended(self, file: SpoolFile, work: Callable[[], _T]) -> _T:
        """Do ``work`` on ``file``; where that finds it corrupt, replace the file and do it once more."""
        try:
            return work()
        except CORRUPT as error:
            self.replace(file, file.generation, error)
            return work()

    def replace(self, file: SpoolFile, generation: int, error: Exception) -> None:
        """Put a new file in the place of ``file``, unless that was done since ``generation``."""
        if file.generation != generation:
            return
        if file.rescue_failed_at is None:
            metrics.SPOOL_CORRUPT.inc()
        elif time.monotonic() - file.rescue_failed_at < _RESCUE_AGAIN_S:
            raise error
        logger.error("%s is corrupt: %s", file.path.name, error, extra={"action": "spool_corrupt"})
        aside = file.replace()
        logger.error("%s: %d rows saved of it", aside.name, file.rows, extra={"action": "spool_replaced"})
        self._on_rows()

    def _adopt(self) -> None:
        """Move some rows of a left-over file into ours; once it is empty, remove it. Then do the next."""
        if not self._left_over:
            self._adopt_later()
            return
        slot, other = self._left_over[0]
        try:
            if self._mended(other, lambda: self.file.move_from(other, _ADOPT_ROWS)):
                self._on_rows()
            else:
                other.remove()
                self._left_over.pop(0)
                slot.release()
        except (OSError, apsw.Error) as error:
            logger.error("%s not adopted yet: %s", slot.path.name, error, extra={"action": "spool_adopt_failed"})
            self._left_over.append(self._left_over.pop(0))  # the others are not to wait for it
            self._adopt_later()
        else:
            self._jobs.put(self._adopt)  # a job of its own, so that commits go in between

    def _adopt_later(self) -> None:
        """Look again after a while: workers that are replaced leave files behind, too."""

        def look() -> None:
            self._look_for_left_over()
            self._adopt()

        timer = threading.Timer(_ADOPT_AGAIN_S, self._jobs.put, [look])
        timer.daemon = True
        timer.start()

    def _look_for_left_over(self) -> None:
        with contextlib.suppress(OSError):
            found = take_left_over(self._directory)
            self._left_over += [(slot, SpoolFile(slot.path, max_bytes=self._max_bytes)) for slot in found]

    def _release(self) -> None:
        for slot, file in (*self._left_over, (self._slot, self.file)):
            try:
                file.close()
            finally:
                slot.release()


def unavailable(error: Exception) -> SpoolUnavailable:
    """What callers are told of ``error``."""
    if isinstance(error, apsw.FullError):
        return SpoolFull()
    return SpoolUnavailable(f"The spool can't do it now: {type(error).__name__}")
