"""A small HTTP client for the demo: the API's calls, and requests as mail clients make them.

Owns one address and key. Must not follow redirects: the demo shows where they lead, and does not go there.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

TIMEOUT_S: Final = 10.0


class Unreachable(Exception):
    """The service did not answer, or not as it should."""


class Answer(NamedTuple):
    """Status code, Location if there is one, and body."""

    status: int
    location: str | None
    body: bytes


class Client:
    """Calls the service at ``base_url`` with an API key."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self._authority = urlsplit(base_url).netloc
        self._api_headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: str = "") -> Answer:
        """One request; raises `Unreachable`."""
        connection = http.client.HTTPConnection(self._authority, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body.encode() or None, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.getheader("Location"), response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{method} on {self.base_url}: {error!r}") from error
        finally:
            connection.close()

    def rewrite(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """``POST /v1/rewrite``."""
        return self._answered(self.request("POST", "/v1/rewrite", self._api_headers, json.dumps(message)))

    def message(self, message_id: str) -> dict[str, Any] | None:
        """``GET /v1/messages/{message_id}``; None while the store does not know it."""
        answer = self.request("GET", f"/v1/messages/{quote(message_id)}", self._api_headers)
        return None if answer.status == 404 else self._answered(answer)

    def events(self, message_id: str) -> list[dict[str, Any]]:
        """``GET /v1/messages/{message_id}/events``."""
        answer = self.request("GET", f"/v1/messages/{quote(message_id)}/events", self._api_headers)
        return list(self._answered(answer)["events"])

    def _answered(self, answer: Answer) -> dict[str, Any]:
        if answer.status != 200:
            raise Unreachable(f"{self.base_url} answered {answer.status}: {answer.body.decode(errors='replace')}")
        return dict(json.loads(answer.body))
