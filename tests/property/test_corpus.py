"""Every published template of the corpus, through the rewriter: with readers that share no code with it."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rewriting import CODEC, MESSAGE, ORIGIN, decode_attribute, rewrite, undo

from tracker.core.plan import Options, Tracks
from tracker.core.tokens import Purpose

CORPUS = Path(os.environ.get("EMAIL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
FILES = sorted(CORPUS.rglob("*.html"))
pytestmark = pytest.mark.skipif(not FILES, reason="no corpus: EMAIL_CORPUS names no folder with .html files")
C0_OR_SPACE = "".join(map(chr, range(33)))


@pytest.fixture(params=FILES, ids=[path.name for path in FILES])
def html(request: pytest.FixtureRequest) -> str:
    path: Path = request.param
    return path.read_bytes().decode()


def cleaned(raw: str) -> str:
    """What a browser would resolve, of an attribute's raw value."""
    url = re.sub("[\t\r\n]", "", decode_attribute(raw).strip(C0_OR_SPACE))
    return f"https:{url}" if url.startswith("//") else url


class Anchors(HTMLParser):
    """The links to the web of a page, as the standard library reads them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.urls: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = next((value for name, value in attrs if name == "href"), None)
        if tag == "a" and href and re.match("https?://", href.strip(), re.IGNORECASE):
            self.urls.append(href.strip())


def test_undoing_gives_the_input_back_and_every_token_leads_to_the_original(html: str) -> None:
    rewritten = rewrite(html, tracks=Tracks(), options=Options())
    assert rewritten.html is not None
    restored, exchanged = undo(html, rewritten.html)
    assert restored == html
    reported = [link for link in rewritten.links if link.tracked_url]
    assert [f"{ORIGIN}/c/{token}" for token, _ in exchanged] == [link.tracked_url for link in reported]
    for number, (token, raw) in enumerate(exchanged):
        said = CODEC.verify(Purpose.CLICK, token)
        assert (said.destination, said.link, said.message_id) == (cleaned(raw), number, MESSAGE.message_id)
        assert reported[number].url == said.destination


def test_rewriting_again_changes_nothing(html: str) -> None:
    first = rewrite(html, html, tracks=Tracks(), options=Options())
    again = rewrite(first.html, first.text, tracks=Tracks(), options=Options())
    assert (again.html, again.text) == (first.html, first.text)


def test_no_link_to_the_web_is_left_without_a_reason(html: str) -> None:
    rewritten = rewrite(html)
    assert all(link.tracked_url or link.reason for link in rewritten.links)
    reported = [link.url for link in rewritten.links]
    for url in Anchors(html).urls:
        assert url in reported
        reported.remove(url)
    assert rewritten.html is not None
    left = [link.url for link in rewritten.links if link.reason]
    for url in Anchors(rewritten.html).urls:
        assert url.startswith(f"{ORIGIN}/c/") or url in left
