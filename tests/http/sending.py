"""Batches as mailers send them: what happens to their messages, and what is said of them.

Owns one batch at a time. Must not import the package under test.
"""

from __future__ import annotations

import datetime
import itertools
import json
from typing import Any
from urllib.parse import quote

from serving import Service, eventually

LINKS = '<a href="https://shop.example/a">A</a> <a href="https://shop.example/b">B</a>'
METRICS = [
    "open_rate", "click_rate", "click_to_open", "delivery_rate", "failure_rate", "reply_rate", "unsubscribe_rate",
    "complaint_rate",
]  # fmt: skip
_numbers = itertools.count()


class Batch:
    """A batch as its mailer sends it."""

    def __init__(self, service: Service, name: str = "") -> None:
        self.service = service
        self.name = name or f"batch-{next(_numbers)}"
        self.path = f"/v1/batches/{quote(self.name, safe='')}"
        self.mails: dict[str, dict[str, Any]] = {}

    def send(self, count: int, **fields: Any) -> list[str]:
        """Rewrite ``count`` messages; their ids. Message ``m`` is for the recipient ``lead-m``."""
        ids = [f"m-{next(_numbers):05}" for _ in range(count)]
        consent = fields.pop("consent", {})
        people = [{"message_id": id_, "recipient": f"lead-{id_}", "consent": consent} for id_ in ids]
        self._send(people, fields)
        return ids

    def send_to(self, *recipients: str) -> None:
        """Rewrite a message for each."""
        self._send([{"message_id": f"m-{next(_numbers):05}", "recipient": one} for one in recipients], {})

    def _send(self, people: list[dict[str, Any]], fields: dict[str, Any]) -> None:
        call = {"html": LINKS, "batch": self.name, "recipients": people, **fields}
        answer = self.service.call("POST", "/v1/rewrite/batch", json=call)
        self.mails |= {mail["message_id"]: mail for mail in map(json.loads, answer.iter_lines())}

    def open(self, *ids: str, headers: dict[str, str] | None = None) -> None:
        for id_ in ids:
            assert self.service.client.get(self.mails[id_]["open_url"], headers=headers).status_code == 200

    def click(self, *ids: str, link: int = 0, headers: dict[str, str] | None = None) -> None:
        for id_ in ids:
            url = self.mails[id_]["links"][link]["tracked_url"]
            assert self.service.client.get(url, headers=headers).status_code == 302

    def report(self, type_: str, *ids: str, **fields: Any) -> None:
        """Report that this happened to them an hour ago."""
        at = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)).isoformat()
        events = [
            {"event_id": f"e-{next(_numbers)}", "message_id": id_, "type": type_, "occurred_at": at, **fields}
            for id_ in ids
        ]
        answer = self.service.call("POST", "/v1/events", json={"events": events})
        assert answer.status_code == 202, answer.text

    def read(self) -> dict[str, Any]:
        """The report, with all that was done."""
        last = f"last-{next(_numbers)}"
        self.service.rewrite(last)
        eventually(lambda: self.service.message(last))  # what came before it in the spool is in the store, too
        answer = self.service.call("GET", self.path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store, private"
        return dict(answer.json())

    def csv(self) -> Any:
        """The answer to ``GET /v1/batches/{batch}/messages.csv``."""
        return self.service.call("GET", f"{self.path}/messages.csv")
