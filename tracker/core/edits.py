"""The changes to one body: which spans are replaced, by what kind of thing, and what became of each link.

Owns the splicing. Must not decide what changes: that is `plan`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from .tokens import Packed
from .urls import Reason


class Notice(NamedTuple):
    """Something the caller should know, though the message can be sent as it is."""

    code: str
    detail: str


class Slot(enum.Enum):
    """What is spliced in at an edit."""

    CLICK = enum.auto()
    UNSUBSCRIBE = enum.auto()
    PIXEL = enum.auto()
    TOP_PIXEL = enum.auto()
    HIDDEN = enum.auto()
    """A link that no person sees; where one stands already, only its URL."""
    HTML_FOOTER = enum.auto()
    TEXT_FOOTER = enum.auto()
    LITERAL = enum.auto()
    """The edit's own `literal`: the same for every recipient."""


class Edit(msgspec.Struct, frozen=True, gc=False):
    """One span of a body, and what takes its place."""

    start: int
    end: int
    slot: Slot
    link: int = 0
    packed: Packed = Packed(0, b"")
    literal: str = ""
    """What a `Slot.LITERAL` puts there; around a footer, the body's own line ending."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """One link of a body and what becomes of it: a number if it is tracked, a reason if it is left."""

    part: str
    url: str
    edit: Edit | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that changes in one body, whoever the recipient is."""

    source: str
    edits: tuple[Edit, ...]
    links: tuple[Found, ...] = ()
    warnings: tuple[Notice, ...] = ()

    def splice(self, fill: Callable[[Edit], str]) -> str:
        """The body with every edit's span replaced by what ``fill`` gives for it."""
        pieces: list[str] = []
        at = 0
        for edit in self.edits:
            pieces += (self.source[at : edit.start], fill(edit))
            at = edit.end
        pieces.append(self.source[at:])
        return "".join(pieces)


def in_order(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """The edits by place, less those that reach into an earlier one.

    At one place first what is inserted, in the order given, then what takes the place of something.
    """
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return tuple(kept)
