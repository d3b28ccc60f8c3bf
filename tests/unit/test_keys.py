from __future__ import annotations

import base64
import hmac

from tracker.core.keys import SIGNATURE_BYTES, SIGNATURE_CHARS, Key
from tracker.core.tokens import Purpose

SECRET = b"a secret of the tests, 32 bytes.."


def test_the_signature_has_96_bits() -> None:
    assert SIGNATURE_BYTES * 8 == 96
    assert len(Key(SECRET).sign(Purpose.OPEN, "default", b"x")) == SIGNATURE_CHARS == 16


def test_every_use_has_a_key_of_its_own() -> None:
    keys = [Key(SECRET), Key(SECRET + b"x")]
    uses = ["BATCH", "OPEN default", "OPEN acme", "CLICK default"]
    derived = {key.derive(use) for key in keys for use in uses}
    assert len(derived) == 8
    assert all(len(each) == 32 and SECRET not in each for each in derived)


def test_derivation_is_frozen() -> None:
    """What was derived once is needed as long as there are links in mailboxes."""
    key = Key(SECRET)
    assert key.id == 173
    assert key.derive("BATCH").hex() == "3c73fdd5f3da545744ccd8aafaf0e4d1cdce2ffe9a8903de4a8f509d63beb4de"


def test_purposes_and_accounts_sign_differently_and_each_the_same_every_time() -> None:
    key = Key(SECRET)
    made = {key.sign(purpose, account, b"x") for purpose in Purpose for account in ("default", "acme")}
    assert len(made) == 8
    assert made == {key.sign(purpose, account, b"x") for purpose in Purpose for account in ("default", "acme")}


def test_a_signature_is_the_truncated_hmac_of_the_text() -> None:
    derived = Key(SECRET).derive("CLICK default")
    expected = hmac.digest(derived, b"text", "sha256")[:SIGNATURE_BYTES]
    assert Key(SECRET).sign(Purpose.CLICK, "default", b"text") == base64.urlsafe_b64encode(expected)
