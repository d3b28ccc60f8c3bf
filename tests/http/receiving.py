"""An account's own system, as far as webhooks are concerned: it takes what it is told, and keeps it.

Owns one server on loopback. Must not import the package under test.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """An HTTP server on loopback that keeps what it gets, and answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in?token=very-secret"

    def data(self, message_id: str | None = None) -> list[dict[str, Any]]:
        """What was received, of one message or of all."""
        data = [json.loads(body)["data"] for _, body in self.got]
        return [each for each in data if message_id in (None, each["message_id"])]

    def told(self) -> list[tuple[str, str]]:
        """Message and stage of each that was received."""
        return [(each["message_id"], each["stage"]) for each in self.data()]
