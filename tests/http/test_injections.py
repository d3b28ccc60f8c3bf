"""Threats 7, 11 and 16: strings that mean something to somebody, in every field that reaches a page, a CSV or a log."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import turbohtml
from operating import Operator
from raw import Raw, ask
from serving import API_KEY, BROWSER, Service, eventually, serving

pytest_plugins = ["service_fixtures"]

MARK = "x7q"
"""In each of them, so that they can be told from what else is on a page."""
STRINGS = [
    "<script>x7q()</script>", "</title><script>x7q()</script>", "</textarea><img src=x7q onerror=x7q()>",
    "<svg/onload=x7q()>", "\"><img src=x7q onerror=x7q()>", "'><iframe srcdoc=x7q>",
    "\" autofocus onfocus=x7q() a=\"", "' onmouseover='x7q()' a='", "x7q` onmouseover=x7q()", "<!--x7q",
    "--!><b>x7q</b>", "]]><b>x7q", "<![CDATA[x7q", "<a href=javascript:x7q()>x7q</a>", "javascript:x7q()",
    "<style>*{x7q:x}</style>", "</style><b>x7q", "<meta http-equiv=refresh content=0;url=//x7q>",
    "<base href=//x7q.example/>", "<form action=//x7q><button>",
    "<math><mtext></form><form><mglyph><style></math><img src=x7q onerror=x7q>", "&lt;b&gt;x7q&amp;&#60;i&#62;",
    "&#x3c;script&#x3e;x7q", "+ADw-script+AD4-x7q", "\u02bascript\u02ba x7q", "\uff1cscript\uff1ex7q",
    "{{ 7*7 }}x7q", "{% for x7q in y %}", "${7*7}x7q", "<%= 7*7 %>x7q", "#{7*7}x7q", "{{config.__class__}}x7q",
    "{{x7q|safe}}", "%(x7q)s %s %d", "{0.__class__}x7q", "=cmd|' /C calc'!A0 x7q", "+x7q+1", "-x7q-1", "@SUM(x7q)",
    "=HYPERLINK(\"//x7q\")", "\uff1dx7q()", "\u202ex7q\u2066 txt.exe", "\u200bx7q\u200d\ufeff", "x7q\u2028x7q\u2029",
    "x7q\x85", "Z\u0351\u0351\u0351x7q", "\U0001f468\u200d\U0001f469x7q", "x7q\ufffd\uffff", "../../../x7q",
    "..\\x7q", "x7q;rm -rf /", "$(x7q)", "`x7q`", "x7q' OR '1'='1", "x7q\"; DROP TABLE events;--", "x7q\\",
    "x7q%00%0d%0a", "x7q\r\nX-Injected: 1", "x7q\nlevel=error", "x7q\0", "\x1b[31mx7q", "x7q\t=1", "\t=x7q",
    "\r=x7q", '{"level":"error","x7q":1}', "x7q" * 40,
]  # fmt: skip
FILE = re.compile(r"attachment; filename=\"[ -!#-~]*\"; filename\*=UTF-8''[\w.%~-]+")
BENIGN = "plain words"
_numbers = itertools.count()

Shape = set[tuple[str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data", LOG_LEVEL="debug") as service:
        yield service


@pytest.fixture(scope="module")
def operator(service: Service) -> Iterator[Operator]:
    with Operator(service) as operator:
        assert operator.sign_in(API_KEY).status_code == 303
        yield operator


class Told:
    """All that was asked with one string, and all that answers to it."""

    def __init__(self, service: Service, operator: Operator, text: str) -> None:
        self._service = service
        self._operator = operator
        self.text = text
        self.id = f"injected-{next(_numbers)}"
        self.pages: list[tuple[str, str]] = []
        """Where, and the HTML."""
        self.shape: Shape = set()
        """The elements of the pages, with the names of their attributes."""

    def tell(self) -> None:
        """Use the string wherever there is a place that takes it."""
        for name in ("sender_name", "postal_address"):
            known = self._service.call("GET", "/v1/settings").json()
            taken = self._service.call("PUT", "/v1/settings", json={**known, name: self.text}).status_code
            assert taken in (200, 422), taken
        html = f'<a href="https://shop.example/{quote(self.text)}?{quote(MARK)}">x</a>'
        names = {"recipient": f"{self.text} {self.id}", "list": self.text, "batch": f"{self.text} {self.id}"}
        fields = {name: value if self._takes(name, value) else f"{BENIGN} {self.id}" for name, value in names.items()}
        self.fields = fields
        self.mail = self._service.rewrite(self.id, html=html, text="x", **fields)
        self.batch = fields["batch"]
        self.form = self._path(self.mail["unsubscribe_url"])
        agent = re.sub(r"[\r\n\0]", " ", self.text).encode().decode("latin-1")
        headers = [
            ("User-Agent", f"{BROWSER} {agent}"),
            *((name, agent) for name in ("Accept", "X-Purpose", "Referer")),
        ]
        for url in (self.mail["open_url"], self.mail["links"][0]["tracked_url"]):
            assert ask(self._service.port, "GET", self._path(url), headers).status in (200, 302, 400)
        self._report()

    def _path(self, url: str) -> str:
        return url.removeprefix(self._service.url)

    def _takes(self, name: str, value: str) -> bool:
        body = {"message_id": f"probe-{next(_numbers)}", "text": "x", name: value}
        status = self._service.call("POST", "/v1/rewrite", json=body).status_code
        assert status in (200, 422), (name, value, status)
        return status == 200

    def _report(self) -> None:
        event = {"message_id": self.id, "type": "failed", "occurred_at": "2026-11-23T12:00:00Z"}
        for name in ("event_id", "status_code", "reason", "list", "message_id"):
            one = {"event_id": f"{self.id}-{name}", **event, name: self.text}
            status = self._service.call("POST", "/v1/events", json={"events": [one]}).status_code
            assert status in (202, 422), (name, status)
        known = [{"event_id": f"{self.id}-last", **event, "status_code": "550 5.1.1", "reason": "no such person"}]
        assert self._service.call("POST", "/v1/events", json={"events": known}).status_code == 202
        eventually(lambda: "failed" in self._service.types(self.id))

    def look(self) -> None:
        """Read every page that may have the string on it."""
        self.pages.append(("mail", self.mail["html"]))
        path, strange = self.form, quote(self.text, safe="")
        for method, target in (
            ("GET", path), ("GET", f"{path}?x={strange}"), ("GET", f"/u/{strange}"),
            ("GET", f"/c/{strange}"), ("POST", f"{path}/stop-tracking"), ("POST", path),
        ):  # fmt: skip
            answer = ask(self._service.port, method, target, [("Content-Type", "text/html")], b"")
            self._public(answer)
            self.pages.append((target, answer.body.decode()))
        batch = quote(self.batch, safe="")
        for path in (
            "/console", f"/console/batches/{batch}", f"/console/batches/{batch}/messages",
            f"/console/messages/{self.id}", "/console/settings", "/console/search",
            f"/console/compare?batch={batch}", f"/console/nothing/{strange}", f"/console/batches/{strange}",
            f"/console/messages/{strange}",
        ):  # fmt: skip
            self.pages.append((path, self._operator.get(path).text))
        for by in ("message", "recipient", "batch"):
            found = self._operator.send("/console/search", {"text": self.text, "by": by})
            assert found.status_code < 500
            self.pages.append((f"search by {by}", found.text))
        for where, page in self.pages:
            self.shape |= shape(page, where)

    def _public(self, answer: Raw) -> None:
        policy = answer.one("content-security-policy").decode()
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.one("content-type") == b"text/html; charset=utf-8"
        assert answer.one("x-content-type-options") == b"nosniff"
        assert not answer.all("set-cookie")
        assert all(MARK.encode() not in value for _, value in answer.headers)

    def tables(self) -> list[list[str]]:
        """The cells of the CSV files that it may be in."""
        batch = quote(self.batch, safe="")
        paths = [f"/v1/batches/{batch}/messages.csv", f"/v1/reports.csv?batch={batch}"]
        answers = [self._service.call("GET", path) for path in paths]
        answers.append(self._operator.get(f"/console/batches/{batch}/messages.csv"))
        for answer in answers:
            assert answer.status_code == 200, answer.text
            assert re.fullmatch(
                r"attachment; filename=\"[ -!#-~]*\"; filename\*=UTF-8''[\w.%~-]+",
                answer.headers["content-disposition"],
            )
        texts = [io.StringIO(answer.content.decode(), newline="") for answer in answers]
        return [row for text in texts for row in csv.reader(text, strict=True)]


def shape(page: str, where: str) -> Shape:
    """What elements a page has, by the names of their attributes; and that none of those runs or leads elsewhere."""
    found: Shape = set()
    for element in turbohtml.parse(page).select("*"):
        found.add((element.tag, tuple(sorted(element.attrs))))
        for name, value in element.attrs.items():
            assert not name.startswith("on"), (where, element.tag, name)
            if name in ("href", "src", "action", "formaction", "data", "srcdoc"):
                local = str(value).startswith(("/", "#", "?", "data:,", "https://shop.example/", "http://127.0.0.1:"))
                assert local, (where, element.tag, name, value)
                assert not str(value).startswith("//"), (where, element.tag, name, value)
    return found


@pytest.fixture(scope="module")
def usual(service: Service, operator: Operator) -> Shape:
    """The elements of the pages when nobody means any harm."""
    for number in range(60):  # so many that the list of them has a second page
        service.rewrite(f"usual-{number}", batch=f"usual {number}")
    eventually(lambda: service.message("usual-59"))
    found: Shape = set()
    for text in (BENIGN, f"{BENIGN}\nin two lines", "a b/c"):
        told = Told(service, operator, text)
        told.tell()
        told.look()
        found |= told.shape
    return found


@pytest.mark.parametrize("text", STRINGS, ids=range(len(STRINGS)))
def test_a_string_is_shown_as_it_is_and_means_nothing(
    service: Service, operator: Operator, usual: Shape, text: str
) -> None:
    told = Told(service, operator, text)
    told.tell()
    told.look()
    assert told.shape <= usual, told.shape - usual
    if told.fields["list"] == text:
        page = turbohtml.parse(told.pages[1][1]).select("main")[0].text
        assert f"“{text}”" in page
    for cell in itertools.chain.from_iterable(told.tables()):
        assert not re.match(r"[=+@\-\t\r\n\uff1d\uff0b\uff0d\uff20](?!\d)", cell), cell


def test_a_log_line_is_one_object_and_knows_nothing_of_them(service: Service, usual: Shape) -> None:
    lines = service.stderr.read_text().splitlines()
    assert lines
    for line in lines:
        entry: dict[str, Any] = json.loads(line)
        assert {"time", "level", "logger", "message"} <= set(entry)
        assert entry["level"] != "error", line
        # What an operator changed a setting to stands in the audit log.
        assert MARK not in line or (entry["action"], entry["act"]) == ("audit", "settings_changed"), line
    assert MARK not in service.client.get("/metrics").text
