"""Threats 9, 10 and 12: every case of the URL standard's own tests, through what is wrapped and what is led to."""

from __future__ import annotations

import re

import pytest
from url_standard import inputs, is_web, standard

from tracker.core.urls import LinkRules, Reason, destination, location

NO_RULES = LinkRules()

LEFT = {
    "a user name": re.compile(r"https?:/*[^/?#]*@", re.IGNORECASE),
    # Behind http: it would be relative in a mail that is read at an http: address, and so leads elsewhere there.
    "no host behind two slashes": re.compile(r"https?:(?!//[^/])", re.IGNORECASE),
    # Programs that follow RFC 3986 take the host to end elsewhere than browsers do.
    "a backslash": re.compile(r"[^?#]*\\"),
    "a control character": re.compile(r".*[\x00-\x1f\x7f-\x9f]", re.DOTALL),
    # Such a host is always written that way to be misread, by people or by filters.
    "an escape in the host": re.compile(r"https?://[^/?#]*%"),
    "a host of marks": re.compile(r"https?://[^/?#]*[\"`{}^|<>]"),
    "a port of more digits than there are": re.compile(r"https?://[^/?#]*:0{6}"),
}
"""Why a URL that browsers do follow is left as it is all the same; nothing but these."""


def check(url: str) -> bool:
    """Whether ``url`` is wrapped; if so, it leads where the original does, without a header more."""
    found = destination(url, NO_RULES)
    if isinstance(found, Reason):
        assert location(url) is None or found in (Reason.PLACEHOLDER,), url
        return False
    meant = "https:" + url.strip() if url.strip().startswith("//") else url
    header = location(found)
    assert header is not None, url
    assert header.isascii(), url
    assert not re.search(rb"[\x00-\x1f\x7f]", header), url
    assert is_web(meant), url
    assert standard(header.decode()) == standard(meant), url
    if found.isascii():
        assert header == found.encode(), url
    return True


def test_the_cases_of_the_url_standard() -> None:
    wrapped = 0
    for url in inputs("urltestdata.json"):
        if check(url):
            wrapped += 1
        elif is_web(url):
            assert any(pattern.match(url) for pattern in LEFT.values()), url
    assert wrapped > 100


@pytest.mark.parametrize("name", ["toascii.json", "IdnaTestV2.json"])
def test_the_cases_of_international_names(name: str) -> None:
    """Names that IDNA 2008 has no place for, emoji say, are left: what they lead to is not the same everywhere."""
    hosts = inputs(name)
    wrapped = [host for host in hosts if check(f"https://{host}/x")]
    left = [host for host in hosts if host not in wrapped and is_web(f"https://{host}/x")]
    assert len(wrapped) > len(left)
    assert not [host for host in left if re.fullmatch(r"[a-z0-9.-]+", host)]
