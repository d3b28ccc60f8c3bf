"""Webhooks as Standard Webhooks has them: secrets, signed headers, when to retry, and where one may be sent to.

Owns these rules. Must not connect, resolve names or read a clock: that is `tracker.outgoing`, and who calls it.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (1.0.0).
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105
SECRET_BYTES: Final = 32
MAX_URL_LENGTH: Final = 2000

RETRY_DELAYS_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The schedule of the specification: ten attempts in all, the last 75 h 35 min after the first."""

JITTER: Final = 0.1
"""How far a delay may be off, each way."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:]*)(?::(?P<port>[0-9]*))?")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

# Python's own idea of a public address lets some of these through, and changes between its releases.
_NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",  # carriers' own: RFC 6598
        "192.0.0.0/24",  # protocol assignments, among them addresses of the host itself: RFC 6890
        "192.88.99.0/24",  # relays of 6to4: RFC 7526
        "198.18.0.0/15",  # benchmarks: RFC 2544
        "2001::/23",  # protocol assignments, among them Teredo, which hides an IPv4 address: RFC 2928, RFC 4380
        "2002::/16",  # 6to4, which hides an IPv4 address: RFC 3056
        "3fff::/20",  # documentation: RFC 9637
    )
)


class Outcome(enum.StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"
    """The receiver wants no more webhooks at this URL: the endpoint is to be disabled."""


def new_secret(random: bytes) -> str:
    """A signing secret of 32 random bytes: ``whsec_`` and their base64. ValueError for another length."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"A signing secret is made of {SECRET_BYTES} random bytes, not {len(random)}.")
    return SECRET_PREFIX + base64.b64encode(random).decode()


def parse_secret(secret: str) -> bytes:
    """The key in ``secret``, 24 to 64 bytes. ValueError, which does not show the secret, if it is not one."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"A signing secret begins with {SECRET_PREFIX}.")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"A signing secret is base64 after {SECRET_PREFIX}.") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"A signing secret holds 24 to 64 bytes, not {len(key)}.")
    return key


def headers(
    secret: str, webhook_id: str, timestamp_s: int, body: bytes, *, previous_secret: str | None = None
) -> dict[str, str]:
    """The headers of one attempt to deliver ``body``, which must be sent byte for byte.

    ``webhook_id`` stays the same over all attempts, ``timestamp_s`` (Unix time) is the attempt's own. While a
    secret is being replaced, ``previous_secret`` signs too, so that the receiver can change over at any time.
    ValueError for an id with characters other than letters, digits, ``_`` and ``-``, or a secret that is not one.
    """
    # A full stop in the id would let one signature stand for another division into id, time and body.
    if not _ID.fullmatch(webhook_id):
        raise ValueError("A webhook's id is 1 to 128 letters, digits, underscores and hyphens.")
    signed = f"{webhook_id}.{timestamp_s}.".encode() + body
    secrets = [secret] if previous_secret is None else [secret, previous_secret]
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(_signature(parse_secret(each), signed) for each in secrets),
    }


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def verdict(status: int | None) -> Outcome:
    """What an answer with ``status`` means; None is no answer. A redirect is a failure like any other."""
    if status is not None and 200 <= status <= 299:
        return Outcome.DELIVERED
    return Outcome.GONE if status == 410 else Outcome.RETRY


def retry_after_s(attempts: int, jitter: float) -> float | None:
    """Seconds to wait after the ``attempts``-th failed attempt, counted from 1; None once it is given up.

    ``jitter`` in [0, 1) is random, and moves the delay by up to 10 % each way.
    """
    if attempts < 1:
        raise ValueError("Attempts are counted from 1.")
    if attempts > len(RETRY_DELAYS_S):
        return None
    return RETRY_DELAYS_S[attempts - 1] * (1 - JITTER + 2 * JITTER * jitter)


def check_url(url: str, *, private_allowed: bool) -> str:
    """``url`` normalised: scheme and host in lower case, no default port, no empty path.

    https only, or http as well where ``private_allowed``. ValueError, with a sentence for whoever gave the URL, if
    nothing may be sent there. A name passes: where it leads is found out when connecting, each time.
    """
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if not all("!" <= character <= "~" and character != "\\" for character in url):
        raise ValueError("The URL holds a space, a backslash, or a character that is not printable ASCII.")
    if "#" in url:
        raise ValueError("The URL has a fragment (#), which is never sent.")
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in (("https", "http") if private_allowed else ("https",)):
        raise ValueError("The URL does not begin with https://.")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    target = rest[len(authority) :]
    host, port = _host_and_port(authority.lower())
    _check_host(host, private_allowed=private_allowed)
    shown_port = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{shown_port}{target if target.startswith('/') else '/' + target}"


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise ValueError("The URL holds a user name or a password.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("The URL's host cannot be read.")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError("The URL's port is not a number from 1 to 65535.")
    # A full stop at the end means the same name to a resolver, and another one to a certificate.
    return match["host"].removesuffix("."), port


def _check_host(host: str, *, private_allowed: bool) -> None:
    if not host:
        raise ValueError("The URL has no host.")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        if len(host) > 253 or not _NAME.fullmatch(host):
            raise ValueError("The URL's host is not a valid name.") from None
        # Such a name is an IPv4 address to a resolver: 127.1, 0x7f000001, 2130706433.
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            raise ValueError("The URL's host is an IPv4 address that is not written as four numbers.") from None
        return
    if not private_allowed and not is_public(address):
        raise ValueError("The URL leads to a private address.")


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether ``ip`` is an address of the public Internet, as strictly as can be told from the address.

    An IPv4 address within an IPv6 one is judged itself (mapped, NAT64) or refused (6to4, Teredo).
    Source: the IANA registries of special-purpose addresses (RFC 6890).
    """
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(ip.ipv4_mapped)
        if ip in _NAT64:
            return is_public(IPv4Address(ip.packed[-4:]))
        if ip.scope_id is not None or ip not in _GLOBAL_UNICAST:
            return False
    special = ip.is_multicast or ip.is_reserved or ip.is_unspecified or any(ip in network for network in _NOT_PUBLIC)
    return ip.is_global and not special
