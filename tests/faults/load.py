"""The load: many clients that register, open, click and unsubscribe, and a log of what was asked and answered."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from .serving import API_KEY, Service
from .wire import BROKEN, Answer, Connection

FIRM_S = 0.22
"""Who is answered faster than this is answered after the commit: nothing else answers before 225 ms."""

BATCH = "2026-11-faults"
_KETTLE = "https://shop.example/kettle?id=1&ref=mail"
LINKS = (
    _KETTLE, "https://shop.example/soup", "https://blog.example/caf%C3%A9#top", "https://shop.example/tea",
    "https://shop.example/", _KETTLE,
)  # fmt: skip
FOLLOWED = (range(len(LINKS)), (0, 5), (1,))
"""Which links of a message are followed: of one any, so that most of it are bursts; of others one destination, again
and again, which is none."""
STRAYS = 0.01
"""Of the last ones, the share of clicks on any link: a burst now and then, among hits that count till then."""
ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::3")
"""Where hits come from."""
HTML = "<html><body>" + "".join(f'<a href="{url.replace("&", "&amp;")}">x</a>' for url in LINKS) + "</body></html>"


class Reader(NamedTuple):
    """A mail client, and who its opens and clicks must be taken for, each by itself."""

    user_agent: str | None
    purpose: str | None
    opener: str
    clicker: str

    def headers(self, address: str) -> dict[str, str]:
        return {
            "X-Forwarded-For": address,
            **({"User-Agent": self.user_agent} if self.user_agent else {}),
            **({"Sec-Purpose": self.purpose} if self.purpose else {}),
        }


READERS = (
    Reader("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", None, "human", "human"),
    Reader("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko)", None, "human", "human"),
    Reader("Mozilla/5.0", None, "machine", "human"),
    Reader("Mozilla/5.0 (Windows NT 5.1) (via ggpht.com GoogleImageProxy)", None, "proxy", "human"),
    Reader("Mozilla/5.0 Chrome/42.0.2311.135 Safari/537.36 Edge/12.246", None, "machine", "human"),
    Reader("Mozilla/5.0 Chrome/150.0", "prefetch;prerender", "machine", "machine"),
    Reader("curl/8.15.0", None, "machine", "machine"),
    Reader(None, None, "machine", "machine"),
)


class Mail(NamedTuple):
    """A registered message and the paths of its links."""

    message_id: str
    list: str
    pixel: str
    clicks: tuple[str, ...]
    unsubscribe: str


class Hit(NamedTuple):
    """What tells one stored event from another, apart from when it happened."""

    message_id: str
    type: str
    link: int | None = None
    url: str | None = None
    list: str | None = None
    user_agent: str | None = None
    purpose: str | None = None


@dataclass
class Log:
    """What was asked, and what was answered with the right answer."""

    asked: Counter[Hit] = field(default_factory=Counter)
    firm: Counter[Hit] = field(default_factory=Counter)
    """Answered after it was stored, for certain."""
    late: Counter[Hit] = field(default_factory=Counter)
    """Answered so late that it may have been before it was stored."""
    wrong: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Other answers, by type and status."""
    broken: int = 0
    """Requests without an answer."""
    waits: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """By type: when an answer came, and how long it took."""

    def wait_s(self, type_: str, share: float, start: float = 0.0, end: float = float("inf")) -> float:
        """A quantile of the time that answers of a type took, of those that came in a while."""
        found = sorted(wait for at, wait in self.waits[type_] if start <= at < end)
        return found[min(int(share * len(found)), len(found) - 1)] if found else float("nan")


class _Step(NamedTuple):
    hit: Hit
    method: str
    path: str
    headers: dict[str, str]
    status: int
    location: str | None = None
    body: bytes = b""


class Load:
    """Clients of ``services``, all of which know the same keys."""

    def __init__(self, services: Sequence[Service], seed: int, *, name: str = "m") -> None:
        self.log = Log()
        self.mails: list[Mail] = []
        self.rewrites = 0.1
        """Share of requests that register a new message."""
        self._ports = [service.port for service in services]
        self._random = random.Random(seed)
        self._name = name
        self._registered = 0

    async def register(self, count: int) -> None:
        """Register ``count`` messages; each must be answered."""
        connection = await Connection.open(self._ports[0])
        for _ in range(count):
            await self._do(connection, self._rewrite())
        connection.close()
        assert len(self.mails) >= count

    @asynccontextmanager
    async def running(self, clients: int, *, pause_s: float = 0.1) -> AsyncIterator[Log]:
        """Clients that come and go on meanwhile, each with ``pause_s`` between its requests on average."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._client(number, stop, pause_s)) for number in range(clients)]
        try:
            yield self.log
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    def port(self, number: int) -> int:
        """Where a client connects to."""
        return self._ports[number % len(self._ports)]

    async def _client(self, number: int, stop: asyncio.Event, pause_s: float) -> None:
        connection: Connection | None = None
        while not stop.is_set():
            await asyncio.sleep(self._random.uniform(0, 2 * pause_s))
            try:
                connection = connection or await Connection.open(self.port(number))
                await self._do(connection, self._next())
                if not connection.is_last:
                    continue
            except BROKEN:
                pass
            if connection:
                connection.close()
                connection = None
        if connection:
            connection.close()

    async def _do(self, connection: Connection, step: _Step) -> None:
        self.log.asked[step.hit] += 1
        started = time.monotonic()
        try:
            answer = await connection.request(step.method, step.path, step.headers, step.body)
        except BROKEN:
            self.log.broken += 1
            raise
        self._note(step, answer, time.monotonic() - started)

    def _note(self, step: _Step, answer: Answer, wait_s: float) -> None:
        type_ = step.hit.type
        self.log.waits[type_].append((time.monotonic(), wait_s))
        if answer.status != step.status or answer.headers.get("location") != step.location:
            self.log.wrong[type_, answer.status] += 1
            if answer.status == 503:
                assert int(answer.headers["retry-after"]) > 0
            return
        if type_ == "opened":
            assert answer.body.startswith(b"GIF89a")
        is_late = type_ in ("opened", "clicked") and wait_s >= FIRM_S
        (self.log.late if is_late else self.log.firm)[step.hit] += 1
        if type_ == "rewritten":
            self.mails.append(_mail(json.loads(answer.body), json.loads(step.body)["list"]))

    def _next(self) -> _Step:
        kind = self._random.random()
        if kind < self.rewrites or not self.mails:
            return self._rewrite()
        # Most of it on a few messages, so that hits which are alike fall into one commit.
        place = int(len(self.mails) * self._random.random() ** 3)
        mail = self.mails[place]
        if kind > 0.97:
            hit = Hit(mail.message_id, "unsubscribed", list=mail.list)
            return _Step(hit, "POST", mail.unsubscribe, {}, 200)
        reader = self._random.choice(READERS)
        headers = reader.headers(self._random.choice(ADDRESSES))
        facts = {"user_agent": reader.user_agent, "purpose": reader.purpose}
        if kind > 0.55:
            link = self._link(place)
            hit = Hit(mail.message_id, "clicked", link, LINKS[link], **facts)
            return _Step(hit, "GET", mail.clicks[link], headers, 302, LINKS[link])
        return _Step(Hit(mail.message_id, "opened", 0, **facts), "GET", mail.pixel, headers, 200)

    def _link(self, place: int) -> int:
        """Which one is followed in the mail at ``place``."""
        followed = FOLLOWED[place % len(FOLLOWED)]
        strays = len(followed) == 1 and self._random.random() < STRAYS
        return self._random.choice(FOLLOWED[0] if strays else followed)

    def _rewrite(self) -> _Step:
        number = self._registered
        self._registered += 1
        message_id = f"{self._name}-{number}"
        wanted = {"message_id": message_id, "recipient": recipient_of(message_id), "batch": BATCH, "html": HTML}
        wanted["list"] = ("news", "offers")[number % 2]
        wanted["class"] = "transactional"  # which those who unsubscribed meanwhile still get
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        return _Step(
            Hit(message_id, "rewritten"), "POST", "/v1/rewrite", headers, 200, body=json.dumps(wanted).encode()
        )


def recipient_of(message_id: str) -> str:
    """One of a hundred people for each message."""
    return f"lead-{int(message_id.rpartition('-')[2]) % 100}"


def _mail(answer: dict[str, object], list_: str) -> Mail:
    links = answer["links"]
    assert isinstance(links, list)
    clicks = tuple(urlsplit(link["tracked_url"]).path for link in links if link["action"] == "rewritten")
    assert [link["url"] for link in links][: len(LINKS)] == list(LINKS)
    pixel, unsubscribe = urlsplit(str(answer["open_url"])).path, urlsplit(str(answer["unsubscribe_url"])).path
    return Mail(str(answer["message_id"]), list_, pixel, clicks[: len(LINKS)], unsubscribe)
