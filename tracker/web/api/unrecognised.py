"""Keeps reports that nobody could make sense of, for a person to look at.

Owns the folder they are in, and how many it holds. Must not look into them, but for somebody who is erased.
"""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import hashlib
import os
import quopri
import re
import tempfile
from collections.abc import Iterator, Sequence
from email.header import decode_header, make_header
from pathlib import Path
from typing import Final

from tracker.core.errors import SpoolUnavailable
from tracker.core.naming import Names

MAX_FILES: Final = 1000
"""The oldest go first: whoever sends rubbish must not fill the disk. A report has 1 MiB at most."""

_BASE64: Final = re.compile(rb"(?:^[A-Za-z0-9+/]{4,}={0,2}\r?(?:\n|\Z))+", re.MULTILINE)
"""Lines of nothing else."""


class UnrecognisedReports:
    """Reports as they came, one file each, in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, raw: bytes) -> str:
        """The name of the file that keeps ``raw``, on disk; the same for the same report. Blocks.

        Raises `SpoolUnavailable` where the disk does not take it.
        """
        name = hashlib.sha256(raw).hexdigest()[:32] + ".eml"
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if not (self._directory / name).exists():
                self._write(name, raw)
                self._remove_oldest()
        except OSError as error:
            raise SpoolUnavailable(f"the report can't be kept: {error.strerror}") from error
        return name

    def forget(self, words: Sequence[str]) -> int:
        """Remove those in which one of ``words`` stands, however it is spelled; returns how many. Blocks.

        Raises `SpoolUnavailable` where the disk does not do it.
        """
        names = Names(words)
        removed = 0
        try:
            for file in self._directory.iterdir() if self._directory.is_dir() else ():
                if any(names.found_in(text) for text in _texts(file.read_bytes())):
                    file.unlink(missing_ok=True)
                    removed += 1
        except FileNotFoundError:  # another process removed it
            return removed + self.forget(words)
        except OSError as error:
            raise SpoolUnavailable(f"a report can't be removed: {error.strerror}") from error
        return removed

    def _write(self, name: str, raw: bytes) -> None:
        descriptor, draft = tempfile.mkstemp(dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(descriptor)
            Path(draft).replace(self._directory / name)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise

    def _remove_oldest(self) -> None:
        files = sorted(self._directory.iterdir(), key=_age)  # what a crash left half written is among them
        for file in files[:-MAX_FILES]:
            file.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process removed it
        return 0.0


def _texts(raw: bytes) -> Iterator[str]:
    """What a report says: as it came, its headers and parts as a reader sees them, and mails it quotes as a text."""
    yield from _decoded(raw)
    yield from _decoded(quopri.decodestring(raw))
    for lines in _BASE64.findall(raw):
        with contextlib.suppress(ValueError):
            yield from _decoded(base64.b64decode(lines))
    # Neither email nor a codec, of which any may be named, says what it raises on mail that is broken.
    with contextlib.suppress(Exception):
        for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk():
            for value in part.values():
                with contextlib.suppress(Exception):
                    yield str(make_header(decode_header(value)))
            with contextlib.suppress(Exception):
                if isinstance(content := part.get_payload(decode=True), bytes):
                    yield from _decoded(content, part.get_content_charset())


def _decoded(content: bytes, charset: str | None = None) -> Iterator[str]:
    """In the charset it says, and in those that such a text mostly is in."""
    for one in {charset or "utf-8", "utf-8", "latin-1"}:
        with contextlib.suppress(LookupError, ValueError):  # no such charset, or no such text
            yield content.decode(one, errors="replace")
