"""The data dir: makes it, and the secrets in it that nobody configured.

Owns the files ``signing.key`` and ``api.key``. Must not know what the secrets are for.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from .config import Settings
from .core.errors import ConfigError
from .snapshot import sync_directory

SIGNING_KEY_FILE: Final = "signing.key"
API_KEY_FILE: Final = "api.key"

_SECRET: Final = re.compile(r"[!-~]{43,}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Complete settings, and what had to be made for them."""

    settings: Settings
    new_api_key: str | None = field(repr=False)
    """The API key, if it was made just now: the one time that it is shown."""


def prepare(settings: Settings, *, with_api_key: bool = True) -> Prepared:
    """Make the data dir usable (0700) and fill in the secrets, made once (0600). Raises `ConfigError`.

    A command that needs no API key does not make one, since whoever makes it has to show it.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(settings.data_dir.absolute().parent)  # or a power cut takes away all that is put there
        with tempfile.TemporaryFile(dir=settings.data_dir):
            pass  # it can be written
        new_api_key = None
        if not settings.signing_keys:
            key, _ = _secret(settings.data_dir / SIGNING_KEY_FILE)
            settings = replace(settings, signing_keys=(key.encode(),))
        if with_api_key and not settings.api_key:
            key, is_new = _secret(settings.data_dir / API_KEY_FILE)
            new_api_key = key if is_new else None
            settings = replace(settings, api_key=key)
    except OSError as error:
        raise ConfigError(f"TRACKER_DATA_DIR: {settings.data_dir} cannot be used: {error.strerror}") from error
    return Prepared(settings, new_api_key)


def _secret(path: Path) -> tuple[str, bool]:
    """The secret in a file, and whether it was made just now; several processes may ask at once."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _make_secret(path)
    except ValueError:
        text = ""
    if not _SECRET.fullmatch(text):
        raise ConfigError(f"{path} is damaged: restore it from a backup, or remove it to have a new secret made")
    return text, False


def _make_secret(path: Path) -> tuple[str, bool]:
    # Written whole under another name, then linked: whoever comes second finds the first one's, complete.
    text = secrets.token_urlsafe(32)
    # The name is random, not the process id: in two containers that share the data dir that may be the same.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    draft = Path(name)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(draft, path)
    except FileExistsError:
        return _secret(path)
    finally:
        draft.unlink()
    sync_directory(path.parent)
    return text, True
