from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting import CODEC, KEYS

from tracker.core.errors import InvalidToken
from tracker.core.keys import Key
from tracker.core.tokens import DEFAULT_LIST, Message, Purpose, Token, pack

BASE64URL = string.ascii_letters + string.digits + "-_"
ids = st.uuids().map(str) | st.text(string.ascii_letters + string.digits + "._:@+=~-", min_size=1, max_size=128)
messages = st.builds(Message, st.just("default"), ids, st.none() | st.text(max_size=50))
urls = st.text(max_size=300).map("https://example.com/".__add__)
lists = st.text(max_size=50).filter(bool)


@st.composite
def tokens(draw: st.DrawFn) -> tuple[Purpose, str]:
    """A valid token of any purpose."""
    purpose, signed = draw(st.sampled_from(Purpose)), CODEC.tokens_for(draw(messages))
    match purpose:
        case Purpose.OPEN:
            return purpose, signed.open(draw(st.integers(0, 1)))
        case Purpose.CLICK:
            honeypot = draw(st.booleans())
            return purpose, signed.click(draw(st.integers(0, 100_000)), pack(draw(urls)), honeypot=honeypot)
        case Purpose.UNSUBSCRIBE:
            return purpose, signed.unsubscribe(draw(lists))
        case _:
            return purpose, signed.header()


@st.composite
def mutations(draw: st.DrawFn) -> tuple[Purpose, str]:
    """A token that is almost valid."""
    purpose, token = draw(tokens())
    at = draw(st.integers(0, len(token) - 1))
    any_text = st.text(min_size=1, max_size=5)
    mutated = draw(
        st.sampled_from(BASE64URL).map(lambda c: token[:at] + c + token[at + 1 :])
        | st.characters().map(lambda c: token[:at] + c + token[at + 1 :])
        | st.just(token[:at])
        | st.just(token[at:])
        | st.just(token[:at] + token[at + 1 :])
        | any_text.map(lambda text: token + text)
        | any_text.map(lambda text: text + token)
        | any_text.map(lambda text: token[:at] + text + token[at:])
        | st.sampled_from(["=", "==", "\n", ".", "%27", "'", "\0", " ", "é"]).map(token.__add__)
        | st.just(token.swapcase())
        | st.just(token.replace("-", "+").replace("_", "/"))
        | st.just("".join(chr(ord(c) + 0xFEE0) for c in token))
        | tokens().map(lambda other: token[:-16] + other[1][-16:])
    )
    if mutated == token:
        purpose = draw(st.sampled_from([other for other in Purpose if other is not purpose]))
    return purpose, mutated


@given(mutations())
def test_a_mutated_token_is_invalid_and_nothing_else_is_raised(mutation: tuple[Purpose, str]) -> None:
    purpose, token = mutation
    with pytest.raises(InvalidToken):
        CODEC.verify(purpose, token)


@given(st.sampled_from(Purpose), st.text() | st.text(BASE64URL, max_size=200))
def test_any_text_is_invalid(purpose: Purpose, text: str) -> None:
    with pytest.raises(InvalidToken):
        CODEC.verify(purpose, text)


@given(tokens())
def test_there_is_no_second_spelling_of_a_token(valid: tuple[Purpose, str]) -> None:
    purpose, token = valid
    for cut in (len(token), len(token) - 16):
        for last in BASE64URL:
            spelling = token[: cut - 1] + last + token[cut:]
            if spelling != token:
                with pytest.raises(InvalidToken):
                    CODEC.verify(purpose, spelling)


@given(messages, st.integers(0, 2**40), urls, st.booleans())
def test_a_click_says_what_was_signed(message: Message, link: int, url: str, honeypot: bool) -> None:
    tag = None if message.batch is None else CODEC.batch_tag(message.account, message.batch)
    signed = CODEC.tokens_for(message).click(link, pack(url), honeypot=honeypot)
    said = CODEC.verify(Purpose.CLICK, signed)
    assert said == Token(Purpose.CLICK, "default", message.message_id, tag, link, url, DEFAULT_LIST, honeypot)
    assert set(signed) <= set(BASE64URL)


@given(messages, lists, st.integers(0, 1))
def test_the_others_say_what_was_signed(message: Message, list_: str, pixel: int) -> None:
    signed = CODEC.tokens_for(message)
    assert CODEC.verify(Purpose.UNSUBSCRIBE, signed.unsubscribe(list_)).list == list_
    assert CODEC.verify(Purpose.OPEN, signed.open(pixel)).link == pixel
    assert CODEC.verify(Purpose.HEADER, signed.header()).message_id == message.message_id


@given(tokens())
def test_no_message_id_that_packs_stands_in_a_token_in_clear(valid: tuple[Purpose, str]) -> None:
    purpose, token = valid
    payload = base64.urlsafe_b64decode(token[:-16] + "=" * (-len(token[:-16]) % 4))
    said = CODEC.verify(purpose, token)
    assert (payload[0], payload[2] & 1) == (
        16 | purpose,
        int(len(said.message_id) == 36 and said.message_id.encode() not in payload),
    )


accounts = st.just("default") | st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=40)


@given(st.sampled_from(Purpose), accounts, accounts, ids)
def test_purpose_and_account_verify_on_the_diagonal_only(
    purpose: Purpose, account: str, other: str, message_id: str
) -> None:
    signed = CODEC.tokens_for(Message(account, message_id, "a batch"))
    token = {
        Purpose.OPEN: signed.open(),
        Purpose.CLICK: signed.click(0, pack("https://example.com/")),
        Purpose.UNSUBSCRIBE: signed.unsubscribe(),
        Purpose.HEADER: signed.header(),
    }[purpose]
    for tried in Purpose:
        for at in (account, other, None):
            if tried is purpose and at in (account, None):
                assert CODEC.verify(tried, token, at)[:3] == (purpose, account, message_id)
            else:
                with pytest.raises(InvalidToken):
                    CODEC.verify(tried, token, at)


@given(st.sampled_from(Purpose), st.binary(max_size=300), st.sampled_from(KEYS))
def test_whatever_was_signed_says_something_or_is_invalid(purpose: Purpose, fields: bytes, secret: bytes) -> None:
    """Our own key on any payload: what a later version signs, or an earlier one with a mistake, breaks no handler."""
    key = Key(secret)
    payload = base64.urlsafe_b64encode(bytes((16 | purpose, key.id)) + fields).rstrip(b"=")
    for account in ("default", "shop"):
        try:
            said = CODEC.verify(purpose, (payload + key.sign(purpose, account, payload)).decode(), None)
        except InvalidToken:
            continue
        assert (said.purpose, said.account) == (purpose, account)
