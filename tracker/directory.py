"""The directory in force: what operators have set up, followed in the store and kept in the data dir for bad times.

Owns how soon a change is seen and what is known while the store is away. Must not change anything in the store.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from tracker import snapshot
from tracker.config import Settings
from tracker.core.accounts import Account, AccountSettings, ApiKey, Directory, Hook, Scope, digest, settings_from
from tracker.core.errors import InvalidRequest, StoreUnavailable
from tracker.core.tokens import DEFAULT_ACCOUNT
from tracker.stores.accounts import DirectoryRows, Document

SNAPSHOT_FILE: Final = "directory.json"
ENVIRONMENT_KEY: Final = "environment"
"""The id of the API key that the settings give."""
POLL_S: Final = 1.0
"""How often to ask the store whether anything has changed; a change is in force everywhere within 5 s."""

_STORE_S: Final = 10.0
_BACKOFF_S: Final = (0.5, 4.0)
_KEY_PREFIX: Final = "trk_"
"""So that scanners for leaked secrets, and people, know one when they see it."""
_decode: Final = msgspec.json.Decoder(DirectoryRows).decode

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where the directory comes from: `tracker.stores.accounts.Accounts`."""

    async def version(self) -> int:
        """Grows with every change."""

    async def directory(self) -> DirectoryRows:
        """All that is in force."""


def default_settings(settings: Settings) -> AccountSettings:
    """The settings of an account that has set none, as the process has them."""
    return AccountSettings(
        sender_name=settings.sender_name,
        excluded_hosts=tuple(sorted(settings.excluded_hosts)),
        one_use_links=settings.one_use_links,
        link_text_urls=settings.link_text_urls,
        transactional_clicks=settings.transactional_clicks,
        pixel_position=settings.pixel_position,
    )


def new_key(account: str, name: str, scopes: Iterable[Scope]) -> tuple[str, ApiKey]:
    """A new API key: the key itself, which is to be shown once, and what is kept of it."""
    key = _KEY_PREFIX + secrets.token_urlsafe(32)
    return key, ApiKey("key_" + secrets.token_hex(6), account, name, digest(key), tuple(sorted(set(scopes))))


def new_hook(account: str, provider: str, secret: str) -> tuple[str, Hook]:
    """A new hook: the secret in its URL, which is to be shown once, and what is kept of it.

    ``secret`` is what the provider's requests are verified with.
    """
    path = secrets.token_urlsafe(32)
    return path, Hook("hook_" + secrets.token_hex(6), account, provider, digest(path), secret)


class DirectoryWatch:
    """Keeps ``current`` up to date with ``source``, and a snapshot of it in the file ``path``.

    The account `DEFAULT_ACCOUNT` is always there: its links lead to ``default_origin``, and ``api_key``, the one of
    the environment, may do everything for it. ``defaults`` are the settings of whoever has set none.
    """

    def __init__(
        self, source: Source, path: Path, *, default_origin: str, defaults: AccountSettings, api_key: str
    ) -> None:
        self._source = source
        self._path = path
        self._default = Account(DEFAULT_ACCOUNT, default_origin)
        self.defaults = defaults
        self._key = ApiKey(ENVIRONMENT_KEY, DEFAULT_ACCOUNT, "", digest(api_key), tuple(Scope)) if api_key else None
        self._reading = asyncio.Lock()
        self._version: int | None = None
        self._rows = DirectoryRows(0)
        self._saved: DirectoryRows | None = None
        self._failures = 0
        self._saving_failed = False
        self.current = self._built(self._rows)

    def load(self) -> None:
        """Take what the snapshot has, if there is one; reads a file. A damaged one is as good as none."""
        try:
            self._rows = self._saved = _decode(snapshot.read(self._path))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            logger.error(
                "the snapshot of the accounts cannot be read: %s", error, extra={"action": "directory_snapshot_damaged"}
            )
            return
        self.current = self._built(self._rows)

    async def start(self) -> bool:
        """What to do before serving: read the store, or else the snapshot. Whether it was the store."""
        self.load()
        return await self.refresh()

    async def run(self) -> None:
        """Follow the store until cancelled; while it is away, what is known stays in force."""
        while True:
            known = await self.refresh()
            await asyncio.sleep(POLL_S if known else _backoff_s(self._failures))

    async def refresh(self) -> bool:
        """Look for a change now, and wait until it is in force; whether the store could be read. Never raises."""
        async with self._reading:
            try:
                async with asyncio.timeout(_STORE_S):
                    await self._read()
            except (StoreUnavailable, TimeoutError) as error:
                self._failed(str(error) or "timeout")
                return False
            except Exception as error:
                # Without the message of the exception, which may quote a secret.
                trace = "".join(traceback.format_tb(error.__traceback__))
                self._failed(f"unexpected {type(error).__name__}\n{trace}")
                return False
            if self._failures:
                self._failures = 0
                logger.info("the accounts can be read again", extra={"action": "directory_available"})
            await self._save()
        return True

    async def _read(self) -> None:
        if self._version is not None and await self._source.version() == self._version:
            return
        rows = await self._source.directory()
        if rows != self._rows:
            self.current, self._rows = self._built(rows), rows
        self._version = rows.version

    def _failed(self, reason: str) -> None:
        # It may come back as another one, restored from a backup, at a version that we think we know.
        self._version = None
        self._failures += 1
        if self._failures == 1:
            logger.warning(
                "the accounts cannot be read, what is known of them stays: %s",
                reason,
                extra={"action": "directory_unavailable"},
            )

    async def _save(self) -> None:
        """Write the snapshot, where it is not what is known."""
        rows = self._rows
        if rows == self._saved:
            return
        try:
            await asyncio.to_thread(snapshot.write, self._path, msgspec.json.encode(rows))
        except OSError as error:
            if not self._saving_failed:
                logger.error(
                    "the snapshot of the accounts cannot be written: %s",
                    error,
                    extra={"action": "directory_snapshot_failed"},
                )
            self._saving_failed = True
            return
        self._saved, self._saving_failed = rows, False

    def _built(self, rows: DirectoryRows) -> Directory:
        for account in rows.accounts:
            if account.host == self._default.host:
                logger.warning(
                    "TRACKER_BASE_URL leads to the host of the account %s: links there are that account's",
                    account.name,
                    extra={"action": "directory_host_taken"},
                )
        return Directory(
            (*rows.accounts, self._default),
            (*rows.keys, *([self._key] if self._key else ())),
            rows.hooks,
            {name: _settings(name, document, self.defaults) for name, document in rows.settings.items()},
            self.defaults,
        )


def _backoff_s(failures: int) -> float:
    """Doubling, and scattered, so that nodes don't return at once."""
    least, most = _BACKOFF_S
    longest = min(most, least * 2.0 ** min(failures - 1, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311 - not for security


def _settings(account: str, document: Document, defaults: AccountSettings) -> AccountSettings:
    """The settings in ``document``, but for those that are not understood: a newer tracker may have written them."""
    try:
        return settings_from(document, defaults)
    except InvalidRequest:
        settings = defaults
    for name, value in document.items():
        try:
            settings = settings_from({name: value}, settings)
        except InvalidRequest:
            logger.error(
                "the setting %s of the account %s is not understood, and left out",
                name,
                account,
                extra={"action": "setting_not_understood"},
            )
    return settings
