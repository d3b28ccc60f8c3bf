"""Pixels, tracked links and unsubscribe pages, as mail programs and scanners ask for them: the public contract."""

from __future__ import annotations

import itertools

import pytest
from raw import Raw, ask, connected, received
from serving import Service

pytest_plugins = ["service_fixtures"]

PROMISED = {"cache-control": b"no-store, private", "referrer-policy": b"no-referrer", "x-robots-tag": b"noindex"}
_ids = (f"public-{number}" for number in itertools.count())


class Mail:
    """A rewritten message, by the paths of its links."""

    def __init__(self, service: Service, **fields: object) -> None:
        self.id = next(_ids)
        self.port = service.port
        self.rewritten = service.rewrite(self.id, **fields)
        self.open = self._path(self.rewritten["open_url"])
        self.click = self._path(self.rewritten["links"][0]["tracked_url"])
        self.unsubscribe = self._path(self.rewritten["unsubscribe_url"])

    def _path(self, url: str) -> str:
        origin = f"http://127.0.0.1:{self.port}"
        assert url.startswith(origin + "/")
        return url.removeprefix(origin)


@pytest.fixture
def mail(service: Service) -> Mail:
    return Mail(service)


def token(path: str) -> str:
    return path.removesuffix(".gif")[3:]


def check_promises(answer: Raw) -> None:
    for name, value in PROMISED.items():
        assert answer.one(name) == value, name
    for name in ("set-cookie", "etag", "last-modified", "server"):
        assert not answer.all(name), name
    assert answer.status == 302 or not answer.all("location")


def test_every_public_answer_carries_the_promised_headers(service: Service, mail: Mail) -> None:
    paths = [mail.open, mail.click, mail.unsubscribe, "/o/bad.gif", "/c/bad", "/u/bad", "/o/", "/c/", "/u/"]
    paths += ["/healthz", "/readyz", "/nothing", "/c", "/o", "/u", "//c/x", "/healthz/", "/v1/rewrite/", "/"]
    for path in paths:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            answer = ask(service.port, method, path)
            check_promises(answer)
            assert answer.status in (200, 302, 404, 405), (method, path)
            assert method != "HEAD" or answer.body == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused_and_record_nothing(service: Service, mail: Mail, method: str) -> None:
    for path, allowed in (
        (mail.open, b"GET, HEAD"),
        (mail.click, b"GET, HEAD"),
        (mail.unsubscribe, b"GET, HEAD, POST"),
    ):
        answer = ask(service.port, method, path)
        assert (answer.status, answer.one("allow")) == (405, allowed)
    assert ask(service.port, "POST", mail.click).status == ask(service.port, "POST", mail.open).status == 405
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "unsubscribed")


def test_a_pixel_is_served_whatever_the_token(service: Service, mail: Mail) -> None:
    names = [mail.open, "/o/x.gif", "/o/.gif", "/o/", "/o/a/b.gif", mail.open.removesuffix(".gif"), mail.open + "?a=b"]
    names += [f"/o/{token(path)}.gif" for path in (mail.click, mail.unsubscribe)]
    for path in names:
        answer = ask(service.port, "GET", path)
        assert answer.status == 200
        assert answer.one("content-type") == b"image/gif"
        assert answer.body.startswith(b"GIF89a\x01\x00\x01\x00")
        assert answer.body.endswith(b";")
        assert answer.one("content-length") == str(len(answer.body)).encode()
        # The colour that the graphic control extension makes transparent is the one that is drawn.
        assert b"!\xf9\x04\x01" in answer.body
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "opened", "opened", "unsubscribed")


def test_a_token_works_for_its_own_purpose_only(service: Service, mail: Mail) -> None:
    for path in (mail.open, mail.unsubscribe):
        answer = ask(service.port, "GET", f"/c/{token(path)}")
        assert answer.status == 404
    for path in (mail.open, mail.click):
        assert ask(service.port, "GET", f"/u/{token(path)}").status == 404
        assert ask(service.port, "POST", f"/u/{token(path)}").status == 404
    header = mail.rewritten["headers"]["X-Tracker-Id"]
    for path in ("/c/", "/u/"):
        assert ask(service.port, "GET", path + header).status == 404
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "unsubscribed")


def test_other_spellings_of_a_token_are_no_token(service: Service, mail: Mail) -> None:
    good = token(mail.click)
    escaped = f"%{ord(good[0]):02X}{good[1:]}"
    flipped = good[:-1] + ("A" if good[-1] != "A" else "B")
    spellings = [escaped, flipped, good + "=", good + "/", good + "%00", good + ".", "/" + good, good[:-1], good * 2]
    spellings += [good.swapcase(), good + "%0d%0aLocation:%20https://evil.example/", ";" + good, good + ";x=1"]
    bodies = set()
    for spelling in spellings:
        answer = ask(service.port, "GET", f"/c/{spelling}")
        assert answer.status == 404, spelling
        check_promises(answer)
        bodies.add(answer.body)
    assert len(bodies) == 1, "what is wrong with a token is not told"
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "unsubscribed")


def test_head_answers_like_get_and_records_nothing(service: Service, mail: Mail) -> None:
    for path in (mail.open, mail.click, mail.unsubscribe, "/c/bad", "/u/bad", "/healthz"):
        got, headed = (ask(service.port, method, path) for method in ("GET", "HEAD"))
        assert headed.body == b""
        assert headed.status == got.status
        assert [h for h in headed.headers if h[0] != "date"] == [h for h in got.headers if h[0] != "date"]
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "opened", "clicked", "unsubscribed")


def test_conditional_requests_get_the_whole_answer(service: Service, mail: Mail) -> None:
    conditions = [
        ("If-None-Match", "*"),
        ("If-Modified-Since", "Fri, 31 Dec 2100 23:59:59 GMT"),
        ("Range", "bytes=0-0"),
    ]
    for path, status in ((mail.open, 200), (mail.click, 302), (mail.unsubscribe, 200)):
        assert ask(service.port, "GET", path, conditions).status == status


def test_nothing_in_the_request_changes_where_a_link_leads(service: Service, mail: Mail) -> None:
    evil = "https://evil.example/"
    names = "u url l link next redirect redirect_url redirect_uri redir return return_to dest destination to r q target"
    names += " goto out view continue path file data host ref"
    queries = ["?" + "&".join(f"{name}={evil}" for name in names.split()), "?" + evil, "?utm_source=x", "?", "#" + evil]
    queries += [f"?{name}={evil}" for name in names.split()]
    headers = [("Host", "evil.example"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "gopher")]
    headers += [
        ("Forwarded", "host=evil.example"),
        ("X-Original-URL", evil),
        ("X-Rewrite-URL", evil),
        ("Referer", evil),
    ]
    for query in queries:
        answer = ask(service.port, "GET", mail.click + query, headers)
        assert (answer.status, answer.one("location")) == (302, b"https://shop.example/")
    answer = ask(service.port, "GET", "http://evil.example" + mail.click)
    assert answer.one("location") == b"https://shop.example/"


def test_the_host_header_changes_no_url(service: Service) -> None:
    call = {"message_id": "public-host", "html": '<a href="https://shop.example/">x</a>'}
    first, second = (
        service.call("POST", "/v1/rewrite", json=call, headers={"Host": host, "X-Forwarded-Host": host}).text
        for host in ("a.example", "evil.example:99")
    )
    assert first == second
    assert "evil" not in first


def test_a_very_long_request_is_answered(service: Service, mail: Mail) -> None:
    assert ask(service.port, "GET", "/c/" + "A" * 7000).status == 404
    assert ask(service.port, "GET", mail.click + "?" + "x" * 7000).status == 302
    headers = [("User-Agent", "Mozilla " * 2000), ("Accept", "x" * 5000), ("Cookie", "c" * 10_000)]
    assert ask(service.port, "GET", mail.open, headers).status == 200
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "clicked", "opened", "unsubscribed")
    (opened,) = [event for event in service.events(mail.id) if event["type"] == "opened"]
    assert len(opened["user_agent"]) == 512
    assert len(opened["accept"]) == 128


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /c/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /o/x.gif HTTP/1.1\r\nHost: x\r\nBad\x00Header: x\r\n\r\n",
        b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(service: Service, request_bytes: bytes) -> None:
    with connected(service.port) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(1)
        assert received(connection).status in (400, 404)
    assert service.client.get("/healthz").status_code == 200


def test_duplicated_headers_are_no_trouble(service: Service, mail: Mail) -> None:
    headers = [("User-Agent", "one"), ("User-Agent", "two"), ("X-Forwarded-For", "9.9.9.9"), ("Accept", "a")] * 3
    assert ask(service.port, "GET", mail.open, headers).status == 200
    assert ask(service.port, "GET", mail.open, [("User-Agent", "caf\xe9 \xff")]).status == 200
    ask(service.port, "POST", mail.unsubscribe)
    service.reached(mail.id, "rewritten", "opened", "opened", "unsubscribed")
