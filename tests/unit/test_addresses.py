"""Which address is believed, what is kept of it, and how sources are told apart."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.addresses import Keep, client, day_key, kept, source

TRUSTED = [ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1/32", "2001:db8:aaaa::/48", "fe80::/10")]
PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        # Without a trusted peer nothing is believed.
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),
        ("2001:db8::1", ["203.0.113.7"], "2001:db8::1"),
        # From a trusted one, the last hop that is not trusted.
        (PROXY, [], PROXY),
        (PROXY, ["203.0.113.7"], "203.0.113.7"),
        (PROXY, ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (PROXY, ["6.6.6.6, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        (PROXY, ["6.6.6.6", "203.0.113.7", "10.9.9.9"], "203.0.113.7"),
        (PROXY, ["6.6.6.6,203.0.113.7", "10.9.9.9 ,\t10.8.8.8"], "203.0.113.7"),
        (PROXY, ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (PROXY, ["203.0.113.7, 2001:db8:aaaa::5"], "203.0.113.7"),
        # Ports, brackets, zones, quotes, mapped addresses.
        (PROXY, ["203.0.113.7:4711"], "203.0.113.7"),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]"], "2001:db8::7"),
        (PROXY, ['"[2001:db8::7]:4711"'], "2001:db8::7"),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (PROXY, ["2001:DB8:0:0::7"], "2001:db8::7"),
        (PROXY, ["fe80::1%eth0, 203.0.113.7, fe80::2%25eth0"], "203.0.113.7"),
        (PROXY, ["::ffff:203.0.113.7"], "203.0.113.7"),
        (PROXY, ["203.0.113.7, ::ffff:10.1.1.1"], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("fe80::1%eth0", ["203.0.113.7"], "203.0.113.7"),
        # What can't be parsed ends the search: whoever sent it is the client.
        (PROXY, ["unknown"], PROXY),
        (PROXY, ["203.0.113.7, unknown"], PROXY),
        (PROXY, ["203.0.113.7, unknown, 10.1.1.1"], "10.1.1.1"),
        (PROXY, ["unknown, 203.0.113.7"], "203.0.113.7"),
        (PROXY, [""], PROXY),
        (PROXY, ["203.0.113.7,"], PROXY),
        (PROXY, ["_hidden, 0x7f000001"], PROXY),
        (PROXY, ["1.2.3"], PROXY),
        (PROXY, ["256.1.1.1"], PROXY),
        (PROXY, ["010.0.0.1"], PROXY),
        (PROXY, ["[2001:db8::7"], "2001:db8::7"),
        (PROXY, ["<script>, \xff\xfe"], PROXY),
        ("", [], None),
        ("", ["203.0.113.7"], None),
        ("/run/tracker.sock", ["203.0.113.7"], None),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_a_trusted_proxy(
    peer: str, forwarded_for: list[str], expected: str | None
) -> None:
    found = client(peer, forwarded_for, TRUSTED)
    assert found == (ip_address(expected) if expected else None)


@given(st.text(), st.lists(st.text()))
def test_no_header_breaks_it(peer: str, forwarded_for: list[str]) -> None:
    client(peer, forwarded_for, TRUSTED)
    client(PROXY, forwarded_for, TRUSTED)


@given(st.ip_addresses(), st.lists(st.ip_addresses()))
def test_nobody_can_hide_behind_what_he_sends(visitor: object, invented: list[object]) -> None:
    """Whatever stands to the left of the address that a trusted proxy saw makes no difference."""
    seen = client(PROXY, [str(visitor)], TRUSTED)
    is_trusted = client(PROXY, [f"198.51.100.1, {visitor}"], TRUSTED) != seen
    if not is_trusted:
        assert client(PROXY, [", ".join([*map(str, invented), str(visitor)])], TRUSTED) == seen


@pytest.mark.parametrize(
    ("address", "truncated"),
    [("203.0.113.77", "203.0.113.0/24"), ("2001:db8:77:88::99", "2001:db8:77::/48"), ("::1", "::/48")],
)
def test_what_is_kept(address: str, truncated: str) -> None:
    one = ip_address(address)
    assert [kept(one, keep) for keep in (Keep.NONE, Keep.TRUNCATED, Keep.FULL)] == [None, truncated, address]
    assert [kept(None, keep) for keep in Keep] == [None] * 3


def test_a_source_is_told_apart_within_a_day_and_not_beyond() -> None:
    one, other = ip_address("203.0.113.77"), ip_address("203.0.113.78")
    monday, tuesday = day_key(b"k" * 32, 20_000), day_key(b"k" * 32, 20_001)
    assert source(one, monday) == source(one, monday)
    assert len({source(one, monday), source(other, monday), source(one, tuesday), source(other, tuesday)}) == 4
    assert len(source(one, monday) or b"") == 8
    assert source(None, monday) is None
    assert source(one, day_key(b"l" * 32, 20_000)) != source(one, monday)
