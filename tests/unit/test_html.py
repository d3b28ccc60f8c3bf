from __future__ import annotations

import time

import pytest

from tracker.core.html import HtmlLink, scan

A = "<a href='http://a/'>x</a>"


def values(html: str) -> list[str]:
    """The raw value of every link that could be rewritten."""
    return [html[slice(*link.value)] for link in scan(html).links if link.value]


def link(html: str) -> HtmlLink:
    [found] = scan(html).links
    return found


@pytest.mark.parametrize(
    ("html", "raw"),
    [
        ('<a href="http://a/">', "http://a/"),
        ("<a href='http://a/'>", "http://a/"),
        ("<a href=http://a/>", "http://a/"),
        ("<a href=http://a/b/>", "http://a/b/"),
        ("<A HREF = \n 'http://a/' >", "http://a/"),
        ("<a\r\nhref\r\n=\r\n'http://a/'\r\n>", "http://a/"),
        ('<a title="a > b" href="http://a/">', "http://a/"),
        ('<a title="href=\'http://no/\'" href="http://a/">', "http://a/"),
        ("<a data-href='http://no/' data-mce-href='http://no/' href='http://a/'>", "http://a/"),
        ("<a href='http://a/' href='http://no/'>", "http://a/"),
        ("<a href='http://a/' HREF='http://no/'>", "http://a/"),
        ("<a/href='http://a/'>", "http://a/"),
        ("<a title=x/href='http://no/' href='http://a/'>", "http://a/"),
        ("<a {{#if x}} href='http://a/' {{/if}}>", "http://a/"),
        ("<a href='http://a/'title=x>", "http://a/"),
        ('<a href="http://a/it\'s">', "http://a/it's"),
        ("<a href=' http://a/ '>", " http://a/ "),
        ("<area href='http://a/'>", "http://a/"),
        ("\ufeff<a href='http://a/'>", "http://a/"),
        ("\U0001f600<a title='\U0001f600' href='http://a/\U0001f600'>", "http://a/\U0001f600"),
        ("<p>\x00<a href='http://a/\x00'>", "http://a/\x00"),
        (
            "<!--[if mso]><v:roundrect xmlns:v='urn' HREF='http://a/' arcsize='8%'><w:anchorlock/><![endif]-->",
            "http://a/",
        ),
        ("<!--[IF gte mso 9]>\r\n<a href='http://a/'>\x00<![endif]-->", "http://a/"),
        ("<!-- [if mso]><a href='http://a/'><![endif]-->", "http://a/"),
        ("<!--[if mso]><a href='http://a/'><![endif]--!>", "http://a/"),
        ("<!--[if mso]><a href='http://a/'>", "http://a/"),
        ("<!--[if !mso]><!--><a href='http://a/'><!--<![endif]-->", "http://a/"),
        ("<![if !mso]><a href='http://a/'><![endif]>", "http://a/"),
        ("<noscript><a href='http://a/'></noscript>", "http://a/"),
        ("<template><a href='http://a/'></template>", "http://a/"),
        ("<div><template shadowrootmode=open><a href='http://a/'></template></div>", "http://a/"),
        ("</body></html><a href='http://a/'>", "http://a/"),
        ("<table><tr><a href='http://a/'></table>", "http://a/"),
        ("<table>{{#each x}}<tr><td><a href='http://a/'></td></tr>{{/each}}</table>", "http://a/"),
        ("<select><option><a href='http://a/'></select>", "http://a/"),
        ("<svg><a href='http://a/'></svg>", "http://a/"),
        ("<frameset><a href='http://a/'></frameset>", "http://a/"),
        (
            "<head></head><FRAMESET rows=1><frame src='<frameset>'></FRAMESET>\r\n<a href='http://a/<frameset>'>",
            "http://a/<frameset>",
        ),
        ("<p><a href='http://a/'>x<p>y</a>", "http://a/"),
        ("<a href='http://a/'", None),
        ("<a href='http://a/", None),
        ("<plaintext><a href='http://a/'>", None),
        ("<script>'<a href=\"http://a/\">'</script>", None),
        ("<style><a href='http://a/'></style><title><a href='http://a/'></title>", None),
        ("<textarea><a href='http://a/'></textarea><xmp><a href='http://a/'></xmp>", None),
        ("<img alt=\"<a href='http://a/'>\">", None),
        ("<!-- <a href='http://a/'> -->", None),
        (
            "<link href='http://a/'><base href='http://a/'><form action='http://a/'><button formaction='http://a/'>",
            None,
        ),
        ("<style>a { background: url(http://a/) }</style><img src='http://a/'><abbr href='http://a/'>", None),
        ("<svg><a xlink:href='http://a/'></svg>", None),
    ],
)
def test_the_value_is_found_where_it_stands(html: str, raw: str | None) -> None:
    assert values(html) == ([] if raw is None else [raw])


def test_links_come_in_document_order_comments_included() -> None:
    html = (
        "<table><tr><a href=http://a/><!--[if mso]><a href=http://b/>\n<a href=http://c/><![endif]--></tr></table>"
        "\n<a href=#>\n<!--[if mso]><v:rect href=http://d/><a href=http://e/><![endif]--><a href=http://f/>"
    )
    assert [link.href for link in scan(html).links] == [
        *(f"http://{x}/" for x in "abc"),
        "#",
        *(f"http://{x}/" for x in "def"),
    ]


def test_a_conditional_comment_that_stands_twice_is_found_twice() -> None:
    comment = "<!--[if mso]><a href='http://a/'><![endif]-->"
    assert len(values(comment + "<p>" + comment)) == 2


def test_what_looks_like_a_conditional_comment_in_a_script_is_left() -> None:
    comment = "<!--[if mso]><a href='http://b/'><![endif]-->"
    assert values("<textarea><!--[if x]> </textarea>" + comment) == ["http://b/"]
    assert values("<style>" + comment + "</style>") == []
    assert values("<style>" + comment + "</style>" + comment) == []  # which is which can't be told


def test_a_comment_cannot_swallow_what_follows_it() -> None:
    html = "<!--[if mso]><style><a href='http://a/' title=\"<![endif]-->" + A.replace("/a/", "/b/")
    assert values(html)[-1] == "http://b/"


@pytest.mark.parametrize(
    ("attribute", "opted_out"),
    [
        ("clicktracking=off", True),
        ('clicktracking="off"', True),
        ('clicktracking="OFF"', True),
        ('clicktracking="on"', False),
        ("disable-tracking=true", True),
        ('disable-tracking="true"', True),
        ("disable-tracking=false", False),
        ('data-disable-tracking="true"', True),
        ("mc:disable-tracking", True),
        ("data-pm-no-track", True),
        ('data-pm-no-track="false"', False),
        ("ses:no-track", True),
        ('data-msys-clicktrack="0"', True),
        ('data-msys-clicktrack="1"', False),
        ('class="untracked"', True),
        ('class="button untracked big"', True),
        ('class="not-untracked"', False),
        ("mautic:disable-tracking", True),
        ("data-no-track", True),
        ("DATA-NO-TRACK", True),
        ('data-no-track=""', True),
        ("data-mg-notrack", True),
        ("data-skip-click", True),
        ('data-skip-click="true"', True),
        ("data-skip-utm-params", False),
        ("@TrackLink", False),
        ("data-universal=true", False),
        ('data-pm-no-track="false" clicktracking="off"', True),
        ('data-pm-no-track clicktracking="off" ses:no-track', True),
    ],
)
def test_every_vendors_opt_out_attribute(attribute: str, opted_out: bool) -> None:
    assert link(f"<a {attribute} href='http://a/'>").opted_out is opted_out
    assert link(f"<!--[if mso]><a {attribute} href='http://a/'><![endif]-->").opted_out is opted_out


def test_mailwizz_opt_out_stands_in_the_url() -> None:
    assert link("<a href='http://a/?x=1&amp;disable-tracking=true'>").opted_out
    assert not link("<a href='http://a/?disable-tracking=trueish'>").opted_out


@pytest.mark.parametrize(
    ("html", "without"),
    [
        ("<a data-no-track href=#>", "<a href=#>"),
        ("<a href='http://a/' data-no-track>", "<a href='http://a/'>"),
        ("<a href='http://a/'data-no-track>", "<a href='http://a/'>"),
        ("<a\r\n  data-no-track=''\r\n  href='mailto:x'>", "<a\r\n \r\n  href='mailto:x'>"),
        ("<a title=x data-no-track/href='http://a/'>", "<a title=x /href='http://a/'>"),
        ("<a href=http://a/ data-no-track/>", "<a href=http://a/ />"),
    ],
)
def test_our_own_opt_out_is_found_with_the_space_before_it(html: str, without: str) -> None:
    span = link(html).own_opt_out
    assert span is not None
    assert html[: span.start] + html[span.end :] == without


@pytest.mark.parametrize(
    ("text", "shows_url"),
    [
        ("https://a.example", True),
        (" <b>\nhttp://a.example/x</b> ", True),
        ("WWW.a.example", True),
        ("Visit www.a.example", False),
        ("www.a.example is nice", False),
        ("a.example", False),
        ("<img src=x>", False),
        ("", False),
    ],
)
def test_whether_the_text_of_a_link_is_a_url(text: str, shows_url: bool) -> None:
    assert link(f"<a href='http://a/'>{text}</a>").text_is_url is shows_url


@pytest.mark.parametrize(
    ("html", "rest"),
    [
        ("<body>x</body></html>", "</body></html>"),
        ("<body>x</BODY >", "</BODY >"),
        ("<body>x</body><p></body>y", "</body>y"),
        ("<body><!-- </body> -->x</body>", "</body>"),
        ("<body>x</body><!-- </body> -->", "</body><!-- </body> -->"),
        ("<body><script>'</body>'</script>x", ""),
        ("<body><img alt='</body>'>", ""),
        ("<table>\r\n<tr></body>x", "</body>x"),
        ("<div></body>", "</body>"),
        ("<!--[if mso]></body><![endif]-->x", ""),
        ("<p>x<img src=x", "<img src=x"),
        ("<p>x</p", "</p"),
        ("1 < 2", ""),
        ("x", ""),
        ("", ""),
    ],
)
def test_the_last_real_end_of_the_body(html: str, rest: str) -> None:
    assert html[scan(html).body_end :] == rest


def test_the_start_of_the_body() -> None:
    html = "<html><body class='>'\r\n>x"
    start = scan(html).body_start
    assert start is not None
    assert html[start:] == "x"
    assert scan("x").body_start is None


def test_images_are_only_looked_for_on_demand() -> None:
    html = "<img\r\nsrc='http://a/?b&amp;c'><img>"
    assert scan(html).images == ()
    assert scan(html, images=True).images == (((0, 30), "http://a/?b&c"),)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + A,
        "<table><tr><td>" * 30_000 + A,
        "<b><p>" * 30_000 + A,
        "<svg>" * 100_000 + A,
        "<template>" * 100_000 + A,
        "<a href='http://a/'>" * 30_000,
        "<object><a href='http://a/'>" * 10_000 + "x" * 1_000_000,
        "<a href='http://a/" + "x" * 2_000_000 + "'>",
        "<a " + "".join(f"a{n} " for n in range(100_000)) + "href='http://a/'>",
        "<a href" + " " * 2_000_000 + "='http://a/'>",
        "".join(f"<!--[if mso]><a href='http://a/{n}'><![endif]-->" for n in range(20_000)),
        "<!--[if mso]><a href='http://a/'>\n<![endif]-->\n" * 20_000,
        "<!--[if " * 200_000,
        "<style>" + "<!--[if " * 100_000 + "</style><!--[if mso]>" + A + "<![endif]-->",
        ("<!--" + " " * 50) * 30_000,
        "<table>" + "</body>\n" * 200_000,
        "<frameset>" * 100_000 + A,
    ],
    ids=lambda html: html[:24],
)
def test_no_page_takes_more_than_linear_time(html: str) -> None:
    before = time.process_time()
    scan(html)
    assert time.process_time() - before < 5


def test_a_link_with_more_attributes_than_any_mail_has_is_left() -> None:
    for count, found in ((998, True), (1000, False)):
        (link,) = scan(f"<a {' '.join(f'a{n}' for n in range(count))} href=https://x.example/>x</a>").links
        assert (link.value is not None) is found


def test_of_very_many_conditional_comments_the_first_are_looked_at() -> None:
    html = "".join(f"<!--[if mso]><a href=https://x.example/{n}>x</a><![endif]-->" for n in range(10_050))
    assert [link.href.rpartition("/")[2] for link in scan(html).links] == [str(n) for n in range(10_000)]
