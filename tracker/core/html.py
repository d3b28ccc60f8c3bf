"""Where the links, the opt-outs and the ends of an HTML body stand: spans into the caller's own string.

Owns what counts as a link in HTML. Must not change a byte: `rewrite` splices into the spans found here.

The parser sees a copy in which every CR is an LF: it counts a CR LF as one character, and the one-for-one
replacement keeps its offsets true. Its tree is only read, never written back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import turbohtml

OWN_OPT_OUT: Final = "data-no-track"
"""The one opt-out attribute that is ours, and so the one that is taken out of the mail."""

# Attributes by which a sender asks other services to leave a link alone. They stay in the mail, since a
# service further down the line may need them.
_OPT_OUT_FLAGS: Final = frozenset(
    {
        OWN_OPT_OUT,
        "mc:disable-tracking",  # Mandrill
        "data-pm-no-track",  # Postmark
        "ses:no-track",  # Amazon SES
        "mautic:disable-tracking",  # Mautic
        "data-mg-notrack",  # Mailglass
        "data-skip-click",  # ahoy_email
    }
)
_OPT_OUT_VALUES: Final = {
    "clicktracking": "off",  # SendGrid
    "disable-tracking": "true",  # Mailgun
    "data-disable-tracking": "true",  # OneSignal
    "data-msys-clicktrack": "0",  # SparkPost
}
_OPT_OUT_NAMES: Final = _OPT_OUT_FLAGS | _OPT_OUT_VALUES.keys()
_OPT_OUT_CLASS: Final = "untracked"  # Customer.io
_OPT_OUT_QUERY: Final = re.compile(r"[?&]disable-tracking=true(?:[&#]|$)")  # MailWizz
_SKIP_PARAMS: Final = "data-skip-utm-params"  # ahoy_email

# No mail has so many. What has more was made to keep us busy, and is left as it is.
_MOST_ATTRIBUTES: Final = 1000
_MOST_COMMENTS: Final = 10_000

_HREF = re.compile(r"href\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'][^\s]*))", re.IGNORECASE)
_DROPPED = "".join(map(chr, range(0x21)))  # by the URL standard, at the start and end of a URL
_WEB_STARTS: Final = ("h", "H", "/")
# A flag would cost these their fast literal prefix.
_CONDITIONAL = re.compile(r"<!--(?=\s*\[[iI][fF])")
_COMMENT_END = re.compile("--!?>")
_LINK_TAG = re.compile(r"<(?:[aA](?:[rR][eE][aA])?|[vV]:\w+)[\s/]")
_HREF_NAME = re.compile("[hH][rR][eE][fF]")
_UNCLOSED_TAG = re.compile(r"</?[A-Za-z][^>]*")
_BODY_END = re.compile(r"</body[\s/>]", re.IGNORECASE)


class Span(NamedTuple):
    """A half-open range of characters of the caller's string."""

    start: int
    end: int


class HtmlLink(msgspec.Struct, frozen=True, gc=False):
    """One ``href`` of an ``<a>``, an ``<area>`` or a VML element."""

    place: tuple[int, int]
    """Line and column of its tag: the order of links in the document."""
    href: str
    """The value with its character references decoded, once."""
    value: Span | None = None
    """The attribute's value, without its quotes; None where the link can't be one to the web."""
    opted_out: bool = False
    own_opt_out: Span | None = None
    """Our own opt-out attribute, with the white space before it."""
    takes_params: bool = True
    text_is_url: bool = False


class Page(NamedTuple):
    """What was found in one HTML body, in document order."""

    links: tuple[HtmlLink, ...]
    images: tuple[tuple[Span, str], ...]
    """Every ``<img>`` with a ``src``: the span of the tag, and the value decoded. Only looked for on demand."""
    body_start: int | None
    """Just behind the ``<body>`` tag, if there is one."""
    body_end: int
    """Just before the last real ``</body>``, or the end of the string."""


def scan(html: str, *, images: bool = False) -> Page:
    """Find the links of ``html``; and its images, if asked to."""
    source = html.replace("\r", "\n")
    document = _parse(source)
    body = document.find("body")
    if body is None:
        # A browser drops what stands in a page of frames. A mail program drops the frames, and shows the rest.
        document = _parse(_without_framesets(source))
        body = document.find("body")
    links = list(_links(source, document, _START))
    for origin, content in _conditional_comments(source, document):
        links += _links(source, _parse(content), origin)
    # Where tags are nested wrongly, the tree has links in another order, and copies of one, which stand nowhere.
    found: dict[tuple[int, int], HtmlLink] = {}
    for link in links:
        if link.value or link.place not in found:
            found[link.place] = link
    start, end = _body(source, body)
    return Page(tuple(found[place] for place in sorted(found)), tuple(_images(document)) if images else (), start, end)


class _Origin(NamedTuple):
    """Where a document begins in the source: offset, 1-based line and 0-based column."""

    offset: int
    line: int
    column: int


_START: Final = _Origin(0, 1, 0)


def _parse(source: str) -> turbohtml.Document:
    return turbohtml.parse(source, source_locations=True, allow_declarative_shadow_roots=False)


def _links(source: str, document: turbohtml.Document, origin: _Origin) -> Iterator[HtmlLink]:
    """The links of a document that stands at ``origin`` in the source."""
    for element in document.select("[href]"):
        tag = element.tag
        if tag not in ("a", "area") and not tag.startswith("v:"):
            continue
        attributes = element.attrs
        href = attributes["href"]
        line, column = element.source_line, element.source_col
        if not isinstance(href, str) or line is None or column is None:
            continue
        place = (origin.line - 1 + line, column + (origin.column if line == 1 else 0))
        # Most links of a template lead to "#". Spans and texts are what costs, so only links to the web get them.
        is_web = href.lstrip(_DROPPED)[:1] in _WEB_STARTS or OWN_OPT_OUT in attributes
        if is_web and len(attributes) <= _MOST_ATTRIBUTES:
            value, own_opt_out = _spans(source, element, origin.offset)
            params = _SKIP_PARAMS not in attributes
            yield HtmlLink(
                place, href, value, _is_opted_out(attributes, href), own_opt_out, params, _shows_url(element)
            )
        else:
            yield HtmlLink(place, href)


def _spans(source: str, element: turbohtml.Element, offset: int) -> tuple[Span | None, Span | None]:
    """Where the value of the href stands, and our opt-out attribute with the white space before it.

    None for a value that is not where the parser says, so that nothing but a value is ever replaced.
    """
    location = element.source_location
    if location is None:
        return None, None
    value = own_opt_out = None
    span = location.attrs["href"]
    match = _HREF.fullmatch(source, offset + span.start_offset, offset + span.end_offset)
    if match is not None:
        value = Span(*match.span(match.lastgroup or 0))
    if OWN_OPT_OUT in location.attrs:
        span = location.attrs[OWN_OPT_OUT]
        start, end = offset + span.start_offset, offset + span.end_offset
        # With a "/" behind it, the white space still has to end what stands before it: <a title=x data-no-track/>
        apart = source[start - 1].isspace() and source[end : end + 1] in (">", " ", "\n", "\t", "\f")
        own_opt_out = Span(start - apart, end)
    return value, own_opt_out


def _is_opted_out(attributes: Mapping[str, str | list[str] | None], href: str) -> bool:
    if not _OPT_OUT_NAMES.isdisjoint(attributes):
        flags = _OPT_OUT_FLAGS.intersection(attributes)
        if any(str(attributes[name]).lower() != "false" for name in flags):
            return True
        if any(str(attributes.get(name)).strip().lower() == off for name, off in _OPT_OUT_VALUES.items()):
            return True
    if _OPT_OUT_CLASS in (attributes.get("class") or ()):
        return True
    return "disable-tracking" in href and bool(_OPT_OUT_QUERY.search(href))


def _shows_url(element: turbohtml.Element) -> bool:
    """Whether the text of a link starts with a URL. Only its first piece is read: links nest, if wrongly."""
    text = next(element.stripped_strings, "").lower()
    return text.startswith(("http://", "https://", "www.")) and not any(map(str.isspace, text))


def _conditional_comments(source: str, document: turbohtml.Document) -> Iterator[tuple[_Origin, str]]:
    """Place and content of each comment ``<!--[if ...]> ... <![endif]-->`` that has a link in it, in order.

    The parser gives no place for a comment, so its text is looked up in the source. Where the same text also
    stands somewhere that is no comment (in a script, say), the places can't be told apart and are all left alone.
    """
    spans = list(islice(_comment_like(source), _MOST_COMMENTS))
    if not _has_link(source, spans):  # true of most mails, and cheaper to find out than to list the comments
        return
    comments: Counter[str] = Counter()
    for comment in document.xpath("//comment()"):  # type: ignore[union-attr]  # a node set, for this expression
        data = comment.data  # type: ignore[union-attr]
        if data[:9].lstrip()[:3].lower() == "[if" and _LINK_TAG.search(data) and _HREF_NAME.search(data):
            comments[data] += 1
    lengths = set(map(len, comments))
    candidates = [(at, source[at:end].replace("\0", "\ufffd")) for at, end in spans if end - at in lengths]
    places = Counter(content for _, content in candidates)
    line, line_start, done = 1, 0, 0
    for at, content in candidates:
        if places[content] == comments[content]:
            line += source.count("\n", done, at)
            line_start = max(line_start, source.rfind("\n", done, at) + 1)
            done = at
            yield _Origin(at, line, at - line_start), content


def _comment_like(source: str) -> Iterator[tuple[int, int]]:
    """The span of the content of all that looks like a conditional comment, wherever it stands."""
    end = -1
    for match in _CONDITIONAL.finditer(source):
        if match.end() > end:  # or else the end is still the next one: looked up anew, it takes quadratic time
            closing = _COMMENT_END.search(source, match.end())
            end = closing.start() if closing else len(source)
        yield match.end(), end


def _has_link(source: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a link's tag stands in one of ``spans``; those that end at one place are looked through once."""
    seen = -1
    for start, end in spans:
        if end != seen and _LINK_TAG.search(source, start, end):
            return True
        seen = end
    return False


def _without_framesets(source: str) -> str:
    """``source`` with every ``<frameset>`` tag made one of no meaning, and all offsets kept."""
    tags = [token for token in turbohtml.tokenize(source) if token.tag == "frameset"]
    lines = [0, *(match.end() for match in re.finditer("\n", source))]
    characters = list(source)
    for tag in tags:
        if tag.line is not None and tag.col is not None:
            at = lines[tag.line - 1] + tag.col
            characters[at + 1 + (source[at + 1] == "/")] = "x"
    return "".join(characters)


def _images(document: turbohtml.Document) -> Iterator[tuple[Span, str]]:
    for image in document.find_all("img"):
        src, spans = image.attr("src"), image.source_location
        if isinstance(src, str) and spans:
            yield Span(spans.start_tag.start_offset, spans.start_tag.end_offset), src


def _body(source: str, body: turbohtml.Element | None) -> tuple[int | None, int]:
    spans = body.source_location if body else None
    start = spans.start_tag.end_offset if spans else None
    if spans and spans.end_tag:
        return start, spans.end_tag.start_offset
    # The tree drops a </body> that comes while a table is open; in the token stream it still stands.
    if _BODY_END.search(source):
        ends = [t for t in turbohtml.tokenize(source) if t.type is turbohtml.TokenType.END_TAG and t.tag == "body"]
        if ends and ends[-1].line is not None and ends[-1].col is not None:
            return start, _offset(source, ends[-1].line, ends[-1].col)
    # A tag that is never closed would swallow what comes behind it.
    last = source.rfind("<")
    return start, last if _UNCLOSED_TAG.fullmatch(source, max(last, 0)) else len(source)


def _offset(source: str, line: int, column: int) -> int:
    """The offset of a 1-based line and a 0-based column."""
    at = 0
    for _ in range(line - 1):
        at = source.index("\n", at) + 1
    return at + column
