from __future__ import annotations

import ada_url
import pytest

from tracker.core.urls import LinkRules, Reason, destination, has_placeholder, location, plain_host, with_params

NO_RULES = LinkRules()


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("https://example.com/", "https://example.com/"),
        ("http://example.com", "http://example.com"),
        ("HTTPS://EXAMPLE.com/A", "HTTPS://EXAMPLE.com/A"),
        ("  https://example.com/ \n", "https://example.com/"),
        ("\x00\x1fhttps://example.com/", "https://example.com/"),
        ("https://exa\nmple.com/a\r\n\tb", "https://example.com/ab"),
        ("ht\ntps://example.com/", "https://example.com/"),
        ("//example.com/a", "https://example.com/a"),
        ("https://example.com/a b", "https://example.com/a b"),
        ("https://example.com/%C3%BC+%20?a=%2f&b=+#c%20d", "https://example.com/%C3%BC+%20?a=%2f&b=+#c%20d"),
        ("https://bücher.example/ü", "https://bücher.example/ü"),
        ("https://[2001:db8::1]:8080/", "https://[2001:db8::1]:8080/"),
        ("https://example.com:65535/", "https://example.com:65535/"),
        ("https://example.com/?u=http://other.example/?a=b", "https://example.com/?u=http://other.example/?a=b"),
        ("https://example.com/100%25/50%", "https://example.com/100%25/50%"),
        ("https://example.com/%C3%BCber%20uns", "https://example.com/%C3%BCber%20uns"),
        ("https://example.com/it's", "https://example.com/it's"),
        ("", Reason.EMPTY),
        (" \n", Reason.EMPTY),
        ("#", Reason.ANCHOR),
        (" #top", Reason.ANCHOR),
        ("?a=b", Reason.RELATIVE),
        ("page.html", Reason.RELATIVE),
        ("/path", Reason.RELATIVE),
        ("www.example.com", Reason.RELATIVE),
        ("mailto:a@example.com", Reason.SCHEME),
        ("tel:+491234", Reason.SCHEME),
        ("sms:123", Reason.SCHEME),
        ("data:text/html,x", Reason.SCHEME),
        ("JavaScript:alert(1)", Reason.SCHEME),
        ("java\nscript:alert(1)", Reason.SCHEME),
        ("cid:part1", Reason.SCHEME),
        ("file:///etc/passwd", Reason.SCHEME),
        ("blob:https://example.com/x", Reason.SCHEME),
        ("myapp://open", Reason.SCHEME),
        ("https+notrack://example.com/", Reason.OPT_OUT),
        ("http+notrack://example.com/", Reason.OPT_OUT),
        ("{{ url }}", Reason.PLACEHOLDER),
        ("https://", Reason.INVALID_URL),
        ("https:example.com", Reason.INVALID_URL),
        ("https:/example.com", Reason.INVALID_URL),
        ("https:///example.com", Reason.INVALID_URL),
        ("https://?a", Reason.INVALID_URL),
        ("https://example.com\\@evil.example/", Reason.INVALID_URL),
        ("https://example.com/a\\b", Reason.INVALID_URL),
        ("https://example.com/a\x00b", Reason.INVALID_URL),
        ("https://example.com/a\x7fb", Reason.INVALID_URL),
        ("https://example.com/a\u2028b", Reason.INVALID_URL),
        ("https://exa mple.com/", Reason.INVALID_URL),
        ("https://exa%6Dple.com/", Reason.INVALID_URL),
        ("https://example.com:65536/", Reason.INVALID_URL),
        ("https://example.com:80a/", Reason.INVALID_URL),
        ("https://[::1/", Reason.INVALID_URL),
        ("https://\u200d/", Reason.INVALID_URL),
        ("https://example.com/\ud800", Reason.INVALID_URL),
        ("https://user:secret@example.com/", Reason.USERINFO),
        ("https://example.com@evil.example/", Reason.USERINFO),
    ],
)
def test_destination(href: str, expected: str | Reason) -> None:
    assert destination(href, NO_RULES) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a/{{x}}", True),
        ("https://a/{{{x}}}", True),
        ("{% url %}", True),
        ("https://a/?x={# c #}", True),
        ("https://a/[[x]]", True),
        ("https://a/*|X|*", True),
        ("https://a/%X%", True),
        ("https://a/%NAME_1%/b", True),
        ("https://a/%%X%%", True),
        ("https://a/<%= x %>", True),
        ("https://a/${x}", True),
        ("https://a/?q=%recipient.id%", True),
        ("https://a/{{", True),  # a quote inside the tag ended the attribute
        ("https://a/%20%20", False),
        ("https://a/%C3%BCber%20uns", False),
        ("https://a/%ab%cd", False),
        ("https://a/50%", False),
        ("https://a/{x}", False),
        ("https://a/[x]", False),
        ("https://a/*x*", False),
        ("https://a/$x", False),
    ],
)
def test_placeholders(url: str, expected: bool) -> None:
    assert has_placeholder(url) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a/", "https://a/?s=crm&m=a%20b"),
        ("https://a/?", "https://a/?s=crm&m=a%20b"),
        ("https://a/?x=1", "https://a/?x=1&s=crm&m=a%20b"),
        ("https://a/?x=1&", "https://a/?x=1&s=crm&m=a%20b"),
        ("https://a/?s=mine", "https://a/?s=mine&m=a%20b"),
        ("https://a/?s&m=", "https://a/?s&m="),
        ("https://a/?%73=mine", "https://a/?%73=mine&m=a%20b"),
        ("https://a/#top", "https://a/?s=crm&m=a%20b#top"),
        ("https://a/?x=%2F+%20&y=é#a?b", "https://a/?x=%2F+%20&y=é&s=crm&m=a%20b#a?b"),
    ],
)
def test_params_are_added_before_the_fragment_and_nothing_else_changes(url: str, expected: str) -> None:
    assert with_params(url, {"s": "crm", "m": "a b"}) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/", Reason.EXCLUDED_HOST),
        ("https://EXAMPLE.com:443/x", Reason.EXCLUDED_HOST),
        ("https://a.b.example.org/", Reason.EXCLUDED_HOST),
        ("https://example.org/", None),
        ("https://notexample.com/", None),
        ("https://example.com.evil.example/", None),
        ("https://shop.example/Password/Reset?t=1", Reason.ONE_USE),
        ("https://shop.example/?next=/password/reset", Reason.ONE_USE),
        ("https://shop.example/", None),
    ],
)
def test_the_settings_can_exclude_hosts_and_one_use_links(url: str, reason: Reason | None) -> None:
    rules = LinkRules(frozenset({"example.com", "*.example.org"}), ("/password/reset",))
    assert destination(url, rules) == (reason or url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a?b=%2f+%20#c", b"https://example.com/a?b=%2f+%20#c"),
        ("https://bücher.example/", b"https://xn--bcher-kva.example/"),
        ("https://BÜCHER.example:8443/ü?é=ß#ñ", b"https://xn--bcher-kva.example:8443/%C3%BC?%C3%A9=%C3%9F#%C3%B1"),
        ("https://example.com/%C3%BC/ü", b"https://example.com/%C3%BC/%C3%BC"),
        ("https://faß.example/", b"https://xn--fa-hia.example/"),
        ("https://example.com/\U0001f600", b"https://example.com/%F0%9F%98%80"),
        ("http://[::1]:80/ü", b"http://[::1]:80/%C3%BC"),
        ("javascript:alert(1)", None),
        ("//example.com/", None),
        ("https://example.com/\r\nSet-Cookie: a", None),
        ("https://user@example.com/", None),
        ("https://example.com\\.evil.example/", None),
        ("https://example.com/\u0085", None),
        ("https://example.com/\ud800", None),
        ("", None),
    ],
)
def test_location(url: str, expected: bytes | None) -> None:
    assert location(url) == expected
    if expected:
        assert ada_url.URL(expected.decode()).href == ada_url.URL(url).href


@pytest.mark.parametrize(
    "url",
    ["https://xn--bcher-kva.example/", "https://BÜCHER.example/", "https://bücher.example./", "https://a.e.com./"],
)
def test_excluded_hosts_are_compared_in_one_spelling(url: str) -> None:
    rules = LinkRules(excluded_hosts=frozenset({plain_host("Bücher.example"), "*.e.com"}))
    assert destination(url, rules) is Reason.EXCLUDED_HOST
    assert destination("https://e.com/", rules) == "https://e.com/"
