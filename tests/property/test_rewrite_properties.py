from __future__ import annotations

import re

import ada_url
import turbohtml
from hypothesis import example, given
from hypothesis import strategies as st
from rewriting import CODEC, MESSAGE, NO_FOOTER, NOTHING, ORIGIN, rewrite

from tracker.core.html import scan as scan_html
from tracker.core.own import OwnLinks
from tracker.core.plan import Options, PixelPosition, Planner, Policy, Tracks
from tracker.core.rewrite import Rewriter
from tracker.core.tokens import Message, Purpose
from tracker.core.urls import LinkRules, destination, location

FOREIGN = CODEC.tokens_for(Message("default", "another"))
URLS = [
    "http://a/?b=1&amp;c=2&copy=3",
    "https://bücher.example/ü#é",
    " //a.example/\n",
    "http://a\\@b/",
    "#",
    "mailto:a@b",
    "{{ url }}",
    "{{unsubscribe_url}}",
    f"{ORIGIN}/u/{FOREIGN.unsubscribe()} ",
    f"{ORIGIN}/o/{FOREIGN.open()}.gif",
]
PIECES = [
    *(
        "<a",
        "<A ",
        "<area",
        "<v:rect",
        "<img",
        "<p",
        "<table><tr>",
        "<td>",
        "</table>",
        "</a>",
        "</p>",
        "</",
        "/>",
        ">",
        "<",
    ),
    *(
        " href=",
        " HREF = ",
        "\thref\n=\r\n",
        " data-no-track",
        " data-href=",
        " title=",
        " src=",
        " class=untracked",
        "/",
    ),
    *('"', "'", "=", " ", "\r\n", "\r", "\n", "\t", "\f", "\0", "\ufeff", "\U0001f600", "é", "&amp;", "&#38;", "&"),
    *(
        "{{#each x}}",
        "{{/each}}",
        "{% if %}",
        "*|X|*",
        "<%= x %>",
        "{{ unsubscribe_url }}",
        "{{open_pixel}}",
        "[[",
        "${x}",
    ),
    *(
        "<!--",
        "-->",
        "--!>",
        "<!--[if mso]>",
        "<![endif]-->",
        "<!--[if !mso]><!-->",
        "<!--<![endif]-->",
        "<![if x]>",
        "<!",
    ),
    *(
        "<script>",
        "</script>",
        "<style>",
        "</style>",
        "<textarea>",
        "</textarea>",
        "<title>",
        "<noscript>",
        "</noscript>",
    ),
    *(
        "<svg>",
        "<math>",
        "</svg>",
        "<select>",
        "<b>",
        "<nobr>",
        "</b>",
        "<form>",
        "<body>",
        "</body>",
        "</html>",
        "<head>",
    ),
    *("<template>", "</template>", "<frameset>", "<plaintext>", "<object>", "<center>", "<![CDATA[", "]]>", "<button>"),
]
links = st.builds(
    "{}<{} {}href={}{}{}>{}".format,
    st.sampled_from(["", "<p>", "<td>", "<!--[if mso]>"]),
    st.sampled_from(["a", "A", "area", "v:rect"]),
    st.sampled_from(["", "data-no-track ", "title='>' ", "x=y\r\n"]),
    st.just('"'),
    st.sampled_from(URLS),
    st.just('"'),
    st.sampled_from(["x</a>", "www.a.example", "", "<![endif]-->"]),
)
pieces = st.lists(st.sampled_from(PIECES) | st.sampled_from(URLS) | links | st.text(max_size=3), max_size=25)
# Right behind a link of ours, a letter makes a token of both that nobody can read, ourselves included.
htmls = pieces.map("".join).map(
    lambda html: html.replace("unsubscribe_url}}", "unsubscribe_url}} ").replace(
        "unsubscribe_url }}", "unsubscribe_url }} "
    )
)
policies = st.builds(Policy, pixel=st.sampled_from(PixelPosition), honeypot=st.booleans())
all_tracks = st.builds(Tracks, st.booleans(), st.booleans())
all_options = st.builds(Options, footer=st.booleans())


@given(htmls, htmls, all_tracks, all_options, policies)
def test_it_never_fails_is_deterministic_and_its_own_output_stays(
    html: str, text: str, tracks: Tracks, options: Options, policy: Policy
) -> None:
    first = rewrite(html, text, tracks=tracks, options=options, policy=policy)
    assert rewrite(html, text, tracks=tracks, options=options, policy=policy) == first
    again = rewrite(first.html, first.text, tracks=tracks, options=options, policy=policy)
    assert (again.html, again.text) == (first.html, first.text)


@given(htmls, all_tracks, all_options, policies)
@example("<a title=x data-no-track/href=http://a/>", Tracks(), Options(), Policy())
def test_undoing_the_changed_spans_gives_back_the_input(
    html: str, tracks: Tracks, options: Options, policy: Policy
) -> None:
    own = OwnLinks(CODEC, ORIGIN)
    plan = Planner(own, policy, options, tracks).html(html, scan_html(html, images=True))
    marks = iter(range(0xF0000, 0xFFFFD))  # one private character for each edit
    assume = re.search("[\U000f0000-\U000ffffd]", html) is None
    out = plan.splice(lambda edit: chr(next(marks)))
    if assume:
        pieces = iter(html[edit.start : edit.end] for edit in plan.edits)
        assert re.sub("[\U000f0000-\U000ffffd]", lambda mark: next(pieces), out) == html
    ends = [0, *(edit.end for edit in plan.edits)]
    assert all(end <= edit.start <= edit.end for end, edit in zip(ends, plan.edits, strict=False))


@given(htmls)
def test_every_tracked_value_decodes_to_what_its_token_says(html: str) -> None:
    """The parser reads the tracked URL in the output wherever it read the original in the input."""
    rewritten = rewrite(html)
    tracked = [link for link in rewritten.links if link.tracked_url]
    for link in tracked:
        token = (link.tracked_url or "").removeprefix(f"{ORIGIN}/c/")
        assert CODEC.verify(Purpose.CLICK, token).destination == link.url
        assert (rewritten.html or "").count(link.tracked_url or "") == 1


@given(htmls)
def test_no_web_link_is_left_without_a_reason(html: str) -> None:
    if re.search("<(svg|math|template|plaintext|!\\[CDATA)", html):
        return  # the token stream alone does not know what is text there
    expected = []
    for token in turbohtml.tokenize(html):
        if token.type is turbohtml.TokenType.START_TAG and token.tag in ("a", "area"):
            href = dict(reversed(token.attrs or [])).get("href")
            if href is not None and re.match("https?://", href.strip(), re.IGNORECASE):
                expected.append(href)
    rewritten = rewrite(html)
    reported = [link.url for link in rewritten.links]
    assert all(link.tracked_url or link.reason for link in rewritten.links)
    for href in expected:
        url = destination(href, LinkRules())
        ours = OwnLinks(CODEC, ORIGIN).read(href)
        wanted = {href, ours.destination} if ours else {href, url}
        assert wanted & set(reported), (href, reported)
        reported.remove(next(each for each in reported if each in wanted))


@given(htmls)
def test_with_everything_off_the_input_comes_back(html: str) -> None:
    if "unsubscribe_url" in html or "t.example.com" in html:
        return
    rewritten = rewrite(html, html, tracks=NOTHING, options=NO_FOOTER)
    assert (rewritten.html, rewritten.text) == (html, html)


@given(htmls, st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=3, unique=True))
def test_a_template_renders_as_single_messages_do(html: str, message_ids: list[str]) -> None:
    template = Rewriter(CODEC, ORIGIN).prepare(html, None)
    for message_id in message_ids:
        message = MESSAGE._replace(message_id=message_id)
        alone = Rewriter(CODEC, ORIGIN).prepare(html, None).render(message, Tracks())
        assert template.render(message, Tracks()) == alone


web_urls = st.builds(
    "{}{}{}".format,
    st.sampled_from(["http://", "https://", "//", "HTTP://", " https://", "ht\ntps://"]),
    st.sampled_from(
        ["a.example", "A.example:80", "bücher.example", "[::1]", "127.0.0.1", "faß.example", "日本.example"]
    )
    | st.text("aZ9.-_ü日%:@[]\u200d\u00ad\uff11\u3002\\ \t", max_size=12),
    st.text("/?#&=+%20ü日\U0001f600\u0301 \t\r\n\\\"'<>`{}|^[]\x00\x7f\x85\u2028.;:@", max_size=20).map("/".__add__)
    | st.just(""),
)


@given(web_urls)
def test_location_is_ascii_without_controls_and_leads_where_the_link_led(href: str) -> None:
    url = destination(href, LinkRules())
    if not isinstance(url, str):
        return
    encoded = location(url)
    assert encoded is not None
    assert re.fullmatch(rb"https?://[\x20-\x7e]+", encoded, re.IGNORECASE)
    try:
        resolved = ada_url.URL(href, base="https://base.example/").href
    except ValueError:
        return  # a host that no browser resolves: the link was dead before
    assert ada_url.URL(encoded.decode()).href == resolved


@given(st.text())
def test_location_never_gives_anything_but_a_web_url(text: str) -> None:
    encoded = location(text)
    assert encoded is None or re.fullmatch(rb"https?://[\x20-\x7e]+", encoded, re.IGNORECASE)
