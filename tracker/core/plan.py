"""Decides what changes in one body, before any recipient is known.

Owns the rules that turn what was found in a body into edits: spans, and what goes there. Must not sign
anything: that is done for each recipient, by `rewrite`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Final, NamedTuple

import msgspec

from . import html as html_body
from . import text as text_body
from .edits import Edit, Found, Notice, Plan, Slot, in_order
from .own import OPEN_PIXEL, UNSUBSCRIBE_URL, OwnLinks, Placeholder
from .tokens import Packed, Purpose, Token, pack
from .urls import LinkRules, Reason, destination, with_params

MAX_TRACKED_URL_CHARS: Final = 2083
"""Outlook on Windows does not follow longer links."""

_AGAIN: Final = Notice(
    "rewritten_before", "this message was rewritten before: its links and its pixel are there, and nothing was changed"
)
_MARKS: Final = frozenset({Slot.CLICK, Slot.PIXEL, Slot.TOP_PIXEL})
_HEAD_CHARS = 16 + 4 * (3 + 4 + 129 + 4) // 3 + 4
"""The most characters of a click token that are not its destination."""


class PixelPosition(enum.StrEnum):
    """Where the pixel goes. A body without the place asked for has it at the bottom."""

    BOTTOM = "bottom"
    TOP = "top"
    BOTH = "both"
    PLACEHOLDER = "placeholder"
    """Where ``{{open_pixel}}`` stands."""


class LinkTextRule(enum.StrEnum):
    """What to do with a link whose text is itself a URL: mail filters may call a different target phishing."""

    WARN = "warn"
    SKIP = "skip"


class Footer(enum.StrEnum):
    """Whether a body without a place for the unsubscribe link gets a footer."""

    AUTO = "auto"
    NEVER = "never"


class Tracks(NamedTuple):
    """What is tracked in one message."""

    opens: bool = True
    clicks: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about rewriting."""

    links: LinkRules = field(default_factory=LinkRules)
    link_text: LinkTextRule = LinkTextRule.WARN
    pixel: PixelPosition = PixelPosition.BOTTOM
    text_links: bool = True
    """Whether links in the text part are tracked, too."""
    sender_name: str = ""
    postal_address: str = ""
    """The sender's, in the footer; lines end with a line feed."""
    honeypot: bool = False
    """Whether a body with tracked links gets a hidden one, which no person sees, to catch machines with."""


@dataclass(frozen=True, slots=True)
class Options:
    """What one call asks for, the same for all of its recipients."""

    footer: bool = True
    """Add an unsubscribe link to a body that has no place for it."""
    list: str = "default"
    link_params: Mapping[str, str] = field(default_factory=dict)


class Planner:
    """Plans the bodies of one call, for one choice of what is tracked; links are numbered across the bodies.

    ``resent`` says that the bodies have links of ours, made for another message.
    """

    def __init__(
        self, own: OwnLinks, policy: Policy, options: Options, tracks: Tracks, *, resent: bool = False
    ) -> None:
        self._resent = resent
        self._own = own
        self._policy = policy
        self._options = options
        self._tracks = tracks
        self._next_link = 0
        self._body = ""
        self._opted_out: set[str] = set()

    def html(self, html: str, page: html_body.Page) -> Plan:
        """The plan of an HTML body. Call it before `text`: a link that opts out here is left there too."""
        self._body = html
        shown = [link for link in page.links if not (self._resent and self._own.hidden(link.href))]
        links = [self._html_link(link) for link in shown]
        edits = self._link_edits(links)
        if self._wants_footer(edits):
            edits.append(Edit(page.body_end, page.body_end, Slot.HTML_FOOTER, literal=_newline(html)))
        edits += self._hidden_links(page, edits)
        edits += self._pixels(html, page)
        if any(edit.slot in _MARKS for edit in edits):
            # Only a body that shows it was rewritten loses our attribute: the next time it is known by that.
            edits += [Edit(*link.own_opt_out, Slot.LITERAL) for link in page.links if link.own_opt_out]
        return Plan(html, in_order(edits), tuple(links), tuple(self._link_warnings(zip(shown, links, strict=True))))

    def text(self, text: str) -> Plan:
        """The plan of a text body."""
        self._body = text
        links = [self._text_link(link) for link in text_body.scan(text)]
        edits = self._link_edits(links)
        if self._wants_footer(edits):
            edits.append(Edit(len(text), len(text), Slot.TEXT_FOOTER, literal=_newline(text)))
        return Plan(text, in_order(edits), tuple(links))

    def _link_edits(self, links: Iterable[Found]) -> list[Edit]:
        edits = [found.edit for found in links if found.edit]
        edits += _fill(UNSUBSCRIBE_URL, self._body, Slot.UNSUBSCRIBE)
        if self._resent:
            # Shown as text, or within another URL, another recipient's unsubscribe link would still work.
            edits += [Edit(*span, Slot.UNSUBSCRIBE) for span in self._own.unsubscribe_spans(self._body)]
        return edits

    def html_again(self, html: str, page: html_body.Page) -> Plan:
        """The plan of an HTML body that was rewritten for this very message before: nothing changes."""
        links = (self._link_again("html", link.href) for link in page.links if not self._own.hidden(link.href))
        return replace(placeholders(html), links=tuple(links), warnings=(_AGAIN,))

    def text_again(self, text: str) -> Plan:
        """The same for a text body."""
        links = (self._link_again("text", link.url) for link in text_body.scan(text))
        return replace(placeholders(text), links=tuple(links), warnings=(_AGAIN,))

    def _link_again(self, part: str, href: str) -> Found:
        ours = self._own.read(href)
        if ours:
            unsubscribe = ours.purpose is Purpose.UNSUBSCRIBE
            return Found(part, href, None, Reason.UNSUBSCRIBE if unsubscribe else Reason.OWN_LINK)
        url = destination(href, self._policy.links)
        if isinstance(url, Reason):
            return Found(part, href, None, url)
        return Found(part, url, None, Reason.REWRITTEN_BEFORE)

    def _html_link(self, link: html_body.HtmlLink) -> Found:
        if link.value and (ours := self._own.read(link.href)):
            return self._other_messages_link("html", link.value, link.href, ours)
        url = destination(link.href, self._policy.links)
        if isinstance(url, Reason):
            unsubscribe = url is Reason.PLACEHOLDER and UNSUBSCRIBE_URL.spans(link.href)
            return Found("html", link.href, None, Reason.UNSUBSCRIBE if unsubscribe else url)
        if link.value is None:
            return Found("html", link.href, None, Reason.INVALID_URL)
        left = None
        if link.opted_out:
            left = Reason.OPT_OUT
            self._opted_out.add(_plain(link.href))
        elif link.text_is_url and self._policy.link_text is LinkTextRule.SKIP:
            left = Reason.LINK_TEXT
        return self._web_link("html", link.value, url, left, params=link.takes_params)

    def _text_link(self, link: text_body.TextLink) -> Found:
        if ours := self._own.read(link.url):
            return self._other_messages_link("text", link.value, link.url, ours)
        url = destination(link.url, self._policy.links)
        if isinstance(url, Reason):
            return Found("text", link.url, None, url)
        left = None
        if link.wrapped:
            left = Reason.WRAPPED
        elif link.opted_out or (self._opted_out and _plain(link.url) in self._opted_out):
            left = Reason.OPT_OUT
        return self._web_link("text", link.value, url, left, params=True)

    def _web_link(
        self, part: str, span: html_body.Span, url: str, left: Reason | None, *, params: bool = False
    ) -> Found:
        """What becomes of a link to the web that there may be a reason to leave."""
        if self._resent and self._own.unsubscribe_spans(url):
            return Found(part, url, None, Reason.UNSUBSCRIBE)
        if left is None and not (self._tracks.clicks and (part == "html" or self._policy.text_links)):
            left = Reason.TRACKING_OFF
        if left is not None:
            return Found(part, url, None, left)
        target = with_params(url, self._options.link_params) if params else url
        packed = self._pack(target)
        if packed is None:
            return Found(part, url, None, Reason.TOO_LONG)
        edit = Edit(*span, Slot.CLICK, self._next_link, packed)
        self._next_link += 1
        return Found(part, target, edit, None)

    def _pack(self, url: str) -> Packed | None:
        """``url`` as it stands in a token; None where the link with the token in it would be too long."""
        try:
            packed = pack(url)
        except ValueError:
            return None
        fits = len(self._own.origin) + _HEAD_CHARS + 4 * len(packed.data) // 3 <= MAX_TRACKED_URL_CHARS
        return packed if fits else None

    def _other_messages_link(self, part: str, span: html_body.Span, url: str, ours: Token) -> Found:
        """A link of ours, in a sent mail that is sent again or forwarded: it is unwrapped, and made this message's."""
        if ours.purpose is Purpose.UNSUBSCRIBE:
            # Only the link is replaced, not what the sender put behind it.
            for start, end in self._own.unsubscribe_spans(self._body[span.start : span.end]):
                span = html_body.Span(span.start + start, span.start + end)
                break
            return Found(part, url, Edit(*span, Slot.UNSUBSCRIBE), Reason.UNSUBSCRIBE)
        if ours.purpose is Purpose.OPEN:
            return Found(part, url, None, Reason.OWN_LINK)
        found = self._web_link(part, span, ours.destination, None)
        if found.edit:
            return found
        literal = escape(ours.destination).replace(" ", "&#32;") if part == "html" else ours.destination
        return msgspec.structs.replace(found, edit=Edit(*span, Slot.LITERAL, literal=literal))

    def _hidden_links(self, page: html_body.Page, edits: Iterable[Edit]) -> Iterator[Edit]:
        """The link that no person sees; in a mail that is sent again, another URL for the one that is there."""
        links = page.links if self._resent else ()
        spans = [link.value for link in links if link.value and self._own.hidden(link.href)]
        first = next((edit for edit in edits if edit.slot is Slot.CLICK), None)
        if first and self._policy.honeypot:
            for span in spans or [html_body.Span(page.body_end, page.body_end)]:
                yield Edit(*span, Slot.HIDDEN, first.link, first.packed)
        else:
            # Not where it led: the next rewriting would take it for a link that people see.
            yield from (Edit(*span, Slot.LITERAL, literal="#") for span in spans)

    def _wants_footer(self, edits: Iterable[Edit]) -> bool:
        return self._options.footer and not any(edit.slot is Slot.UNSUBSCRIBE for edit in edits)

    def _pixels(self, html: str, page: html_body.Page) -> Iterator[Edit]:
        for span, src in page.images:
            ours = self._own.read(src)
            if ours and ours.purpose is Purpose.OPEN:
                yield Edit(*span, Slot.LITERAL)
        position, bottom = self._policy.pixel, True
        if position is PixelPosition.PLACEHOLDER:
            tags = _fill(OPEN_PIXEL, html, Slot.LITERAL)
            bottom = not tags
            if tags and self._tracks.opens:
                tags[0] = msgspec.structs.replace(tags[0], slot=Slot.PIXEL)
            yield from tags
        if not self._tracks.opens:
            return
        if position in (PixelPosition.TOP, PixelPosition.BOTH) and page.body_start is not None:
            bottom = position is PixelPosition.BOTH
            yield Edit(page.body_start, page.body_start, Slot.TOP_PIXEL)
        if bottom:
            yield Edit(page.body_end, page.body_end, Slot.PIXEL)

    def _link_warnings(self, pairs: Iterable[tuple[html_body.HtmlLink, Found]]) -> Iterator[Notice]:
        rewritten = [link for link, found in pairs if found.edit and found.reason is None]
        texts = sum(link.text_is_url for link in rewritten)
        if texts:
            yield Notice(
                "link_text_is_url",
                f"{texts} links show a URL as their text but lead through {self._own.origin}, "
                "which mail filters may take for phishing; use words, or a tracking domain of the same organisation",
            )
        without_scheme = sum(link.href.lstrip().startswith("//") for link in rewritten)
        if without_scheme:
            yield Notice("no_scheme", f"{without_scheme} links start with // and were taken as https")


def placeholders(body: str) -> Plan:
    """The plan of a body that is otherwise left alone: only its placeholders are filled in."""
    return Plan(body, tuple(_fill(UNSUBSCRIBE_URL, body, Slot.UNSUBSCRIBE)))


def _fill(placeholder: Placeholder, body: str, slot: Slot) -> list[Edit]:
    return [Edit(*span, slot) for span in placeholder.spans(body)]


def _newline(body: str) -> str:
    return "\r\n" if "\r" in body else "\n"


def _plain(href: str) -> str:
    """The URL that an opt-out is about, however it is written down; "" where it is no web link anyway."""
    url = destination(href, LinkRules())
    return "" if isinstance(url, Reason) else url
