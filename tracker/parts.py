"""Makes the parts that the settings name: the concrete store, the spool's place, a rewriter.

Owns the choice between the databases, for the service and for commands alike. Must not start anything.
"""

from __future__ import annotations

from pathlib import Path

from tracker.config import Settings
from tracker.core.errors import ConfigError
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import TokenCodec
from tracker.core.tombstones import Digests
from tracker.directory import default_settings
from tracker.revocations import REVOCATIONS_FILE, Revocations
from tracker.stores import Store
from tracker.stores.postgres import Postgres
from tracker.stores.revocations import StoredRevocations
from tracker.stores.sqlite import Sqlite


def open_store(settings: Settings) -> Store:
    """The store that the settings name, not yet connected."""
    kind, _, path = settings.store_url.partition(":///")
    database = Sqlite(Path(path)) if kind == "sqlite" else Postgres(settings.store_url)
    return Store(database, Digests(TokenCodec(settings.signing_keys).derive_each("ERASURE")))


def open_revocations(settings: Settings, store: Store) -> Revocations:
    """What is revoked, on this node and in ``store``. Nothing is read yet."""
    codec = TokenCodec(settings.signing_keys)
    return Revocations(StoredRevocations(store.database), settings.data_dir / REVOCATIONS_FILE, codec.batch_tags)


def build_rewriter(settings: Settings) -> Rewriter:
    """The rewriter of the default account as the process's settings want it, for a look without the store.

    ``settings`` are complete: `datadir.prepare` was called.
    """
    policy = default_settings(settings).policy()
    return Rewriter(TokenCodec(settings.signing_keys), settings.base_url, policy)


def spool_directory(settings: Settings) -> Path:
    """Where the spool files of this data dir are."""
    return settings.data_dir / "spool"


def unrecognised_directory(settings: Settings) -> Path:
    """Where the reports are that nobody could make sense of."""
    return settings.data_dir / "unrecognised"


def check_places(settings: Settings) -> None:
    """Raise `ConfigError` where the spool or the embedded store can't be where the settings have them.

    Called before the server starts, which says such things at more length.
    """
    spool = spool_directory(settings)
    try:
        spool.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"TRACKER_DATA_DIR: {spool} cannot be used: {error.strerror}") from error
    kind, _, path = settings.store_url.partition(":///")
    if kind == "sqlite" and not Path(path).parent.is_dir():
        raise ConfigError(f"TRACKER_STORE_URL: {Path(path).parent} is not a directory")
