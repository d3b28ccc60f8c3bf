"""Fuzzes what strangers and their mails reach in the core: tokens, Location headers, the rewriter.

Runs until a limit of libFuzzer's or the first finding, which it leaves in a file; a folder given to it keeps what
it learned. Needs Atheris (the group ``fuzz``; Python 3.11 to 3.13 on Linux)::

    uv run --group fuzz python -m tests.fuzz.tokens -max_total_time=300 [FOLDER]

The first byte says what the rest is: a token, a payload that is then signed with our own key, a URL, a body.
"""

from __future__ import annotations

import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import ada_url
import atheris

with atheris.instrument_imports(include=["tracker.core"]):
    from tracker.core.errors import InvalidToken
    from tracker.core.keys import Key
    from tracker.core.plan import Tracks
    from tracker.core.rewrite import Rewriter
    from tracker.core.tokens import MAX_TOKEN_CHARS, Message, Purpose, TokenCodec, pack
    from tracker.core.urls import LinkRules, Reason, destination, location

SECRET: Final = b"a key of the fuzz target, 32 bytes long"
CODEC: Final = TokenCodec([SECRET])
KEY: Final = Key(SECRET)
REWRITER: Final = Rewriter(CODEC, "https://t.example")
MESSAGE: Final = Message("default", "m-1", "batch")
URL: Final = "https://shop.example/p?utm_source=newsletter&a=1#top"


def genuine() -> dict[str, Purpose]:
    """Tokens to start from: the only ones that may ever verify."""
    signed = CODEC.tokens_for(MESSAGE)
    packed = CODEC.tokens_for(Message("default", "0190b5b4-6a3f-7c3e-9a52-000000000001"))
    return {
        signed.open(1): Purpose.OPEN,
        signed.click(3, pack(URL)): Purpose.CLICK,
        packed.click(200, pack("https://x.example/"), honeypot=True): Purpose.CLICK,
        signed.unsubscribe("weekly"): Purpose.UNSUBSCRIBE,
        packed.header(): Purpose.HEADER,
    }


GENUINE: Final = genuine()


def token(data: bytes) -> None:
    """No text but a genuine token verifies, and that for its own purpose and account only."""
    text = data.decode("latin-1")
    for purpose in Purpose:
        for account in ("default", "shop", None):
            try:
                CODEC.verify(purpose, text, account)
            except InvalidToken:
                continue
            assert GENUINE.get(text) is purpose, text
            assert account != "shop", text


def payload(data: bytes) -> None:
    """Whatever we may have signed, in this version or another: it says something or is invalid, and breaks nothing."""
    for purpose in Purpose:
        encoded = urlsafe_b64encode(bytes((16 | purpose, KEY.id)) + data).rstrip(b"=")
        for account in ("default", "shop"):
            signed = (encoded + KEY.sign(purpose, account, encoded)).decode()
            try:
                said = CODEC.verify(purpose, signed, None)
            except InvalidToken:
                continue
            assert said.purpose is purpose
            assert said.account == account
            assert len(signed) <= MAX_TOKEN_CHARS
            leads_somewhere_safe(said.destination)


def leads_somewhere_safe(text: str) -> bytes | None:
    """The Location header of ``text``, if there is one: a single line of ASCII, to the same place in a browser."""
    header = location(text)
    if header is None:
        return None
    assert header.isascii(), text
    assert not any(byte < 0x20 or byte == 0x7F for byte in header), text
    assert header.lower().startswith((b"http://", b"https://")), text
    led, meant = ada_url.URL(header.decode()), ada_url.URL(text)
    assert led.href == meant.href, (text, header)
    assert not led.username, text
    assert not led.password, text
    return header


def url(data: bytes) -> None:
    """What is wrapped can be led to; what must not be led to is not wrapped."""
    text = data.decode(errors="surrogatepass" if data.isascii() else "replace")
    leads_somewhere_safe(text)
    found = destination(text, LinkRules())
    if not isinstance(found, Reason):
        assert leads_somewhere_safe(found) is not None, text


def body(data: bytes) -> None:
    """Any body can be rewritten, gives the same twice, and stays as it is the second time."""
    text = data.decode(errors="replace")
    template = REWRITER.prepare(text, text)
    once = template.render(MESSAGE, Tracks())
    assert not template.failures, template.failures
    assert template.render(MESSAGE, Tracks()) == once
    for link in once.links:
        assert (link.tracked_url is not None) == (link.reason is None), link
        if link.tracked_url is not None:
            ours = CODEC.verify(Purpose.CLICK, link.tracked_url.rpartition("/")[2])
            assert leads_somewhere_safe(ours.destination) is not None, link
            assert ours.destination == link.url, link
    again = REWRITER.prepare(once.html, once.text).render(MESSAGE, Tracks())
    assert (again.html, again.text) == (once.html, once.text), text


TARGETS: Final[dict[bytes, Callable[[bytes], None]]] = {b"t": token, b"p": payload, b"u": url, b"b": body}


def test_one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    TARGETS.get(data[:1], token)(data[1:])


def seeds(folder: Path) -> None:
    """One file for each thing to start from."""
    corpus = Path(__file__).parents[1] / "golden"
    starts = [b"t" + text.encode() for text in GENUINE]
    starts += [b"p" + bytes.fromhex("140401020304036d2d3103") + URL.encode(), b"p\x02\x04shop\x03m-1"]
    starts += [
        b"u" + text.encode() for text in (URL, "https://b\xfccher.example:8443/\xfc", "http://[::1]/", "//x@y\\z")
    ]
    starts += [b"b" + path.read_bytes() for path in sorted(corpus.glob("*")) if path.suffix in (".html", ".txt")]
    for number, start in enumerate(starts):
        (folder / f"seed-{number}").write_bytes(start)


def main() -> None:
    """Fuzz with libFuzzer's arguments."""
    with TemporaryDirectory() as folder:
        seeds(Path(folder))
        given = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        if not given:
            given = [str(Path(folder, "learned"))]
            Path(given[0]).mkdir()
        options = [argument for argument in sys.argv if argument not in given]
        # libFuzzer writes into the first folder, and only reads the others.
        atheris.Setup([*options, *given, folder], test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
