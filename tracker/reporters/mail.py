"""Reports that come as mail: delivery status notifications, feedback reports, and bounces that follow no standard.

Owns what each says happened to a message. A pure function of the mail's bytes; must not look up whose message it is.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice, takewhile
from typing import Final, Literal, NamedTuple

import msgspec

from tracker.core.errors import TooLarge
from tracker.core.model import Delivery, EventType

from . import Clues, Reported
from .bounces import (
    Fields,
    Part,
    clues,
    failures,
    first,
    header_fields,
    is_from_a_mail_system,
    lf,
    take_apart,
    texts,
)

NAME: Final = "mail"
MAX_REPORT_BYTES: Final = 1024 * 1024
MAX_RECIPIENTS: Final = 100
MAX_REASON: Final = 500
_MAX_FOUND: Final = 300

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)

_ACTIONS: Final = {
    "failed": EventType.FAILED,
    "failure": EventType.FAILED,
    "error": EventType.FAILED,  # OpenSMTPD's
    "delayed": EventType.DEFERRED,
    "delivered": EventType.DELIVERED,
    "relayed": f"{NAME}.relayed",
    "expanded": f"{NAME}.expanded",
}
_CLASSES: Final = {"2": EventType.DELIVERED, "4": EventType.DEFERRED, "5": EventType.FAILED}
_FEEDBACK: Final = {
    "abuse": EventType.COMPLAINED,
    "fraud": EventType.COMPLAINED,
    "opt-out": EventType.UNSUBSCRIBED,
    "opt-out-list": EventType.UNSUBSCRIBED,
}

_ENHANCED: Final = r"[245]\.\d{1,3}\.\d{1,3}(?![\w-]|\.\d)"
_BOTH_CODES: Final = re.compile(rf"(?<![\w.])([245]\d\d)[ -]#?({_ENHANCED})")
_ENHANCED_CODE: Final = re.compile(rf"(?<![\w.-]){_ENHANCED}")
_REPLY_CODE: Final = re.compile(
    r"(?:^\W{0,3}|[:;>]\s|\b(?:said|error|code|status)\b:?\s)[\"(]?((?:2[0-5]|4[2-7]|5[0-57])\d)(?=[\s:;,<\]-])",
    re.IGNORECASE,
)
_DIAGNOSTIC_TYPE: Final = re.compile(r"\A\s*[A-Za-z0-9.-]{1,40}\s*(?:\([^()]*\)\s*)?;")
_GROUP_BREAK: Final = re.compile(r"\n(?:[ \t]*\n)+")
_ORIGINAL_FOLLOWS: Final = re.compile(
    r"^[ \t]*--[^\n]{0,200}?(?:original|copy of|below this|forwarded|returned)", re.I | re.M
)
_MAX_LINES: Final = 500
_LINE: Final = 1000
_NEAR_LINES: Final = 12
_PARAGRAPH_LINES: Final = 4
_FEW_WORDS: Final = 20
"""Characters: as much stands beside an address that nothing is said of."""

Kind = Literal["delivery_status", "feedback", "bounce", "unknown"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail turned out to be, and what it reports."""

    kind: Kind
    reported: list[Reported]
    """Empty where nothing is recognised."""
    found: dict[str, str]
    """What was seen, for whoever asks why nothing came of it. Holds no text of the mail."""


class _Mail(NamedTuple):
    raw: bytes
    parts: list[Part]
    digest: str
    """The same whenever the same report comes again."""
    date: int | None


def read(raw: bytes) -> Finding:
    """What a mail (RFC 5322) reports: a notification (RFC 3464), feedback (RFC 5965), or another form of bounce.

    Never fails on odd bytes: what can't be read is ``unknown``. Raises `TooLarge` above `MAX_REPORT_BYTES`.
    """
    if len(raw) > MAX_REPORT_BYTES:
        raise TooLarge(f"The mail is larger than {MAX_REPORT_BYTES} bytes.")
    raw = lf(raw)
    parts = take_apart(raw)
    top = parts[0]
    identity = "".join(first(top.fields, "message-id").split()).encode() or top.body.strip()
    mail = _Mail(raw, parts, hashlib.sha256(identity).hexdigest(), _time(first(top.fields, "date")))
    return _delivery_status(mail) or _feedback(mail) or _bounce(mail) or _finding("unknown", mail, [], clues(parts))


def _finding(kind: Kind, mail: _Mail, reported: list[Reported], seen: Clues, **found: str) -> Finding:
    facts = {
        "kind": kind,
        "parts": ", ".join(dict.fromkeys(part.type for part in mail.parts)),
        **found,
        "types": ", ".join(dict.fromkeys(one.type for one in reported)),
        "status_codes": ", ".join(
            dict.fromkeys(one.delivery.status_code for one in reported if one.delivery and one.delivery.status_code)
        ),
        "tracker_ids": ", ".join(seen.tracker_ids),
        "message_ids": ", ".join(seen.message_ids),
        "rfc822_ids": ", ".join(seen.rfc822_ids),
    }
    shown = {name: _printable(value, _MAX_FOUND) for name, value in facts.items()}
    return Finding(kind=kind, reported=reported, found={name: value for name, value in shown.items() if value})


def _delivery_status(mail: _Mail) -> Finding | None:
    groups = _groups(mail)
    about = clues(mail.parts, [value for group in groups for value in group.get("original-envelope-id", [])])
    reported: list[Reported] = []
    for group in groups:
        type_ = _outcome(group)
        if type_ is None or len(reported) == MAX_RECIPIENTS:
            continue
        recipient = first(group, "final-recipient") or first(group, "original-recipient")
        when = _time(first(group, "last-attempt-date"))
        reported.append(
            Reported(
                event_id=_event_id(mail, len(reported), type_, recipient.rpartition(";")[2]),
                type=type_,
                occurred_at=mail.date if when is None else when,
                clues=about,
                delivery=_diagnosed(_DIAGNOSTIC_TYPE.sub("", first(group, "diagnostic-code")), first(group, "status")),
            )
        )
    actions = ", ".join(dict.fromkeys(first(group, "action").lower() for group in groups if "action" in group))
    return _finding("delivery_status", mail, reported, about, actions=actions) if reported else None


def _groups(mail: _Mail) -> list[Fields]:
    """The groups of fields of the first delivery-status part: the message's, then each recipient's."""
    for part in mail.parts:
        if part.type in ("message/delivery-status", "message/global-delivery-status"):
            blocks = _GROUP_BREAK.split(part.text().strip("\n"), maxsplit=MAX_RECIPIENTS + 1)
            return [header_fields(block) for block in blocks]
    return []


def _outcome(group: Fields) -> str | None:
    action = re.match(r"[a-z]*", first(group, "action").lower())
    known = _ACTIONS.get(action[0]) if action else None
    status = first(group, "status")
    return known or (_CLASSES.get(status[:1]) if _ENHANCED_CODE.match(status) else None)


def _feedback(mail: _Mail) -> Finding | None:
    part = next((part for part in mail.parts if part.type == "message/feedback-report"), None)
    fields = header_fields(part.text()) if part else {}
    word = first(fields, "feedback-type").lower().partition(";")[0].partition("(")[0].strip()
    if not word:
        return None
    type_ = _FEEDBACK.get(word) or f"{NAME}.feedback_{re.sub('[^a-z0-9_]+', '_', word)[:40].strip('_')}"
    about = clues(mail.parts, fields.get("original-envelope-id", []), fields.get("original-mail-from", []))
    times = (_time(first(fields, "arrival-date")), _time(first(fields, "received-date")), mail.date)
    one = Reported(
        event_id=_event_id(mail, 0, type_, first(fields, "original-rcpt-to")),
        type=type_,
        occurred_at=next((time for time in times if time is not None), None),
        clues=about,
    )
    return _finding("feedback", mail, [one], about, feedback_type=word)


def _bounce(mail: _Mail) -> Finding | None:
    is_receipt = any(part.type == "message/disposition-notification" for part in mail.parts)
    if is_receipt or not is_from_a_mail_system(mail.parts[0]):
        return None
    temporary, permanent = failures(mail.raw, mail.parts)
    failed = [(address, EventType.FAILED) for address in permanent]
    failed += [(address, EventType.DEFERRED) for address in temporary]
    if not failed:
        return None
    about = clues(mail.parts)
    said = _ORIGINAL_FOLLOWS.split(texts(mail.parts), maxsplit=1)[0]
    lines = [line[:_LINE] for line in islice(said.split("\n"), _MAX_LINES)]
    known = {address for address, _ in failed[:MAX_RECIPIENTS]}
    reported = [
        Reported(
            event_id=_event_id(mail, index, type_, address),
            type=type_,
            occurred_at=mail.date,
            clues=about,
            delivery=_said_of(address, known - {address}, lines),
        )
        for index, (address, type_) in enumerate(islice(failed, MAX_RECIPIENTS))
    ]
    return _finding("bounce", mail, reported, about)


def _said_of(address: str, others: set[str], lines: list[str]) -> Delivery | None:
    """What is said from where the address stands to where another one does: the first lines with a code, or the first.

    Where the address doesn't stand in the text, the first lines with a code.
    """
    start = next((number for number, line in enumerate(lines) if address in line.lower()), None)
    near = _near(address, others, lines[start : start + _NEAR_LINES]) if start is not None else lines
    for number, line in enumerate(near):
        delivery = _diagnosed(line, "")
        if delivery and delivery.status_code and delivery.status_code[0] in "45":
            return _diagnosed(_paragraph(near[number:]), "")
    said = "" if start is None else _paragraph(near)
    return _diagnosed(said, "") if len(said) > len(address) + _FEW_WORDS else None


def _near(address: str, others: set[str], lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if address not in line.lower() and any(other in line.lower() for other in others):
            return lines[:number]
    return lines


def _paragraph(lines: list[str]) -> str:
    return " ".join(takewhile(bool, (line.strip() for line in lines[:_PARAGRAPH_LINES])))


def _diagnosed(text: str, status: str) -> Delivery | None:
    """The codes and the reason in what a server said, with the code of ``Status`` where it said none."""
    both = _BOTH_CODES.search(text)
    reply_found = _REPLY_CODE.search(text)
    enhanced_found = _ENHANCED_CODE.search(text)
    status_found = _ENHANCED_CODE.match(status)
    reply = both[1] if both else reply_found[1] if reply_found else ""
    own = both[2] if both else enhanced_found[0] if enhanced_found else ""
    enhanced = own or (status_found[0] if status_found else "")
    reason = _printable(_without(text, reply, own), MAX_REASON)
    code = " ".join(filter(None, (reply, enhanced)))
    return Delivery(code or None, reason or None) if code or reason else None


def _without(text: str, reply: str, enhanced: str) -> str:
    """The text without its codes: each line of a reply repeats them (RFC 5321, 4.2.1)."""
    code = re.escape(enhanced)
    forms = ([rf"{reply}[ -]#?{code}", rf"\(#?{code}\)", rf"#?{code}"] if enhanced else []) + ([reply] if reply else [])
    if forms:
        text = re.sub(rf"(?<![\w.])(?:{'|'.join(forms)})(?![\w]|\.\d)[ -]*", " ", text)
    return text.strip(" \t\n-:;,#")


def _printable(text: str, limit: int) -> str:
    shown = "".join(char if char.isprintable() and char != "\ufffd" else " " for char in text[: limit * 4])
    return " ".join(shown.split())[:limit].rstrip()


def _event_id(mail: _Mail, index: int, type_: str, recipient: str) -> str:
    facts = "\0".join((mail.digest, str(index), type_, recipient.strip().lower()))
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _time(date: str) -> int | None:
    """Microseconds since the epoch; None for what is no date (RFC 5322, 3.3), or not of the years 1970 to 9999."""
    try:
        parsed = parsedate_to_datetime(date[:200])
        moment = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        since = (moment - _EPOCH) // timedelta(microseconds=1)
    except Exception:  # the parser raises most of what there is, by Python's version
        return None
    return since if 0 <= since <= _END else None
