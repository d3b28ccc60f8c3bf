"""Signed tokens: everything a tracking link has to carry, in the fewest characters that keep it safe.

Owns the byte layout and the canonical form. Must not know of URLs beyond the bytes of a destination, nor
of HTTP.

A token is ``PAYLOAD SIGNATURE``, both base64url without padding (RFC 4648, 5) and without a separator: the
signature is the last 16 characters, 96 bits of HMAC-SHA-256 over the *characters* of the payload, so that
no second spelling of a payload verifies. The payload's bytes, version 1::

    1   version << 4 | purpose
    1   key id: which of the signing keys
    1   flags: 1 message id packed as a UUID, 2 account present, 4 batch tag present,
               8 and 16 the dictionary's number (0: destination as it is), 32 honeypot link, 64 pixel number
    1+n length and account, where present
    4   batch tag, where present: a keyed digest, so that a batch can be revoked without a look-up
    16  message id as a UUID, or 1+n length and message id
    --  click:       link number (LEB128), then the destination to the end
        unsubscribe: the list to the end (nothing: "default")
        open, header: nothing
"""

from __future__ import annotations

import enum
import hmac
import re
import zlib
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from .dictionaries import CURRENT, DICTIONARIES
from .errors import ConfigError, InvalidToken
from .keys import SIGNATURE_CHARS, Key

VERSION: Final = 1
DEFAULT_ACCOUNT: Final = "default"
DEFAULT_LIST: Final = "default"
MIN_KEY_BYTES: Final = 32
MAX_TOKEN_CHARS: Final = 6000
"""Checked before any work is done; a longer token is never made."""
MAX_DESTINATION_BYTES: Final = 4096

_UUID_ID, _HAS_ACCOUNT, _HAS_BATCH, _HONEYPOT, _TOP_PIXEL = 1, 2, 4, 32, 64
_DICTIONARY_SHIFT = 3
_ALL_FLAGS = 127
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class Purpose(enum.IntEnum):
    """What a token may be used for; each has signing keys of its own."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3
    HEADER = 4
    """The ``X-Tracker-Id`` header, which finds the message when a bounce comes back."""


# Looking them up on the enumeration for each token takes ten times as long.
_CLICK: Final = Purpose.CLICK
_UNSUBSCRIBE: Final = Purpose.UNSUBSCRIBE


class Message(NamedTuple):
    """The message that a token is for."""

    account: str
    message_id: str
    batch: str | None = None


class Token(NamedTuple):
    """What a verified token says."""

    purpose: Purpose
    account: str
    message_id: str
    batch_tag: bytes | None
    link: int = 0
    """The link's number; for an open, the pixel's: 0 at the bottom, 1 at the top."""
    destination: str = ""
    list: str = DEFAULT_LIST
    honeypot: bool = False


class Packed(NamedTuple):
    """A destination as it stands in tokens: made once, however many recipients it is signed for."""

    dictionary: int
    data: bytes


class TokenCodec:
    """Signs with the last of the keys and verifies with all of them.

    ``keys`` are secrets of 32 bytes or more, oldest first; raises `ConfigError` otherwise. What signs is derived from
    them, for each account and purpose something else.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ConfigError("there is no signing key")
        if any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ConfigError(f"a signing key is shorter than {MIN_KEY_BYTES} bytes")
        self._keys = [Key(key) for key in keys]
        # Two keys may share an id; then both are tried.
        self._by_id = {key.id: [k for k in self._keys if k.id == key.id] for key in self._keys}
        self._batch_key = self._keys[-1].derive("BATCH")

    def batch_tag(self, account: str, batch: str) -> bytes:
        """4 bytes that stand for a batch in the tokens of the newest key."""
        return _batch_tag(self._batch_key, account, batch)

    def batch_tags(self, account: str, batch: str) -> list[bytes]:
        """What stands for a batch in the tokens of any of the keys."""
        return [_batch_tag(key, account, batch) for key in self.derive_each("BATCH")]

    def derive(self, use: str) -> bytes:
        """32 bytes for another use of the newest key."""
        return self._keys[-1].derive(use)

    def derive_each(self, use: str) -> list[bytes]:
        """The same of every key, oldest first: for what has to be found again after a newer key came."""
        return [key.derive(use) for key in self._keys]

    def tokens_for(self, message: Message) -> MessageTokens:
        """The tokens of one message, signed with the newest key."""
        return MessageTokens(self, self._keys[-1], message)

    def verify(self, purpose: Purpose, token: str, account: str | None = DEFAULT_ACCOUNT) -> Token:
        """What ``token`` says, if it was signed for ``purpose`` and ``account``; raises `InvalidToken`, with no reason.

        None takes any account: for whoever may look into all of them.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise InvalidToken
        try:
            encoded = token.encode()
            text, signature = encoded[:-SIGNATURE_CHARS], encoded[-SIGNATURE_CHARS:]
            # Lenient, but what it passes over is signed as well: a payload verifies in one spelling only.
            payload = a2b_base64(text.translate(_FROM_URL_SAFE) + b"==")
            signer = _account(payload)
        except (ValueError, IndexError):
            raise InvalidToken from None
        if payload[0] != VERSION << 4 | purpose or account not in (signer, None):
            raise InvalidToken
        for key in self._by_id.get(payload[1], ()):
            # Compared as characters, in constant time: decoding the signature first would let junk in it pass.
            if hmac.compare_digest(key.sign(purpose, signer, text), signature):
                break
        else:
            raise InvalidToken
        try:
            return _decode(purpose, signer, payload)
        except (ValueError, IndexError, zlib.error):  # signed by us, yet not ours to read: a later layout
            raise InvalidToken from None


class MessageTokens:
    """Signs the tokens of one message; what they share is put together once."""

    def __init__(self, codec: TokenCodec, key: Key, message: Message) -> None:
        self._key = key
        self._account = message.account
        self._flags, self._shared = _shared_fields(codec, message)

    def open(self, pixel: int = 0) -> str:
        """A token for the pixel with the number ``pixel``: 0 at the bottom, 1 at the top."""
        return self._sign(Purpose.OPEN, _TOP_PIXEL if pixel else 0, b"")

    def click(self, link: int, destination: Packed, *, honeypot: bool = False) -> str:
        """A token for link number ``link`` of the message."""
        flags = destination.dictionary << _DICTIONARY_SHIFT | (_HONEYPOT if honeypot else 0)
        return self._sign(Purpose.CLICK, flags, _leb128(link) + destination.data)

    def unsubscribe(self, list_: str = DEFAULT_LIST) -> str:
        """A token that unsubscribes the message's recipient from ``list_``."""
        return self._sign(Purpose.UNSUBSCRIBE, 0, b"" if list_ == DEFAULT_LIST else list_.encode())

    def header(self) -> str:
        """A token for the ``X-Tracker-Id`` header."""
        return self._sign(Purpose.HEADER, 0, b"")

    def _sign(self, purpose: Purpose, flags: int, fields: bytes) -> str:
        head = bytes((VERSION << 4 | purpose, self._key.id, self._flags | flags))
        text = urlsafe_b64encode(head + self._shared + fields).rstrip(b"=")
        return (text + self._key.sign(purpose, self._account, text)).decode()


# Raw deflate (RFC 1951): the zlib wrapper would add 10 bytes. Copied for each destination, which takes less
# time than to read the dictionary anew, and all the less with a small window and little memory.
_DEFLATE: Final = zlib.compressobj(9, zlib.DEFLATED, -12, 2, zlib.Z_DEFAULT_STRATEGY, DICTIONARIES[CURRENT])


@lru_cache(maxsize=512)  # mails of a campaign lead to the same places, whether they come in one call or in many
def pack(destination: str) -> Packed:
    """``destination`` compressed, where that is shorter. Raises ValueError past `MAX_DESTINATION_BYTES`."""
    raw = destination.encode()
    if len(raw) > MAX_DESTINATION_BYTES:
        raise ValueError("the destination is too long")
    deflate = _DEFLATE.copy()
    data = deflate.compress(raw) + deflate.flush()
    return Packed(CURRENT, data) if len(data) < len(raw) else Packed(0, raw)


@lru_cache(maxsize=512)  # of what we signed only: the links of the batches that are clicked now
def _unpack(dictionary: int, data: bytes) -> str:
    if dictionary:
        if dictionary not in DICTIONARIES:
            raise ValueError("unknown dictionary")
        inflate = zlib.decompressobj(-15, DICTIONARIES[dictionary])
        data = inflate.decompress(data, MAX_DESTINATION_BYTES)
        if not inflate.eof or inflate.unused_data:
            raise ValueError("the destination does not end where it should")
    return data.decode()


def _shared_fields(codec: TokenCodec, message: Message) -> tuple[int, bytes]:
    """The flags and the bytes that are the same in all tokens of a message."""
    flags, data = 0, b""
    if message.account != DEFAULT_ACCOUNT:
        flags |= _HAS_ACCOUNT
        data += _prefixed(message.account)
    if message.batch is not None:
        flags |= _HAS_BATCH
        data += codec.batch_tag(message.account, message.batch)
    if _CANONICAL_UUID.fullmatch(message.message_id):
        return flags | _UUID_ID, data + bytes.fromhex(message.message_id.replace("-", ""))
    return flags, data + _prefixed(message.message_id)


def _decode(purpose: Purpose, account: str, payload: bytes) -> Token:
    flags, at = payload[2], 3
    if flags & ~_ALL_FLAGS:
        raise ValueError("unknown flag")
    if flags & _HAS_ACCOUNT:
        at += 1 + payload[at]
    batch_tag = None
    if flags & _HAS_BATCH:
        batch_tag, at = payload[at : at + 4], at + 4
    if flags & _UUID_ID:
        digits, at = payload[at : at + 16].hex(), at + 16
        message_id = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    else:
        end = at + 1 + payload[at]
        message_id, at = payload[at + 1 : end].decode(), end
    if purpose is _CLICK:
        link, at = _read_leb128(payload, at)
        destination = _unpack(flags >> _DICTIONARY_SHIFT & 3, payload[at:])
        return Token(purpose, account, message_id, batch_tag, link, destination, honeypot=bool(flags & _HONEYPOT))
    if purpose is _UNSUBSCRIBE:
        return Token(purpose, account, message_id, batch_tag, list=payload[at:].decode() or DEFAULT_LIST)
    return Token(purpose, account, message_id, batch_tag, 1 if flags & _TOP_PIXEL else 0)


def _batch_tag(key: bytes, account: str, batch: str) -> bytes:
    return hmac.digest(key, f"{account}\0{batch}".encode(), "sha256")[:4]


def _account(payload: bytes) -> str:
    if not payload[2] & _HAS_ACCOUNT:
        return DEFAULT_ACCOUNT
    return payload[4 : 4 + payload[3]].decode()


def _prefixed(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _leb128(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    return bytes((number & 127 | 128,)) + _leb128(number >> 7)


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
        shift += 7
