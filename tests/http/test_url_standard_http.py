"""Threats 9 to 11: the URL standard's own test cases and header injections, through the rewriter and the redirect."""

from __future__ import annotations

import itertools
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from raw import ask
from serving import Service, serving
from url_standard import inputs, is_web, standard

pytest_plugins = ["service_fixtures"]

CRLF = [
    "\r\n", "\n", "\r", "\t", "\0", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u560d\u560a",
    "%0d%0a", "%0D%0A%20", "%00", "&#13;&#10;", "&#x0d;&#x0a;", "\\r\\n", "\r\n\r\n", "%E5%98%8D%E5%98%8A",
    "\uff0d\uff0a",
]  # fmt: skip
"""What ends a line somewhere; some of them do once they are decoded, cut to a byte or mapped to ASCII."""
NAMES = {"location", "content-length", "cache-control", "referrer-policy", "x-robots-tag", "date", "connection"}
INJECTED = "Set-Cookie: injected=1"
_ids = (f"standard-{number}" for number in itertools.count())


def rewritten(service: Service, urls: list[str], **fields: Any) -> list[dict[str, Any]]:
    """The report on a message with these links."""
    html = "".join(f'<a href="{escape(url)}">x</a>\n' for url in urls)
    return list(service.rewrite(next(_ids), html=html, unsubscribe={"footer": "never"}, **fields)["links"])


def check(service: Service, link: dict[str, Any], original: str) -> bool:
    """Whether ``link`` is tracked; if so, it leads where ``original`` does, and says nothing else."""
    if link["action"] == "skipped":
        assert link["tracked_url"] is None
        return False
    meant = "https:" + original.strip() if original.strip().startswith("//") else original
    meant = meant.replace("\0", "\ufffd")  # as every attribute has it (HTML standard, 13.2.5.36)
    answer = ask(service.port, "GET", link["tracked_url"].removeprefix(service.url))
    assert answer.status == 302, original
    header = answer.one("location")
    assert is_web(meant), original
    assert standard(header.decode("ascii")) == standard(meant), original
    assert header == link["url"].encode() or not link["url"].isascii(), original
    names = sorted(name for name, _ in answer.headers)
    assert names == sorted({*names}), "each header once"
    assert set(names) == NAMES
    return True


def test_the_cases_of_the_url_standard_over_http(service: Service) -> None:
    urls = [url for url in inputs("urltestdata.json") if url.isascii() or not re.search("[\ud800-\udfff]", url)]
    tracked = 0
    for start in range(0, len(urls), 200):
        part = urls[start : start + 200]
        for url, link in zip(part, rewritten(service, part), strict=True):
            tracked += check(service, link, url)
    assert tracked > 100


@pytest.mark.parametrize("place", ["path{}", "?query{}=1", "#fragment{}", "?a=b&amp{};"])
def test_no_line_end_in_a_destination_makes_a_header(service: Service, place: str) -> None:
    urls = ["https://shop.example/" + place.format(crlf + INJECTED) for crlf in CRLF]
    tracked = [check(service, link, url) for url, link in zip(urls, rewritten(service, urls), strict=True)]
    assert any(tracked)


def test_no_line_end_in_a_parameter_makes_a_header(service: Service) -> None:
    for crlf in CRLF:
        params = {f"name{crlf}{INJECTED}": f"value{crlf}{INJECTED}"}
        (link,) = rewritten(service, ["https://shop.example/?a=1#top"], link_params=params)
        assert check(service, link, link["url"])
        assert link["url"].startswith("https://shop.example/?a=1&name")
        assert link["url"].endswith("#top")


def test_no_line_end_in_a_field_makes_a_header_of_the_mail(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        for crlf in CRLF:
            text = f"x{crlf}{INJECTED}"
            assert service.call("PUT", "/v1/settings", json={"sender_name": text}).status_code in (200, 422)
            for field in ("message_id", "list", "batch", "recipient", "rfc822_message_id"):
                body = {"message_id": next(_ids), "html": "<p>x</p>", "text": "x", field: text}
                answer = service.call("POST", "/v1/rewrite", json=body)
                if answer.status_code == 422:
                    continue
                assert field != "message_id"
                headers = answer.json()["headers"]
                assert set(headers) == {"List-Unsubscribe", "List-Unsubscribe-Post", "X-Tracker-Id"}
                for value in headers.values():
                    assert value.isascii()
                    assert value.isprintable()
                for name in ("unsubscribe_url", "open_url"):
                    page = ask(service.port, "GET", answer.json()[name].removeprefix("http://127.0.0.1:8000"))
                    assert page.status == 200
                    assert not page.all("set-cookie")
        assert service.client.get("/healthz").status_code == 200
        assert '"level":"error"' not in service.output()
