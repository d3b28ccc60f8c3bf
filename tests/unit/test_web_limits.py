"""How often a key may call, and what a network may send that is invalid: the counting, and what is answered."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from starlette.types import Scope

from tracker.core.addresses import Keep
from tracker.core.networks import NetworkList
from tracker.web.clients import ClientAddresses
from tracker.web.limits import Buckets, CallLimit, InvalidTraffic
from tracker.web.problems import TooManyRequests, answer_error


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets = Buckets(2, 10, clock=clock)
    assert [buckets.take("a") for _ in range(12)] == [0] * 10 + [1, 1]
    assert buckets.take("b") == 0, "each name has its own"
    clock.now += 1
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]
    clock.now += 3600
    assert [buckets.take("a") for _ in range(11)] == [0] * 10 + [1], "a burst is all that an idle one saves up"
    assert Buckets(1 / 60, 0.5, clock=clock).take("a") == 30, "seconds until there is one"


def test_a_rate_of_0_is_no_limit() -> None:
    buckets = Buckets(0, 0)
    assert not any(buckets.take("a") for _ in range(10_000))


def test_buckets_take_bounded_room_and_forget_who_was_not_seen_for_longest() -> None:
    buckets = Buckets(1, 1, most=100, clock=Clock())
    assert (buckets.take("first"), buckets.take("first")) == (0, 1)
    for number in range(99):
        buckets.take(f"other-{number}")
    assert buckets.take("first") == 1, "seen again, so it is others that are forgotten"
    buckets.take("one more")
    assert len(buckets._buckets) == 100
    assert buckets.take("other-1") == 1
    assert buckets.take("other-0") == 0, "which starts anew"


def test_calls_of_a_key_come_in_bursts_of_seconds() -> None:
    calls = CallLimit(2)
    assert [calls.wait_s("key") for _ in range(11)] == [0] * 10 + [1]
    assert calls.wait_s("another") == 0


def scope_of(peer: str | None, *forwarded_for: str) -> Scope:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded_for]
    return {"type": "http", "client": (peer, 1) if peer else None, "headers": headers}


def test_invalid_traffic_is_counted_by_the_network_of_the_client() -> None:
    trusted = (ip_network("127.0.0.1/32"),)
    behind = ClientAddresses(trusted, Keep.NONE, b"k" * 32, NetworkList())
    for scope, network in (
        (scope_of("127.0.0.1", "192.0.2.77"), "192.0.2.0/24"),
        (scope_of("127.0.0.1", "198.51.100.1, 192.0.2.77"), "192.0.2.0/24"),
        (scope_of("127.0.0.1", "2001:db8:1:2::3"), "2001:db8:1::/48"),
        (scope_of("203.0.113.9", "192.0.2.77"), "203.0.113.0/24"),
        (scope_of("127.0.0.1"), "127.0.0.0/24"),
        (scope_of(None), ""),
    ):
        assert behind.network(scope) == network
    invalid = InvalidTraffic(behind, 60)
    assert [invalid.wait_s(scope_of("127.0.0.1", f"192.0.2.{number}")) for number in range(61)] == [0] * 60 + [1]
    assert invalid.wait_s(scope_of("127.0.0.1", "192.0.3.1")) == 0


async def _answer_of(error: Exception) -> Any:
    return await answer_error(None, error)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_too_many_requests_say_when_to_come_again() -> None:
    answer = await _answer_of(TooManyRequests(7))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert b"/problems/too_many_requests" in answer.body
