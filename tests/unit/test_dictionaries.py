from __future__ import annotations

import hashlib

from tracker.core.dictionaries import CURRENT, DICTIONARIES

FROZEN = {1: "867311ec42e73c7aa9c2d260d92806e4cbebf724704b362714df6a5b8e4461ac"}
"""Add the digest of a new dictionary; never change one: links in mailboxes were compressed with it."""


def test_a_dictionary_in_use_never_changes() -> None:
    assert {number: hashlib.sha256(data).hexdigest() for number, data in DICTIONARIES.items()} == FROZEN


def test_there_is_room_for_its_number_in_the_flags() -> None:
    assert set(DICTIONARIES) <= {1, 2, 3}  # 0 is none
    assert CURRENT in DICTIONARIES
