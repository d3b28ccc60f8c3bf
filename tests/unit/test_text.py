from __future__ import annotations

import time

import pytest

from tracker.core.text import scan


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see https://a.example/b.", ["https://a.example/b"]),
        ("see https://a.example/b, or http://c.example!", ["https://a.example/b", "http://c.example"]),
        ("(https://a.example/b)", ["https://a.example/b"]),
        ("(see https://a.example/b_(c))", ["https://a.example/b_(c)"]),
        ("https://a.example/b_(c)", ["https://a.example/b_(c)"]),
        ("(https://a.example/b).", ["https://a.example/b"]),
        ("[1]: https://a.example/[x]", ["https://a.example/[x]"]),
        ("[text](https://a.example/b)", ["https://a.example/b"]),
        ("<https://a.example/b>", ["https://a.example/b"]),
        ("<https://a.example/b.>", ["https://a.example/b."]),
        ("<https://a.example/b>.", ["https://a.example/b"]),
        ('"https://a.example/b"', ["https://a.example/b"]),
        ("'https://a.example/b'", ["https://a.example/b"]),
        ("it's https://a.example/it's", ["https://a.example/it's"]),
        ("**https://a.example/b**", ["https://a.example/b"]),
        ("_https://a.example/b_", ["https://a.example/b"]),
        ("https://a.example/b_", ["https://a.example/b_"]),
        ("https://a.example/~", ["https://a.example/~"]),
        ("https://a.example/?a=b&amp;c", ["https://a.example/?a=b&amp;c"]),
        ("«https://a.example/b»…", ["https://a.example/b"]),
        ("\uff08https://a.example/b\uff09\u3002", ["https://a.example/b"]),
        ("HTTPS://A.example/B", ["HTTPS://A.example/B"]),
        ("https://a.example/\r\nhttps://b.example/", ["https://a.example/", "https://b.example/"]),
        ("https://a.example/b?c=https://d.example/e", ["https://a.example/b?c=https://d.example/e"]),
        ("svn+https://a.example/ xhttp://b.example/", []),
        ("www.a.example mailto:x@a.example ftp://a.example", []),
        ("", []),
    ],
)
def test_where_a_url_ends(text: str, urls: list[str]) -> None:
    links = list(scan(text))
    assert [link.url for link in links] == urls
    assert [text[slice(*link.value)] for link in links] == urls


def test_a_url_in_angle_brackets_that_goes_on_in_the_next_line_is_told() -> None:
    [link] = scan("<https://a.example/long/\r\n  path>")
    assert link.wrapped
    assert not any(link.wrapped for link in scan("https://a.example/\nword> <https://a.example/>\n<b>"))


def test_sparkposts_opt_out_is_no_part_of_the_url() -> None:
    [link] = scan('https://a.example/b[[data-msys-clicktrack="0"]] more')
    assert (link.url, link.opted_out) == ("https://a.example/b", True)


@pytest.mark.parametrize(
    "text",
    [
        "<http://a\n" * 50_000,
        "<http://a" + "\n b" * 300_000,
        "<http://a" + " \n" * 400_000,
        "http://a" + "." * 1_000_000 + "x",
        "http://a" + ")" * 500_000,
        "http://a" + "([{" * 100_000 + "}])" * 100_000,
        "*" * 300_000 + "http://a" + "*" * 300_000,
        "http://a[[data-msys-clicktrack=" * 30_000,
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    before = time.process_time()
    sum(1 for _ in scan(text))
    assert time.process_time() - before < 3
