"""The node's own file of what is revoked, which all of its processes read and any may change.

Owns the file, and that two who change it at once lose nothing. What a change means is `core.revocations`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tracker import snapshot
from tracker.core.errors import TrackerError
from tracker.core.revocations import Key, Revocation
from tracker.stores.audit import LateAct

REVOCATIONS_FILE: Final = "revocations.json"
MAX_ACTS: Final = 10_000
"""So many acts wait for the store; what is done beyond that is logged and not noted."""

Stamp = tuple[int, int, int]


class DiskUnavailable(TrackerError):
    """The data dir cannot take it now: its disk is full, read-only or failing."""


class NodeState(msgspec.Struct, frozen=True):
    """What a node knows by itself."""

    revocations: tuple[Revocation, ...] = ()
    acts: tuple[LateAct, ...] = ()
    """What the store has not heard of yet."""

    @property
    def entries(self) -> dict[Key, Revocation]:
        """The revocations by what they are about."""
        return {entry.key: entry for entry in self.revocations}


_decode: Final = msgspec.json.Decoder(NodeState).decode


class NodeFile:
    """The file ``path``. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_suffix(".lock")

    def stamp(self) -> Stamp | None:
        """Another one after every change; None where there is no file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DiskUnavailable(error.strerror) from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> NodeState:
        """What is in it. Raises FileNotFoundError, and ValueError where it is damaged or cannot be read."""
        try:
            return _decode(snapshot.read(self._path))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ValueError(error.strerror) from error

    def change(self, change: Callable[[NodeState], NodeState], known: NodeState) -> tuple[NodeState, Stamp | None]:
        """Put what ``change`` makes of the content in its place, on the disk when this returns; returns it.

        Where the content is lost or damaged, ``known`` is what is changed. Raises `DiskUnavailable`: then nothing is
        changed; and what ``change`` raises.
        """
        try:
            with self._locked():
                try:
                    before: NodeState | None = self.read()
                except (FileNotFoundError, ValueError):
                    before = None
                after = change(known if before is None else before)
                if after != before:
                    snapshot.write(self._path, msgspec.json.encode(after))
                return after, self.stamp()
        except OSError as error:
            raise DiskUnavailable(f"The data dir cannot be written: {error.strerror}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file of its own, since the other one is replaced.
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
