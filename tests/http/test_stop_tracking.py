"""Stopping the tracking: a page asks, a POST does, and from then on a person's hits are nobody's."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from raw import Raw, ask
from serving import Service, eventually, free_port, serving

pytest_plugins = ["service_fixtures"]

_ids = (f"consent-{number}" for number in itertools.count())
AGENT = "Mozilla/5.0 (X11; Linux x86_64) OnlyTheirs/150.0"
DENIED = {"opens": "denied", "clicks": "denied"}


class Mail:
    """One rewritten message, and what people do with it."""

    def __init__(self, service: Service, **fields: Any) -> None:
        self.service = service
        self.id = next(_ids)
        self.answer = service.rewrite(self.id, **fields)
        self.open = self._path(self.answer["open_url"])
        self.click = self._path(self.answer["links"][0]["tracked_url"])
        self.unsubscribe = self._path(self.answer["unsubscribe_url"])
        self.stop = self.unsubscribe + "/stop-tracking"

    def _path(self, url: str) -> str:
        return url.removeprefix(self.service.url)

    def ask(self, method: str, path: str, agent: str = AGENT, body: bytes = b"") -> Raw:
        return ask(self.service.port, method, path, [("User-Agent", agent)], body)

    def hit(self, agent: str = AGENT) -> None:
        """Opened and clicked, and answered as ever."""
        answer = self.ask("GET", self.open, agent)
        assert (answer.status, answer.one("content-type"), answer.body[:6]) == (200, b"image/gif", b"GIF89a")
        answer = self.ask("GET", self.click, agent)
        assert (answer.status, answer.one("location")) == (302, b"https://shop.example/")


def settled(service: Service) -> None:
    """Wait until the store has all that was recorded."""
    eventually(lambda: service.metric("tracker_spool_depth"), lambda depth: depth == 0)
    marker = next(_ids)
    service.rewrite(marker)
    service.reached(marker, "rewritten")
    eventually(lambda: service.metric("tracker_spool_depth"), lambda depth: depth == 0)


def rows(path: Path) -> dict[str, list[Any]]:
    """Everything in an SQLite file, by table."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    db.set_busy_timeout(10_000)
    try:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: list(db.execute(f"SELECT * FROM {name}")) for name in names}
    finally:
        db.close()


def test_the_page_has_a_second_form(service: Service) -> None:
    mail = Mail(service)
    page = mail.ask("GET", mail.unsubscribe).body.decode()
    assert page.count("<form") == 2
    assert page.index(f'<form method="post" action="{mail.unsubscribe}">') < page.index(
        f'<form method="post" action="{mail.stop}">'
    )
    assert page.index(">Unsubscribe</button>") < page.index(">Stop the tracking</button>")


def test_only_a_post_changes_anything(any_service: Service) -> None:
    mail = Mail(any_service, recipient="only-a-post")
    for query in ("", "?_method=POST", "?confirm=1"):
        page = mail.ask("GET", mail.stop + query)
        assert page.status == 200
        assert b'/stop-tracking">' in page.body
        head = mail.ask("HEAD", mail.stop + query)
        assert (head.status, head.body) == (200, b"")
        assert head.one("content-length") == page.one("content-length")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert mail.ask(method, mail.stop).status == 405
    mail.hit()
    any_service.reached(mail.id, "rewritten", "opened", "clicked")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda mail: mail.unsubscribe[:-1] + "/stop-tracking",
        lambda mail: mail.stop + "/stop-tracking",
        lambda mail: mail.stop + "/",
        lambda mail: mail.unsubscribe + "/Stop-tracking",
        lambda mail: mail.unsubscribe + "/stop%2Dtracking",
        lambda mail: mail.unsubscribe + "%2Fstop-tracking",
        lambda mail: mail.unsubscribe + "stop-tracking",
        lambda mail: mail.click.replace("/c/", "/u/") + "/stop-tracking",
        lambda mail: mail.open.replace("/o/", "/u/").removesuffix(".gif") + "/stop-tracking",
        lambda mail: "/u//stop-tracking",
        lambda mail: "/u/stop-tracking",
    ],
)
def test_a_bad_link_changes_nothing(service: Service, spoil: Any) -> None:
    mail = Mail(service)
    for method in ("GET", "POST", "HEAD"):
        answer = mail.ask(method, spoil(mail))
        assert answer.status == 404
        assert b"<form" not in answer.body
    mail.hit()
    service.reached(mail.id, "rewritten", "opened", "clicked")


def test_it_does_not_unsubscribe_and_leaves_no_trace_of_the_request(any_service: Service) -> None:
    mail = Mail(any_service, recipient="not-unsubscribed", list="news")
    answer = mail.ask("POST", mail.stop, body=b"List-Unsubscribe=One-Click")
    assert answer.status == 200
    assert b"The tracking has stopped" in answer.body
    assert not answer.all("set-cookie") + answer.all("location")
    assert answer.one("cache-control") == b"no-store, private"
    any_service.reached(mail.id, "rewritten", "consent_changed")
    event = any_service.events(mail.id)[-1]
    assert event["change"] == {**event["change"], **DENIED}
    for name in ("user_agent", "accept", "address", "source", "network", "url", "link"):
        assert event[name] is None
    known = any_service.call("POST", "/v1/recipients/lookup", json={"recipient": "not-unsubscribed"}).json()
    assert known["consent"] == DENIED
    assert not any(one["unsubscribed"] for one in known["lists"])


@pytest.mark.parametrize("recipient", ["lead-of-the-page", None])
def test_later_hits_are_answered_and_recorded_nowhere(any_service: Service, recipient: str | None) -> None:
    mail = Mail(any_service, recipient=recipient, batch="b-1")
    mail.hit("Earlier/1")
    any_service.reached(mail.id, "rewritten", "opened", "clicked")
    before = any_service.message(mail.id)
    assert mail.ask("POST", mail.stop).status == 200
    agent = f"OnlyTheirs-{mail.id}"
    mail.hit(agent)
    settled(any_service)
    any_service.reached(mail.id, "rewritten", "opened", "clicked", "consent_changed")
    assert {event["user_agent"] for event in any_service.events(mail.id)} == {None, "Earlier/1"}
    assert any_service.message(mail.id) == before
    store = any_service.data_dir / "status.db"
    if store.exists():
        found = rows(store)
        assert agent not in repr(found)
        assert len([row for row in found["events"] if mail.id in row]) == 4
        assert [row for row in found["anonymous_hits"] if row[1] == "b-1"]
    for spool in (any_service.data_dir / "spool").glob("spool-*.db"):
        assert mail.id not in repr(rows(spool))


def test_a_mail_of_before_is_untracked_as_well_and_a_later_one_has_no_links(any_service: Service) -> None:
    first, second = (Mail(any_service, recipient="all-mail") for _ in range(2))
    assert first.ask("POST", first.stop).status == 200
    any_service.reached(first.id, "rewritten", "consent_changed")
    second.hit()
    settled(any_service)
    any_service.reached(second.id, "rewritten")
    html = '<p>Hello</p><a href="https://shop.example/">Shop</a>'
    third = any_service.rewrite(next(_ids), recipient="all-mail", html=html, text="https://shop.example/")
    assert third["track"] == {"opens": False, "clicks": False}
    assert third["open_url"] is None
    assert third["html"].startswith(html)
    assert "/o/" not in third["html"]
    assert "/c/" not in third["html"] + third["text"]
    assert third["unsubscribe_url"] in third["html"]
    assert {link["reason"] for link in third["links"]} == {"tracking_off"}
    people = [{"message_id": next(_ids), "recipient": "all-mail"}]
    (line,) = any_service.call("POST", "/v1/rewrite/batch", json={"html": html, "recipients": people}).iter_lines()
    assert '"track":{"opens":false,"clicks":false}' in line


def test_opens_and_clicks_apart_and_back_again(any_service: Service) -> None:
    def put(**consent: str) -> dict[str, Any]:
        answer = any_service.call("PUT", "/v1/recipients", json={"recipient": "apart", "consent": consent})
        assert answer.status_code == 200
        return dict(answer.json()["consent"])

    mail = Mail(any_service, recipient="apart")
    assert put(opens="denied") == {"opens": "denied", "clicks": "unknown"}
    mail.hit()
    any_service.reached(mail.id, "rewritten", "clicked")
    assert put(clicks="denied", opens="granted") == {"opens": "granted", "clicks": "denied"}
    mail.hit()
    any_service.reached(mail.id, "rewritten", "clicked", "opened")
    assert any_service.rewrite(next(_ids), recipient="apart")["track"] == {"opens": True, "clicks": False}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    """A mail from before the spool was full."""
    store_url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    data_dir = tmp_path_factory.mktemp("full") / "data"
    with serving(data_dir, SPOOL_MAX_BYTES=str(1 << 20), STORE_URL=store_url) as service:
        mail = Mail(service)
        people = [{"message_id": f"fill-{n}", "recipient": "r" * 300} for n in range(4000)]
        service.call("POST", "/v1/rewrite/batch", json={"text": "x", "recipients": people})
        eventually(lambda: mail.ask("POST", mail.unsubscribe).status, lambda status: status == 503)
        yield mail


def test_it_is_not_confirmed_when_it_cannot_be_stored(full: Mail) -> None:
    answer = full.ask("POST", full.stop)
    deadline = time.monotonic() + 10
    while answer.status == 200 and time.monotonic() < deadline:  # a smaller row may still have found a place
        answer = full.ask("POST", full.stop)
    assert answer.status == 503
    assert int(answer.one("retry-after")) > 0
    assert b"has not stopped yet" in answer.body
    assert b"unsubscribed" not in answer.body
    assert b'<form method="post">' in answer.body, "to where it was sent"
