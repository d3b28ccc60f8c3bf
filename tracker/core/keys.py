"""The signing keys of the operator, and the keys that are derived from them for each use.

Owns the derivation and the signature's length. Must not know what is signed.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import Final

from itsdangerous import Signer
from itsdangerous.signer import SigningAlgorithm

SIGNATURE_BYTES: Final = 12


class Purpose(enum.IntEnum):
    """What a token may be used for; each has signing keys of its own."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3
    HEADER = 4
    """The ``X-Tracker-Id`` header, which finds the message when a bounce comes back."""


class _TruncatedHmac(SigningAlgorithm):
    """HMAC-SHA-256 cut to 96 bits, the length of RFC 2404: a forger can only guess online, a request a try.

    It is made for one key, so that the key is worked in once and not for every token.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(value)
        return mac.digest()[:SIGNATURE_BYTES]


class SigningKey:
    """One signing key, its id, and what is derived from it."""

    def __init__(self, secret: bytes) -> None:
        self.id = hashlib.sha256(b"tracker key id\0" + secret).digest()[0]
        self._secret = secret
        self._signers: dict[str, dict[Purpose, Signer]] = {}

    def derive(self, use: str) -> bytes:
        """32 bytes for one use, from which neither the secret nor another use's bytes can be told."""
        return Signer(
            self._secret, salt=f"tracker v1 {use}".encode(), key_derivation="hmac", digest_method=hashlib.sha256
        ).derive_key()

    def signers(self, account: str) -> dict[Purpose, Signer]:
        """The signer of each purpose. Only accounts that exist get here, so the cache is bounded."""
        signers = self._signers.get(account)
        if signers is None:
            signers = self._signers[account] = {purpose: self._signer(purpose, account) for purpose in Purpose}
        return signers

    def _signer(self, purpose: Purpose, account: str) -> Signer:
        key = self.derive(f"{purpose.name} {account}")
        return Signer(
            key,
            salt=b"derived above",
            key_derivation="none",
            digest_method=hashlib.sha256,
            algorithm=_TruncatedHmac(key),
        )
