"""Erasing a person: no file of the data dir, no line in a log and no table has a trace of them, then or later."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import pytest
from postgres import connected
from serving import API_KEY, Service, eventually, run, serving

pytest_plugins = ["service_fixtures"]

ANN, IDS = "ann/perlmutter@example.net", ("perlmutter-1", "perlmutter-2")
AGENT, ADDRESS, DESTINATION = (
    "Perlmutter-Reader/7.3",
    "198.51.100.77",
    f"https://shop.example/?for={quote(ANN, safe='')}",
)
TRACES = (b"perlmutter", b"198.51.100.77")
SEEN_FROM = {"User-Agent": AGENT, "X-Forwarded-For": ADDRESS}
SETTINGS: dict[str, Any] = {"TRUSTED_PROXIES": "127.0.0.1", "CLIENT_IP": "full", "LOG_LEVEL": "debug"}
_numbers = itertools.count()


@pytest.fixture
def service(tmp_path: Path, own_store_url: str) -> Iterator[Service]:
    """A service of this test alone, that keeps whole addresses."""
    with serving(tmp_path / "data", STORE_URL=own_store_url, **SETTINGS) as service:
        yield service


def erase(service: Service, recipient: str = ANN, **more: Any) -> dict[str, Any]:
    answer = service.call("POST", f"/v1/recipients/{quote(recipient, safe='')}/erase", **more)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def files_with_traces(service: Service) -> list[str]:
    """The files of the data dir, and of what was printed, in which something of Ann stands."""
    files = [*service.data_dir.rglob("*"), *service.data_dir.parent.glob(f"{service.data_dir.name}-*.*")]
    return sorted(
        str(file.relative_to(service.data_dir.parent)) for file in files if file.is_file() and is_told_of(file)
    )


def is_told_of(file: Path) -> bool:
    try:
        text = file.read_bytes().lower()
    except FileNotFoundError:
        return False
    return any(trace in text for trace in TRACES)


def tables_with_traces(store_url: str) -> list[str]:
    """The tables of PostgreSQL that say something of her."""

    async def look() -> list[str]:
        async with connected(store_url) as db:
            rows = await db.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'tracker'")
            found = []
            for row in rows:
                lines = await db.fetch(f"SELECT t::text AS line FROM tracker.{row['name']} AS t")
                if any(trace.decode() in line["line"].casefold() for line in lines for trace in TRACES):
                    found.append(row["name"])
            return found

    return asyncio.run(look()) if store_url else []


def rewritten(service: Service, message_id: str, recipient: str) -> dict[str, Any]:
    html = f'<a href="{DESTINATION}">Shop</a><a href="{{{{unsubscribe_url}}}}">Leave</a>'
    return service.rewrite(message_id, html=html, recipient=recipient, batch="spring", list="news")


def followed(service: Service, mail: dict[str, Any]) -> None:
    """Open, click, leave: all of it answered as ever."""
    local: Callable[[str], str] = lambda url: url.removeprefix(service.url)  # noqa: E731
    (link, *_) = [one for one in mail["links"] if one["tracked_url"]]
    assert service.client.get(local(mail["open_url"]), headers=SEEN_FROM).status_code == 200
    clicked = service.client.get(local(link["tracked_url"]), headers=SEEN_FROM)
    assert (clicked.status_code, clicked.headers["location"]) == (302, DESTINATION)
    assert service.client.get(local(mail["unsubscribe_url"]), headers=SEEN_FROM).status_code == 200
    assert service.client.post(local(mail["unsubscribe_url"]), headers=SEEN_FROM).status_code == 200


def objected(service: Service, mail: dict[str, Any]) -> None:
    """Stop the tracking."""
    path = mail["unsubscribe_url"].removeprefix(service.url) + "/stop-tracking"
    assert service.client.post(path, headers=SEEN_FROM).status_code == 200


def report(service: Service, message_id: str) -> None:
    event = {
        "event_id": f"perlmutter-e-{next(_numbers)}", "message_id": message_id, "type": "failed",
        "status_code": "550 5.1.1", "reason": f"<{ANN}> is unknown", "occurred_at": "2026-10-01T12:00:00Z",
    }  # fmt: skip
    assert service.call("POST", "/v1/events", json={"events": [event]}).status_code == 202


def clean(service: Service) -> None:
    """Nothing is left of her once the spool has been idle for a while."""
    assert eventually(lambda: files_with_traces(service), lambda found: not found) == []


def test_no_file_and_no_table_has_a_trace_of_an_erased_person(
    service: Service, own_store_url: str, tmp_path: Path
) -> None:
    mails = [rewritten(service, id_, ANN) for id_ in IDS]
    other = service.rewrite("other-1", recipient="bob", batch="spring", list="news")
    for mail in mails:
        followed(service, mail)
    report(service, IDS[0])
    unclear = f"From: daemon@example.net\r\nSubject: sorry\r\n\r\nYour mail to {ANN.upper()} was odd.\r\n"
    answer = service.call("POST", "/v1/events/report", content=unclear, headers={"Content-Type": "message/rfc822"})
    assert answer.status_code == 422
    service.reached(IDS[0], "rewritten", "opened", "clicked", "unsubscribed", "failed")
    service.reached(IDS[1], "rewritten", "opened", "clicked", "unsubscribed")
    service.client.get(other["open_url"].removeprefix(service.url))
    eventually(lambda: "opened" in service.types("other-1"))
    before = service.call("GET", "/v1/batches/spring").json()
    told = files_with_traces(service)
    assert any(name.startswith("data/unrecognised/") for name in told), told
    assert own_store_url or any("status.db" in name for name in told), told
    assert not own_store_url or set(tables_with_traces(own_store_url)) >= {"events", "messages", "user_agents"}

    done = erase(service)
    assert (done["messages"], done["events"]) == (2, 9)
    assert done["erased_at"].endswith("Z")
    clean(service)
    assert tables_with_traces(own_store_url) == []
    after = service.call("GET", "/v1/batches/spring").json()
    assert after["messages"] == 3
    assert {**after, "links": None} == {**before, "links": None}

    for mail in mails:
        followed(service, mail)
        objected(service, mail)
    report(service, IDS[1])
    eventually(lambda: service.metric("tracker_erased_total") >= 9)
    clean(service)
    assert tables_with_traces(own_store_url) == []
    for id_ in IDS:
        assert service.message(id_) is None
    service.stop()
    with serving(service.data_dir, STORE_URL=own_store_url, **SETTINGS) as again:
        followed(
            again, {key: _moved(mails[0][key], service, again) for key in ("open_url", "unsubscribe_url", "links")}
        )
        eventually(lambda: again.metric("tracker_erased_total") >= 3)
        clean(again)
        assert erase(again)["messages"] == 0
        again.stop()
        assert files_with_traces(again) == []
    assert tables_with_traces(own_store_url) == []


def _moved(value: Any, old: Service, new: Service) -> Any:
    """The links of a service that has another port now."""
    if isinstance(value, list):
        return [_moved(one, old, new) for one in value]
    if isinstance(value, dict):
        return {key: _moved(one, old, new) for key, one in value.items()}
    return value.replace(old.url, new.url) if isinstance(value, str) else value


def test_an_erased_person_is_not_written_to_until_a_reset(service: Service) -> None:
    rewritten(service, IDS[0], ANN)
    eventually(lambda: service.message(IDS[0]))
    erase(service)
    body = {"message_id": IDS[1], "text": "Hello", "recipient": ANN, "class": "transactional"}
    for _ in range(2):
        answer = service.call("POST", "/v1/rewrite", json=body)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/recipient_suppressed")
        assert "erased" in answer.json()["detail"]
    batch = {"text": "Hello", "recipients": [{"message_id": "b-1", "recipient": ANN}, {"message_id": "b-2"}]}
    lines = service.call("POST", "/v1/rewrite/batch", json=batch).text.splitlines()
    assert ["erased" in line for line in lines] == [True, False]
    consent = {"recipient": ANN, "consent": {"opens": "denied"}}
    assert service.call("PUT", "/v1/recipients", json=consent).status_code == 409
    clean(service)

    reset = {"recipient": ANN, "reset": {"suppressions": ["unsubscribed"], "reason": "asked for it", "list": "news"}}
    assert service.call("PUT", "/v1/recipients", json=reset).status_code == 200
    rewritten(service, IDS[1], ANN)
    eventually(lambda: service.message(IDS[1]))
    assert service.message(IDS[0]) is None


def is_marketing_accepted(service: Service, recipient: str) -> bool:
    body = {"message_id": f"m-{next(_numbers)}", "text": "Hello", "recipient": recipient, "list": "news"}
    answer = service.call("POST", "/v1/rewrite", json=body | {"class": "marketing"})
    assert answer.status_code in (200, 409), answer.text
    return bool(answer.status_code == 200)


@pytest.mark.parametrize("is_given_again", [True, False], ids=["by a new mail", "by one of before the erasure"])
def test_no_unsubscribe_after_a_reset_is_falsely_confirmed(any_service: Service, is_given_again: bool) -> None:
    service, number = any_service, next(_numbers)
    recipient, message_id = f"welcomed-{number}", f"welcome-{number}"
    mail = rewritten(service, message_id, recipient)
    eventually(lambda: service.message(message_id))
    erase(service, recipient)
    reset = {"recipient": recipient, "reset": {"suppressions": ["unsubscribed"], "reason": "is back", "list": "news"}}
    assert service.call("PUT", "/v1/recipients", json=reset).status_code == 200
    if is_given_again:
        mail = rewritten(service, message_id, recipient)
        assert eventually(lambda: service.message(message_id))
    assert is_marketing_accepted(service, recipient)
    assert service.client.post(mail["unsubscribe_url"].removeprefix(service.url)).status_code == 200
    assert eventually(lambda: not is_marketing_accepted(service, recipient))
    if is_given_again:
        assert "unsubscribed" in service.types(message_id)


def test_the_node_refuses_an_erased_person_while_the_store_is_away(tmp_path: Path, postgres_server: Any) -> None:
    with postgres_server.new_database() as url, serving(tmp_path / "data", STORE_URL=url, **SETTINGS) as service:
        erase(service)
        eventually(lambda: followed_erasures(service.data_dir) > 0)
        postgres_server.stop()
        try:
            body = {"message_id": IDS[1], "text": "Hello", "recipient": ANN}
            answer = eventually(lambda: service.call("POST", "/v1/rewrite", json=body))
            assert (answer.status_code, "erased" in answer.text) == (409, True)
            assert service.call("POST", "/v1/recipients/bob/erase").status_code == 503
            assert files_with_traces(service) == []
        finally:
            postgres_server.start()
        assert eventually(lambda: service.call("POST", "/v1/recipients/bob/erase").status_code == 200)


def followed_erasures(data_dir: Path) -> int:
    try:
        db = apsw.Connection(str(data_dir / "recipients.db"), flags=apsw.SQLITE_OPEN_READONLY)
        return int(db.execute("SELECT count(*) FROM known WHERE what = 2").get)
    except apsw.Error:
        return 0


@pytest.mark.parametrize("recipient", ["lead-77", "a/b/c", "mö@example.net", "100% %2F sure", "x?y#z"])
def test_any_reference_can_be_named_in_the_path(any_service: Service, recipient: str) -> None:
    service, message_id = any_service, f"m-{next(_numbers)}"
    service.rewrite(message_id, recipient=recipient)
    eventually(lambda: service.message(message_id))
    assert erase(service, recipient)["messages"] == 1
    assert service.message(message_id) is None


def test_it_takes_the_scope_and_leaves_an_act_that_names_nobody(any_service: Service) -> None:
    service = any_service
    assert service.client.post("/v1/recipients/x/erase").status_code == 401
    erase(service)
    acts = service.call("GET", "/v1/audit").json()
    assert "recipient_erased" in str(acts)
    assert "perlmutter" not in str(acts)
    assert API_KEY not in str(acts)


def test_an_operator_can_do_it_in_a_terminal(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir, **SETTINGS) as service:
        rewritten(service, IDS[0], ANN)
        eventually(lambda: service.message(IDS[0]))
        ran = run(data_dir, "erase", ANN, API_KEY=API_KEY, **SETTINGS)
        assert (ran.returncode, ran.stdout) == (0, b"erased: 1 messages, 1 events\n"), ran.stderr
        assert service.message(IDS[0]) is None
        clean(service)
    assert run(data_dir, "erase", ANN, "--account", "absent", API_KEY=API_KEY).returncode == 1
