"""Measures how long bad tokens take to be told: whether the time says what is wrong with them. Prints Markdown.

The kinds are verified in turn, round after round in another order, so that whatever else the machine does falls on
all of them. What matters is the row of kinds that are as well formed as a good token and as long: among those the
time must not depend on how much of the signature is right. One that is malformed is told before anything is signed,
which says nothing about a key: whoever made it knows its form. Usage: python -m tests.bench.timing [ROUNDS]
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

from tracker.core.errors import InvalidToken
from tracker.core.tokens import Message, Purpose, TokenCodec, pack

CODEC: Final = TokenCodec([b"an older key of the benchmark, 32 bytes", b"a key of the benchmark, 32 bytes long"])
FOREIGN: Final = TokenCodec([b"somebody else's key, of 32 bytes or more"])
URL: Final = "https://shop.example/p/boots?utm_source=newsletter&utm_medium=email"
MESSAGE_ID: Final = "0190b5b4-6a3f-7c3e-9a52-000000000001"
CALLS: Final = 50
SAME_WORK: Final = ("first character wrong", "middle wrong", "last character wrong", "all of it wrong")


def other(character: str) -> str:
    return "A" if character != "A" else "B"


def kinds() -> dict[str, str]:
    """A token of each kind; the good one first."""
    good = CODEC.tokens_for(Message("default", MESSAGE_ID)).click(3, pack(URL))
    payload, signature = good[:-16], good[-16:]
    foreign = FOREIGN.tokens_for(Message("default", MESSAGE_ID)).click(3, pack(URL))
    of_another = CODEC.tokens_for(Message("another", MESSAGE_ID)).click(3, pack(URL))
    return {
        "good": good,
        "first character wrong": payload + other(signature[0]) + signature[1:],
        "middle wrong": payload + signature[:8] + other(signature[8]) + signature[9:],
        "last character wrong": good[:-1] + other(good[-1]),
        "all of it wrong": payload + "".join(map(other, signature)),
        "payload changed": good[:40] + other(good[40]) + good[41:],
        "unknown key": foreign,
        "other account": of_another,
        "other purpose": CODEC.tokens_for(Message("default", MESSAGE_ID)).unsubscribe("a list of some length, say"),
        "not base64": "!" * len(good),
        "garbage": "A" * len(good),
        "nothing": "",
    }


def nanoseconds(verify: Callable[[str], object], token: str) -> float:
    """A call's time, the mean of some."""
    start = time.perf_counter_ns()
    for _ in range(CALLS):
        verify(token)
    return (time.perf_counter_ns() - start) / CALLS


def verify(token: str) -> None:
    with contextlib.suppress(InvalidToken):
        CODEC.verify(Purpose.CLICK, token)


def measure(rounds: int) -> dict[str, list[float]]:
    """The times of each kind, a round's at the same place."""
    tokens = list(kinds().items())
    times: dict[str, list[float]] = {kind: [] for kind, _ in tokens}
    order = random.Random(1)
    for _ in range(rounds):
        order.shuffle(tokens)
        for kind, token in tokens:
            times[kind].append(nanoseconds(verify, token))
    return times


def main(rounds: int) -> None:
    times = measure(rounds)
    base = times[SAME_WORK[-1]]
    print("| token | median, us | of one whose signature is all wrong: median ratio (quartiles) |\n|---|---|---|")
    for kind, values in times.items():
        ratios = [mine / its for mine, its in zip(values, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"| {kind} | {statistics.median(values) / 1000:.2f} | {middle:.3f} ({low:.3f}-{high:.3f}) |")
    medians = [statistics.median(times[kind]) for kind in SAME_WORK]
    print(f"\nWell formed, of one length, wrong in another place: {max(medians) / min(medians):.3f} (most to least).")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
