"""The hazards of reference/rewrite-hazards.md, by their numbers there, then the finished message."""

from __future__ import annotations

import re

import pytest
from rewriting import CODEC, MESSAGE, NO_FOOTER, NOTHING, ORIGIN, UUID, report, rewrite

from tracker.core.plan import LinkTextRule, Options, PixelPosition, Policy, Tracks
from tracker.core.rewrite import GMAIL_LIMIT_BYTES, Rewriter, Rewritten
from tracker.core.tokens import Message, Purpose, pack
from tracker.core.urls import LinkRules, Reason, location

OPENS = Tracks(opens=True, clicks=False)
BOTH = Tracks()
OTHER = Message("default", "another-message")


def targets(rewritten: Rewritten) -> list[str]:
    """Where the tracked links lead, by their tokens."""
    urls = [link.tracked_url for link in rewritten.links if link.tracked_url]
    return [CODEC.verify(Purpose.CLICK, url.removeprefix(f"{ORIGIN}/c/")).destination for url in urls]


def html_of(html: str, **how: object) -> str:
    out = rewrite(html, **how).html  # type: ignore[arg-type]
    assert out is not None
    return out


def shape(html: str, **how: object) -> str:
    """The rewritten body with TRACKED, UNSUBSCRIBE and PIXEL for what was signed."""
    out = re.sub(rf"{ORIGIN}/c/[\w-]+", "TRACKED", html_of(html, **how))
    out = re.sub(rf"{ORIGIN}/u/[\w-]+", "UNSUBSCRIBE", out)
    return re.sub(rf'<img src="{ORIGIN}/o/[^>]*>', "PIXEL", out)


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("http://a/?b=1&amp;c=2", "http://a/?b=1&c=2"),
        ("http://a/?b=1&c=2", "http://a/?b=1&c=2"),
        ("http://a/?b&#038;c&#38;d&#x26;e&#X26;f", "http://a/?b&c&d&e&f"),
        ("http://a/?b=1&amp;amp;c=2", "http://a/?b=1&amp;c=2"),
        ("http://a/?b=1&copy=3&lt=5&regx", "http://a/?b=1&copy=3&lt=5&regx"),
        ("http://a/?b=1&copy;=3", "http://a/?b=1©=3"),
        ("http://a/?b=&quot;&#39;", "http://a/?b=\"'"),
    ],
)
def test_1_and_2_references_are_decoded_once_by_the_attribute_rules(raw: str, url: str) -> None:
    rewritten = rewrite(f'<a href="{raw}">')
    assert targets(rewritten) == [url] == [link.url for link in rewritten.links]


def test_1_what_is_written_back_is_encoded_once() -> None:
    tracked = f"{ORIGIN}/c/{CODEC.tokens_for(OTHER).click(0, pack('http://a/?b=1&copy=2'))}"
    assert html_of(f"<a href='{tracked}'>", tracks=NOTHING) == "<a href='http://a/?b=1&amp;copy=2'>"


def test_3_only_the_attribute_named_href_counts() -> None:
    html = (
        "<a data-mce-href='http://a/' data-href='http://a/' title=\"href='http://a/'\" href='http://b/?href=http://c/'>"
    )
    assert targets(rewrite(html)) == ["http://b/?href=http://c/"]


def test_4_any_way_to_write_an_attribute() -> None:
    html = "<A\r\n title='>' HREF = http://a/it's href='http://no/'><a href='http://b/'><a href=\"http://c/it's\">"
    assert shape(html) == "<A\r\n title='>' HREF = TRACKED href='http://no/'><a href='TRACKED'><a href=\"TRACKED\">"
    assert targets(rewrite(html)) == ["http://a/it's", "http://b/", "http://c/it's"]


def test_5_conditional_comments_and_vml() -> None:
    html = (
        '<!--[if mso]><v:rect xmlns:v="urn:x" href="http://a/?b&amp;c" o:x=1><w:anchorlock/></v:rect><![endif]-->'
        "<!--[if !mso]><!--><a href=http://b/>x</a><!--<![endif]-->"
    )
    assert shape(html) == html.replace("http://a/?b&amp;c", "TRACKED").replace("http://b/", "TRACKED")


def test_6_and_8_nothing_is_serialised() -> None:
    html = (
        "\ufeff<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0'>\r\n<TABLE border=0>{{#each rows}}<tr><TD><BR/><br />"
        "<img src=x />\n\r&nbsp;é<a href='http://a/'>{{name}}</a>{{/each}}</TABLE>\r\n"
    )
    assert shape(html) == html.replace("http://a/", "TRACKED")


@pytest.mark.parametrize(
    "tag",
    ["{{x}}", "{{{ x }}}", "{% url 'x' %}", "[[x]]", "*|X|*", "%X%", "%%X%%", "<%= x %>", "${x}", "{{ a|b('c') }}"],
)
@pytest.mark.parametrize("href", ["TAG", "http://a/TAG", "https://TAG/", "http://a/?x=TAG&amp;y=%20"])
def test_7_links_with_template_tags_are_left_and_reported(tag: str, href: str) -> None:
    html = f'{tag}<a title="{tag}" href="{href.replace("TAG", tag)}">{tag}</a>'
    rewritten = rewrite(html)
    assert rewritten.html == html
    assert [link.reason for link in rewritten.links] == [Reason.PLACEHOLDER]


def test_7_template_tags_elsewhere_pass() -> None:
    html = "{% if x %}<a {{attrs}} href='http://a/' class='{{c}}'>{{{x}}}</a>{% endif %}*|X|*"
    assert shape(html) == html.replace("http://a/", "TRACKED")


def test_9_only_http_and_https() -> None:
    schemes = ["mailto:a@b", "tel:1", "sms:1", "data:x", "javascript:x", "cid:x", "file:///x", "blob:x", "app://x"]
    html = "".join(f"<a href='{url}'>" for url in schemes)
    assert report(rewrite(html)) == [f"scheme {url}" for url in schemes]
    assert rewrite(html).html == html


def test_10_relative_links_are_left_and_a_missing_scheme_is_https() -> None:
    rewritten = rewrite("<a href=#x><a href='?x'><a href='/x'><a href='x'><a href=''><a href='//a.example/x'>")
    assert report(rewritten) == [
        "anchor #x",
        "relative ?x",
        "relative /x",
        "relative x",
        "empty ",
        "0 https://a.example/x",
    ]
    assert [warning.code for warning in rewritten.warnings] == ["no_scheme"]


def test_11_and_12_params_go_before_the_fragment_and_do_not_touch_the_query() -> None:
    options = Options(footer=False, link_params={"utm_source": "crm", "b": "new"})
    html = "<a href='http://a/?b=%2f+%20#c?d'><a data-skip-utm-params href='http://a/#b'>"
    assert targets(rewrite(html, options=options)) == ["http://a/?b=%2f+%20&utm_source=crm#c?d", "http://a/#b"]


@pytest.mark.parametrize("url", ["http://a/%20+%2f%2F%25?%C3%BC=ü", "http://a/a b", "http://BÜCHER.example/ü"])
def test_13_and_14_the_exact_string_is_signed_and_encoded_only_for_location(url: str) -> None:
    assert targets(rewrite(f"<a href='{url}'>")) == [url]
    encoded = location(url)
    assert encoded is not None
    assert encoded.isascii()


def test_14_white_space_goes_as_the_url_standard_says() -> None:
    assert targets(rewrite("<a href=' \n http://a/b\r\n\tc \x01'>")) == ["http://a/bc"]


def test_15_what_could_lead_elsewhere_is_left() -> None:
    urls = ["http://a\\@b/", "http://a@b/", "http://a/&#1;b", "http://a/&#x2028;", "http:a", "http:///a"]
    rewritten = rewrite("".join(f"<a href='{url}'>" for url in urls))
    reasons = [link.reason for link in rewritten.links]
    assert reasons.count(Reason.INVALID_URL) == 5
    assert reasons[1] is Reason.USERINFO


def test_16_link_text_that_is_a_url() -> None:
    html = "<a href='http://a/'>http://a/</a><a href='http://b/'>words</a><a data-no-track href='http://c/'>www.c</a>"
    warned = rewrite(html)
    assert [warning.code for warning in warned.warnings] == ["link_text_is_url"]
    assert warned.warnings[0].detail.startswith("1 link")
    skipped = rewrite(html, policy=Policy(link_text=LinkTextRule.SKIP))
    assert report(skipped) == ["link_text http://a/", "0 http://b/", "opt_out http://c/"]
    assert not skipped.warnings


def test_17_links_go_through_the_tracking_origin_whatever_their_scheme() -> None:
    rewritten = rewrite("<a href='http://a/'><a href='https://a/'>")
    assert all((link.tracked_url or "").startswith(f"{ORIGIN}/c/") for link in rewritten.links)


class TestTwice:
    """19: double wrapping."""

    HTML = "<body><a href='http://a/?b&amp;c'>x</a><a data-no-track href='http://b/'>y</a> {{unsubscribe_url}}</body>"
    TEXT = "x http://a/?b&c y http://b/ {{ unsubscribe_url }}"

    def test_rewriting_again_changes_nothing(self) -> None:
        first = rewrite(self.HTML, self.TEXT, tracks=BOTH, options=Options())
        again = rewrite(first.html, first.text, tracks=BOTH, options=Options())
        assert (again.html, again.text, again.headers) == (first.html, first.text, first.headers)
        assert {link.reason for link in again.links} == {Reason.OWN_LINK, Reason.UNSUBSCRIBE, Reason.REWRITTEN_BEFORE}

    def test_another_messages_links_become_this_ones(self) -> None:
        first = rewrite(self.HTML, self.TEXT, tracks=BOTH, message=OTHER)
        forwarded = rewrite(first.html, first.text, tracks=BOTH)
        fresh = rewrite(self.HTML.replace(" data-no-track", ""), None, tracks=BOTH)
        assert forwarded.html == fresh.html
        assert forwarded.html is not None
        assert forwarded.html.count("<img") == 1
        assert targets(forwarded) == ["http://a/?b&c", "http://b/", "http://a/?b&c", "http://b/"]
        for part in (forwarded.html, forwarded.text or ""):
            for path, token in re.findall(rf"{ORIGIN}/([ocu])/([\w-]+)", part):
                purpose = {"o": Purpose.OPEN, "c": Purpose.CLICK, "u": Purpose.UNSUBSCRIBE}[path]
                assert CODEC.verify(purpose, token).message_id == UUID

    def test_with_tracking_off_another_messages_links_are_unwrapped(self) -> None:
        first = rewrite(self.HTML, self.TEXT, tracks=BOTH, message=OTHER)
        forwarded = rewrite(first.html, first.text, tracks=NOTHING)
        assert forwarded.html == re.sub(r" data-no-track|\{\{.*\}\}", "", self.HTML).replace(
            "</body>", f"{forwarded.unsubscribe_url}</body>"
        )

    def test_several_old_pixels_are_taken_out(self) -> None:
        old = [f'<img src="{ORIGIN}/o/{CODEC.tokens_for(OTHER).open(pixel)}.gif">' for pixel in (0, 1, 0)]
        assert shape("".join(f"<p>{pixel}</p>" for pixel in old), tracks=OPENS) == "<p></p><p></p><p></p>PIXEL"

    def test_a_token_that_ends_in_a_mark_is_still_our_own(self) -> None:
        urls = (f"http://a.example/{n}" for n in range(2000))
        codec = CODEC.tokens_for(OTHER)
        tracked = next(url for url in (f"{ORIGIN}/c/{codec.click(0, pack(url))}" for url in urls) if url.endswith("_"))
        assert targets(rewrite(text=f"see {tracked}.")) != [tracked]
        assert targets(rewrite(text=f"see _{tracked}_.")) != [tracked]

    def test_what_only_looks_like_ours_is_a_link_like_any_other(self) -> None:
        urls = [f"{ORIGIN}/c/AAAA", f"{ORIGIN}/", f"{ORIGIN}.evil.example/c/x"]
        assert targets(rewrite("".join(f"<a href='{url}'>" for url in urls))) == urls


def test_20_the_unsubscribe_link_is_never_tracked() -> None:
    html = "<a href='{{ unsubscribe_url }}'>x</a><a href={{{unsubscribe_url}}}>y</a>{{\tunsubscribe_url\n}}"
    assert shape(html) == "<a href='UNSUBSCRIBE'>x</a><a href=UNSUBSCRIBE>y</a>UNSUBSCRIBE"
    rewritten = rewrite(html)
    assert [link.reason for link in rewritten.links] == [Reason.UNSUBSCRIBE] * 2
    assert rewritten.headers["List-Unsubscribe"] == f"<{rewritten.unsubscribe_url}>"


def test_21_one_use_links_and_excluded_hosts() -> None:
    policy = Policy(links=LinkRules(frozenset({"login.example"}), ("/reset/",)))
    html = "<a href='https://login.example/'><a href='https://shop.example/Reset/1'><a href='https://shop.example/'>"
    assert report(rewrite(html, policy=policy)) == [
        "excluded_host https://login.example/",
        "one_use https://shop.example/Reset/1",
        "0 https://shop.example/",
    ]


def test_22_punctuation_in_the_text_part_stays() -> None:
    text = "See (http://a/b_(c)), <http://d/e.>\r\nor http://f/g.\r\n<http://h/\r\ni>"
    rewritten = rewrite(text=text)
    assert report(rewritten) == ["0 http://a/b_(c)", "1 http://d/e.", "2 http://f/g", "wrapped http://h/"]
    restored = rewritten.text or ""
    for link in rewritten.links:
        restored = restored.replace(link.tracked_url or link.url, link.url)
    assert restored == text


def test_23_an_opt_out_in_the_html_holds_for_the_text_too() -> None:
    html = "<a clicktracking=off href='http://a/?b=1&amp;c=2'>"
    assert report(rewrite(html, "http://a/?b=1&c=2 http://d/")) == [
        "opt_out http://a/?b=1&c=2",
        "opt_out http://a/?b=1&c=2",
        "0 http://d/",
    ]


def test_24_a_link_is_never_longer_than_outlook_follows() -> None:
    short, long = "http://a/?" + "%9F" * 400, "http://a/?" + "".join(f"{n * n:x}" for n in range(600, 1300))
    rewritten = rewrite(f"<a href='{short}'><a href='{long}'>")
    assert [link.reason for link in rewritten.links] == [None, Reason.TOO_LONG]
    assert len(rewritten.links[0].tracked_url or "") <= 2083
    assert all(len(line) <= 998 for line in html_of("<a href=#>", tracks=BOTH, options=Options()).splitlines())


def test_25_a_mail_that_gmail_would_cut_is_warned_about() -> None:
    html = "<body>" + "é" * (GMAIL_LIMIT_BYTES // 2 - 10) + "</body>"
    [warning] = rewrite(html, tracks=OPENS).warnings
    assert warning.code == "html_over_gmail_limit"
    assert str(len(html.encode())) in warning.detail
    assert rewrite("<body>" + "e" * (GMAIL_LIMIT_BYTES // 2)).warnings == []


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (PixelPosition.BOTTOM, "<body>x{{open_pixel}}PIXEL</body>"),
        (PixelPosition.TOP, "<body>PIXELx{{open_pixel}}</body>"),
        (PixelPosition.BOTH, "<body>PIXELx{{open_pixel}}PIXEL</body>"),
        (PixelPosition.PLACEHOLDER, "<body>xPIXEL</body>"),
    ],
)
def test_25_where_the_pixel_goes(position: PixelPosition, expected: str) -> None:
    assert shape("<body>x{{open_pixel}}</body>", tracks=OPENS, policy=Policy(pixel=position)) == expected
    again = rewrite("x", tracks=OPENS, policy=Policy(pixel=position)).html
    assert again is not None
    assert again.count("<img") == 1


def test_25_both_pixels_can_be_told_apart() -> None:
    out = html_of("<body></body>", tracks=OPENS, policy=Policy(pixel=PixelPosition.BOTH))
    assert [CODEC.verify(Purpose.OPEN, t).link for t in re.findall(r"/o/([\w-]+)\.gif", out)] == [1, 0]


def test_25_without_tracking_the_pixels_placeholder_goes() -> None:
    assert shape("x{{ open_pixel }}", tracks=NOTHING, policy=Policy(pixel=PixelPosition.PLACEHOLDER)) == "x"


def test_26_the_pixel_is_not_hidden() -> None:
    pixel = html_of("", tracks=OPENS)
    assert 'width="1" height="1" alt=""' in pixel
    assert "display:none" not in pixel


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<body>x</body></html>", "<body>xPIXEL</body></html>"),
        ("x", "xPIXEL"),
        ("<body>a</body>b</body>c", "<body>a</body>bPIXEL</body>c"),
        (
            "<body>x<!-- </body> --></body><script>'</body>'</script>",
            "<body>x<!-- </body> -->PIXEL</body><script>'</body>'</script>",
        ),
        ("<table><tr><td>x</body>", "<table><tr><td>xPIXEL</body>"),
    ],
)
def test_27_one_pixel_before_the_last_real_end_of_the_body(html: str, expected: str) -> None:
    assert shape(html, tracks=OPENS) == expected


def test_29_and_30_other_links_are_left_and_no_base_is_followed() -> None:
    html = (
        "<base href='http://a/'><link href='http://a/'><form action='http://a/'><button formaction='http://a/'>"
        "<img src='http://a/'><style>a{b:url(http://a/)}</style><a href='x'><area href='http://b/'>"
    )
    assert shape(html) == html.replace("http://b/", "TRACKED")
    assert report(rewrite(html)) == ["relative x", "0 http://b/"]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<body>x\r\n</body>", "<body>x\r\n\r\nUNSUB\r\n</body>"),
        ("x", "x\nUNSUB\n"),
        ("<a href='{{unsubscribe_url}}'>", "<a href='UNSUBSCRIBE'>"),
    ],
)
def test_a_footer_is_added_where_there_is_no_placeholder(html: str, expected: str) -> None:
    out = shape(html, tracks=NOTHING, options=Options())
    assert re.sub(r"<p .*</p>", "UNSUB", out) == expected
    assert shape("x", tracks=NOTHING) == "x"


def test_the_text_part_has_a_footer_of_its_own() -> None:
    rewritten = rewrite("x", "y\r\n", options=Options())
    assert rewritten.text == f"y\r\n\r\n\r\nUnsubscribe: {rewritten.unsubscribe_url}\r\n"


def test_links_are_numbered_over_both_parts_and_reported_in_order() -> None:
    rewritten = rewrite("<a href='http://b/'><a href=#><a href='http://a/'>", "http://a/ http://c/")
    assert report(rewritten) == ["0 http://b/", "anchor #", "1 http://a/", "2 http://a/", "3 http://c/"]
    assert [link.part for link in rewritten.links] == ["html"] * 3 + ["text"] * 2
    assert [link.action for link in rewritten.links] == ["rewritten", "skipped", "rewritten", "rewritten", "rewritten"]
    numbers = [
        CODEC.verify(Purpose.CLICK, (link.tracked_url or "").split("/")[-1]).link
        for link in rewritten.links
        if link.tracked_url
    ]
    assert numbers == [0, 1, 2, 3]


def test_our_opt_out_goes_and_the_others_stay() -> None:
    html = "<a data-no-track clicktracking=off href='http://a/'><a data-no-track href=#>"
    assert shape(html, tracks=OPENS) == "<a clicktracking=off href='http://a/'><a href=#>PIXEL"


def test_nothing_to_do_gives_the_same_string() -> None:
    html, text = "<a data-no-track href='http://a/'>\r\n<img src=x>", "http://a/"
    rewritten = rewrite(html, text, tracks=NOTHING)
    assert (rewritten.html, rewritten.text, rewritten.open_url) == (html, text, None)


def test_one_template_many_recipients() -> None:
    template = Rewriter(CODEC, ORIGIN).prepare("<a href='http://a/'>", "http://b/", NO_FOOTER)
    for n in range(3):
        message = Message("default", f"m-{n}", "b")
        tracks = Tracks(clicks=n < 2)
        alone = Rewriter(CODEC, ORIGIN).prepare("<a href='http://a/'>", "http://b/", NO_FOOTER).render(message, tracks)
        assert template.render(message, tracks) == alone == template.render(message, tracks)


def test_a_body_that_fails_comes_back_with_its_placeholder_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **how: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("tracker.core.html.scan", broken)
    template = Rewriter(CODEC, ORIGIN).prepare("<a href='http://a/'>{{unsubscribe_url}}", "http://a/", NO_FOOTER)
    rewritten = template.render(MESSAGE, BOTH)
    assert rewritten.html == f"<a href='http://a/'>{rewritten.unsubscribe_url}"
    assert targets(rewritten) == ["http://a/"]  # the text is well
    assert [warning.code for warning in rewritten.warnings] == ["rewrite_failed"]
    assert rewritten.headers["List-Unsubscribe"] == f"<{rewritten.unsubscribe_url}>"
    assert [str(failure) for failure in template.failures] == ["a bug"]


def test_the_header_finds_the_message() -> None:
    token = CODEC.verify(Purpose.HEADER, rewrite("x").headers["X-Tracker-Id"])
    assert (token.account, token.message_id) == ("default", UUID)
