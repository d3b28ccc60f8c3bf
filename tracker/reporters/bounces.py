"""What a bounce is made of: its MIME parts, the clues to the message it is of, and who sent it.

Owns the reading of mail in linear time and with bounded depth, whatever the bytes. Must not decide what happened to
the message, except to ask flufl.bounce about the forms that follow no standard.
"""

from __future__ import annotations

import base64
import email
import quopri
import re
from collections.abc import Iterable, Iterator
from email.header import decode_header, make_header
from itertools import islice, zip_longest
from typing import Final, NamedTuple

from flufl.bounce import all_failures

from . import Clues

MAX_DEPTH: Final = 8
MAX_PARTS: Final = 200
MAX_VALUE: Final = 8000
"""Characters of a header that are read: an ``X-Tracker-Id`` may have 6,000."""
MAX_CLUES: Final = 20
"""Ids of one kind."""

Fields = dict[str, list[str]]
"""Header fields by their names in lower case, unfolded."""

RETURNED_TYPES: Final = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
"""Parts that hold the message that is reported on (RFC 3462, RFC 6533)."""

SENT_TO: Final = ("to", "delivered-to", "x-original-to", "envelope-to")
"""Where the address stands that a report was sent to: the message's envelope sender, so perhaps a VERP address."""

_BLANK: Final = re.compile(rb"\n[ \t]*\n|\A[ \t]*\n")
_FOLD: Final = re.compile(r"\n[ \t]+")
_NAME: Final = re.compile(r"[!-9;-~]+")
_BOUNDARY: Final = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_XTEXT: Final = re.compile(r"\+([0-9A-F]{2})")
_TRACKER_ID: Final = re.compile(r"[A-Za-z0-9_-]{20,6000}")
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@+=~-]{0,127}")
_COMMENT_OR_ID: Final = re.compile(r"\([^()]*\)|(<[^<>]{1,998}>)")
_ADDRESS_BREAK: Final = re.compile(r'[\s<>"(),;]+')
_QUOTED_TRACKER_ID: Final = re.compile(
    r"^(?P<quote>[> \t|]*)x-tracker-id:[ \t]*(?P<id>[a-z0-9_-]+(?:\n(?P=quote)[ \t]+[a-z0-9_-]+$)*)", re.I | re.M
)
_QUOTED_RFC822_ID: Final = re.compile(r"^[> \t|]*message-id:[ \t]*(?:\n[> \t|]+)?(<[^<>\s]{1,998}>)", re.I | re.M)

_FLUFL_BYTES: Final = 65536
_FLUFL_LINE_BYTES: Final = 300
_FLUFL_FOLDS: Final = 50
_FLUFL_LINES: Final = 2000
_FLUFL_MARKS: Final = {b"@": 10, b";": 10, b"(": 3}
_NESTING: Final = re.compile(rb"content-type:[\s\x1c-\x1f]*(?:multipart|message)/", re.IGNORECASE)
_FLUFL_NESTING: Final = 30

_SYSTEM: Final = re.compile(
    r"mailer-?daemon|mdaemon|postmaster|mail delivery (?:sub)?system|<>|^e500_smtp|system administrator",
    re.IGNORECASE,
)
_FAILURE: Final = re.compile(
    r"undeliver|returned mail|non-?delivery|failure notice|mail (?:delivery )?(?:failed|error|failure)"
    r"|deliver[a-z]* (?:status|fail|problem|error|warning|delayed)|(?:not|been) (?:be )?delivered",
    re.IGNORECASE,
)
_REPLY_OR_FORWARD: Final = re.compile(r"\s*(?:re|aw|fwd?|wg|tr)\s*:", re.IGNORECASE)


class Part(NamedTuple):
    """One part of a mail, or the mail itself."""

    type: str
    """In lower case, without parameters. A multipart without its parts is ``text/plain``."""
    fields: Fields
    body: bytes
    """As it stands in the mail, with LF line ends."""

    @property
    def encoding(self) -> str:
        """The ``Content-Transfer-Encoding``, in lower case."""
        return first(self.fields, "content-transfer-encoding").strip().lower()

    def content(self) -> bytes:
        """The body without its transfer encoding, with LF line ends."""
        if self.encoding == "base64":
            digits = re.sub(rb"[^A-Za-z0-9+/]", b"", self.body)
            digits = digits[: len(digits) - (len(digits) % 4 == 1)]
            return lf(base64.b64decode(digits + b"=" * (-len(digits) % 4)))
        return lf(quopri.decodestring(self.body)) if self.encoding == "quoted-printable" else self.body

    def text(self) -> str:
        """The content as text: what isn't UTF-8 is replaced."""
        return self.content().decode("utf-8", "replace")


def lf(raw: bytes) -> bytes:
    """The bytes with every line end as LF."""
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def first(fields: Fields, name: str) -> str:
    """The field's first value, empty where there is none."""
    return fields.get(name, [""])[0]


def header_fields(block: str) -> Fields:
    """The fields of a header (RFC 5322, 2.2), up to its end or the block's; lines that are no fields are left out."""
    fields: Fields = {}
    for line in _FOLD.sub(" ", block.strip("\n").partition("\n\n")[0]).split("\n"):
        name, colon, value = line.partition(":")
        if colon and _NAME.fullmatch(name):
            fields.setdefault(name.lower(), []).append(value[:MAX_VALUE].strip())
    return fields


def take_apart(raw: bytes) -> list[Part]:
    """The mail itself, then its parts in their order, without those of the messages in it. Line ends must be LF."""
    parts: list[Part] = []
    blocks = [(raw.lstrip(b"\n"), 0)]
    while blocks and len(parts) < MAX_PARTS:
        block, depth = blocks.pop()
        part = _part(block)
        inner = _inner(part) if depth < MAX_DEPTH and part.type.startswith("multipart/") else []
        if part.type.startswith("multipart/") and not inner:
            part = part._replace(type="text/plain")
        parts.append(part)
        blocks.extend((piece, depth + 1) for piece in reversed(inner))
    return parts


def _part(block: bytes) -> Part:
    end = _BLANK.search(block)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    fields = header_fields(head.decode("utf-8", "replace"))
    kind = first(fields, "content-type").partition(";")[0].strip().lower()
    return Part(kind if "/" in kind else "text/plain", fields, body)


def _inner(part: Part) -> list[bytes]:
    found = _BOUNDARY.search(first(part.fields, "content-type"))
    if not found:
        return []
    boundary = (found[1] or found[2]).encode()
    marks = list(
        islice(re.finditer(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*$", part.body, re.MULTILINE), MAX_PARTS)
    )
    pieces = []
    ends = [mark.start() for mark in marks[1:]]
    for mark, end in zip_longest(marks, ends):
        if mark[1]:
            break
        pieces.append(part.body[mark.end() + 1 : end])
    return pieces


def texts(parts: Iterable[Part]) -> str:
    """What the report says in words: its text parts, without returned headers."""
    return "\n".join(part.text() for part in parts if part.type.startswith("text/") and part.type not in RETURNED_TYPES)


def clues(parts: list[Part], envelope_ids: Iterable[str] = (), senders: Iterable[str] = ()) -> Clues:
    """Which message a report is of; the best clues first, without repeats, at most `MAX_CLUES` of a kind.

    ``envelope_ids`` are values of ``Original-Envelope-Id``, perhaps in xtext (RFC 3461, 4); ``senders`` are more
    addresses that may carry an id (VERP) than those in the report's and the message's own headers.
    """
    returned = [header_fields(part.text()) for part in parts if part.type in RETURNED_TYPES]
    signed = ["".join(value.split()) for fields in returned for value in fields.get("x-tracker-id", [])]
    rfc822 = [found for fields in returned for value in fields.get("message-id", []) for found in _angled(value)]
    if not signed and not rfc822:
        text = texts(parts)
        signed = [re.sub(r"[^A-Za-z0-9_-]", "", m["id"]) for m in islice(_QUOTED_TRACKER_ID.finditer(text), MAX_CLUES)]
        rfc822 = [m[1] for m in islice(_QUOTED_RFC822_ID.finditer(text), MAX_CLUES)]
    own = [form for value in envelope_ids for form in (_XTEXT.sub(_unescape, value), value)]
    addresses = [value for name in SENT_TO for value in parts[0].fields.get(name, [])]
    addresses += [value for fields in returned for value in fields.get("return-path", [])]
    own += [value for line in (*addresses, *senders) for value in _carried(line)]
    return Clues(
        tracker_ids=_unique(value for value in signed + own if _TRACKER_ID.fullmatch(value)),
        message_ids=_unique(value for value in own if _MESSAGE_ID.fullmatch(value)),
        rfc822_ids=_unique(rfc822),
    )


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(islice(dict.fromkeys(values), MAX_CLUES))


def _angled(value: str) -> list[str]:
    return ["".join(found[1].split()) for found in _COMMENT_OR_ID.finditer(value) if found[1]]


def _carried(line: str) -> list[str]:
    """The ids in the VERP addresses of a line: what stands between the first ``+`` and the ``@``."""
    locals_ = (address.rpartition("@")[0].partition("+") for address in _ADDRESS_BREAK.split(line))
    return [value for name, plus, value in locals_ if name and plus and value]


def is_from_a_mail_system(mail: Part) -> bool:
    """Whether a mail server wrote it: not a person, nor a program that replies for one (RFC 3834).

    Mail servers mark their bounces as replies too, so that a mark says nothing where the sender is known.
    """
    fields = mail.fields
    if "x-failed-recipients" in fields or _SYSTEM.search(first(fields, "from")[:500]):
        return True
    if "auto-replied" in first(fields, "auto-submitted").lower() or "x-autoreply" in fields:
        return mail.type == "multipart/report"
    subject = _decoded(first(fields, "subject")[:500])
    if _FAILURE.search(subject) and not _REPLY_OR_FORWARD.match(subject):
        return True
    return mail.type == "multipart/report" or first(fields, "return-path").strip() == "<>"


def _decoded(value: str) -> str:
    """The value without encoded words (RFC 2047); as it stands where they are broken."""
    try:
        return str(make_header(decode_header(value)))
    except Exception:  # any codec may be named, with any error of its own
        return value


def failures(raw: bytes, parts: list[Part]) -> tuple[list[str], list[str]]:
    """Addresses that could not be reached, for now and for good, as flufl.bounce finds them; sorted.

    Its patterns take cubic time in a line's length and it doesn't undo transfer encodings, so it is given the mail's
    beginning in short lines, then its text as it reads.
    """
    found = _ask_flufl(raw)
    if not any(found) and any(part.encoding in ("base64", "quoted-printable") for part in parts):
        found = _ask_flufl(f"From: {first(parts[0].fields, 'from')}\n\n{texts(parts)}".encode())
    return found


def _ask_flufl(raw: bytes) -> tuple[list[str], list[str]]:
    clipped = b"\n".join(_clipped(raw[:_FLUFL_BYTES].split(b"\n")[:_FLUFL_LINES]))
    if len(_NESTING.findall(clipped)) > _FLUFL_NESTING:
        return [], []
    try:
        message = email.message_from_bytes(clipped)
        if not message.get("from"):  # flufl.bounce fails where there is none, and logs it
            del message["from"]
            message["From"] = "<>"
        temporary, permanent = all_failures(message)
    except Exception:  # neither email nor flufl.bounce says what it raises on mail that is broken
        return [], []
    return _addresses(temporary - permanent), _addresses(permanent)


def _clipped(lines: list[bytes]) -> Iterator[bytes]:
    """The lines without what costs flufl.bounce and email more than linear time, or depth: long lines and headers."""
    folds = 0
    for line in lines:
        folds = folds + 1 if line[:1] in (b" ", b"\t") else 0
        if folds <= _FLUFL_FOLDS:
            short = line[:_FLUFL_LINE_BYTES]
            for costly, most in _FLUFL_MARKS.items():
                short = costly.join(short.split(costly)[:most])
            yield short


def _addresses(found: Iterable[bytes]) -> list[str]:
    return sorted(address.decode("utf-8", "replace").lower() for address in found if address)
