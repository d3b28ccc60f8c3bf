"""Small files of the data dir that several processes read: all of one or nothing, with a digest so that damage shows.

Owns how they get to the disk. Must not know what is in them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

_DIGEST_CHARS: Final = 64


def read(path: Path) -> bytes:
    """What was written to ``path``. Raises OSError, and ValueError where it is damaged."""
    data = path.read_bytes()
    checksum, body = data[:_DIGEST_CHARS], data[_DIGEST_CHARS + 1 : -1]
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise ValueError("it is damaged")
    return body


def write(path: Path, body: bytes) -> None:
    """Put ``body`` at ``path``, for the owner only: all of it or nothing, whatever happens. Raises OSError."""
    # The name is random: several processes may write at once.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body + b"\n")
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have what was made, renamed or removed in the directory ``path`` on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
