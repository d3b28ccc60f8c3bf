"""Opens the store for a command.

Owns where it is looked for, and who may read it. Must not know what a command wants of it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tracker.config import Settings
from tracker.parts import check_places, open_store
from tracker.stores import Store

from .terminal import read_settings


@asynccontextmanager
async def opened_store(settings: Settings | None = None) -> AsyncIterator[Store]:
    """The store that ``settings`` name, or the process's. Raises `ConfigError` and `StoreUnavailable`."""
    settings = settings or read_settings()
    check_places(settings)
    os.umask(0o077)  # the embedded store, should it be made now, is for the owner only
    store = open_store(settings)
    try:
        await store.open()
        yield store
    finally:
        await store.close()
