"""The hidden link: where it stands, what it says, and what becomes of it when a mail is rewritten once more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting import CLICKS, CODEC, MESSAGE, NO_FOOTER, NOTHING, ORIGIN, report, rewrite

from tracker.core.plan import Options, PixelPosition, Policy, Tracks
from tracker.core.rewrite import Rewritten
from tracker.core.tokens import Purpose, Token

ON, OFF = Policy(honeypot=True), Policy()
OTHER = MESSAGE._replace(message_id="other")
BODY = (
    "<html><body>\r\n<a clicktracking=off href=https://free.example/>f</a> "
    "<a href='https://a.example/?x=1&amp;y'>a</a> <a href=https://b.example/>b</a>\r\n</body></html>"
)
HIDDEN = re.compile(
    rf'<a href="{ORIGIN}/c/([\w-]+)" style="display:none" aria-hidden="true" tabindex="-1" rel="nofollow"></a>',
    re.ASCII,
)


def hidden(html: str | None) -> list[Token]:
    """What the hidden links of a body say, wherever they stand."""
    found = re.findall(rf"{ORIGIN}/c/([\w-]+)", html or "", re.ASCII)
    return [token for each in found if (token := CODEC.verify(Purpose.CLICK, each)).honeypot]


def without(done: Rewritten) -> str:
    return HIDDEN.sub("", done.html or "")


@pytest.mark.parametrize("tracks", [CLICKS, Tracks()])
@pytest.mark.parametrize("options", [NO_FOOTER, Options(link_params={"utm_source": "crm"})])
def test_it_leads_where_the_first_tracked_link_leads(tracks: Tracks, options: Options) -> None:
    done = rewrite(BODY, "https://c.example/", policy=ON, tracks=tracks, options=options)
    (token,) = hidden(done.html)
    first = done.links[1]
    assert (token.message_id, token.link, token.destination) == (MESSAGE.message_id, first.index, first.url)
    plain = rewrite(BODY, "https://c.example/", policy=OFF, tracks=tracks, options=options)
    assert without(done) == plain.html
    assert (done.text, done.links, done.warnings, done.track) == (plain.text, plain.links, plain.warnings, plain.track)


@pytest.mark.parametrize(
    ("html", "end"),
    [(BODY, "</body></html>"), ("<a href=https://a.example/>a</a>", ""), ("<a href=https://a.example/>a<p", "<p")],
)
def test_it_stands_before_the_pixel_at_the_end_of_the_body(html: str, end: str) -> None:
    done = rewrite(html, policy=ON, tracks=Tracks(), options=NO_FOOTER)
    (match,) = HIDDEN.finditer(done.html or "")
    behind = (done.html or "")[match.end() :]
    assert re.fullmatch(rf'<img src="{done.open_url}"[^>]*>{re.escape(end)}', behind)


@pytest.mark.parametrize(
    "html", ["<p>Hi", "<a href=mailto:a@b.example>a</a>", "<a data-no-track href=https://a/>a</a>"]
)
def test_without_a_tracked_link_there_is_none(html: str) -> None:
    done = rewrite(html, "https://c.example/", policy=ON, tracks=Tracks())
    assert not hidden(done.html)
    assert done.html is not None
    assert "display:none" not in done.html


def test_where_clicks_are_not_tracked_there_is_none() -> None:
    for tracks in (NOTHING, Tracks(opens=True, clicks=False)):
        assert rewrite(BODY, policy=ON, tracks=tracks) == rewrite(BODY, policy=OFF, tracks=tracks)
    assert rewrite(None, "https://c.example/", policy=ON) == rewrite(None, "https://c.example/", policy=OFF)


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert rewrite(BODY) == rewrite(BODY, policy=OFF)
    assert not hidden(rewrite(BODY).html)


@pytest.mark.parametrize("policy", [ON, OFF])
def test_rewriting_its_own_output_changes_nothing_and_does_not_report_it(policy: Policy) -> None:
    done = rewrite(BODY, policy=ON, tracks=Tracks())
    again = rewrite(done.html, policy=policy, tracks=Tracks())
    assert again.html == done.html
    assert [link.url for link in again.links] == [link.tracked_url or link.url for link in done.links]


@pytest.mark.parametrize("tracks", [CLICKS, Tracks()])
def test_in_a_mail_that_is_sent_again_it_becomes_the_new_messages(tracks: Tracks) -> None:
    sent = rewrite(BODY, policy=ON, tracks=tracks, message=OTHER)
    done = rewrite(sent.html, policy=ON, tracks=tracks)
    (token,) = hidden(done.html)
    assert (token.message_id, token.link, token.destination) == (MESSAGE.message_id, 0, "https://a.example/?x=1&y")
    assert report(done) == report(rewrite(BODY))
    assert done.html == rewrite(BODY, policy=ON, tracks=tracks).html


def test_two_that_were_forwarded_in_one_mail_are_both_this_messages() -> None:
    quoted = [rewrite(BODY, policy=ON, message=MESSAGE._replace(message_id=name)).html for name in ("one", "two")]
    done = rewrite("<a href=https://new.example/>n</a>" + "".join(str(each) for each in quoted), policy=ON)
    tokens = hidden(done.html)
    assert len(tokens) == 2
    assert {(token.message_id, token.destination) for token in tokens} == {(MESSAGE.message_id, "https://new.example/")}


@pytest.mark.parametrize(("policy", "tracks"), [(OFF, CLICKS), (ON, NOTHING), (OFF, NOTHING)])
def test_where_it_is_off_a_hidden_link_that_is_sent_again_leads_nowhere(policy: Policy, tracks: Tracks) -> None:
    sent = rewrite(BODY, policy=ON, message=OTHER)
    done = rewrite(sent.html, policy=policy, tracks=tracks)
    assert not hidden(done.html)
    assert done.html is not None
    assert '<a href="#" style="display:none"' in done.html
    assert len(done.links) == 3
    assert rewrite(done.html, policy=policy, tracks=tracks).html == done.html


pieces = st.sampled_from(
    [
        *("\r\n", "<p>", "<table>", "<body>", "</body>", "</html>", "<textarea>", "é", "<b"),
        *("<!--", "-->", "<!--[if mso]>", "<![endif]-->", "{{unsubscribe_url}} ", "{{open_pixel}}"),
        *("<a href=https://a.example/>x</a>", "<a href='https://b.example/?q=1&amp;r'>"),
        "<a data-no-track href=//c.example>y</a>",
    ]
)
htmls = st.lists(pieces, max_size=10).map("".join)
policies = st.builds(Policy, honeypot=st.booleans(), pixel=st.sampled_from(PixelPosition))


@given(htmls, policies, st.builds(Tracks, st.booleans(), st.booleans()), st.builds(Options, footer=st.booleans()))
def test_any_body_comes_back_the_same_for_the_same_message(
    html: str, policy: Policy, tracks: Tracks, options: Options
) -> None:
    done = rewrite(html, policy=policy, tracks=tracks, options=options)
    assert rewrite(html, policy=policy, tracks=tracks, options=options) == done
    assert rewrite(done.html, policy=policy, tracks=tracks, options=options).html == done.html
    clicks = sum(link.tracked_url is not None for link in done.links)
    assert len(hidden(done.html)) == (policy.honeypot and clicks > 0)
    sent = rewrite(done.html, policy=policy, tracks=tracks, options=options, message=OTHER)
    again = rewrite(sent.html, policy=policy, tracks=tracks, options=options, message=OTHER)
    assert again.html == sent.html
