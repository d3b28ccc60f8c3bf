"""Several accounts in one service, each with a host of its own, and requests to a host name.

Must not import the package under test.
"""

from __future__ import annotations

from typing import Any

from raw import Raw, connected, received
from serving import API_KEY, Service, eventually, run

SCOPES = ("rewrite", "events", "read", "admin")


class Tenant:
    """An account as its owner uses it, and where its links lead."""

    def __init__(self, service: Service, name: str, origin: str) -> None:
        self.service = service
        self.name = name
        self.origin = origin
        self.host = origin.partition("//")[2]
        self.key = API_KEY if name == "default" else self._made()
        eventually(lambda: self.call("GET", "/v1/settings").status_code, lambda status: status == 200)

    def _made(self) -> str:
        self._tracker("accounts", "add", self.name, "--origin", self.origin)
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        return self._tracker("keys", "add", "--account", self.name, "--name", "test", *scopes)

    def _tracker(self, *arguments: str) -> str:
        ran = run(self.service.data_dir, *arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.decode().strip()

    def call(self, method: str, path: str, **more: Any) -> Any:
        return self.service.call(method, path, headers={"Authorization": f"Bearer {self.key}"}, **more)

    def rewrite(self, message_id: str, **fields: Any) -> dict[str, Any]:
        """``POST /v1/rewrite``, which must work."""
        body = {"message_id": message_id, "html": '<a href="https://shop.example/">Shop</a>', **fields}
        answer = self.call("POST", "/v1/rewrite", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def tokens(self, message_id: str) -> dict[str, str]:
        """A message's tokens by purpose: open, click, unsubscribe, header."""
        mail = self.rewrite(message_id)
        urls = {"o": mail["open_url"], "c": mail["links"][0]["tracked_url"], "u": mail["unsubscribe_url"]}
        tokens = {kind: url.removeprefix(f"{self.origin}/{kind}/").removesuffix(".gif") for kind, url in urls.items()}
        return {**tokens, "header": mail["headers"]["X-Tracker-Id"]}

    def types(self, message_id: str) -> list[str]:
        answer = self.call("GET", f"/v1/messages/{message_id}/events")
        return sorted(event["type"] for event in answer.json()["events"]) if answer.status_code == 200 else []


def ask_at(service: Service, host: str, method: str, target: str, *headers: str) -> Raw:
    """One request to a host name, whatever address it has."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "Content-Length: 0"]
    with connected(service.port) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        return received(connection)


def seen(answer: Raw) -> tuple[int, list[tuple[str, bytes]], bytes]:
    """All that tells one answer from another, but for the time of day."""
    return answer.status, [(name, value) for name, value in answer.headers if name != "date"], answer.body
