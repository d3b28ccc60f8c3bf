from __future__ import annotations

import uuid

import msgspec
import pytest

from tracker.core.model import Delivery, Facts, MessageClass, Registration, decode_facts, encode_facts, uuid7


def test_uuid7_has_its_time_version_and_variant() -> None:
    made = uuid.UUID(bytes=uuid7(1_795_435_200_123, 5, b"\xff" * 8))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_795_435_200_123
    assert (made.int >> 64) & 0xFFF == 5


def test_uuid7_sorts_by_time_and_then_by_sequence() -> None:
    moments = [(1, 0), (1, 1), (1, 4095), (2, 0), (3, 7)]
    made = [uuid7(at, sequence, b"\xff" * 8 if n % 2 else b"\0" * 8) for n, (at, sequence) in enumerate(moments)]
    assert made == sorted(made)
    assert uuid7(2**48 + 1, 4096, b"\0" * 8) == uuid7(1, 0, b"\0" * 8)


def test_facts_come_back_as_they_went_in() -> None:
    facts = Facts(
        "default",
        "m",
        "rewritten",
        3,
        "https://example.com/é",
        "news",
        "agent",
        "image/*",
        "prefetch",
        "192.0.2.0",
        b"\0" * 8,
        "list v1",
        Registration("lead", "b", "news", MessageClass.TRANSACTIONAL, True, False, 3, "<x@y>"),
        Delivery("550", "no"),
    )
    assert decode_facts(encode_facts(facts)) == facts


def test_facts_of_the_first_version_can_be_read_for_ever() -> None:
    stored = bytes.fromhex("93a764656661756c74a16da66f70656e6564")
    assert decode_facts(stored) == Facts("default", "m", "opened")
    with pytest.raises(msgspec.ValidationError):
        decode_facts(bytes.fromhex("92a764656661756c74a16d"))


def test_equal_facts_are_equal_and_hash_alike() -> None:
    assert len({Facts("default", "m", "opened", link=0), Facts("default", "m", "opened", link=0)}) == 1
