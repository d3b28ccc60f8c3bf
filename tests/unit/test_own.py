from __future__ import annotations

import pytest
from rewriting import CODEC, MESSAGE, ORIGIN, UUID

from tracker.core.own import UNSUBSCRIBE_URL, OwnLinks
from tracker.core.tokens import Purpose, pack

OWN = OwnLinks(CODEC, ORIGIN)
SIGNED = CODEC.tokens_for(MESSAGE)
CLICK, OPEN, UNSUBSCRIBE = SIGNED.click(0, pack("http://a/")), SIGNED.open(), SIGNED.unsubscribe()


@pytest.mark.parametrize(
    ("url", "purpose"),
    [
        (f"{ORIGIN}/c/{CLICK}", Purpose.CLICK),
        (f"{ORIGIN}/o/{OPEN}.gif", Purpose.OPEN),
        (f"{ORIGIN}/u/{UNSUBSCRIBE}", Purpose.UNSUBSCRIBE),
        (f"{ORIGIN}/u/{CLICK}", None),
        (f"{ORIGIN}/c/{CLICK}x", None),
        (f"{ORIGIN}/x/{CLICK}", None),
        (f"{ORIGIN}.evil.example/c/{CLICK}", None),
        (f"https://evil.example/?{ORIGIN}/c/{CLICK}", None),
        (ORIGIN, None),
        ("", None),
    ],
)
def test_our_links_are_known_by_their_tokens(url: str, purpose: Purpose | None) -> None:
    token = OWN.read(url)
    assert (token and token.purpose) == purpose


def test_the_tokens_of_a_body() -> None:
    other = CODEC.tokens_for(MESSAGE._replace(message_id="other")).open()
    body = f"<img src='{ORIGIN}/o/{OPEN}.gif'> {ORIGIN}/c/{CLICK}, <{ORIGIN}/o/{other}.gif> {ORIGIN}/c/forged"
    found = [(token.purpose, token.message_id) for token in OWN.tokens(body)]
    assert found == [(Purpose.OPEN, UUID), (Purpose.CLICK, UUID), (Purpose.OPEN, "other")]
    assert OWN.tokens("nothing of ours") == []


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTPS://t.example.com{}",
        "http://T.EXAMPLE.com{}",
        "//t.example.com{}",
        "https://t.example.com:443{}",
        " https://t.example.com{}",
        "https://t.example.com{}?src=1",
        "https://t.example.com{}#x",
        "https://t.example.com{}/",
    ],
)
def test_our_links_are_ours_however_they_are_spelled(spelling: str) -> None:
    for path in (f"/c/{CLICK}", f"/u/{UNSUBSCRIBE}"):
        assert OWN.read(spelling.format(path)) is not None
        assert OWN.read(spelling.format(path.upper())) is None
        assert OWN.read(spelling.format(path[:-1])) is None


def test_where_unsubscribe_links_stand() -> None:
    body = f"x {ORIGIN}/u/{UNSUBSCRIBE}. {ORIGIN}/c/{CLICK} {ORIGIN}/u/forged"
    [span] = OWN.unsubscribe_spans(body)
    assert body[slice(*span)] == f"{ORIGIN}/u/{UNSUBSCRIBE}"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("{{unsubscribe_url}}", ["{{unsubscribe_url}}"]),
        ("{{ \tunsubscribe_url\n}}", ["{{ \tunsubscribe_url\n}}"]),
        ("{{{unsubscribe_url}}}", ["{{{unsubscribe_url}}}"]),
        ("{{{{unsubscribe_url}}}}", ["{{{unsubscribe_url}}}"]),
        ("{unsubscribe_url} {{unsubscribe_url2}} {{ unsubscribe url }} {{UNSUBSCRIBE_URL}}", []),
    ],
)
def test_the_placeholder(body: str, found: list[str]) -> None:
    assert [body[slice(*span)] for span in UNSUBSCRIBE_URL.spans(body)] == found
