"""Lists of networks: what is read, what is refused, which range counts, and what an event keeps of it."""

from __future__ import annotations

import random
import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracker.web
from tracker.core import networks
from tracker.core.addresses import Network
from tracker.core.networks import Certainty, Match, NetworkList, Scope, parse, parse_match

HEAD = "# version: 2026-11-23\n"
SHIPPED = Path(next(iter(tracker.web.__path__))) / "networks.txt"
UNVERIFIED = Path(__file__).parents[2] / "deploy" / "networks-unverified.txt"
MICROSOFT, BARRACUDA = "microsoft-defender/any/certain/2026-11-23", "barracuda/any/certain/2026-11-23"


def matched(list_: NetworkList, address: str) -> str | None:
    return list_.match(ip_address(address))


def test_a_list_is_read() -> None:
    text = (
        "  # words\r\n\r\n#version:1.0_b\r\n 192.0.2.0/24\tone  any certain \r\n"
        "2001:DB8::/32 two opens probable\n203.0.113.7 three clicks probable\n0.0.0.0/0 rest any probable"
    )
    list_ = parse(text)
    assert matched(list_, "192.0.2.255") == "one/any/certain/1.0_b"
    assert matched(list_, "2001:db8:ffff::1") == "two/opens/probable/1.0_b"
    assert matched(list_, "203.0.113.7") == "three/clicks/probable/1.0_b"
    assert matched(list_, "203.0.113.8") == "rest/any/probable/1.0_b"
    assert matched(list_, "2001:db9::") is None


@pytest.mark.parametrize("text", ["", HEAD, "\n# words\n" + HEAD + "# more\n"])
def test_a_list_may_have_no_range(text: str) -> None:
    assert parse(text) == NetworkList()
    assert matched(parse(text), "192.0.2.1") is None


def test_each_version_holds_for_what_is_below_it() -> None:
    list_ = parse(HEAD + "192.0.2.0/24 a any certain\n# version: 2027-01-01\n203.0.113.0/24 a any certain")
    assert matched(list_, "192.0.2.1") == "a/any/certain/2026-11-23"
    assert matched(list_, "203.0.113.1") == "a/any/certain/2027-01-01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("192.0.2.0/24 a any certain", "line 1: a line such as '# version: 2026-11-23' must stand above the ranges"),
        ("# only words", "has no line such as '# version: 2026-11-23'"),
        (" ", "has no line such as '# version: 2026-11-23'"),
        ("# version:", "line 1: a version is 1 to 40 letters"),
        ("# version: a/b", "line 1: a version is"),
        ("# version: a b", "line 1: a version is"),
        ("# version: " + "1" * 41, "line 1: a version is"),
        (HEAD + "\n192.0.2.0/24 a any", "line 3: a range is written CIDR NAME SCOPE CERTAINTY"),
        (HEAD + "192.0.2.0/24", "line 2: a range is written"),
        (HEAD + "192.0.2.0/24 a any certain # words", "line 2: a range is written"),
        (HEAD + "192.0.2.0/24 A any certain", "line 2: 'A' is not a name"),
        (HEAD + "192.0.2.0/24 a/b any certain", "line 2: 'a/b' is not a name"),
        (HEAD + f"192.0.2.0/24 {'a' * 41} any certain", "is not a name"),
        (HEAD + "192.0.2.0/24 a all certain", "line 2: 'all' is none of any, opens, clicks"),
        (HEAD + "192.0.2.0/24 a any Certain", "line 2: 'Certain' is none of certain, probable"),
        (HEAD + "192.0.2.1/24 a any certain", "line 2: 192.0.2.1/24 has bits set behind its prefix"),
        (HEAD + "2001:db8::1/32 a any certain", "line 2: 2001:db8::1/32 has bits set"),
        (HEAD + "192.0.2.0/33 a any certain", "line 2: 192.0.2.0/33 is not a CIDR"),
        (HEAD + "192.0.2.0/ a any certain", "is not a CIDR"),
        (HEAD + "192.0.2.0/-1 a any certain", "is not a CIDR"),
        (HEAD + "192.0.2.0/٢٤ a any certain", "is not a CIDR"),
        (HEAD + "192.0.2.0/255.255.255.0 a any certain", "is not a CIDR"),
        (HEAD + "2001:db8::/129 a any certain", "is not a CIDR"),
        (HEAD + "fe80::%eth0/64 a any certain", "line 2: "),
        (HEAD + "192.0.2/24 a any certain", "line 2: Expected 4 octets"),
        (HEAD + "asn:22843 a any certain", "line 2: "),
        (HEAD + "example.com a any certain", "line 2: "),
        (
            HEAD + "192.0.2.0/24 a any certain\n192.0.2.0/24 b any certain",
            "line 3: 192.0.2.0/24 is there already, as a/any/certain/2026-11-23",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is looked at below
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_range_may_be_there_twice() -> None:
    once = HEAD + "192.0.2.0/24 a any certain\n"
    assert parse(once + "192.0.2.0/24 a any certain") == parse(once)


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MAX_RANGES", 2)
    text = HEAD + "192.0.2.1 a any certain\n# words\n\n192.0.2.2 a any certain\n"
    parse(text)
    with pytest.raises(ValueError, match=r"^line 6: there are more than 2 ranges$"):
        parse(text + "192.0.2.2 a any certain\n")


def test_the_smallest_range_counts_in_whatever_order() -> None:
    lines = [f"10.0.0.0/{length} n{length} any certain" for length in (8, 16, 24, 32)]
    for order in (lines, lines[::-1]):
        list_ = parse(HEAD + "\n".join(order))
        expected = {"10.0.0.0": "n32", "10.0.0.1": "n24", "10.0.1.0": "n16", "10.1.0.0": "n8"}
        assert {address: str(matched(list_, address)).partition("/")[0] for address in expected} == expected


def test_of_two_lists_the_smallest_range_counts_and_the_upper_list_of_two_alike() -> None:
    theirs = parse(HEAD + "10.0.0.0/8 big any certain\n10.1.0.0/16 theirs any certain\n10.3.0.0/16 only any certain")
    ours = parse(
        "# version: 2\n10.1.0.0/16 ours any certain\n10.2.0.0/24 small any certain\n2001:db8::/32 six any certain"
    )
    both = theirs.over(ours)
    expected = {"10.1.1.1": "theirs", "10.2.0.1": "small", "10.2.1.1": "big", "10.3.0.1": "only", "2001:db8::1": "six"}
    assert {address: str(matched(both, address)).partition("/")[0] for address in expected} == expected
    assert str(matched(ours.over(theirs), "10.1.1.1")).startswith("ours/")
    assert (matched(theirs, "10.2.0.1"), matched(ours, "10.1.1.1")) == (
        "big/any/certain/2026-11-23",
        "ours/any/certain/2",
    )


nets = st.builds(
    lambda number, length: ip_network((IPv4Address(number), length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
) | st.builds(
    lambda number, length: ip_network((IPv6Address(number), length), strict=False),
    st.integers(0, 2**128 - 1),
    st.integers(0, 128),
)


@given(st.lists(nets, min_size=1, max_size=12, unique=True), st.data())
def test_a_match_is_the_smallest_of_the_ranges_with_the_address(ranges: list[Network], data: st.DataObject) -> None:
    list_ = parse(HEAD + "\n".join(f"{each} n{at} any certain" for at, each in enumerate(ranges)))
    near = data.draw(st.sampled_from(ranges))
    address = near[data.draw(st.integers(0, near.num_addresses - 1))]
    holders = [each for each in ranges if each.version == address.version and address in each]
    smallest = max(holders, key=lambda each: each.prefixlen)
    assert list_.match(address) == f"n{ranges.index(smallest)}/any/certain/2026-11-23"


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("certainty", Certainty)
def test_a_fact_says_all_there_is_to_know(scope: Scope, certainty: Certainty) -> None:
    fact = matched(parse(f"{HEAD}192.0.2.0/24 some-name1 {scope} {certainty}"), "192.0.2.1")
    assert fact == f"some-name1/{scope.value}/{certainty.value}/2026-11-23"
    assert parse_match(fact) == Match("some-name1", scope, certainty, "2026-11-23")


@pytest.mark.parametrize(
    "text",
    ["", "v1:a", "a/any/certain", "a/any/certain/1/2", "a/all/certain/1", "a/any/sure/1", "/any/certain/1",
     "a/any/certain/", "A/any/certain/1", "a/any/certain/1\n", "a\n/any/certain/1", "a/ANY/certain/1",
     "a/any/certain/ü"],
)  # fmt: skip
def test_any_other_text_says_nothing(text: str) -> None:
    assert parse_match(text) is None


@given(st.text() | st.lists(st.sampled_from([*"a1/-", "any", "certain"])).map("".join))
def test_every_text_can_be_asked_about(text: str) -> None:
    match = parse_match(text)
    assert match is None or "/".join(match) == text


@given(st.text() | st.lists(st.sampled_from([HEAD, "10.0.0.0/8", " a any certain", "\n", "::/0", "#"])).map("".join))
def test_nothing_but_a_value_error_is_raised(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


def test_the_list_that_is_shipped_is_certain() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    list_ = parse(text)
    inside = {
        MICROSOFT: ["40.92.0.0", "40.93.255.255", "40.107.218.12", "52.100.0.1", "52.103.255.255", "52.238.78.88",
                    "104.47.127.255", "2a01:111:f400::1", "2a01:111:f403:ffff::"],
        BARRACUDA: ["3.24.133.128", "15.222.16.255", "35.157.190.255", "18.185.115.192", "18.184.203.224",
                    "13.200.136.200", "35.176.92.96", "18.133.136.191", "18.133.136.127", "209.222.82.5"],
    }  # fmt: skip
    for fact, addresses in inside.items():
        assert [matched(list_, address) for address in addresses] == [fact] * len(addresses)
    for outside in ("40.94.29.84", "40.91.255.255", "52.104.0.0", "52.96.1.1", "209.222.83.0", "104.47.128.0",
                    "66.249.84.1", "127.0.0.1", "2a01:111:f402::1"):  # fmt: skip
        assert matched(list_, outside) is None
    assert text.count("\n# Source: ") == 2


def test_the_list_for_operators_takes_nothing_from_the_shipped_one_and_is_never_certain() -> None:
    text = UNVERIFIED.read_text(encoding="utf-8")
    theirs, ours = parse(text), parse(SHIPPED.read_text(encoding="utf-8"))
    both = theirs.over(ours)
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            address = ip_network(line.split()[0]).network_address
            assert both.match(address) == ours.match(address) is not None
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert {row[3] for row in rows} == {"probable"}
    assert {row[2] for row in rows if row[1] in ("google", "microsoft")} == {"clicks"}
    assert matched(both, "40.94.29.84") == "microsoft/clicks/probable/2026-11-23"


def test_a_list_as_long_as_apples_is_read_in_seconds() -> None:
    chance = random.Random(1)
    rows = [f"{IPv6Address(chance.getrandbits(64) << 64)}/64 apple opens probable" for _ in range(285_000)]
    text = HEAD + "\n".join(rows)
    start = time.process_time()
    list_ = parse(text)
    assert time.process_time() - start < 15  # 1.1 s where this was written
    address = ip_address(rows[100_000].partition("/")[0])
    start = time.process_time()
    for _ in range(10_000):
        assert list_.match(address)
    assert time.process_time() - start < 1
