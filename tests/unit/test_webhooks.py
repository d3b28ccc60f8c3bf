"""Secrets and signatures as the receivers' own library checks them, the retries, and where a webhook may go."""

from __future__ import annotations

import base64
import json
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tracker.core.webhooks import (
    RETRY_DELAYS_S,
    Outcome,
    check_url,
    headers,
    is_public,
    new_secret,
    parse_secret,
    retry_after_s,
    verdict,
)

SECRET = new_secret(bytes(range(32)))
OTHER_SECRET = new_secret(bytes(32))
BODY = '{"type":"opened","data":{"message_id":"m-1","grüße":true}}'.encode()
ID = "0199d3a0-6f7a-7cc3-9f3e-0d1b5a1f2c3d"

PRIVATE_NETWORKS = [
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.255.255", "192.0.1.1", "198.17.255.255", "100.63.255.255"]
PUBLIC_V6 = ["2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2620:fe::fe", "2400:cb00::1"]


def inside(network: IPv4Network | IPv6Network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    return st.ip_addresses(network=network)


private = st.sampled_from(PRIVATE_NETWORKS).flatmap(inside)
private_v4 = st.sampled_from([network for network in PRIVATE_NETWORKS if network.version == 4]).flatmap(inside)


def signed(body: bytes = BODY, *, at: float | None = None, previous: str | None = None) -> dict[str, str]:
    return headers(SECRET, ID, int(time.time() if at is None else at), body, previous_secret=previous)


def test_a_receiver_accepts_what_is_signed() -> None:
    assert Webhook(SECRET).verify(BODY, signed()) == json.loads(BODY)


def test_the_signature_is_that_of_the_receivers_own_test() -> None:
    sent = headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert sent == {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY.replace(b"m-1", b"m-2"), {}),
        (BODY + b" ", {}),
        (BODY, {"webhook-id": ID.replace("0199", "0198")}),
    ],
)
def test_a_receiver_rejects_what_was_changed(body: bytes, changed: dict[str, str]) -> None:
    sent = {**signed(), **changed}
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(SECRET).verify(body, sent)


def test_a_receiver_rejects_another_time() -> None:
    sent = signed() | {"webhook-timestamp": str(int(time.time()) - 60)}
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(SECRET).verify(BODY, sent)


def test_a_receiver_rejects_another_secret_and_an_old_attempt() -> None:
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(OTHER_SECRET).verify(BODY, signed())
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(BODY, signed(at=time.time() - 600))


def test_while_a_secret_is_replaced_either_verifies() -> None:
    sent = signed(previous=OTHER_SECRET)
    assert sent["webhook-signature"].count("v1,") == 2
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(BODY, sent) == json.loads(BODY)


@pytest.mark.parametrize("webhook_id", ["", "a.b", "a b", "a\r\nb", "é", "a" * 129])
def test_an_id_can_not_be_taken_for_anything_else(webhook_id: str) -> None:
    with pytest.raises(ValueError, match="id is"):
        headers(SECRET, webhook_id, 0, b"")


@given(st.binary(min_size=32, max_size=32))
def test_a_new_secret_holds_its_bytes(random: bytes) -> None:
    assert parse_secret(new_secret(random)) == random


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_new_secret_takes_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        new_secret(bytes(length))


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_secret_of_a_fit_length_is_taken(length: int) -> None:
    key = bytes(range(length))
    assert parse_secret("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_c2VjcmV0",  # 6 bytes
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsk_" + base64.b64encode(bytes(32)).decode(),
        base64.b64encode(bytes(32)).decode(),
        SECRET.rstrip("="),
        SECRET + "\n",
        SECRET.replace("whsec_", "whsec_ "),
        "whsec_" + "ü" * 44,
        "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match=r"A signing secret \w+") as caught:
        parse_secret(secret)
    payload = secret.partition("_")[2].strip()
    assert not payload or payload not in str(caught.value)


def test_the_retries_go_on_for_three_days() -> None:
    middle = [retry_after_s(attempts, 0.5) for attempts in range(1, 11)]
    assert middle == [pytest.approx(delay) for delay in RETRY_DELAYS_S] + [None]
    assert sum(RETRY_DELAYS_S) == 75 * 3600 + 35 * 60 + 5
    assert retry_after_s(1000, 0.5) is None


@given(st.integers(min_value=1, max_value=9), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_the_jitter_stays_within_a_tenth(attempts: int, jitter: float) -> None:
    delay = RETRY_DELAYS_S[attempts - 1]
    chosen = retry_after_s(attempts, jitter)
    assert chosen is not None
    assert 0.9 * delay - 1e-9 <= chosen <= 1.1 * delay + 1e-9


@pytest.mark.parametrize("attempts", [0, -1])
def test_attempts_are_counted_from_one(attempts: int) -> None:
    with pytest.raises(ValueError, match="from 1"):
        retry_after_s(attempts, 0.5)


@given(st.none() | st.integers(min_value=100, max_value=999))
def test_every_answer_has_a_verdict(status: int | None) -> None:
    if status is not None and 200 <= status < 300:
        assert verdict(status) is Outcome.DELIVERED
    elif status == 410:
        assert verdict(status) is Outcome.GONE
    else:
        assert verdict(status) is Outcome.RETRY


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/Hook", "https://example.com/Hook"),
        ("https://example.com:8443/hook?a=b&c=%2F", "https://example.com:8443/hook?a=b&c=%2F"),
        ("https://example.com:/hook", "https://example.com/hook"),
        ("https://example.com?a=b", "https://example.com/?a=b"),
        ("https://example.com./hook", "https://example.com/hook"),
        ("https://example.com/a;b=c/@d:e", "https://example.com/a;b=c/@d:e"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://my_hook.example/", "https://my_hook.example/"),
        ("https://localhost/", "https://localhost/"),  # found out when connecting
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:4700::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
    ],
)
def test_a_url_is_normalised(url: str, normal: str) -> None:
    assert check_url(url, private_allowed=False) == normal
    assert check_url(normal, private_allowed=False) == normal
    assert check_url(url, private_allowed=True) == normal


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "https://"),
        ("example.com/hook", "https://"),
        ("//example.com/hook", "https://"),
        ("https:/example.com", "https://"),
        ("ftp://example.com/", "https://"),
        ("javascript://example.com/", "https://"),
        ("https://", "no host"),
        ("https:///hook", "no host"),
        ("https://:443/", "no host"),
        ("https://./", "no host"),
        ("https://user@example.com/", "user name"),
        ("https://user:pass@example.com/", "user name"),
        ("https://example.com#@127.0.0.1/", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://example.com\\@127.0.0.1/", "backslash"),
        ("https://example.com/a b", "space"),
        ("https://example.com/\r\nHost: x", "space"),
        ("https://exa\tmple.com/", "space"),
        ("https://bücher.example/", "ASCII"),
        ("https://example.com:0/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://example.com:80:80/", "cannot be read"),
        ("https://example.com:x/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://[::1]x/", "cannot be read"),
        ("https://[fe80::1%25eth0]/", "cannot be read"),
        ("https://[1.1.1.1.1]/", "not a valid name"),
        ("https://exam%70le.com/", "not a valid name"),
        ("https://-example.com/", "not a valid name"),
        ("https://example..com/", "not a valid name"),
        ("https://.example.com/", "not a valid name"),
        (f"https://{'a' * 64}.com/", "not a valid name"),
        (f"https://{'a.' * 127}com/", "not a valid name"),
        ("https://2130706433/", "four numbers"),
        ("https://0x7f000001/", "four numbers"),
        ("https://127.1/", "four numbers"),
        ("https://017700000001/", "four numbers"),
        ("https://127.0.0.01/", "four numbers"),
        ("https://0x7f.0.0.0x1/", "four numbers"),
        ("https://1.1.1.1.1/", "four numbers"),
        ("https://example.com/" + "a" * 1981, "longer than 2000"),
    ],
)
def test_a_url_that_nothing_is_sent_to_is_refused(url: str, sentence: str) -> None:
    for private_allowed in (False, True):
        with pytest.raises(ValueError, match=sentence):
            check_url(url, private_allowed=private_allowed)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_private_address_needs_leave(host: str) -> None:
    with pytest.raises(ValueError, match="private address"):
        check_url(f"https://{host}:8443/", private_allowed=False)
    assert check_url(f"https://{host}:8443/", private_allowed=True) == f"https://{host}:8443/"


def test_plain_http_needs_leave() -> None:
    with pytest.raises(ValueError, match="https://"):
        check_url("http://example.com/", private_allowed=False)
    assert check_url("http://Example.com:80", private_allowed=True) == "http://example.com/"


@given(st.text(max_size=40), st.booleans())
def test_any_text_is_normalised_or_refused(text: str, private_allowed: bool) -> None:
    for url in (text, "https://" + text):
        try:
            normal = check_url(url, private_allowed=private_allowed)
        except ValueError:
            continue
        assert check_url(normal, private_allowed=private_allowed) == normal


@pytest.mark.parametrize("address", PUBLIC + PUBLIC_V6)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(private)
def test_a_private_address_is_not_public(address: IPv4Address | IPv6Address) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("network", PRIVATE_NETWORKS, ids=str)
def test_the_ends_of_private_networks_are_not_public(network: IPv4Network | IPv6Network) -> None:
    assert not is_public(network[0])
    assert not is_public(network[-1])


@given(private_v4)
def test_a_private_address_within_another_is_not_public(address: IPv4Address) -> None:
    bits = int(address)
    teredo = int(IPv6Address("2001::")) | (bits ^ 0xFFFFFFFF)
    within = [
        IPv6Address(int(IPv6Address("::ffff:0:0")) | bits),
        IPv6Address(int(IPv6Address("64:ff9b::")) | bits),
        IPv6Address(int(IPv6Address("2002::")) | bits << 80),
        IPv6Address(bits),
        IPv6Address(teredo),
    ]
    assert [is_public(each) for each in within] == [False] * 5


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_within_another_is_judged_by_itself(address: str) -> None:
    assert is_public(IPv6Address(f"::ffff:{address}"))
    assert is_public(IPv6Address(f"64:ff9b::{address}"))


def test_an_address_with_a_zone_is_not_public() -> None:
    assert not is_public(IPv6Address("2606:4700:4700::1111%eth0"))
