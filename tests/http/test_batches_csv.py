"""Batches as CSV: every message once, and nothing that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from typing import Any

from sending import METRICS, Batch
from serving import Service, eventually

pytest_plugins = ["service_fixtures"]

HITS = [f"{kind}_{actor}" for kind in ("opens", "clicks") for actor in ("human", "proxy", "machine")]


def cells(answer: Any) -> list[list[str]]:
    """The rows of a CSV, its head first."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store, private"
    text = answer.content.decode()
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_messages_as_csv(any_service: Service) -> None:
    batch = Batch(any_service, 'a "quoted", batch; \N{SNOWMAN}')
    written = {
        "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", 'say "hi", you': 'say "hi", you',
        "it's": "it's", "\N{SNOWMAN}": "\N{SNOWMAN}", "a=1": "a=1",
    }  # fmt: skip
    batch.send_to(*written)
    opened, *_ = batch.send(1)
    batch.open(opened, opened)
    batch.click(opened)
    batch.read()
    answer = batch.csv()
    head, *rows = cells(answer)
    assert head[:6] == ["message_id", "batch", "recipient", "stage", "label", "last_action"]
    assert head[-8:] == [*HITS, "tracks_opens", "tracks_clicks"]
    assert {row[1] for row in rows} == {batch.name}
    assert [row[2] for row in rows] == [*written.values(), f"lead-{opened}"]
    last = dict(zip(head, rows[-1], strict=True))
    message = any_service.message(opened) or {}
    assert {name: last[name] for name in ("message_id", "stage", "first_clicked_at")} == {
        name: message[name] for name in ("message_id", "stage", "first_clicked_at")
    }
    assert (last["opens_human"], last["clicks_human"], last["sent_at"], last["status"]) == ("2", "1", "", "")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"a__quoted___batch___.csv\"; filename*=UTF-8''a__quoted___batch___.csv"
    )


def test_what_is_not_tracked_is_empty_in_a_csv_and_not_zero(any_service: Service) -> None:
    batch = Batch(any_service)
    both, no_opens, no_clicks, neither = (
        batch.send(1, track={"opens": opens, "clicks": clicks})[0]
        for opens, clicks in ((True, True), (False, True), (True, False), (False, False))
    )
    (denied,) = batch.send(1, consent={"opens": "denied"})
    batch.click(no_opens)
    batch.read()
    head, *rows = cells(batch.csv())
    found = {row[0]: row[head.index("opens_human") :] for row in rows}
    zero, empty = ["0"] * 3, [""] * 3
    assert found == {
        both: [*zero, *zero, "true", "true"],
        no_opens: [*empty, "1", "0", "0", "false", "true"],
        no_clicks: [*zero, *empty, "true", "false"],
        neither: [*empty, *empty, "false", "false"],
        denied: [*empty, *zero, "false", "true"],
    }
    listed = any_service.call("GET", f"{batch.path}/messages").json()["messages"]
    assert [set(one) for one in listed] == [{*head[: -len(HITS) - 2], "opens", "clicks", "links"}] * 5


def test_many_messages_come_as_csv_each_once(any_service: Service) -> None:
    batch = Batch(any_service)
    ids = batch.send(1203)
    eventually(lambda: batch.read()["messages"], lambda count: count == len(ids))
    _, *rows = cells(batch.csv())
    assert [row[0] for row in rows] == sorted(ids)


def test_rates_as_csv(service: Service) -> None:
    one, other = Batch(service, "=cmd"), Batch(service, "\N{LATIN SMALL LETTER U WITH DIAERESIS}/b")
    a, *_ = one.send(4)
    other.send(1, track={"opens": False})
    one.open(a)
    found = {"=cmd": one.read(), other.name: other.read()}
    head, *rows = cells(service.call("GET", "/v1/reports.csv", params={"batch": ["=cmd", other.name]}))
    assert head == ["batch", "created_at", "metric", "count", "of", "rate", "low", "high"]
    assert [row[:3] for row in rows] == [
        [name.replace("=", "'="), found[name]["created_at"], metric] for name in found for metric in METRICS
    ]
    assert [row[3:6] for row in rows[:1]] == [["1", "4", "0.25"]]
    assert rows[len(METRICS)][3:] == ["0", "0", "", "", ""]
    answer = service.call("GET", "/v1/reports.csv", params={"batch": other.name})
    assert len(cells(answer)) == 1 + len(METRICS)
    assert 'filename="reports.csv";' in answer.headers["content-disposition"]
    assert "; filename=\"__b.csv\"; filename*=UTF-8''%C3%BC_b.csv" in other.csv().headers["content-disposition"]
