"""Mail of ours that is rewritten once more: for the same message, or sent again as another."""

from __future__ import annotations

import pytest
from rewriting import CODEC, MESSAGE, ORIGIN, report, rewrite

from tracker.core import html as html_body
from tracker.core.plan import Options, Tracks
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import Purpose

OTHER = MESSAGE._replace(message_id="other")


def unsubscribe_url(message_id: str) -> str:
    return f"{ORIGIN}/u/{CODEC.tokens_for(MESSAGE._replace(message_id=message_id)).unsubscribe()}"


def test_its_unsubscribe_link_alone_does_not_stop_a_message_from_being_rewritten() -> None:
    url = rewrite("<p>hi</p>").unsubscribe_url
    done = rewrite(f"<a href=https://e.com/>x</a> <a href='{url}'>u</a>", options=Options())
    assert report(done) == ["0 https://e.com/", f"unsubscribe {url}"]
    assert done.html is not None
    assert done.html.count(url) == 1
    assert rewrite(done.html, options=Options()).html == done.html


def test_a_message_that_was_rewritten_before_is_left_with_a_warning() -> None:
    done = rewrite("<a href=https://e.com/>x</a>", tracks=Tracks())
    again = rewrite(done.html, "https://e.com/", tracks=Tracks())
    assert (again.html, again.text) == (done.html, "https://e.com/")
    assert [notice.code for notice in again.warnings] == ["rewritten_before"]


def test_opt_outs_outlive_a_second_rewriting() -> None:
    for tracks in (Tracks(True, True), Tracks(False, True), Tracks(True, False), Tracks(False, False)):
        done = rewrite("<a data-no-track href=https://e.com/>x</a>", "https://e.com/", tracks=tracks, options=Options())
        again = rewrite(done.html, done.text, tracks=tracks, options=Options())
        assert (again.html, again.text) == (done.html, done.text)


@pytest.mark.parametrize(
    "href",
    [
        "{}",
        "{}?src=1",
        "{}#x",
        "HTTPS{}",
        "https://e.com/?r={}",
    ],
)
def test_another_recipients_unsubscribe_link_becomes_this_ones(href: str) -> None:
    theirs, ours = unsubscribe_url("other"), unsubscribe_url(MESSAGE.message_id)
    href = href.format(theirs).replace("HTTPShttps", "HTTPS")
    done = rewrite(f'<a href="{href}">u</a>', f"See {href} now")
    for body in (done.html, done.text):
        assert body is not None
        assert theirs.partition("//")[2] not in body
        assert ours in body
        assert "/c/" not in body
    assert {link.action for link in done.links} == {"skipped"}


@pytest.mark.parametrize(
    "spelling", ["//t.example.com{}", "https://T.example.com:443{}", "https://t.example.com{}?x=1"]
)
def test_another_messages_tracked_link_is_unwrapped_however_it_is_spelled(spelling: str) -> None:
    sent = rewrite("<a href=https://e.com/>x</a>", message=OTHER)
    path = (sent.links[0].tracked_url or "").removeprefix(ORIGIN)
    done = rewrite(f'<a href="{spelling.format(path)}">x</a>')
    assert report(done) == ["0 https://e.com/"]
    token = CODEC.verify(Purpose.CLICK, (done.links[0].tracked_url or "").rpartition("/")[2])
    assert token.message_id == MESSAGE.message_id


def test_what_is_in_force_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rewrite(None, "https://e.com/", tracks=Tracks()).track == Tracks(opens=False, clicks=True)

    def broken(html: str, *, images: bool = False) -> html_body.Page:
        raise RuntimeError

    monkeypatch.setattr(html_body, "scan", broken)
    done = Rewriter(CODEC, ORIGIN).prepare("<a href=https://e.com/>x</a>", None).render(MESSAGE, Tracks())
    assert done.track == Tracks(opens=False, clicks=False)
    assert done.open_url is None
