"""Threats 2 to 5, 8, 27: a token is good for one purpose, at one host, as it was signed; else nothing is recorded."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import ask, connected
from serving import Service, eventually, serving
from tenants import Tenant, ask_at, seen

pytest_plugins = ["service_fixtures"]

HOSTS = {"default": "http://127.0.0.1:8000", "shop": "https://t.shop.example", "news": "http://news.example:8080"}
ENDPOINTS = {
    "o": ("/o/{}.gif", ("GET", "HEAD")),
    "c": ("/c/{}", ("GET", "HEAD")),
    "u": ("/u/{}", ("GET", "HEAD", "POST")),
    "s": ("/u/{}/stop-tracking", ("GET", "HEAD", "POST")),
}
GOOD_FOR: dict[str, set[str]] = {"o": {"o"}, "c": {"c"}, "u": {"u", "s"}, "header": set()}
RECORDED = ["opened", "clicked", "unsubscribed", "consent_changed"]
"""What all methods come to at all the endpoints that a message's tokens are good for."""
KEY = "a-signing-key-of-the-tests-0123456789abcdef"
_networks = (f"X-Forwarded-For: 2001:db8:{number:x}::1" for number in itertools.count(1))
"""Each from another network, so that what is limited is not what is tested."""


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tenant]]:
    data_dir = tmp_path_factory.mktemp("service") / "data"
    with serving(data_dir, BASE_URL=HOSTS["default"], TRUSTED_PROXIES="127.0.0.1", SIGNING_KEYS=KEY) as service:
        yield {name: Tenant(service, name, origin) for name, origin in HOSTS.items()}


@pytest.fixture(scope="module")
def service(tenants: dict[str, Tenant]) -> Service:
    return tenants["default"].service


def stored(service: Service) -> float:
    return service.metric("tracker_spool_appended_total")


@pytest.mark.parametrize("signer", HOSTS)
def test_purpose_endpoint_and_account_verify_on_the_diagonal_only(tenants: dict[str, Tenant], signer: str) -> None:
    owner = tenants[signer]
    service, tokens = owner.service, owner.tokens(f"matrix-{signer}")
    garbage = "A" * len(tokens["c"])
    before = stored(service)
    for name, (endpoint, (path, methods)) in itertools.product(tenants, ENDPOINTS.items()):
        for method in methods:
            like = seen(ask_at(service, tenants[name].host, method, path.format(garbage), next(_networks)))
            assert like[0] == (200 if endpoint == "o" else 404)
            for kind, token in tokens.items():
                if name == signer and endpoint in GOOD_FOR[kind]:
                    continue
                answer = ask_at(service, tenants[name].host, method, path.format(token), next(_networks))
                assert seen(answer) == like, (name, endpoint, method, kind)
    assert stored(service) == before
    for kind, endpoint in ((kind, endpoint) for kind, good in GOOD_FOR.items() for endpoint in sorted(good)):
        path, methods = ENDPOINTS[endpoint]
        for method in methods:
            answer = ask_at(service, owner.host, method, path.format(tokens[kind]), next(_networks))
            assert answer.status == (302 if endpoint == "c" else 200)
    expected = sorted(["rewritten", *RECORDED])
    assert eventually(lambda: owner.types(f"matrix-{signer}"), lambda types: len(types) >= len(expected)) == expected
    assert stored(service) == before + len(RECORDED)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forgeries(good: str) -> Iterator[tuple[str, str]]:
    """What was accepted somewhere: a name, and the token."""
    payload, signature = good[:-16], good[-16:]
    raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    yield "nothing", ""
    yield "without its signature", payload
    yield "an empty signature of zeroes", payload + "A" * 16
    yield "the signature alone", signature
    yield "the signature cut", good[:-1]
    yield "half of the signature", good[:-8]
    yield "the signature twice", good + signature
    yield "JSON that names its algorithm", encoded(b'{"alg":"none"}') + "." + payload + "."
    for name, key in (("empty", b""), ("changeme", b"changeme"), ("secret", b"secret"), ("master", KEY.encode())):
        for digest in ("sha1", "sha256", "md5"):
            mac = hmac.digest(key, payload.encode(), digest)
            yield f"{digest} with the {name} key, cut", payload + encoded(mac[:12])
            yield f"{digest} with the {name} key", payload + encoded(mac)
    yield "a plain hash", payload + encoded(hashlib.sha256(payload.encode()).digest()[:12])
    for version in (0, 2, 15):
        yield f"version {version}", encoded(bytes((version << 4 | 2,)) + raw[1:]) + signature
    for key_id in range(0, 256, 51):
        if key_id != raw[1]:
            yield f"key {key_id}", encoded(raw[:1] + bytes((key_id,)) + raw[2:]) + signature
    yield "another destination", encoded(raw.replace(b"shop", b"evil") + b"x") + signature


def test_forgeries_that_worked_elsewhere_do_not_here(tenants: dict[str, Tenant]) -> None:
    owner = tenants["default"]
    good = owner.tokens("forged")["c"]
    before = stored(owner.service)
    like = seen(ask_at(owner.service, owner.host, "GET", "/c/garbage", next(_networks)))
    for name, token in forgeries(good):
        assert token != good, name
        assert seen(ask_at(owner.service, owner.host, "GET", f"/c/{token}", next(_networks))) == like, name
    assert stored(owner.service) == before
    assert ask_at(owner.service, owner.host, "GET", f"/c/{good}").status == 302


def flood(service: Service, paths: list[str], count: int) -> None:
    """``count`` requests for ``paths`` in turn, some on a connection, each from another network."""
    waiting = itertools.islice(itertools.cycle(paths), count)
    while part := list(itertools.islice(waiting, 12)):
        lines = [f"GET {path} HTTP/1.1\r\nHost: x\r\n{next(_networks)}\r\n" for path in part]
        with connected(service.port) as connection:
            connection.sendall(("\r\n".join(lines) + "Connection: close\r\n\r\n").encode())
            answers = b""
            while data := connection.recv(1 << 16):
                answers += data
        assert answers.count(b"HTTP/1.1 ") == len(part), answers[:200]
        assert b"\r\nlocation:" not in answers


def on_disk(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def invalid_traffic(tenants: dict[str, Tenant], count: int) -> None:
    owner = tenants["default"]
    service = owner.service
    tokens = owner.tokens(f"flood-{count}")
    eventually(lambda: owner.types(f"flood-{count}"))
    bad = [f"/{kind}/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}" for kind, token in tokens.items() if kind in "ocu"]
    bad += [f"{path}.gif" for path in bad] + ["/o/x.gif", "/c/" + "A" * 5000, "/u/", "/c/%00", f"/c/{tokens['u']}"]
    before, events, sizes = stored(service), owner.types(f"flood-{count}"), on_disk(service.data_dir / "spool")
    flood(service, bad, count)
    assert stored(service) == before
    assert on_disk(service.data_dir / "spool") == sizes
    assert owner.types(f"flood-{count}") == events
    assert service.metric("tracker_unstored_total") == 0
    assert ask(service.port, "GET", f"/c/{tokens['c']}").status == 302, "the good one still works"


def test_invalid_traffic_never_reaches_the_disk(tenants: dict[str, Tenant]) -> None:
    invalid_traffic(tenants, 3_000)


@pytest.mark.long
def test_fifty_thousand_invalid_requests_never_reach_the_disk(tenants: dict[str, Tenant]) -> None:
    invalid_traffic(tenants, 50_000)
