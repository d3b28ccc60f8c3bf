"""What tests of rewriting share: a rewriter with fixed keys, and ways to read a body that owe nothing to our own.

Must not import the scanners under test.
"""

from __future__ import annotations

import html.entities
import re

from tracker.core.plan import Options, Policy, Tracks
from tracker.core.rewrite import Rewriter, Rewritten
from tracker.core.tokens import Message, TokenCodec

ORIGIN = "https://t.example.com"
KEYS = (b"first key of the tests, 32 bytes.", b"second key of the tests, 32 bytes")
UUID = "0190b5b4-6a3f-7c3e-9a52-4f1c2d3e4a5b"
MESSAGE = Message("default", UUID, "2026-11-newsletter")
CODEC = TokenCodec(KEYS)
NO_FOOTER = Options(footer=False)
CLICKS = Tracks(opens=False, clicks=True)
NOTHING = Tracks(opens=False, clicks=False)

_REFERENCE = re.compile(r"&(?:#[xX]([0-9A-Fa-f]+);?|#([0-9]+);?|([A-Za-z][A-Za-z0-9]*;?))(?=(.?))", re.DOTALL)
_PIXEL = re.compile(rf'<img src="{ORIGIN}/o/[\w-]+\.gif" width="1" height="1"[^>]*>', re.ASCII)
_FOOTER = re.compile(rf'\r?\n<p style="[^"]*"><a href="{ORIGIN}/u/[\w-]+">Unsubscribe</a></p>\r?\n', re.ASCII)
_CLICK = re.compile(rf"{ORIGIN}/c/[A-Za-z0-9_-]+")


def rewrite(
    html: str | None = None,
    text: str | None = None,
    *,
    message: Message = MESSAGE,
    tracks: Tracks = CLICKS,
    options: Options = NO_FOOTER,
    policy: Policy | None = None,
) -> Rewritten:
    """Rewrite with the keys of the tests; a failure inside is a failure of the test."""
    template = Rewriter(CODEC, ORIGIN, policy).prepare(html, text, options)
    rewritten = template.render(message, tracks)
    if template.failures:
        raise template.failures[0]
    return rewritten


def report(rewritten: Rewritten) -> list[str]:
    """The link report, a line each: ``0 https://...`` or ``reason url``."""
    return [
        f"{link.reason.value if link.reason else link.index} {link.url}"
        for link in rewritten.links
        if (link.reason is None) == (link.index is not None) == (link.tracked_url is not None)
    ]


def decode_attribute(raw: str) -> str:
    """An attribute's value by the HTML standard: a name without ";" before "=" or an alphanumeric is text."""

    def decoded(match: re.Match[str]) -> str:
        name, following = match[3], match[4]
        if name is None:
            return html.unescape(match[0].removesuffix(";") + ";")
        if name.endswith(";") and name in html.entities.html5:
            return html.entities.html5[name]
        for length in range(len(name), 1, -1):
            if (known := html.entities.html5.get(name[:length])) is not None and not name[:length].endswith(";"):
                rest = name[length:] + following
                return match[0] if rest[:1] == "=" or rest[:1].isalnum() else known + name[length:]
        return match[0]

    return _REFERENCE.sub(decoded, raw)


def undo(source: str, output: str) -> tuple[str, list[tuple[str, str]]]:
    """``output`` with every tracked link put back, and the pairs of token and raw value that were exchanged.

    Finds out by itself what stood where: from the pieces between the tracked links, and the quote before each.
    """
    output = _FOOTER.sub("", _PIXEL.sub("", output))
    pieces, tokens = _CLICK.split(output), _CLICK.findall(output)
    at, restored, exchanged = len(pieces[0]), pieces[0], []
    for token, piece in zip(tokens, pieces[1:], strict=True):
        quote = piece[:1]
        stop = source.index(quote, at) if quote in ("'", '"') else re.compile(r"[\s>]|\Z").search(source, at).start()  # type: ignore[union-attr]
        raw = source[at:stop]
        exchanged.append((token.removeprefix(f"{ORIGIN}/c/"), raw))
        restored += raw + piece
        at = len(restored)
    return restored, exchanged
