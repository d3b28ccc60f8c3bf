"""Digests that stand for erased people and their messages, so that what comes late is known without saying who it was.

Owns their form. Must not know where they are kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

DIGEST_BYTES: Final = 32


class Digests:
    """HMAC-SHA-256 under each of ``keys``, which are derived from the signing keys, oldest first.

    What is erased is marked with all of them, and looked for with all of them: nodes may have different keys for a
    while, and a key that is added must not bring anybody back. One that is taken away brings back whom it alone marked,
    as it breaks the links that it alone signed. Without keys there are no digests.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def of_person(self, account: str, recipient: str) -> list[bytes]:
        """Those of a recipient, the newest key's last."""
        return self._all("person", account, recipient)

    def of_message(self, account: str, message_id: str) -> list[bytes]:
        """Those of a message, the newest key's last."""
        return self._all("message", account, message_id)

    def _all(self, *parts: str) -> list[bytes]:
        # No part but the last may hold a NUL, nor may that one: see `stores.limits`.
        text = "\0".join(parts).encode(errors="surrogatepass")
        return [hmac.digest(key, text, "sha256") for key in self._keys]
