"""The settings as a form: fields in, the document that is stored out, and the other way round.

Owns the fields, their words, and where each error belongs. What a setting means is `core.accounts`.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from tracker.core.accounts import AccountSettings, settings_from
from tracker.core.errors import InvalidRequest
from tracker.core.model import Consent
from tracker.core.plan import Footer, LinkTextRule, PixelPosition

Typed = dict[str, str]
"""What stands in each field, by its name; a box that is not checked is empty."""
_PLACE: Final = re.compile(r"\$\.([a-z_]+(?:\.[a-z_]+)?)(?:\[(\d+)\])?.*", re.DOTALL)


class Kind(enum.Enum):
    """What a field looks like."""

    CHECK = enum.auto()
    CHOICE = enum.auto()
    TEXT = enum.auto()
    LINES = enum.auto()
    """Some text of several lines."""
    LIST = enum.auto()
    """One thing a line."""
    PAIRS = enum.auto()
    """A name and a value a line."""
    WHOLE = enum.auto()
    """A whole number, or nothing."""
    SECONDS = enum.auto()


class Field(NamedTuple):
    """One field; its name is the path of the setting."""

    name: str
    kind: Kind
    label: str
    hint: str = ""
    rule: str = ""
    """What is said where it is not valid."""
    choices: Mapping[str, str] = {}


class Group(NamedTuple):
    """Fields that belong together."""

    legend: str
    fields: tuple[Field, ...]


_AS_GRANTED: Final = {Consent.GRANTED.value: "Track", Consent.DENIED.value: "Do not track"}
_NOT_SECONDS: Final = "Type a number of seconds from 0 to 600."

GROUPS: Final = (
    Group("What is tracked", (
        Field("track.opens", Kind.CHECK, "Track opens"),
        Field("track.clicks", Kind.CHECK, "Track clicks"),
        Field("text_part", Kind.CHECK, "Track links in the text part, too"),
        Field("transactional_clicks", Kind.CHECK, "Track links in messages of class transactional"),
        Field("unknown_consent.opens", Kind.CHOICE, "Opens, where consent is not known", choices=_AS_GRANTED),
        Field("unknown_consent.clicks", Kind.CHOICE, "Clicks, where consent is not known", choices=_AS_GRANTED),
    )),
    Group("Links and the pixel", (
        Field("pixel_position", Kind.CHOICE, "Place of the pixel", choices={
            PixelPosition.BOTTOM.value: "At the bottom",
            PixelPosition.TOP.value: "At the top",
            PixelPosition.BOTH.value: "Both",
            PixelPosition.PLACEHOLDER.value: "Where {{open_pixel}} stands",
        }),
        Field("link_text_urls", Kind.CHOICE, "Links whose text is an address of its own",
              "Mail filters may take a different target for phishing.",
              choices={LinkTextRule.WARN.value: "Track, and warn", LinkTextRule.SKIP.value: "Leave alone"}),
        Field("excluded_hosts", Kind.LIST, "Hosts whose links are left alone",
              "One a line, such as shop.example; *.shop.example means every host below it.",
              "Type a host name a line, such as shop.example or *.shop.example, 1000 at most."),
        Field("one_use_links", Kind.LIST, "Pieces of paths whose links are left alone",
              "One a line, such as /reset: a link that works once should not pass through anything.",
              "Type a piece of 1 to 128 characters a line, 100 at most."),
        Field("link_params", Kind.PAIRS, "Parameters added to links", "One a line: name=value.",
              "Type name=value a line, each name once, 20 at most; names have up to 64 characters, values up to 256."),
    )),
    Group("Who the mail is from", (
        Field("sender_name", Kind.TEXT, "Sender's name", "In the footer and on the unsubscribe page.",
              "Type a line of 200 characters at most."),
        Field("postal_address", Kind.LINES, "Postal address", "In the footer: some laws ask for it.",
              "Type 500 characters at most."),
        Field("footer", Kind.CHOICE, "Footer with the unsubscribe link", choices={
            Footer.AUTO.value: "Where a message has no place for the link", Footer.NEVER.value: "Never"}),
    )),
    Group("Telling machines from people", (
        Field("classifier.bursts", Kind.CHECK, "Several links of one message within seconds are a machine's"),
        Field("classifier.burst_s", Kind.SECONDS, "Within how many seconds two from one address are",
              "1 spares most people who open links in tabs; 5 catches the most mail filters.",
              "Type a number of seconds above 0, 5 at most."),
        Field("classifier.sweeps", Kind.CHECK,
              "Five links from one address within two minutes are, soon after the mail's reported arrival"),
        Field("classifier.probable_networks", Kind.CHECK,
              "Hits from networks that are probably a mail filter's are a machine's, soon after the mail's arrival"),
        Field("classifier.quick_open_s", Kind.SECONDS, "Opens sooner than this after the arrival are a machine's",
              "In seconds; 0 is for never.", _NOT_SECONDS),
        Field("classifier.quick_click_s", Kind.SECONDS, "Clicks sooner than this after the arrival are a machine's",
              "In seconds; 0 is for never. A person's click costs more to lose.", _NOT_SECONDS),
        Field("classifier.honeypot", Kind.CHECK, "Put a hidden link into messages, that no person sees"),
    )),
    Group("How long it is kept", (
        Field("retention_days", Kind.WHOLE, "Days",
              "A message is deleted with its events, so many days after the last one. Empty: kept for good.",
              "Type a whole number of days from 1 to 36500, or nothing."),
    )),
)  # fmt: skip

FIELDS: Final = {field.name: field for group in GROUPS for field in group.fields}


def typed(settings: AccountSettings) -> Typed:
    """What the form shows of ``settings``."""
    values = msgspec.to_builtins(settings)
    return {name: _SHOWN[field.kind](_at(values, name)) for name, field in FIELDS.items()}


def document(given: Typed, defaults: AccountSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings in a form that are not ``defaults``, as they are stored; and what is wrong, by field."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, field in FIELDS.items():
        try:
            value = _READ[field.kind](given[name])
        except ValueError:
            errors[name] = field.rule
            continue
        place, _, part = name.rpartition(".")
        (values.setdefault(place, {}) if place else values)[part] = value
    usual = msgspec.json.decode(msgspec.json.encode(defaults))
    changed = {name: value for name, value in values.items() if value != usual[name]}
    for name, value in changed.items():
        try:
            settings_from({name: value}, defaults)
        except InvalidRequest as error:
            errors |= {wrong: text for wrong, text in _said(error, changed) if wrong not in errors}
    return changed, errors


def _said(error: InvalidRequest, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which fields are wrong, and how to put them right."""
    found = []
    for path, message in error.errors:
        match = _PLACE.fullmatch(path)
        if match is None or match[1] not in FIELDS:
            raise error
        line = f"“{values[match[1]][int(match[2])]}” is not right. " if match[2] else ""
        found.append((match[1], line + (FIELDS[match[1]].rule or message)))
    return found


def _at(values: Mapping[str, Any], name: str) -> Any:
    place, _, part = name.rpartition(".")
    return values[place][part] if place else values[part]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(text: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in _lines(text)]
    found = {name.strip(): value.strip() for name, _, value in pairs}
    if len(found) < len(pairs) or not all(sign for _, sign, _ in pairs):
        raise ValueError
    return found


def _whole(text: str) -> int | None:
    text = text.strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError
    return int(text) if text else None


def _seconds(text: str) -> float:
    seconds = float(text.strip() or "0")
    if not math.isfinite(seconds):
        raise ValueError
    return seconds


_READ: Final[Mapping[Kind, Callable[[str], Any]]] = {
    Kind.CHECK: bool,
    Kind.CHOICE: str,
    Kind.TEXT: str.strip,
    Kind.LINES: lambda text: "\n".join(text.splitlines()).strip(),
    Kind.LIST: _lines,
    Kind.PAIRS: _pairs,
    Kind.WHOLE: _whole,
    Kind.SECONDS: _seconds,
}
_SHOWN: Final[Mapping[Kind, Callable[[Any], str]]] = {
    Kind.CHECK: lambda value: "on" if value else "",
    Kind.CHOICE: str,
    Kind.TEXT: str,
    Kind.LINES: str,
    Kind.LIST: "\n".join,
    Kind.PAIRS: lambda pairs: "\n".join(f"{name}={value}" for name, value in pairs.items()),
    Kind.WHOLE: lambda value: "" if value is None else str(value),
    Kind.SECONDS: lambda value: repr(value).removesuffix(".0"),
}
