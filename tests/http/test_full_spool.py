"""The spool cannot be written: nobody is told that they are unsubscribed, and nobody is kept from anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from raw import ask
from serving import Service, eventually, free_port, serving

pytest_plugins = ["service_fixtures"]


class Full(NamedTuple):
    """A service whose spool is full, since its store is away, and the links of a mail from before."""

    service: Service
    open: str
    click: str
    unsubscribe: str


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    data_dir = tmp_path_factory.mktemp("full") / "data"
    store_url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with serving(data_dir, SPOOL_MAX_BYTES=str(1 << 20), STORE_URL=store_url) as service:
        mail = service.rewrite("before")
        assert service.client.get("/readyz").status_code == 200
        people = [{"message_id": f"fill-{n}", "recipient": "r" * 300} for n in range(4000)]
        answer = service.call("POST", "/v1/rewrite/batch", json={"text": "x", "recipients": people})
        lines = [json.loads(line) for line in answer.iter_lines()]
        assert "error" not in lines[0]
        assert lines[-1]["error"]["status"] == 503
        # A commit of a hundred did not fit any more; now fill what is left for single ones.
        urls = (mail["open_url"], mail["links"][0]["tracked_url"], mail["unsubscribe_url"])
        links = Full(service, *(url.removeprefix(service.url) for url in urls))
        eventually(lambda: ask(service.port, "POST", links.unsubscribe).status, lambda status: status == 503)
        # An open takes less room than that, so some of them may still have fitted.
        eventually(lambda: ask(service.port, "GET", links.open) and service.metric("tracker_unstored_total"))
        yield links


def test_an_unsubscribe_is_not_confirmed(full: Full) -> None:
    answer = ask(full.service.port, "POST", full.unsubscribe, [], b"List-Unsubscribe=One-Click")
    assert answer.status == 503
    assert int(answer.one("retry-after")) > 0
    assert b"not unsubscribed yet" in answer.body
    assert b"<form method=" in answer.body
    for name, value in (("cache-control", b"no-store, private"), ("referrer-policy", b"no-referrer")):
        assert answer.one(name) == value
    assert answer.one("x-robots-tag") == b"noindex"
    assert ask(full.service.port, "GET", full.unsubscribe).status == 200
    assert ask(full.service.port, "POST", "/u/bad").status == 404


def test_clicks_lead_on_and_pixels_are_served_and_the_loss_is_counted(full: Full) -> None:
    def lost() -> float:
        return full.service.metric("tracker_unstored_total")

    before = lost()
    for _ in range(3):
        assert ask(full.service.port, "GET", full.click).one("location") == b"https://shop.example/"
        assert ask(full.service.port, "GET", full.open).body.startswith(b"GIF89a")
    eventually(lost, lambda now: now == before + 6)


def test_it_is_not_ready_but_alive(full: Full) -> None:
    answer = ask(full.service.port, "GET", "/readyz")
    assert answer.status == 503
    assert answer.one("cache-control") == b"no-store, private"
    assert full.service.client.get("/healthz").status_code == 200


def test_a_rewrite_is_not_answered_as_if_it_were_registered(full: Full) -> None:
    # Long names, since what takes less room than an unsubscribe may still fit.
    wanted = {"message_id": "after", "html": "x", "recipient": "a" * 200}
    answer = full.service.call("POST", "/v1/rewrite", json=wanted)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["status"] == 503
    # Nor is it taken for registered: another recipient is no conflict.
    answer = full.service.call("POST", "/v1/rewrite", json={**wanted, "recipient": "b" * 200})
    assert answer.status_code == 503


def test_the_status_cannot_be_read_without_the_store(full: Full) -> None:
    for path in ("/v1/messages/before", "/v1/messages/before/events"):
        answer = full.service.call("GET", path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/problem+json"
