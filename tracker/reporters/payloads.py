"""What the payloads of all providers have in common: JSON, times, reply codes, clues and public keys.

Owns how they are read. Must not know any provider, nor decide whether a request is a provider's own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from tracker.core.errors import InvalidRequest, NotAuthentic
from tracker.core.model import Delivery, EventType

from . import Clues

MAX_EVENTS: Final = 10_000
"""Events of one request; the longest batches of providers have some thousands."""
MAX_REASON: Final = 500
"""Characters of a reason in words."""

_MAX_TYPE: Final = 64
_MAX_EVENT_ID: Final = 128
_MAX_CLUE: Final = 1000
_MAX_CLUES: Final = 10
_AHEAD_S: Final = 15 * 60
_LAST_SECOND: Final = 253_402_300_799
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_SMTP: Final = r"\s*(?:smtp;\s*)?"
_REPLY_AND_ENHANCED: Final = re.compile(
    r"(?<![\w.])([245][0-9]{2})[ -]+\(?#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?[0-9])", re.ASCII
)
_REPLY: Final = re.compile(_SMTP + r"([245][0-9]{2})(?![\w.])", re.ASCII | re.IGNORECASE)
_ENHANCED: Final = re.compile(_SMTP + r"#?([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?[0-9])", re.ASCII | re.IGNORECASE)
_ENHANCED_IN_BRACKETS: Final = re.compile(r"\(#([245]\.[0-9]{1,3}\.[0-9]{1,3})\)", re.ASCII)
_NOT_IN_TYPE: Final = re.compile(r"[^a-z0-9]+")
_BARE_RFC822_ID: Final = re.compile(r"<?([^<>\s]+)>?")
_AT: Final = re.compile(r" - at `\$(.*)`$", re.DOTALL)

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw, at: str = "$") -> T:
    """The decoded JSON. ``at`` is the body's own path in the request; raises `InvalidRequest` with it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        found = _AT.search(str(error))
        path, message = (found[1], str(error)[: found.start()]) if found else ("", str(error))
        raise InvalidRequest([(at + path, message)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest([(at, "is not JSON that can be read")]) from None


def type_of(table: Mapping[str, str], provider: str, *natives: str) -> str:
    """The type of an event that goes by ``natives``, the most specific name first.

    A fact by the last of them, such as ``sendgrid.open``, where tracker gives none of them a meaning.
    """
    for native in natives:
        if native in table:
            return table[native]
    return fact(provider, natives[-1])


def fact(provider: str, native: str) -> str:
    """The type under which something is kept that tracker gives no meaning, such as ``sendgrid.open``."""
    name = _NOT_IN_TYPE.sub("_", native.lower()).strip("_") or "unknown"
    return f"{provider}.{name}"[:_MAX_TYPE].rstrip("_")


def event_id(*parts: object) -> str:
    """An id made of what names the event at its provider; a digest where that would be too long or unprintable."""
    joined = "/".join(str(part) for part in parts)
    if len(joined) <= _MAX_EVENT_ID and joined.isascii() and joined.isprintable():
        return joined
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()


def seconds(value: object) -> int | None:
    """Microseconds since the epoch, from seconds as a number or in digits; None where that is no usable time."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return round(number * 1_000_000) if 1 <= number <= _LAST_SECOND else None


def iso(value: object) -> int | None:
    """Microseconds since the epoch, from an ISO 8601 time with its offset; None where that is no usable time."""
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    since = (when - _EPOCH) // timedelta(microseconds=1)
    return since if since > 0 else None


def moment(micros: int) -> datetime:
    """The time, from microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=micros)


def check_fresh(then: int | None, now: int, max_age_s: int) -> None:
    """Raise `NotAuthentic` unless ``then`` (microseconds) is at most that old, or hardly ahead of ``now``."""
    if then is None or not now - max_age_s * 1_000_000 <= then <= now + _AHEAD_S * 1_000_000:
        raise NotAuthentic("The request is too old, or ahead of our clock")


def text(value: object) -> str | None:
    """A string without control characters and on one line, shortened; None for what is no string or empty."""
    if not isinstance(value, str):
        return None
    shown = "".join(char if char.isprintable() else " " for char in value[: 4 * MAX_REASON])
    return " ".join(shown.split())[:MAX_REASON] or None


def reply_code(said: str | None, *, reply: object = None, enhanced: object = None, implied: str | None = None) -> str:
    """The reply code and the enhanced one (RFC 3463), such as ``550 5.1.1``; empty where there is neither.

    What the server ``said`` goes before ``reply`` and ``enhanced``, which the provider gives beside it. ``implied`` is
    the enhanced code that says what the provider's own verdict says, used where the server itself gave none that says
    anything (``x.0.0`` means: nothing more is known).
    """
    said = said or ""
    found = _REPLY_AND_ENHANCED.search(said)
    if found:
        first, second = found[1], found[2]
    else:
        first = _group(_REPLY.match(said) or _REPLY.fullmatch(str(reply)))
        own = _ENHANCED.match(said) or _ENHANCED_IN_BRACKETS.search(said)
        second = _group(own or _ENHANCED.fullmatch(str(enhanced)))
    if implied and (not second or second.endswith(".0.0")):
        second = implied
    return f"{first} {second}".strip()


def _group(match: re.Match[str] | None) -> str:
    return match[1] if match else ""


def delivery(type_: str, said: object, code: str) -> Delivery | None:
    """What goes with an event of ``type_``; None where the event is none of a mail server's refusals.

    A message that was dropped has a reason and no code: no server of the recipient's has judged the address.
    """
    reason = text(said)
    if type_ == EventType.DROPPED:
        return Delivery(reason=reason) if reason else None
    if type_ in (EventType.FAILED, EventType.DEFERRED) and (code or reason):
        return Delivery(status_code=code or None, reason=reason)
    return None


def clues(
    tracker_ids: Iterable[object] = (), message_ids: Iterable[object] = (), rfc822_ids: Iterable[object] = ()
) -> Clues:
    """The clues among what may be anything, each once; Message-IDs get the angle brackets that some providers drop."""
    bare = (_BARE_RFC822_ID.fullmatch(value) for value in _usable(rfc822_ids))
    bracketed = dict.fromkeys(f"<{match[1]}>" for match in bare if match)
    return Clues(_usable(tracker_ids), _usable(message_ids), tuple(bracketed))


def _usable(values: Iterable[object]) -> tuple[str, ...]:
    stripped = (value.strip() for value in values if isinstance(value, str) and len(value) <= _MAX_CLUE)
    return tuple(dict.fromkeys(value for value in stripped if value and value.isprintable()))[:_MAX_CLUES]


def own_fields(fields: object) -> Clues:
    """The clues among fields that the sender attached to the message: ``tracker_id`` and ``message_id``.

    Each is a string or a list of them; what is anything else holds no clue.
    """
    if not isinstance(fields, dict):
        return Clues()
    return clues(_listed(fields.get("tracker_id")), _listed(fields.get("message_id")))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


@lru_cache(maxsize=64)
def public_key(secret: str) -> PublicKeyTypes:
    """A public key, from PEM or from base64 of DER. Raises `ValueError`."""
    try:
        if secret.lstrip().startswith("-----BEGIN"):
            return load_pem_public_key(secret.strip().encode())
        return load_der_public_key(base64.b64decode("".join(secret.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a public key, neither in PEM nor as base64") from None


def signature_bytes(value: str | None) -> bytes:
    """A signature from base64. Raises `NotAuthentic` where there is none."""
    try:
        signature = base64.b64decode(value or "", validate=True)
    except ValueError:
        signature = b""
    if not signature:
        raise NotAuthentic
    return signature
