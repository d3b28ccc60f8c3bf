"""What is revoked: how it is spelled, which change holds, what a link's token is matched against."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core import revocations as module
from tracker.core.errors import InvalidRequest, TooLarge
from tracker.core.revocations import (
    LIFTED_US,
    SESSION_US,
    Kind,
    Revocation,
    Revoked,
    canonical,
    changed,
    merged,
    pruned,
)
from tracker.core.tokens import Message, Purpose, Token, TokenCodec, pack
from tracker.core.urls import location

OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_800_000_000_000_000


def entry(kind: str, value: str, at: int = NOW, *, on: bool = True, account: str = "default") -> Revocation:
    return Revocation(account, kind, value, on, at, "key_1")


def revoked(*entries: Revocation, keys: tuple[bytes, ...] = (OLD, NEW)) -> Revoked:
    return Revoked(entries, TokenCodec(keys).batch_tags)


def token(url: str = "https://shop.example/a", **fields: Any) -> Token:
    return Token(
        **{"purpose": Purpose.CLICK, "account": "default", "message_id": "m-1", "batch_tag": None, **fields}
    )._replace(destination=url)


def leads_nowhere(matcher: Revoked, url: str, **fields: Any) -> bool:
    target = location(url)
    assert target is not None
    return matcher.link(token(url, **fields), target)


@pytest.mark.parametrize(
    ("host", "url", "expected"),
    [
        ("shop.example", "https://shop.example/a", True),
        ("shop.example", "http://SHOP.example.:8080?x", True),
        ("shop.example", "https://shop.example#x", True),
        ("shop.example", "https://www.shop.example/", False),
        ("shop.example", "https://shop.example.evil.example/", False),
        ("shop.example", "https://evil.example/shop.example", False),
        ("*.shop.example", "https://a.b.shop.example/", True),
        ("*.shop.example", "https://shop.example/", False),
        ("münchen.example", "https://xn--mnchen-3ya.example/", True),
        ("xn--mnchen-3ya.example", "https://München.example/ä", True),
        ("[::1]", "http://[::1]:80/", True),
        ("127.0.0.1", "http://127.0.0.1:1/", True),
    ],
)
def test_hosts(host: str, url: str, expected: bool) -> None:
    assert leads_nowhere(revoked(entry(Kind.HOST, canonical(Kind.HOST, host))), url) is expected


def test_urls_are_compared_as_the_location_header_has_them() -> None:
    matcher = revoked(entry(Kind.URL, canonical(Kind.URL, "https://münchen.example/ä?b=ü#c")))
    assert leads_nowhere(matcher, "https://münchen.example/ä?b=ü#c")
    assert leads_nowhere(matcher, "https://xn--mnchen-3ya.example/%C3%A4?b=%C3%BC#c")
    for other in ("https://münchen.example/ä?b=ü", "https://münchen.example/a?b=ü#c", "http://münchen.example/ä?b=ü#c"):
        assert not leads_nowhere(matcher, other)


def test_messages_and_accounts() -> None:
    matcher = revoked(entry(Kind.MESSAGE, "m-1"), entry(Kind.HOST, "x.example", account="shop"))
    assert leads_nowhere(matcher, "https://any.example/")
    assert not leads_nowhere(matcher, "https://any.example/", message_id="m-2")
    assert not leads_nowhere(matcher, "https://any.example/", account="shop")
    assert leads_nowhere(matcher, "https://x.example/", account="shop")
    assert not leads_nowhere(matcher, "https://x.example/", account="news")
    assert not leads_nowhere(matcher, "https://x.example/", message_id="m-2")


@pytest.mark.parametrize("signer", [(OLD,), (OLD, NEW)])
def test_a_batch_is_revoked_whichever_key_its_links_were_signed_with(signer: tuple[bytes, ...]) -> None:
    signed = TokenCodec(signer).tokens_for(Message("default", "m-1", "spring")).click(0, pack("https://a.example/"))
    other = TokenCodec(signer).tokens_for(Message("default", "m-2", "autumn")).click(0, pack("https://a.example/"))
    codec = TokenCodec((OLD, NEW))
    matcher = Revoked([entry(Kind.BATCH, "spring")], codec.batch_tags)
    assert matcher.link(codec.verify(Purpose.CLICK, signed), b"https://a.example/")
    assert not matcher.link(codec.verify(Purpose.CLICK, other), b"https://a.example/")
    assert not matcher.link(token(), b"https://a.example/"), "a link without a batch"


def test_what_was_lifted_leads_on_again() -> None:
    assert not leads_nowhere(revoked(entry(Kind.MESSAGE, "m-1", on=False)), "https://a.example/")
    assert not leads_nowhere(revoked(), "https://a.example/")


def test_a_destination_is_known_before_there_is_a_token() -> None:
    matcher = revoked(entry(Kind.HOST, "a.example"), entry(Kind.MESSAGE, "m-1"))
    assert matcher.destination("default", "https://a.example/x")
    assert not matcher.destination("default", "https://b.example/x")
    assert not matcher.destination("shop", "https://a.example/x")
    assert not matcher.destination("default", "mailto:a@a.example")


def test_sessions() -> None:
    began = NOW // 1_000_000
    matcher = revoked(entry(Kind.SESSION, "abc"), entry(Kind.SESSIONS, "key_1"))
    assert matcher.session("default", "abc", "key_2", began)
    assert matcher.session("default", "def", "key_1", began)
    assert not matcher.session("default", "def", "key_1", began + 1)
    assert not matcher.session("default", "def", "key_2", began)
    assert not matcher.session("shop", "abc", "key_1", began)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.HOST, ""), (Kind.HOST, "a b"), (Kind.HOST, "https://a.example"), (Kind.HOST, "a.example/x"),
        (Kind.HOST, "a.example:80"), (Kind.HOST, "u@a.example"), (Kind.HOST, "*."), (Kind.HOST, "*"),
        (Kind.HOST, "a.*.b"),
        (Kind.HOST, "."), (Kind.HOST, "a\x00b"), (Kind.HOST, "x" * 256), (Kind.HOST, "a\u2028b"), (Kind.HOST, "\udc80"),
        (Kind.URL, ""), (Kind.URL, "mailto:a@b"), (Kind.URL, "/x"), (Kind.URL, "//a.example/"),
        (Kind.URL, "https://u@a.example/"), (Kind.URL, "https://a.example/\r\nX: y"),
        (Kind.URL, "https://a/" + "x" * 4096),
        (Kind.URL, "javascript:alert(1)"), (Kind.URL, "https://a.example/\udc80"),
        (Kind.MESSAGE, ""), (Kind.MESSAGE, "a b"), (Kind.MESSAGE, "x" * 129), (Kind.MESSAGE, "-x"),
        (Kind.MESSAGE, "é"),
        (Kind.BATCH, ""), (Kind.BATCH, "a\nb"), (Kind.BATCH, "x" * 129), (Kind.BATCH, "\udc80"), ("hologram", "x"),
    ],
)  # fmt: skip
def test_what_cannot_be_revoked(kind: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        canonical(kind, value)
    assert [path for path, _ in raised.value.errors] == ["$.value"]


def test_of_two_changes_the_later_one_holds_in_any_order() -> None:
    changes = [
        entry(Kind.HOST, "a.example", NOW),
        entry(Kind.HOST, "a.example", NOW + 1, on=False),
        entry(Kind.HOST, "a.example", NOW + 1),
        entry(Kind.HOST, "b.example", NOW),
    ]
    for order in permutations(changes):
        found: dict[Any, Revocation] = {}
        for one in order:
            found = merged(found, {one.key: one})
        assert set(found.values()) == {changes[2], changes[3]}, "of two at once the stricter one"


_ENTRIES = st.dictionaries(
    st.tuples(st.just("default"), st.sampled_from(["host", "session"]), st.sampled_from("abc")),
    st.tuples(st.booleans(), st.integers(NOW, NOW + 3), st.sampled_from(["", "why"])),
).map(lambda found: {key: Revocation(*key, on, at, "key", reason) for key, (on, at, reason) in found.items()})


@given(_ENTRIES, _ENTRIES, _ENTRIES)
def test_merging_is_commutative_associative_and_idempotent(one: Any, two: Any, three: Any) -> None:
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(one, one) == one


def test_a_change_holds_even_where_a_clock_was_ahead() -> None:
    ahead = entry(Kind.HOST, "a.example", NOW + SESSION_US)
    lifted = changed({ahead.key: ahead}, entry(Kind.HOST, "A.example.", NOW, on=False))
    assert (lifted.value, lifted.changed_at) == ("a.example", NOW + SESSION_US + 1)
    assert lifted.beats(ahead)


@pytest.mark.parametrize("reason", ["a\nb", "x" * 201, "\udc80"])
def test_a_reason_is_a_line(reason: str) -> None:
    with pytest.raises(InvalidRequest):
        changed({}, Revocation("default", "host", "a.example", True, NOW, "cli", reason))


def test_there_is_a_most_for_each_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_FORCE", 2)
    full = {one.key: one for one in (entry("host", "a.example"), entry("url", "https://a.example/"))}
    with pytest.raises(TooLarge):
        changed(full, entry("message", "m-1"))
    assert changed(full, entry("host", "a.example", NOW + 1)), "again"
    assert changed(full, entry("host", "a.example", NOW + 1, on=False))
    assert changed(full, entry("session", "abc")), "sessions are counted apart"
    assert changed(full, entry("message", "m-1", account="shop"))
    freed = {one.key: one for one in (entry("host", "a.example", on=False), entry("url", "https://a.example/"))}
    assert changed(freed, entry("message", "m-1"))


def test_what_is_of_no_more_use_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIFTED", 2)
    kept = [
        entry("host", "a.example", 0),
        entry("host", "b.example", NOW - 1, on=False),
        entry("host", "c.example", NOW - 2, on=False),
        entry("host", "d.example", NOW - 3, on=False, account="shop"),
        entry("session", "abc", NOW - SESSION_US + 1),
        Revocation("default", "hologram", "of a newer tracker", True, 0, "cli"),
    ]
    gone = [
        entry("host", "e.example", NOW - 3, on=False),
        entry("host", "f.example", NOW - LIFTED_US, on=False, account="shop"),
        entry("sessions", "key_1", NOW - SESSION_US),
    ]
    assert set(pruned({one.key: one for one in (*kept, *gone)}, NOW).values()) == set(kept)
