"""What the tests of several providers share: keys, requests, and JSON to try."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import strategies as st

from tracker.core.errors import InvalidRequest, NotAuthentic
from tracker.core.model import Delivery
from tracker.reporters import HookRequest, Reported, Reporter

NOW_S = 1_790_000_000
NOW = NOW_S * 1_000_000
HOUR_S = 3600

TRACKER_ID = "dGhpcyBpcyBub3QgcmVhbA.c2lnbmF0dXJl"
MESSAGE_ID = "m-1001"


_RSA_KEYS = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
_EC_KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]


def rsa_key(which: int = 0) -> rsa.RSAPrivateKey:
    return _RSA_KEYS[which]


def ec_key(which: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key on P-256."""
    return _EC_KEYS[which]


def shown(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """The public key as providers show it: base64 of DER."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, age_days: int = 10, days: int = 100) -> bytes:
    """A certificate in PEM that became valid ``age_days`` before `NOW`, for ``days``."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    start = datetime.fromtimestamp(NOW_S, UTC) - timedelta(days=age_days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(start).not_valid_after(start + timedelta(days=days))
    return dated.sign(key, SHA256()).public_bytes(Encoding.PEM)


def iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Fetching:
    """A `Fetch` that answers from a table and remembers what was asked for."""

    def __init__(self, answers: Mapping[str, bytes] | None = None) -> None:
        self.answers = dict(answers or {})
        self.urls: list[str] = []

    async def __call__(self, url: str) -> bytes:
        self.urls.append(url)
        if url not in self.answers:
            raise OSError("not there")
        return self.answers[url]


def request(body: bytes, headers: Mapping[str, str] | None = None) -> HookRequest:
    return HookRequest(headers or {}, body, NOW)


def read(reporter: Reporter, hook: HookRequest, secret: str, fetch: Fetching | None = None) -> list[Reported]:
    return asyncio.run(reporter.read(hook, secret, fetch or Fetching()))


def refused(reporter: Reporter, hook: HookRequest, secret: str, fetch: Fetching | None = None) -> None:
    with pytest.raises(NotAuthentic):
        read(reporter, hook, secret, fetch)


def list_or_invalid(reporter: Reporter, hook: HookRequest, secret: str, fetch: Fetching | None = None) -> None:
    """An authentic request is read or it is invalid, and what is read keeps within its limits."""
    events: list[Reported] = []
    with contextlib.suppress(InvalidRequest):
        events = read(reporter, hook, secret, fetch)
    for event in events:
        assert 0 < len(event.event_id) <= 128
        assert 0 < len(event.type) <= 64
        assert event.occurred_at is None or 0 < event.occurred_at < 2**63
        delivery = event.delivery or Delivery()
        assert len(delivery.reason or "") <= 500
        assert len(delivery.status_code or "") <= 20
        for clue in (*event.clues.tracker_ids, *event.clues.message_ids, *event.clues.rfc822_ids):
            assert isinstance(clue, str)
            assert clue.isprintable()


def any_json() -> st.SearchStrategy[Any]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=20)
        | st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1e400"])
    )
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    )


@st.composite
def changed(draw: st.DrawFn, samples: list[Any]) -> Any:
    """One of the samples, with something in it replaced by any JSON."""
    sample = copy.deepcopy(draw(st.sampled_from(samples)))
    inside = sample
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        key = draw(st.sampled_from(keys))
        if isinstance(inside[key], dict | list) and inside[key] and draw(st.booleans()):
            inside = inside[key]
            continue
        inside[key] = draw(any_json())
        return sample


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
