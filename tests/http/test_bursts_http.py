"""Bursts: what mail filters click within seconds is taken back, who was told is told, and nobody is answered otherwise.

The clocks of these tests are the service's own: what has to be within five seconds follows at once.
"""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raw import ask
from receiving import Receiver
from serving import API_KEY, BROWSER, Service, eventually, run, serving

pytest_plugins = ["service_fixtures"]

URLS = ("https://shop.example/kettle", "https://shop.example/soup", "https://blog.example/caf%C3%A9#top")
FILTER, ANOTHER, A_THIRD, PERSON = "192.0.2.1", "198.51.100.2", "2001:db8::3", "203.0.113.4"
IN_TIME_S = 2.0
_numbers = itertools.count()


class Mail:
    """A message with links to ``urls``, and whoever follows them."""

    def __init__(self, service: Service, *urls: str, **fields: Any) -> None:
        self.service = service
        self.id = f"burst-{next(_numbers)}"
        html = "".join(f'<a href="{url}">x</a>' for url in urls or URLS)
        answer = service.rewrite(self.id, html=html, **fields)
        self.pixel, self.unsubscribe_url = answer["open_url"], answer["unsubscribe_url"]
        self.links = [(link["url"], link["tracked_url"]) for link in answer["links"]]

    def click(self, link: int, address: str = FILTER, agent: str | None = BROWSER) -> None:
        """Follow a link, which is answered as ever."""
        url, tracked = self.links[link]
        answer = self._ask("GET", tracked, address, agent)
        assert (answer.status, answer.one("location"), answer.body) == (302, url.encode(), b"")

    def open(self, address: str = FILTER) -> None:
        answer = self._ask("GET", self.pixel, address, BROWSER)
        assert (answer.status, answer.one("content-type")) == (200, b"image/gif")

    def unsubscribe(self, method: str = "POST", agent: str | None = BROWSER) -> None:
        assert self._ask(method, self.unsubscribe_url, FILTER, agent).status == 200

    def _ask(self, method: str, url: str, address: str, agent: str | None) -> Any:
        headers = [("X-Forwarded-For", address), ("User-Agent", agent or "")]
        return ask(self.service.port, method, url.removeprefix(self.service.url), headers)

    def report(self, type_: str, *, seconds_ago: float = 0) -> None:
        at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
        event = {"event_id": f"{self.id}/{type_}", "message_id": self.id, "type": type_, "occurred_at": at.isoformat()}
        assert self.service.call("POST", "/v1/events", json={"events": [event]}).status_code == 202

    def staged(self, stage: str) -> dict[str, Any]:
        """The message as soon as it has this stage."""
        message = eventually(lambda: self.service.message(self.id), lambda found: found and found["stage"] == stage)
        assert message is not None
        return message

    def verdicts(self, count: int) -> list[tuple[str, str, list[str]]]:
        """Type, actor and reasons of its opens and clicks, in their order, as soon as there are so many."""
        events = eventually(self._hits, lambda found: sum(hit["count"] for hit in found) >= count)
        assert {event["rule_version"] for event in events} == {2}
        return [(event["type"], event["actor"], event["reasons"]) for event in events for _ in range(event["count"])]

    def _hits(self) -> list[dict[str, Any]]:
        return [event for event in self.service.events(self.id) if event["type"] in ("opened", "clicked")]

    def changes(self) -> list[tuple[str | None, str, bool]]:
        """Of each change of its stage: from what, to what, and whether it is a correction."""
        found = self.service.call("GET", "/v1/changes").json()["changes"]
        return [
            (one["previous_stage"], one["stage"], one["correction"]) for one in found if one["message_id"] == self.id
        ]


def test_the_stage_moves_back_and_a_person_moves_it_forward_again(
    own_store_url: str, receiver: Receiver, tmp_path: Path
) -> None:
    settings = {"STORE_URL": own_store_url, "WEBHOOK_PRIVATE_ADDRESSES": "true", "TRUSTED_PROXIES": "127.0.0.1/32"}
    assert run(tmp_path / "data", "webhooks", "add", receiver.url, cwd=None, **settings).returncode == 0
    with serving(tmp_path / "data", arguments=(), api_key=API_KEY, **settings) as service:
        elsewhere, later = Mail(service), Mail(service)
        for mail in (elsewhere, later):
            mail.report("delivered", seconds_ago=3600)
            mail.staged("delivered")
            mail.open()
            mail.staged("opened")
            mail.click(0)
            mail.staged("clicked")
            mail.click(1)
            recorded = time.monotonic()
            message = mail.staged("delivered")
            assert time.monotonic() - recorded < IN_TIME_S
            assert (message["label"], message["first_opened_at"], message["first_clicked_at"]) == (
                "Delivered",
                None,
                None,
            )
            assert (message["opens"], message["clicks"]) == (
                {"human": 0, "proxy": 0, "machine": 1}, {"human": 0, "proxy": 0, "machine": 2}
            )  # fmt: skip
        elsewhere.click(0, PERSON)
        time.sleep(max(0, 5.1 - (time.monotonic() - recorded)))
        later.click(0)  # from where the burst came, but not within 5 s of it
        for mail in (elsewhere, later):
            assert mail.staged("clicked")["clicks"] == {"human": 1, "proxy": 0, "machine": 2}
            told = [
                ("sent", "delivered", False), ("delivered", "opened", False), ("opened", "clicked", False),
                ("clicked", "delivered", True), ("delivered", "clicked", False),
            ]  # fmt: skip
            assert mail.changes()[-5:] == told
            data = eventually(lambda m=mail: receiver.data(m.id), lambda found: len(found) >= 6)  # type: ignore[misc]
            assert [(one["previous_stage"], one["stage"], one["correction"]) for one in data][-5:] == told


def test_facts_stay_and_say_why(proxied_service: Service) -> None:
    mail = Mail(proxied_service, recipient="lead-1")
    mail.open()
    for link in (0, 1, 0, 2):
        mail.click(link)
    assert mail.verdicts(5) == [
        ("opened", "machine", ["open_with_burst"]),
        *[("clicked", "machine", ["burst_from_one_source"])] * 4,
    ]
    message = mail.staged("sent")
    assert message["clicks"] == {"human": 0, "proxy": 0, "machine": 4}
    counts = {link["url"]: link["clicks"]["machine"] for link in message["links"]}
    assert counts == {URLS[0]: 2, URLS[1]: 1, URLS[2]: 1}
    registered, *hits = proxied_service.events(mail.id)
    assert [registered[name] for name in ("actor", "reasons", "rule_version")] == [None, [], None]
    for hit in hits:
        assert (hit["user_agent"], hit["address"]) == (BROWSER, "192.0.2.0/24")
        assert hit["source"] == hits[0]["source"]
    assert {hit["url"] for hit in hits} == {None, *URLS}


@pytest.mark.parametrize("agent", [BROWSER, "Barracuda Sentinel", "curl/8.15.0", None])
def test_an_unsubscribe_within_a_burst_counts(proxied_service: Service, agent: str | None) -> None:
    mail = Mail(proxied_service, list="news", recipient=f"leaves as {agent}")
    mail.click(0, agent=agent)
    mail.unsubscribe("GET", agent)  # which changes nothing, whoever asks
    mail.unsubscribe("POST", agent)
    mail.click(1, agent=agent)
    actors = [actor for _, actor, _ in mail.verdicts(2)]
    assert actors == ["machine", "machine"]
    assert mail.staged("unsubscribed")["label"] == "Unsubscribed"
    (left,) = [event for event in proxied_service.events(mail.id) if event["type"] == "unsubscribed"]
    assert (left["actor"], left["reasons"], left["user_agent"] or None) == (None, [], agent)
    again = {"message_id": f"{mail.id}-again", "recipient": f"leaves as {agent}", "list": "news", "html": "<p>"}
    answer = proxied_service.call("POST", "/v1/rewrite", json=again)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "recipient_suppressed")


def test_looking_at_the_unsubscribe_page_is_no_part_of_a_burst(proxied_service: Service) -> None:
    mail = Mail(proxied_service)
    mail.click(0)
    mail.unsubscribe("GET")
    assert mail.verdicts(1) == [("clicked", "human", [])]
    assert mail.staged("clicked")["unsubscribed_at"] is None


def test_two_links_to_one_place_are_no_burst(proxied_service: Service) -> None:
    mail = Mail(proxied_service, URLS[0], URLS[1], URLS[0])
    for link in (0, 2, 0):
        mail.click(link)
    assert mail.verdicts(3) == [("clicked", "human", [])] * 3
    assert {(link["index"], link["clicks"]["human"]) for link in mail.staged("clicked")["links"]} == {(0, 2), (2, 1)}
    mail.click(1)
    assert mail.verdicts(4) == [("clicked", "machine", ["burst_from_one_source"])] * 4


def test_three_places_from_three_addresses_are_a_burst_and_two_are_none(proxied_service: Service) -> None:
    mail = Mail(proxied_service)
    mail.click(0, FILTER)
    mail.click(1, ANOTHER)
    assert mail.verdicts(2) == [("clicked", "human", [])] * 2
    mail.staged("clicked")
    mail.click(2, A_THIRD)
    assert mail.verdicts(3) == [("clicked", "machine", ["burst"])] * 3
    mail.staged("sent")


def test_clicks_in_two_messages_are_no_burst(proxied_service: Service) -> None:
    mails = [Mail(proxied_service), Mail(proxied_service)]
    for link, mail in enumerate(mails):
        mail.click(link)
    for mail in mails:
        assert mail.verdicts(1) == [("clicked", "human", [])]


@pytest.fixture
def classified(proxied_service: Service) -> Iterator[Any]:
    """Sets what counts as a machine; all of it is default again afterwards."""

    def put(**values: Any) -> None:
        answer = proxied_service.call("PUT", "/v1/settings", json={"classifier": values})
        assert answer.status_code == 200, answer.text

    yield put
    put()


def test_an_account_may_let_bursts_count_as_clicks(proxied_service: Service, classified: Any) -> None:
    classified(bursts=False)
    mail = Mail(proxied_service)
    for link in range(3):
        mail.click(link)
    mail.click(0, agent="curl/8.15.0")
    assert mail.verdicts(4) == [*[("clicked", "human", [])] * 3, ("clicked", "machine", ["tool_agent"])]
    mail.staged("clicked")


def test_an_account_may_spare_people_who_open_links_in_tabs(proxied_service: Service, classified: Any) -> None:
    classified(burst_s=0.5)
    person, machine = Mail(proxied_service), Mail(proxied_service)
    for mail, pause_s in ((person, 0.6), (machine, 0)):
        mail.click(0)
        time.sleep(pause_s)
        mail.click(1)
    assert person.verdicts(2) == [("clicked", "human", [])] * 2
    assert machine.verdicts(2) == [("clicked", "machine", ["burst_from_one_source"])] * 2


def test_a_quick_click_is_quick_after_the_delivery_and_never_after_the_rewrite(
    proxied_service: Service, classified: Any
) -> None:
    classified(quick_click_s=30)
    unreported, earlier, delivered, late = (Mail(proxied_service) for _ in range(4))
    earlier.report("delivered", seconds_ago=31)
    delivered.report("sent", seconds_ago=3600)
    delivered.report("delivered")
    for mail in (unreported, earlier, delivered, late):
        mail.open()
        mail.click(0)
    late.staged("clicked")
    human: list[tuple[str, str, list[str]]] = [("opened", "human", []), ("clicked", "human", [])]
    quick = [human[0], ("clicked", "machine", ["soon_after_arrival"])]
    found = [mail.verdicts(2) for mail in (unreported, earlier, delivered)]
    assert found == [human, human, quick]
    late.report("delivered", seconds_ago=5)
    assert late.staged("opened")["clicks"]["machine"] == 1
    assert late.verdicts(2) == quick
    assert late.changes()[-1] == ("clicked", "opened", True)
