"""Seals: the last bytes of a row's facts, which tell whether the row still is what was written.

Owns their form. Must not know what facts mean: to it they are a MessagePack array of 16 elements or more.
The seal is one more element at its end, which trackers that know of no seals skip: they read sealed rows,
and what they write is read here, so files can go from one version to the other and back.
"""

from __future__ import annotations

import functools
import struct
import zlib
from typing import Final, TypeAlias

NewRow: TypeAlias = tuple[bytes, int, int, int, int, bytes]
"""``(id, occurred_at, last_at, count, recorded_at, facts)``; times in microseconds since the epoch."""

Row: TypeAlias = tuple[int, bytes, int, int, int, int, bytes]
"""A `NewRow` behind its sequence number."""

_ARRAY: Final = b"\xdc"
_EXTENSION: Final = b"\xd6S"
"""An extension of four bytes, of a type that is ours: they are the CRC-32 of all that stands before them."""
_BYTES: Final = len(_EXTENSION) + 4
_ID_BYTES: Final = 16
_others = struct.Struct(f">5q{_ID_BYTES}s").pack
_sum_bytes = struct.Struct(">I").pack


def sealed(seq: int, row: NewRow) -> Row:
    """``row`` under its sequence number, with the seal behind its facts. Runs for every row that is written."""
    id_, occurred_at, last_at, count, recorded_at, facts = row
    body = _longer(facts[:3]) + facts[3:] + _EXTENSION
    sum_ = zlib.crc32(body, zlib.crc32(_others(seq, occurred_at, last_at, count, recorded_at, id_)))
    return seq, id_, occurred_at, last_at, count, recorded_at, body + _sum_bytes(sum_)


def without_seal(row: NewRow) -> NewRow:
    """``row`` as it was before it was sealed, or as it is where it was not: for a new place, with a new seal."""
    if not _has_seal(facts := row[5]):
        return row
    length = int.from_bytes(facts[1:3], "big") - 1
    return (*row[:5], b"".join((_ARRAY, length.to_bytes(2, "big"), facts[3:-_BYTES])))


def is_whole(row: Row, *, must_have_seal: bool) -> bool:
    """Whether the seal is right; or missing, where it may be: in files that an older tracker wrote to."""
    seq, id_, *numbers, facts = row
    if not _has_seal(facts):
        return not must_have_seal
    sum_ = zlib.crc32(facts[:-4], zlib.crc32(_others(seq, *numbers, id_)))
    return len(id_) == _ID_BYTES and facts[-4:] == _sum_bytes(sum_)


def _has_seal(facts: bytes) -> bool:
    return facts[-_BYTES:-4] == _EXTENSION


@functools.cache
def _longer(head: bytes) -> bytes:
    """The head of an array with one more element than that of ``head``."""
    return _ARRAY + (int.from_bytes(head[1:], "big") + 1).to_bytes(2, "big")
