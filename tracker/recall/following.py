"""Follows what the store knows of recipients, and answers from the node's own file while the store is away.

Owns the pace, and what is done about failures: none of them reaches a caller. Must not change anything in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import apsw

from tracker.core.errors import StoreUnavailable
from tracker.core.tombstones import Digests
from tracker.stores import OnList
from tracker.stores.store import Position, RecipientChanges, What

from .file import CORRUPT, RecipientsFile, look_up, note_of_damage

RECIPIENTS_FILE: Final = "recipients.db"
POLL_S: Final = 5.0
PAGE_ROWS: Final = 5000

_PAUSE_S: Final = 0.05
"""Between two pages: a first fill leaves the store, and this process, to others for half of the time or more."""
_STORE_S: Final = 30.0
_LOOK_S: Final = 1.0
# Erasures last: what the other rounds have just read of somebody is forgotten again.
_ORDER: Final = (What.STANDINGS, What.LIST_STANDINGS, What.ERASURES)

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where it is known: `tracker.stores.Store`."""

    async def recipient_changes(self, after: Position, what: What, *, limit: int) -> RecipientChanges:
        """What changed after a position, a page of it."""


class Recall:
    """Keeps what ``source`` knows of recipients in the file ``path``, which all processes of a node share.

    With another ``source_name``, such as its URL, or a newer key of ``digests`` it is another source, and everything is
    read anew.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        digests: Digests,
        *,
        source_name: str,
        poll_s: float = POLL_S,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._source = source
        self._digests = digests
        # Not the name itself, which may hold a password.
        self._name = digests.of_person("", source_name)[-1].hex()
        self._path = path
        self._poll_s = poll_s
        self._page_rows = page_rows
        self._failing = False
        self._blind = False

    async def known(self, account: str, list_: str, recipients: Sequence[str]) -> dict[str, OnList]:
        """What is remembered of ``recipients`` with a view to a list, by recipient; never raises.

        Nobody is in it of whom nothing is remembered, and nobody at all where the file is of no use.
        """
        try:
            async with asyncio.timeout(_LOOK_S):
                found = await asyncio.to_thread(look_up, self._path, self._digests, account, list_, recipients)
        except Exception as error:  # also on a bug: a rewrite must not fail for want of this
            if isinstance(error, CORRUPT):
                with contextlib.suppress(OSError):
                    note_of_damage(self._path).touch(0o600)
            if not self._blind:
                # Without the message of the exception, which may quote a recipient.
                logger.error(
                    "what is remembered of recipients cannot be read: %s",
                    type(error).__name__,
                    extra={"action": "recall_unreadable"},
                )
            self._blind = True
            return {}
        self._blind = False
        return found

    async def run(self) -> None:
        """Follow the store until cancelled, in one of the node's processes: whichever has the lock."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="recall")
        file = RecipientsFile(self._path, self._name, self._digests)
        try:
            while True:
                await self._poll(thread, file)
                await asyncio.sleep(self._poll_s)
        finally:
            thread.submit(file.release)  # after what is under way there
            thread.shutdown(wait=False)

    async def _poll(self, thread: ThreadPoolExecutor, file: RecipientsFile) -> None:
        """Bring the file up to date, if that is this process's task; never raises."""
        loop = asyncio.get_running_loop()
        try:
            if not await loop.run_in_executor(thread, file.open):
                return
            for what in _ORDER:
                await self._follow(thread, file, what)
        except CORRUPT as error:
            self._failed(f"{self._path.name} is made anew: {error}")
            with contextlib.suppress(OSError):
                await loop.run_in_executor(thread, file.remove)
        except (StoreUnavailable, TimeoutError) as error:
            self._failed(str(error) or "timeout")
        except (OSError, apsw.Error) as error:
            self._failed(f"{self._path.name}: {error}")
            await loop.run_in_executor(thread, file.close)
        except Exception as error:
            trace = "".join(traceback.format_tb(error.__traceback__))
            self._failed(f"unexpected {type(error).__name__}\n{trace}")
            await loop.run_in_executor(thread, file.close)
        else:
            if self._failing:
                logger.info("recipients are followed again", extra={"action": "recall_available"})
            self._failing = False

    async def _follow(self, thread: ThreadPoolExecutor, file: RecipientsFile, what: What) -> None:
        """One round: all that changed since the last one, or what is left of a round that was cut off."""
        loop = asyncio.get_running_loop()
        progress = await loop.run_in_executor(thread, file.progress, what)
        while True:
            async with asyncio.timeout(_STORE_S):
                page = await self._source.recipient_changes(progress.position, what, limit=self._page_rows)
            is_last = len(page.rows) < self._page_rows
            after = progress.after(page, is_last)
            await loop.run_in_executor(thread, file.put, what, page, progress, after)
            if is_last:
                return
            progress = after
            await asyncio.sleep(_PAUSE_S)

    def _failed(self, reason: str) -> None:
        if not self._failing:
            logger.warning(
                "recipients cannot be followed, what is remembered stays: %s",
                reason,
                extra={"action": "recall_unavailable"},
            )
        self._failing = True
