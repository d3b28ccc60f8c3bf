"""Threat 14: a mail program that unsubscribes as RFC 8058 says, over a raw socket, with nothing but the mail's headers.

Written from the text of RFC 8058 and RFC 2369. Must not import the package under test, nor use an HTTP client.
"""

from __future__ import annotations

import itertools
import re
import socket
from email import message_from_string
from email.message import Message
from typing import NamedTuple

import pytest
from serving import CALL_TIMEOUT_S, Service

pytest_plugins = ["service_fixtures"]

LIST = "Weekly “deals” for Zoë"
_ids = (f"one-click-{number}" for number in itertools.count())


class Answer(NamedTuple):
    status: int
    head: str
    body: str


class MailProgram:
    """Reads a mail's headers, and unsubscribes if they let it."""

    def __init__(self, mail: Message) -> None:
        # RFC 8058, 3.1: one HTTPS URI in the first header, exactly one pair in the second. (The tests have no TLS.)
        listed = mail.get_all("List-Unsubscribe")
        posted = mail.get_all("List-Unsubscribe-Post")
        assert listed is not None
        assert posted is not None
        assert len(listed) == len(posted) == 1
        # RFC 2369, 2: URIs in angle brackets, separated by commas; nothing else in them, nor white space.
        match = re.fullmatch(r"<(https?://([^/:<>\s]+):([0-9]+)(/[^<>\s,]*))>", listed[0])
        assert match is not None, listed[0]
        self.uri, self.host, self.port, self.target = match[1], match[2], int(match[3]), match[4]
        self.pair = posted[0]
        assert self.pair == "List-Unsubscribe=One-Click"

    def body(self, kind: str) -> tuple[str, str]:
        """RFC 8058, 3.2: the pair, in either of the two types that forms are sent in."""
        if kind == "urlencoded":
            return "application/x-www-form-urlencoded", self.pair
        name, _, value = self.pair.partition("=")
        boundary = "a-boundary-of-its-own"
        part = f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        return f"multipart/form-data; boundary={boundary}", f"--{boundary}\r\n{part}\r\n--{boundary}--\r\n"

    def post(self, kind: str) -> Answer:
        """POST, without cookies, authorization or any other context (3.2), in as few headers as HTTP needs."""
        type_, body = self.body(kind)
        lines = [
            f"POST {self.target} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Content-Type: {type_}",
            f"Content-Length: {len(body)}", "Connection: close", "", body,
        ]  # fmt: skip
        return self._send("\r\n".join(lines))

    def get(self) -> Answer:
        """What a scanner does with every URI that it sees."""
        return self._send(f"GET {self.target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: close\r\n\r\n")

    def _send(self, request: str) -> Answer:
        data = b""
        with socket.create_connection((self.host, self.port), timeout=CALL_TIMEOUT_S) as connection:
            connection.sendall(request.encode("ascii"))
            while chunk := connection.recv(65536):
                data += chunk
        head, _, body = data.decode().partition("\r\n\r\n")
        return Answer(int(head.split(" ")[1]), head.lower(), body)


def received(service: Service, message_id: str, **fields: str) -> MailProgram:
    """The mail as it arrives: the mailer put the headers on it, and a line of each is one line."""
    headers = service.rewrite(message_id, **fields)["headers"]
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    assert len(text.splitlines()) == len(headers)
    assert max(map(len, text.splitlines())) <= 998, "RFC 5322, 2.1.1"
    return MailProgram(message_from_string(f"From: a@b.example\r\n{text}\r\nHello"))


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
def test_one_click_unsubscribes(service: Service, kind: str) -> None:
    message_id = next(_ids)
    program = received(service, message_id, list=LIST, recipient=f"{message_id}@person.example")
    answer = program.post(kind)
    assert answer.status == 200
    # "The POST request MUST NOT include cookies"; "the server MUST NOT redirect": it is the mail program that asked.
    assert "\r\nlocation:" not in answer.head
    assert "\r\nset-cookie:" not in answer.head
    assert "You are unsubscribed" in answer.body
    service.reached(message_id, "rewritten", "unsubscribed")
    fields = {
        "message_id": next(_ids),
        "html": "x",
        "list": "Weekly “deals” for Zoë",
        "recipient": f"{message_id}@person.example",
    }
    assert service.call("POST", "/v1/rewrite", json=fields).status_code == 409, "and there is no more mail"


def test_a_hundred_posts_are_one_unsubscribe(service: Service) -> None:
    message_id = next(_ids)
    program = received(service, message_id)
    answers = {program.post(kind)[::2] for _ in range(50) for kind in ("urlencoded", "multipart")}
    assert {status for status, _ in answers} == {200}
    assert len(answers) == 1, "each is told the same"
    service.reached(message_id, "rewritten", *["unsubscribed"] * 100)
    message = service.message(message_id) or {}
    first = min(event["occurred_at"] for event in service.events(message_id) if event["type"] == "unsubscribed")
    assert (message["stage"], message["unsubscribed_at"]) == ("unsubscribed", first)


def test_fetching_the_uri_does_not(service: Service) -> None:
    message_id = next(_ids)
    program = received(service, message_id)
    for _ in range(5):
        answer = program.get()
        assert answer.status == 200
        assert "<form" in answer.body
    assert program.post("urlencoded").status == 200
    service.reached(message_id, "rewritten", "unsubscribed")


def test_the_uri_says_who_and_what_and_cannot_be_guessed(service: Service) -> None:
    """RFC 8058, 3.1 and 6: one URI for each recipient and list, hard to forge, and without anybody's address."""
    uris = set()
    for recipient, list_ in itertools.product(("ann@person.example", "bob@person.example"), ("a", "b")):
        program = received(service, next(_ids), recipient=recipient, list=list_)
        assert "person" not in program.uri
        uris.add(program.uri)
    assert len(uris) == 4
    program.target = program.target[:-1] + ("A" if program.target[-1] != "A" else "B")
    assert program.post("urlencoded").status == 404
