"""Who is signed in to the console: the cookie that says so, and the token that this session's forms carry.

Owns how both are signed and how long they hold. Must not know what a page shows, nor keep anything.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

from itsdangerous import BadSignature, Signer

from tracker.core.accounts import ApiKey, Directory, Scope
from tracker.core.revocations import SESSION_US, Revoked

SESSION_S: Final = SESSION_US // 1_000_000


class Session(NamedTuple):
    """One browser that is signed in."""

    key: ApiKey
    token: str
    """What its forms carry, to show that they are its own."""
    id: str
    """By which it can be ended: says nothing of its cookie."""

    def may(self, scope: Scope) -> bool:
        """Whether its key may be used for this."""
        return scope in self.key.scopes

    def sent(self, token: str) -> bool:
        """Whether ``token`` is the one of its forms."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())


class Sessions:
    """Makes and reads the cookies of sessions: the id of an API key, when it was used to sign in, and a nonce.

    ``secret`` signs them, together with the digest of the key: where another key has taken the id, that of the
    environment say, or where the key is revoked, the session is over; and where ``revoked`` has it.
    """

    def __init__(self, secret: bytes, directory: Callable[[], Directory], revoked: Callable[[], Revoked]) -> None:
        self._secret = secret
        self._revoked = revoked
        self._directory = directory

    def begin(self, api_key: str, now: float) -> str | None:
        """The cookie of a new session; None where ``api_key`` is not in force, or may not read.

        ``now`` is in seconds since the epoch.
        """
        key = self._directory().key(api_key)
        if key is None or Scope.READ not in key.scopes:
            return None
        text = f"{key.id}.{int(now)}.{secrets.token_hex(8)}"
        return self._signer(key, "cookie").sign(text).decode()

    def read(self, cookie: str, now: float) -> Session | None:
        """The session that ``cookie`` is of, if it goes on."""
        key = self._directory().key_by_id(cookie.partition(".")[0])
        if key is None or Scope.READ not in key.scopes:
            return None
        try:
            text = self._signer(key, "cookie").unsign(cookie)
        except BadSignature:
            return None
        _, began, nonce = text.split(b".")
        id_ = hashlib.sha256(nonce).hexdigest()[:32]
        if now - int(began) >= SESSION_S or self._revoked().session(key.account, id_, key.id, int(began)):
            return None
        # Of the text, since a signature can be spelled in more than one way.
        return Session(key, self._signer(key, "form").get_signature(text).decode(), id_)

    def _signer(self, key: ApiKey, use: str) -> Signer:
        salt = f"console {use} ".encode() + key.digest
        return Signer(self._secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
