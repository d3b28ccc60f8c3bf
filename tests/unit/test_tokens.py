from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from rewriting import CODEC, KEYS, MESSAGE, UUID

from tracker.core.errors import ConfigError, InvalidToken
from tracker.core.keys import SIGNATURE_CHARS
from tracker.core.tokens import (
    MAX_DESTINATION_BYTES,
    MAX_TOKEN_CHARS,
    Message,
    Purpose,
    TokenCodec,
    pack,
)

# Tokens that were sent. They stand here for ever: a change that fails one of them breaks links in mailboxes.
GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden/tokens.json").read_text(encoding="utf-8")
)
# The same bytes go in and come out everywhere, but zlib-ng finds other matches than the reference implementation.
ZLIB_NG = "ng" in zlib.ZLIB_RUNTIME_VERSION


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden["what"] for golden in GOLDEN])
class TestGoldenTokens:
    def test_verifies_for_ever(self, golden: dict[str, Any]) -> None:
        token = CODEC.verify(Purpose[golden["purpose"]], golden["token"], None)
        says = {
            "message_id": token.message_id,
            "batch_tag": token.batch_tag.hex() if token.batch_tag else None,
            "account": token.account,
            "link": token.link,
            "destination": token.destination,
            "list": token.list,
        }
        assert (says, token.honeypot) == (golden["says"], golden["honeypot"])

    def test_is_signed_the_same_again(self, golden: dict[str, Any]) -> None:
        if golden["dictionary"] and ZLIB_NG:
            pytest.skip("zlib-ng compresses to other bytes; what it makes verifies all the same")
        tokens = TokenCodec(KEYS[: golden["keys"]]).tokens_for(Message(*golden["message"]))
        match golden["call"], golden["args"]:
            case "click", [link, url]:
                assert tokens.click(link, pack(url), honeypot=golden["honeypot"]) == golden["token"]
            case call, args:
                assert getattr(tokens, call)(*args) == golden["token"]

    def test_works_for_its_own_purpose_alone(self, golden: dict[str, Any]) -> None:
        for purpose in Purpose:
            if purpose.name != golden["purpose"]:
                with pytest.raises(InvalidToken):
                    CODEC.verify(purpose, golden["token"], None)


def test_the_golden_tokens_cover_the_layout() -> None:
    assert {golden["purpose"] for golden in GOLDEN} == {purpose.name for purpose in Purpose}
    assert {golden["dictionary"] for golden in GOLDEN if golden["purpose"] == "CLICK"} == {0, 1}
    flags = 0
    for golden in GOLDEN:
        flags |= base64.urlsafe_b64decode(golden["token"][:4])[2]
    assert flags == 1 | 2 | 4 | 8 | 32 | 64


def click(codec: TokenCodec = CODEC, url: str = "https://example.com/", message: Message = MESSAGE) -> str:
    return codec.tokens_for(message).click(0, pack(url))


def test_a_uuid_takes_16_bytes_only_in_its_canonical_spelling() -> None:
    lower, upper = (CODEC.tokens_for(Message("default", text)).open() for text in (UUID, UUID.upper()))
    assert len(upper) - len(lower) == 28
    assert CODEC.verify(Purpose.OPEN, upper).message_id == UUID.upper()


@pytest.mark.parametrize("message_id", ["0" * 36, UUID[:-1] + "g", UUID.replace("-", ""), "a" * 128, "m:1@x+y=z~"])
def test_other_ids_come_back_as_they_were(message_id: str) -> None:
    token = CODEC.tokens_for(Message("default", message_id)).header()
    assert CODEC.verify(Purpose.HEADER, token).message_id == message_id


def test_there_is_a_key_for_each_purpose_and_account() -> None:
    payload = base64.urlsafe_b64decode
    signatures = set()
    for account in ("default", "acme"):
        tokens = CODEC.tokens_for(Message(account, "m"))
        for token in (tokens.open(), tokens.header(), tokens.unsubscribe(), tokens.click(0, pack(""))):
            assert payload(token[:4])
            signatures.add(token[-SIGNATURE_CHARS:])
    assert len(signatures) == 8


def test_a_token_cannot_be_moved_to_another_purpose_by_its_first_byte() -> None:
    token = CODEC.tokens_for(MESSAGE).open()
    assert CODEC.verify(Purpose.OPEN, token)
    moved = "F" + token[1:]  # 0x1F would be a purpose that is not
    for text in (moved, "Ew" + token[2:], "Eg" + token[2:]):
        for purpose in Purpose:
            with pytest.raises(InvalidToken):
                CODEC.verify(purpose, text)


def test_all_keys_verify_and_the_last_one_signs() -> None:
    old, new = (TokenCodec([key]) for key in KEYS)
    both = TokenCodec(KEYS)
    assert both.verify(Purpose.CLICK, click(old)).message_id == UUID
    assert click(both) == click(new)
    with pytest.raises(InvalidToken):
        old.verify(Purpose.CLICK, click(new))


def test_two_keys_may_share_an_id() -> None:
    clash, found = next(
        (known, key)
        for seen in [dict[int, bytes]()]
        for key in (f"key number {number} of a birthday party".encode() for number in range(1000))
        if (known := seen.setdefault(TokenCodec([key])._keys[0].id, key)) is not key
    )
    assert len(TokenCodec([clash, found])._by_id) == 1
    for signer in (clash, found):
        assert TokenCodec([clash, found]).verify(Purpose.CLICK, click(TokenCodec([signer])))


def test_an_unknown_account_is_refused() -> None:
    token = CODEC.tokens_for(Message("acme", "m")).open()
    assert CODEC.verify(Purpose.OPEN, token, None).account == "acme"
    with pytest.raises(InvalidToken):
        CODEC.verify(Purpose.OPEN, token)


def test_a_batch_has_a_tag_that_says_nothing_of_its_name() -> None:
    tag = CODEC.batch_tag("default", "2026-11-newsletter")
    assert len(tag) == 4
    assert CODEC.verify(Purpose.CLICK, click()).batch_tag == tag
    assert tag != CODEC.batch_tag("acme", "2026-11-newsletter") != CODEC.batch_tag("default", "other")
    assert CODEC.verify(Purpose.CLICK, click(message=Message("default", UUID))).batch_tag is None


def test_keys_must_be_there_and_long_enough() -> None:
    for keys in ([], [b"k" * 31], [b"k" * 32, b""]):
        with pytest.raises(ConfigError):
            TokenCodec(keys)


def test_derived_bytes_differ_by_use() -> None:
    assert len(CODEC.derive("address")) == 32
    assert CODEC.derive("address") == CODEC.derive("address") != CODEC.derive("BATCH")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "A",
        "A" * 15,
        "A" * 16,
        "A" * 17,
        "A" * 20,
        "A" * MAX_TOKEN_CHARS,
        "A" * 10_000_000,
        "\n",
        "é" * 40,
        "=" * 40,
        "\0" * 40,
        "A" * 40 + "\ud800",
        "\ud800" * 40,
    ],
    ids=lambda token: f"{token[:1]!r}-{len(token)}",
)
def test_what_is_no_token_is_invalid(token: str) -> None:
    for purpose in Purpose:
        with pytest.raises(InvalidToken):
            CODEC.verify(purpose, token)


def test_a_payload_of_a_later_layout_is_invalid_even_when_we_signed_it() -> None:
    key = CODEC._keys[-1]
    for body in (
        b"",
        b"\x80",
        b"\x08\0",
        b"\x18\x01m\0",
        b"\x00\xff",
        b"\x01\x00",
        b"\x00\x01m\0\xff",
        b"\x08\x01m\0\xff",
        b"\x08\x01m\0\x03\0x",
    ):
        text = base64.urlsafe_b64encode(bytes((0x12, key.id)) + body).rstrip(b"=")
        token = text.decode() + key.sign(Purpose.CLICK, "default", text).decode()
        with pytest.raises(InvalidToken):
            CODEC.verify(Purpose.CLICK, token)


def test_a_bomb_is_not_inflated() -> None:
    key = CODEC._keys[-1]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(b"a" * 1_000_000) + deflate.flush()
    text = base64.urlsafe_b64encode(bytes((0x12, key.id)) + b"\x08\x01m\0" + bomb).rstrip(b"=")
    with pytest.raises(InvalidToken):
        CODEC.verify(Purpose.CLICK, text.decode() + key.sign(Purpose.CLICK, "default", text).decode())


def test_destinations_are_compressed_where_that_is_shorter() -> None:
    shop = "https://www.example.com/?utm_source=newsletter&utm_medium=email"
    assert len(pack(shop).data) < 12
    assert pack("HTTP://Q7J/Z").dictionary == 0
    with pytest.raises(ValueError, match="too long"):
        pack("h" * (MAX_DESTINATION_BYTES + 1))


def test_the_longest_destination_that_does_not_compress_still_verifies() -> None:
    url = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(MAX_DESTINATION_BYTES // 3))
    assert CODEC.verify(Purpose.CLICK, click(url=url)).destination == url


def test_a_shop_link_with_four_utm_parameters_makes_a_short_click_path() -> None:
    url = (
        "https://www.nordlicht-shop.example/p/wanderstiefel"
        "?utm_source=newsletter&utm_medium=email&utm_campaign=november&utm_content=hero"
    )
    assert len(url) == 128
    assert len("/c/" + click(url=url)) <= 135
