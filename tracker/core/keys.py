"""Signing keys: what is derived from one, and the signatures made with it.

Owns the derivation per use and the signatures' form. Must not know what is signed.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Callable
from functools import partial
from typing import Final

from itsdangerous import Signer
from itsdangerous.signer import SigningAlgorithm

SIGNATURE_BYTES: Final = 12
SIGNATURE_CHARS: Final = 16

_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class _TruncatedHmac(SigningAlgorithm):
    """HMAC-SHA-256 cut to 96 bits, the length of RFC 2404: a forger can only guess online, a request a try.

    To set an HMAC up takes longer than to sign a token with it, so there is one ready for each key.
    """

    def __init__(self) -> None:
        self._ready: dict[bytes, hmac.HMAC] = {}

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        if (ready := self._ready.get(key)) is None:
            ready = self._ready[key] = hmac.new(key, digestmod="sha256")
        mac = ready.copy()
        mac.update(value)
        return mac.digest()[:SIGNATURE_BYTES]


class Key:
    """One signing key, its id, and what is derived from it."""

    def __init__(self, secret: bytes) -> None:
        self.id = hashlib.sha256(b"tracker key id\0" + secret).digest()[0]
        self._secret = secret
        self._signatures: dict[tuple[enum.Enum, str], Callable[[bytes], bytes]] = {}

    def derive(self, use: str) -> bytes:
        """32 bytes for one use, from which neither the secret nor another use's bytes can be told."""
        return Signer(
            self._secret, salt=f"tracker v1 {use}".encode(), key_derivation="hmac", digest_method=hashlib.sha256
        ).derive_key()

    def sign(self, purpose: enum.Enum, account: str, text: bytes) -> bytes:
        """The signature of ``text``, as characters. Only accounts that exist get here, so the cache is bounded."""
        signature = self._signatures.get((purpose, account))
        if signature is None:
            signature = self._signatures[purpose, account] = self._signature(f"{purpose.name} {account}")
        return b2a_base64(signature(text), newline=False).translate(_TO_URL_SAFE)

    def _signature(self, use: str) -> Callable[[bytes], bytes]:
        signer = Signer(
            self.derive(use),
            salt=b"derived above",
            key_derivation="none",
            digest_method=hashlib.sha256,
            algorithm=_TruncatedHmac(),
        )
        # What the signer itself would call, without deriving the key again for every token.
        return partial(signer.algorithm.get_signature, signer.derive_key())
