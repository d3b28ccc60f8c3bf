from __future__ import annotations

from tracker.core.keys import SIGNATURE_BYTES, Purpose, SigningKey

SECRET = b"a secret of the tests, 32 bytes.."


def test_the_signature_has_96_bits() -> None:
    assert SIGNATURE_BYTES * 8 == 96
    assert len(SigningKey(SECRET).signers("default")[Purpose.OPEN].get_signature(b"x")) == 16


def test_every_use_has_a_key_of_its_own() -> None:
    keys = [SigningKey(SECRET), SigningKey(SECRET + b"x")]
    uses = ["BATCH", "OPEN default", "OPEN acme", "CLICK default"]
    derived = {key.derive(use) for key in keys for use in uses}
    assert len(derived) == 8
    assert all(len(each) == 32 and SECRET not in each for each in derived)


def test_derivation_is_frozen() -> None:
    """What was derived once is needed as long as there are links in mailboxes."""
    key = SigningKey(SECRET)
    assert key.id == 173
    assert key.derive("BATCH").hex() == "3c73fdd5f3da545744ccd8aafaf0e4d1cdce2ffe9a8903de4a8f509d63beb4de"


def test_a_signer_is_made_once() -> None:
    key = SigningKey(SECRET)
    assert key.signers("default") is key.signers("default")
    assert set(key.signers("default")) == set(Purpose)
