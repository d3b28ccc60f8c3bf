"""The settings of an account: shows, sets and resets them by dotted names.

Owns how a setting is written in an argument. What it means, and what may be set, is `core.accounts`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec.inspect as types

from tracker.core.accounts import AccountSettings, settings_from
from tracker.core.errors import InvalidRequest
from tracker.directory import default_settings
from tracker.stores.accounts import Document

from .accounts import Commands, add_account_option, opened
from .terminal import print_json, read_settings

_TYPES: Final = types.type_info(AccountSettings)
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Path = tuple[str, ...]
"""Names, from the outside inwards: one, or two."""


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``settings``."""
    settings = commands.add_parser("settings", help="show or change an account's settings")
    actions = settings.add_subparsers(required=True, metavar="COMMAND")
    show = actions.add_parser("show", help="print all settings, as JSON")
    add_account_option(show)
    show.set_defaults(run=_show)
    set_ = actions.add_parser("set", help="change settings, and print all of them")
    set_.add_argument(
        "assignments", nargs="+", metavar="NAME=VALUE",
        help="such as track.opens=false, link_params.utm_source=crm, excluded_hosts=a.example,b.example",
    )  # fmt: skip
    add_account_option(set_)
    set_.set_defaults(run=_set)
    reset = actions.add_parser("reset", help="let settings be what they are by default, and print all of them")
    reset.add_argument("names", nargs="+", metavar="NAME", help="such as track, track.opens, link_params.utm_source")
    add_account_option(reset)
    reset.set_defaults(run=_reset)


def _show(parsed: argparse.Namespace) -> int:
    settings = read_settings()

    async def read() -> Document:
        async with opened(settings) as accounts:
            return await accounts.settings(parsed.account)

    print_json(settings_from(asyncio.run(read()), default_settings(settings)))
    return 0


def _set(parsed: argparse.Namespace) -> int:
    values = assigned(parsed.assignments)

    def change(document: Document) -> None:
        for path, value in values:
            _put(document, path, value)

    return _change(parsed.account, change)


def _reset(parsed: argparse.Namespace) -> int:
    paths = [_place(name)[0] for name in parsed.names]

    def change(document: Document) -> None:
        for path in paths:
            _remove(document, path)

    return _change(parsed.account, change)


def _change(account: str, change: Callable[[Document], None]) -> int:
    settings = read_settings()
    defaults = default_settings(settings)

    def checked(document: Document) -> Document:
        change(document)
        settings_from(document, defaults)
        return document

    async def write() -> Document:
        async with opened(settings) as accounts:
            return await accounts.change_settings(account, checked)

    print_json(settings_from(asyncio.run(write()), defaults))
    return 0


def assigned(assignments: Sequence[str]) -> list[tuple[Path, Any]]:
    """What each ``NAME=VALUE`` puts where. Raises `InvalidRequest` that names all that are wrong."""
    values, errors = [], []
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        try:
            path, kind = _place(name)
            if not equals:
                raise InvalidRequest([(f"$.{name}", "has no value: write NAME=VALUE")])
            values.append((path, _value(name, text, kind)))
        except InvalidRequest as error:
            errors += error.errors
    if errors:
        raise InvalidRequest(errors)
    return values


def _place(name: str) -> tuple[Path, types.Type]:
    """Where a setting is, and its type."""
    top, dot, rest = name.partition(".")
    kind = _field(_TYPES, top)
    if kind is not None and dot:
        kind = _field(kind, rest)
    if kind is None or not _is_text(name):
        raise InvalidRequest([(f"$.{name}", "is not a setting")])
    return ((top, rest) if dot else (top,)), kind


def _field(kind: types.Type, name: str) -> types.Type | None:
    found: types.Type | None = None
    if isinstance(kind, types.StructType):
        found = next((field.type for field in kind.fields if field.name == name), None)
    elif isinstance(kind, types.DictType) and name:
        found = kind.value_type
    return found.type if isinstance(found, types.Metadata) else found


def _value(name: str, text: str, kind: types.Type) -> Any:
    """The value that ``text`` is, of a type that JSON has. Raises `InvalidRequest`."""
    match kind:
        case types.BoolType():
            value: Any = _FLAGS.get(text.lower())
            fault = "must be true or false"
        case types.UnionType() | types.IntType():  # the only union is of a whole number and none
            is_none = isinstance(kind, types.UnionType) and text.lower() in ("none", "null", "")
            is_number = text.isascii() and text.isdecimal() and len(text) < 19
            if is_none:
                return None
            value = int(text) if is_number else None
            fault = "must be a whole number" + (", or none" if isinstance(kind, types.UnionType) else "")
        case types.FloatType():
            value = float(text) if re.fullmatch(r"\d{1,18}(\.\d{1,18})?", text, re.ASCII) else None
            fault = "must be a number"
        case types.EnumType(choices):
            names = [str(choice.value) for choice in choices]
            value = text if text in names else None
            fault = "must be one of " + ", ".join(names)
        case types.VarTupleType():
            value = [word.strip() for word in text.split(",") if word.strip()] if _is_text(text) else None
            fault = "is not text"
        case types.StructType() | types.DictType():
            value, fault = None, f"has parts: write {name}.PART=VALUE"
        case _:
            value = text if _is_text(text) else None
            fault = "is not text"
    if value is None:
        raise InvalidRequest([(f"$.{name}", fault)])
    return value


def _is_text(text: str) -> bool:
    """Whether an argument was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _put(document: Document, path: Path, value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _remove(document: Document, path: Path) -> None:
    top, *rest = path
    if not rest:
        document.pop(top, None)
    elif top in document:
        document[top].pop(rest[0], None)
        if not document[top]:
            del document[top]
