"""The stage table, row by row: whatever the order of what happened, and however often it is reported.

What is expected stands here in a table of its own; nothing of it is asked of the service.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from serving import Service, eventually

pytest_plugins = ["service_fixtures"]

ORDERS: Final = 200
EXAMPLES: Final = 5

PERSON: Final = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari"
GMAIL: Final = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE: Final = "Mozilla/5.0"


class Post(NamedTuple):
    """An event that the mailer reports."""

    type: str
    status_code: str | None = None


class Get(NamedTuple):
    """A request of a mail client; ``other`` is a click on another link."""

    link: str
    agent: str = PERSON
    actor: str = "human"
    purpose: str | None = None
    address: str = "192.0.2.1"


class Burst(NamedTuple):
    """Requests of one machine, one right after the other."""

    gets: tuple[Get, ...]


class History(NamedTuple):
    """What happens to a message, and what must be shown of it in the end."""

    actions: tuple[Post | Get | Burst, ...]
    stage: str
    label: str | None
    last_action: str
    status: str | None = None


SENT, DEFERRED, DELIVERED = Post("sent"), Post("deferred", "452 4.2.2"), Post("delivered")
GONE, REFUSED, DROPPED = Post("failed", "550 5.1.1"), Post("failed", "550 5.7.1"), Post("dropped")
REPLIED, LEFT, COMPLAINED = Post("replied"), Post("unsubscribed"), Post("complained")
OPEN, CLICK = Get("open"), Get("click")
PROXY_OPEN = Get("open", GMAIL, "proxy")
MACHINE_OPEN = Get("open", APPLE, "machine")
MACHINE_CLICK = Get("click", PERSON, "machine", "prefetch")
MACHINE_LOOKS = tuple(Get(link, actor="machine", address="192.0.2.2") for link in ("open", "click", "other"))
BURST = Burst(MACHINE_LOOKS)
EARLIEST: Final = "that of the earliest failure"

HISTORIES: Final = {
    "registered only": History((), "sent", None, "Sent"),
    "sent": History((SENT,), "sent", None, "Sent"),
    "deferred": History((SENT, DEFERRED), "sent", None, "Sent"),
    "delivered": History((DELIVERED,), "delivered", "Delivered", "Delivered"),
    "delivered late": History((SENT, DEFERRED, DEFERRED, DELIVERED), "delivered", "Delivered", "Delivered"),
    "no such address": History((SENT, GONE), "failed", "Failed", "Failed", "550 5.1.1"),
    "policy": History((SENT, REFUSED), "failed", "Failed", "Failed", "550 5.7.1"),
    "failed, no code": History((Post("failed"),), "failed", "Failed", "Failed", None),
    "dropped": History((DROPPED,), "failed", "Failed", "Failed", "Dropped"),
    "failed after all": History((DELIVERED, DEFERRED, REFUSED), "failed", "Failed", "Failed", "550 5.7.1"),
    "failed twice": History((GONE, REFUSED, DROPPED), "failed", "Failed", "Failed", EARLIEST),
    "opened": History((DELIVERED, OPEN), "opened", "Opened", "Opened"),
    "opened by proxy": History((SENT, PROXY_OPEN), "opened", "Opened", "Opened"),
    "machines only": History((DELIVERED, MACHINE_OPEN, MACHINE_OPEN, MACHINE_CLICK), "delivered", *["Delivered"] * 2),
    "machines, sent": History((SENT, MACHINE_OPEN, MACHINE_CLICK), "sent", None, "Sent"),
    "failed and opened": History((GONE, OPEN), "opened", "Opened", "Opened", "550 5.1.1"),
    "clicked": History((DELIVERED, OPEN, CLICK), "clicked", "Clicked", "Clicked"),
    "clicked, not opened": History((SENT, CLICK, CLICK), "clicked", "Clicked", "Clicked"),
    "replied": History((REPLIED,), "replied", None, "Replied"),
    "replied, delivered": History((SENT, DELIVERED, REPLIED), "replied", "Delivered", "Replied"),
    "replied, failed": History((REPLIED, REFUSED), "replied", "Failed", "Replied", "550 5.7.1"),
    "replied, clicked": History((DELIVERED, OPEN, CLICK, REPLIED), "replied", "Clicked", "Replied"),
    "unsubscribed": History((DELIVERED, LEFT), "unsubscribed", "Unsubscribed", "Unsubscribed"),
    "unsubscribed, replied": History((CLICK, REPLIED, LEFT), "unsubscribed", "Unsubscribed", "Unsubscribed"),
    "complained": History((DELIVERED, COMPLAINED), "spam", "Spam", "Spam"),
    "burst": History((DELIVERED, BURST), "delivered", "Delivered", "Delivered"),
    "bursts, sent": History((SENT, BURST, BURST, MACHINE_OPEN), "sent", None, "Sent"),
    "burst, no such address": History((GONE, BURST), "failed", "Failed", "Failed", "550 5.1.1"),
    "burst and a click": History((DELIVERED, BURST, CLICK), "clicked", "Clicked", "Clicked"),
    "burst, a click, a burst": History((BURST, CLICK, CLICK, BURST), "clicked", "Clicked", "Clicked"),
    "burst and a proxy": History((DELIVERED, BURST, PROXY_OPEN), "opened", "Opened", "Opened"),
    "burst, unsubscribed": History((SENT, BURST, LEFT), "unsubscribed", "Unsubscribed", "Unsubscribed"),
    "everything": History(
        (SENT, DEFERRED, DELIVERED, GONE, DROPPED, MACHINE_OPEN, CLICK, BURST, REPLIED, LEFT, COMPLAINED),
        "spam", "Spam", "Spam", EARLIEST,
    ),
}  # fmt: skip

HTML: Final = '<a href="https://shop.example/">Shop</a> <a href="https://shop.example/news">News</a>'
TIMES: Final = {
    "sent": "sent_at", "delivered": "delivered_at", "failed": "failed_at", "dropped": "failed_at",
    "replied": "replied_at", "unsubscribed": "unsubscribed_at", "complained": "complained_at",
}  # fmt: skip
ONCE: Final = ("replied_at", "unsubscribed_at", "complained_at", "sent_at", "delivered_at", "failed_at")
_runs = itertools.count()


class Message:
    """One message with a history, in an order of its own."""

    def __init__(self, message_id: str, history: History, chance: random.Random) -> None:
        self.id = message_id
        self.history = history
        times = chance.sample(range(24 * 3600), len(history.actions))
        self.posts = [
            (action, self.event(number, action, times[number]))
            for number, action in enumerate(history.actions)
            if isinstance(action, Post)
        ]
        actions = [Burst((action,)) if isinstance(action, Get) else action for action in history.actions]
        self.visits = [action.gets for action in actions if isinstance(action, Burst)]
        self.repeats = [event for _, event in self.posts if chance.random() < 0.4]

    def event(self, number: int, post: Post, at_s: int) -> dict[str, str]:
        hour, rest = divmod(at_s, 3600)
        event = {
            "event_id": f"{self.id}/{number}",
            "message_id": self.id,
            "type": post.type,
            "occurred_at": f"2026-10-01T{hour:02}:{rest // 60:02}:{rest % 60:02}.000000Z",
        }
        return event | ({"status_code": post.status_code} if post.status_code else {})

    def decoys(self) -> Iterator[dict[str, str]]:
        """Events that come last under the id of another one: they must change nothing."""
        types = itertools.cycle(("complained", "failed", "replied"))
        for _, event in self.posts:
            told = {name: event[name] for name in ("event_id", "message_id")}
            yield {**told, "type": next(types), "occurred_at": "2026-09-01T00:00:00Z"}

    def expected(self) -> dict[str, Any]:
        """What the API must say of it."""
        history = self.history
        times: dict[str, list[str]] = {name: [] for name in ONCE}
        failures = []
        for post, event in self.posts:
            if post.type in TIMES:
                times[TIMES[post.type]].append(event["occurred_at"])
            if post.type in ("failed", "dropped"):
                failures.append((event["occurred_at"], post.status_code or "Dropped"))
        gets = [get for visit in self.visits for get in visit]
        counts = {
            kind: {actor: sum(get.link in links and get.actor == actor for get in gets) for actor in ACTORS}
            for kind, links in (("opens", ("open",)), ("clicks", ("click", "other")))
        }
        return {
            "stage": history.stage,
            "label": history.label,
            "last_action": history.last_action,
            "status": min(failures)[1] if history.status == EARLIEST else history.status,
            **{name: min(given, default=None) for name, given in times.items()},
            **counts,
        }

    def found(self, service: Service) -> dict[str, Any]:
        """What it says."""
        message = service.message(self.id) or {}
        return {name: message.get(name) for name in self.expected()}


ACTORS: Final = ("human", "proxy", "machine")


def in_parts(events: Sequence[dict[str, str]], chance: random.Random) -> Iterator[Sequence[dict[str, str]]]:
    """The events in several requests, of one event or of many."""
    start = 0
    while start < len(events):
        size = chance.choice((1, 10, 500))
        yield events[start : start + size]
        start += size


def post(service: Service, events: Sequence[dict[str, str]], chance: random.Random) -> None:
    for part in in_parts(events, chance):
        answer = service.call("POST", "/v1/events", json={"events": part})
        assert (answer.status_code, answer.json()) == (202, {"accepted": len(part)})


def register(service: Service, messages: Sequence[Message]) -> dict[str, dict[str, str]]:
    """The links of all, by message id."""
    people = [{"message_id": message.id} for message in messages]
    answer = service.call("POST", "/v1/rewrite/batch", json={"html": HTML, "recipients": people})
    lines = [json.loads(line) for line in answer.iter_lines()]
    return {
        line["message_id"]: {
            "open": line["open_url"],
            **{name: link["tracked_url"] for name, link in zip(("click", "other"), line["links"], strict=True)},
        }
        for line in lines
    }


def visit(service: Service, links: dict[str, str], gets: Sequence[Get]) -> None:
    for one in gets:
        headers = {"User-Agent": one.agent, "X-Forwarded-For": one.address}
        purpose = {"Sec-Purpose": one.purpose} if one.purpose else {}
        assert service.client.get(links[one.link], headers=headers | purpose).status_code in (200, 302)


def happen(service: Service, messages: Sequence[Message], chance: random.Random) -> None:
    """All of it, in any order; some is reported before the registration."""
    reports = [event for message in messages for _, event in message.posts]
    reports += [event for message in messages for event in message.repeats]
    chance.shuffle(reports)
    early = len(reports) // 5
    post(service, reports[:early], chance)
    links = register(service, messages)
    visits = [(links[message.id], gets) for message in messages for gets in message.visits]
    chance.shuffle(visits)
    half = len(visits) // 2
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(visit, service, *each) for each in visits[:half]]
        post(service, reports[early:], chance)
        done += [pool.submit(visit, service, *each) for each in visits[half:]]
        for each in done:
            each.result()
    post(service, [decoy for message in messages for decoy in message.decoys()], chance)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller number is no simpler order
    suppress_health_check=[HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_every_history_in_any_order(proxied_service: Service, seed: int) -> None:
    service, run, chance = proxied_service, next(_runs), random.Random(seed)
    messages = [
        Message(f"{name.replace(' ', '_').replace(',', '')}-{run}-{number}", history, chance)
        for name, history in HISTORIES.items()
        for number in range(ORDERS // EXAMPLES)
    ]
    happen(service, messages, chance)
    last = f"the-last-{run}".replace(" ", "_")
    service.rewrite(last)
    eventually(lambda: service.message(last))  # events reach the store in their order, so all the others have
    with ThreadPoolExecutor(4) as pool:
        for message, found in zip(messages, pool.map(lambda each: each.found(service), messages), strict=True):
            if found != message.expected():  # what was answered late, on a slow disk, may be on its way
                expected = message.expected()
                assert eventually(lambda m=message: m.found(service), expected.__eq__) == expected  # type: ignore[misc]


def test_the_histories_have_every_stage_and_every_type() -> None:
    rows = {history.stage for history in HISTORIES.values()}
    assert rows == {"sent", "delivered", "failed", "opened", "clicked", "replied", "unsubscribed", "spam"}
    reported = {action.type for history in HISTORIES.values() for action in history.actions if isinstance(action, Post)}
    assert reported == {*TIMES, "deferred"}
