"""A small HTTP client for the demo: the API's calls, and requests as mail clients make them.

Owns one address and key, and a connection for each thread that calls. Must not follow redirects: the demo shows where
they lead, and does not go there.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

TIMEOUT_S: Final = 30.0
SETTLE_S: Final = 30.0
POLL_S: Final = 0.05
IDLE_S: Final = 2.0
"""How long a connection may have been idle and still be used: the service closes idle ones after some seconds."""

_T = TypeVar("_T")


class Unreachable(Exception):
    """The service did not answer, or not as it should."""


class Answer(NamedTuple):
    """Status code, Location if there is one, and body."""

    status: int
    location: str | None
    body: bytes


class _Connection(threading.local):
    """Each thread's own, kept for its next request."""

    def __init__(self, authority: str) -> None:
        self._connection = http.client.HTTPConnection(authority, timeout=TIMEOUT_S)
        self._used_at = 0.0

    def request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if time.monotonic() - self._used_at > IDLE_S:
            self._connection.close()  # and the request opens it anew
        try:
            self._connection.request(method, path, body or None, dict(headers))
            response = self._connection.getresponse()
            answer = Answer(response.status, response.getheader("Location"), response.read())
        except BaseException:
            self._connection.close()  # what comes next on it would be this request's answer
            raise
        self._used_at = time.monotonic()
        return answer


class Client:
    """Calls the service at ``base_url`` with an API key."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self._connection = _Connection(urlsplit(base_url).netloc)
        self._authorization = {"Authorization": f"Bearer {api_key}"}

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request; raises `Unreachable`."""
        try:
            return self._connection.request(method, path, body, headers or {})
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{method} on {self.base_url}: {error!r}") from error

    def rewrite(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """``POST /v1/rewrite``."""
        return self._json(self._post("/v1/rewrite", message))

    def rewrite_batch(self, letter: Mapping[str, Any]) -> list[dict[str, Any]]:
        """``POST /v1/rewrite/batch``: an answer or an error for each recipient."""
        lines = self._checked(self._post("/v1/rewrite/batch", letter)).splitlines()
        return [json.loads(line) for line in lines]

    def report_events(self, events: Sequence[Mapping[str, Any]]) -> int:
        """``POST /v1/events``; returns how many are on disk now."""
        return int(self._json(self._post("/v1/events", {"events": events}), 202)["accepted"])

    def report_mail(self, raw: bytes) -> list[dict[str, Any]]:
        """``POST /v1/events/report``; returns what was recorded of it."""
        headers = {**self._authorization, "Content-Type": "message/rfc822"}
        return list(self._json(self.request("POST", "/v1/events/report", headers, raw), 202)["recorded"])

    def message(self, message_id: str) -> dict[str, Any]:
        """``GET /v1/messages/{message_id}``."""
        return self._json(self._get(f"/v1/messages/{quote(message_id)}"))

    def events(self, message_id: str) -> list[dict[str, Any]]:
        """``GET /v1/messages/{message_id}/events``; none while the store does not know the message."""
        answer = self._get(f"/v1/messages/{quote(message_id)}/events")
        return [] if answer.status == 404 else list(self._json(answer)["events"])

    def changes(self, after: str) -> dict[str, Any]:
        """``GET /v1/changes``: one page."""
        return self._json(self._get(f"/v1/changes?after={quote(after)}"))

    def comparison(self, batches: Sequence[str]) -> dict[str, Any]:
        """``GET /v1/reports``: each of the batches after the first against the first."""
        return self._json(self._get(f"/v1/reports?{urlencode([('batch', batch) for batch in batches])}"))

    def _get(self, path: str) -> Answer:
        return self.request("GET", path, self._authorization)

    def _post(self, path: str, body: Mapping[str, Any]) -> Answer:
        headers = {**self._authorization, "Content-Type": "application/json"}
        return self.request("POST", path, headers, json.dumps(body).encode())

    def _json(self, answer: Answer, expected: int = 200) -> dict[str, Any]:
        return dict(json.loads(self._checked(answer, expected)))

    def _checked(self, answer: Answer, expected: int = 200) -> bytes:
        if answer.status != expected:
            raise Unreachable(f"{self.base_url} answered {answer.status}: {answer.body.decode(errors='replace')}")
        return answer.body


def settled(read: Callable[[], _T], accept: Callable[[_T], bool]) -> _T:
    """What ``read`` gives once ``accept`` likes it: events reach the store a moment after they were answered."""
    deadline = time.monotonic() + SETTLE_S
    while not accept(value := read()):
        if time.monotonic() > deadline:
            raise Unreachable("the events did not get to the status store in time; see the log above")
        time.sleep(POLL_S)
    return value
