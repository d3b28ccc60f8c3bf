"""The store is away, and the node still knows whom not to write to, and whom not to track."""

from __future__ import annotations

import contextlib
import json
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from postgres import Server
from serving import Service, eventually, serving

GONE, LEFT, DENIED, FINE = "gone@shop.example", "läd-left", "lead-denied", "lead-fine"


@contextlib.contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def remembered(data_dir: Path) -> int:
    """How many people the node's file has, none by name."""
    try:
        db = apsw.Connection(str(data_dir / "recipients.db"), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError:
        return 0
    try:
        return int(db.execute("SELECT count(DISTINCT person) FROM known").get)
    except (apsw.SQLError, apsw.BusyError):  # without its tables, as yet
        return 0
    finally:
        db.close()


def tell_it_all(service: Service) -> None:
    """A hard bounce, an unsubscribe, a denial; and wait until the node has seen them."""
    ids = {GONE: "before-gone", LEFT: "before-left", FINE: "before-fine"}
    for recipient, id_ in ids.items():
        service.rewrite(id_, recipient=recipient, list="news")
    at = "2026-10-01T12:00:00Z"
    bounced = {
        "event_id": "1",
        "message_id": ids[GONE],
        "type": "failed",
        "status_code": "550 5.1.1",
        "occurred_at": at,
    }
    left = {"event_id": "2", "message_id": ids[LEFT], "type": "unsubscribed", "occurred_at": at}
    events = [bounced, left]
    assert service.call("POST", "/v1/events", json={"events": events}).status_code == 202
    consent = {"recipient": DENIED, "consent": {"opens": "denied", "clicks": "granted"}}
    assert service.call("PUT", "/v1/recipients", json=consent).is_success
    eventually(lambda: remembered(service.data_dir), lambda people: people >= 3)


def rewritten(service: Service, id_: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"message_id": id_, "html": '<a href="https://shop.example/">Shop</a>', "list": "news", **fields}
    answer = service.call("POST", "/v1/rewrite", json=body)
    return answer.status_code, answer.json()


def codes(answer: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


def still_knows(service: Service, name: str) -> None:
    """What a rewrite is answered while the store is away."""
    for class_ in ("marketing", "transactional"):
        status, answer = rewritten(service, f"{name}-gone-{class_}", recipient=GONE, **{"class": class_})
        assert (status, answer["type"].rpartition("/")[2]) == (409, "recipient_suppressed")
    status, answer = rewritten(service, f"{name}-left", recipient=LEFT)
    assert (status, answer["type"].rpartition("/")[2]) == (409, "recipient_suppressed")
    status, answer = rewritten(service, f"{name}-left-t", recipient=LEFT, **{"class": "transactional"})
    assert (status, codes(answer)) == (200, ["suppression_unknown"])
    assert rewritten(service, f"{name}-other-list", recipient=LEFT, list="offers")[0] == 200
    status, answer = rewritten(service, f"{name}-fine", recipient=FINE)
    assert (status, codes(answer), answer["track"]["opens"]) == (200, ["suppression_unknown"], True)
    status, answer = rewritten(service, f"{name}-denied", recipient=DENIED)
    assert (status, codes(answer)) == (200, ["suppression_unknown"])
    assert answer["track"] == {"opens": False, "clicks": True}
    assert answer["open_url"] is None
    assert "/o/" not in answer["html"]
    status, answer = rewritten(service, f"{name}-nobody")
    assert (status, codes(answer), answer["track"]["opens"]) == (200, [], True)
    people = [{"message_id": f"{name}-b-{n}", "recipient": one} for n, one in enumerate((FINE, GONE, DENIED, LEFT))]
    batch = {"html": "<p>x</p>", "list": "news", "recipients": people}
    lines = [json.loads(line) for line in service.call("POST", "/v1/rewrite/batch", json=batch).iter_lines()]
    assert ["error" in line for line in lines] == [False, True, False, True]


@pytest.mark.parametrize("workers", [1, 2])
def test_over_a_restart_without_the_store(postgres_server: Server, tmp_path: Path, workers: int) -> None:
    arguments: Sequence[str] = ("--workers", str(workers)) if workers > 1 else ()
    with postgres_server.new_database() as url:
        data_dir = tmp_path / "data"
        with contextlib.ExitStack() as away:
            with serving(data_dir, arguments=tuple(arguments), STORE_URL=url) as service:
                tell_it_all(service)
                assert stat.S_IMODE((data_dir / "recipients.db").stat().st_mode) == 0o600
                away.enter_context(stopped(postgres_server))
                for number in range(3 * workers):
                    still_knows(service, f"away-{number}")
            with serving(data_dir, arguments=tuple(arguments), STORE_URL=url) as service:
                for number in range(2 * workers):
                    still_knows(service, f"restarted-{number}")
                assert service.client.get("/readyz").status_code == 200
                away.close()
                eventually(
                    lambda: service.message("restarted-0-gone-marketing"), lambda found: found and found["status"]
                )
                found = service.message("restarted-0-gone-marketing")
                assert found is not None
                assert found["status"] == "Dropped"
                numbers = iter(range(100_000))
                eventually(lambda: codes(service.rewrite(f"back-{next(numbers)}", recipient=FINE)), lambda c: c == [])


def test_the_embedded_store_over_a_restart_and_a_damaged_file(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as service:
        tell_it_all(service)
    store = data_dir / "status.db"
    store.rename(data_dir / "kept.db")
    store.mkdir()
    with serving(data_dir) as service:
        still_knows(service, "away")
    (data_dir / "recipients.db").write_bytes(b"no database at all " * 1000)
    with serving(data_dir) as service:
        status, answer = rewritten(service, "damaged", recipient=GONE)
        assert (status, codes(answer)) == (200, ["suppression_unknown"])
        store.rmdir()
        (data_dir / "kept.db").rename(store)
        eventually(lambda: remembered(data_dir), lambda people: people >= 3)


def test_rewriting_without_the_store_stays_fast(postgres_server: Server, tmp_path: Path) -> None:
    with postgres_server.new_database() as url, serving(tmp_path / "data", STORE_URL=url) as service:
        tell_it_all(service)
        with stopped(postgres_server):
            rewritten(service, "first", recipient=FINE)  # finds out that the store is away
            took = []
            for number in range(50):
                began = time.perf_counter()
                rewritten(service, f"fast-{number}", recipient=FINE)
                took.append(time.perf_counter() - began)
    assert sorted(took)[25] < 0.1
