"""What an account's settings do to a message: its footer, its pixel, its text part."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting import CLICKS, NO_FOOTER, NOTHING, report, rewrite

from tracker.core.accounts import AccountSettings, settings_from
from tracker.core.plan import Options, PixelPosition, Policy, Tracks

FOOTER = Options()
BOTH = Tracks(opens=True, clicks=True)
NAMES = [
    "A & B",
    '<script>alert("x")</script>',
    "O'Neil &amp; Söhne",
    "{{name}}",
    "%s {0} \\1 \\g<0>",
    "\U0001f469\u200d\U0001f4bb",
]
ADDRESS = "Street <1>\n\n  Town & Co  \n"


class Words(HTMLParser):
    """The tags of a piece of HTML, and its lines as they are shown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.lines = [""]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "br":
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        self.lines[-1] += data


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", NAMES)
def test_the_footer_shows_the_sender_as_it_is(name: str, newline: str) -> None:
    policy = Policy(sender_name=name, postal_address=ADDRESS)
    html, text = f"<p>Hi</p>{newline}", f"Hi{newline}"
    done = rewrite(html, text, policy=policy, options=FOOTER)
    assert done.html is not None
    assert done.text is not None
    shown = [name, "Street <1>", "Town & Co"]
    footer = Words(done.html.removeprefix(html))
    assert footer.tags == ["p", "br", "br", "br", "a"]
    assert [line.strip() for line in footer.lines] == [*shown, "Unsubscribe"]
    assert done.html.count(newline) == html.count(newline) + 2
    assert done.text == html_free(text, newline, [*shown, f"Unsubscribe: {done.unsubscribe_url}"])
    if newline == "\r\n":
        assert "\n" not in (done.html + done.text).replace("\r\n", "")


def html_free(text: str, newline: str, lines: list[str]) -> str:
    return text + newline * 2 + newline.join(lines) + newline


@pytest.mark.parametrize(("name", "address"), [("", ""), (" ", " \n \n"), ("", "\n")])
def test_nothing_is_shown_of_a_sender_who_is_not_known(name: str, address: str) -> None:
    policy = Policy(sender_name=name, postal_address=address)
    assert rewrite("<p>Hi", "Hi", policy=policy, options=FOOTER) == rewrite("<p>Hi", "Hi", options=FOOTER)


def test_the_footer_is_inside_the_body() -> None:
    done = rewrite("<html><body><p>Hi</p></body></html>", policy=Policy(sender_name="A"), options=FOOTER)
    assert done.html is not None
    assert done.html.endswith("Unsubscribe</a></p>\n</body></html>")


def test_where_there_is_a_place_or_no_wish_there_is_no_footer() -> None:
    policy = Policy(sender_name="Somebody", postal_address="Somewhere")
    done = rewrite("<a href='{{unsubscribe_url}}'>u</a>", "{{unsubscribe_url}}", policy=policy, options=FOOTER)
    assert done.html == f"<a href='{done.unsubscribe_url}'>u</a>"
    assert done.text == done.unsubscribe_url
    done = rewrite("<p>Hi", "Hi", policy=policy, options=NO_FOOTER)
    assert (done.html, done.text) == ("<p>Hi", "Hi")


senders = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
addresses = st.lists(senders, max_size=3).map("\n".join)
all_tracks = st.builds(Tracks, st.booleans(), st.booleans())
pieces = ["\r\n", "<p>", "</body>", "<a href=https://a.example/>x</a>", "https://b.example/ ", "é"]
tags = [" {{unsubscribe_url}} ", "{{open_pixel}}"]
parts = st.lists(st.sampled_from(pieces + tags), max_size=6).map("".join)


@given(parts, parts, senders, addresses, all_tracks, st.sampled_from(PixelPosition), st.booleans())
def test_rewriting_its_own_output_changes_nothing(
    html: str, text: str, name: str, address: str, tracks: Tracks, pixel: PixelPosition, text_links: bool
) -> None:
    policy = Policy(sender_name=name, postal_address=address, pixel=pixel, text_links=text_links)
    done = rewrite(html, text, policy=policy, options=FOOTER, tracks=tracks)
    again = rewrite(done.html, done.text, policy=policy, options=FOOTER, tracks=tracks)
    assert (again.html, again.text) == (done.html, done.text)
    assert rewrite(html, text, policy=policy, options=FOOTER, tracks=tracks) == done


def test_without_the_text_part_its_links_stay_and_its_placeholder_is_filled() -> None:
    text = "See https://a.example/ and {{unsubscribe_url}}\r\n"
    done = rewrite("<a href=https://a.example/>x</a>", text, policy=Policy(text_links=False), options=FOOTER)
    assert report(done) == ["0 https://a.example/", "tracking_off https://a.example/"]
    assert done.text == f"See https://a.example/ and {done.unsubscribe_url}\r\n"
    assert done.track == CLICKS
    footed = rewrite(None, "https://a.example/", policy=Policy(text_links=False), options=FOOTER)
    assert footed.text == f"https://a.example/\n\nUnsubscribe: {footed.unsubscribe_url}\n"


@pytest.mark.parametrize("text_links", [True, False])
def test_with_clicks_off_the_text_part_is_off_anyway(text_links: bool) -> None:
    done = rewrite(None, "https://a.example/", policy=Policy(text_links=text_links), tracks=NOTHING)
    assert done.text == "https://a.example/"
    assert report(done) == ["tracking_off https://a.example/"]


def test_settings_become_a_policy() -> None:
    values = {
        "text_part": False, "pixel_position": "both", "link_text_urls": "skip", "excluded_hosts": ["*.Bücher.example."],
        "one_use_links": ["/Reset/"], "sender_name": "Æ", "postal_address": "a\nb",
    }  # fmt: skip
    policy = settings_from(values, AccountSettings()).policy()
    html = (
        "<body><a href=https://www.xn--bcher-kva.example/>a</a><a href=https://a.example/rEset/x>b</a>"
        "<a href=https://b.example/>https://b.example</a><a href=https://c.example/>c</a></body>"
    )
    done = rewrite(html, "https://c.example/", policy=policy, options=FOOTER, tracks=BOTH)
    assert [line.partition(" ")[0] for line in report(done)] == [
        "excluded_host",
        "one_use",
        "link_text",
        "0",
        "tracking_off",
    ]
    assert done.html is not None
    assert done.html.count("<img ") == 2
    assert done.html.startswith("<body><img ")
    assert "Æ<br>a<br>b<br>" in done.html
