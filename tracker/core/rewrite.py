"""Rewrites a message: parses and plans its bodies once, then splices each recipient's links into them.

Owns the finished message and the report of what was done. Must not serialise: outside of the planned spans
the caller's string comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from html import escape
from typing import Final

import msgspec

from . import html as html_body
from .edits import Edit, Found, Notice, Plan, Slot
from .headers import message_headers
from .own import OwnLinks
from .plan import Options, Planner, Policy, Tracks, placeholders
from .tokens import DEFAULT_ACCOUNT, Message, Purpose, TokenCodec
from .urls import Reason

GMAIL_LIMIT_BYTES: Final = 102_400
"""Gmail hides what comes after about 102 kB of HTML: the footer and a pixel at the bottom among it."""

_PIXEL = '<img src="{}" width="1" height="1" alt="" role="presentation" style="display:block;border:0">'
_HIDDEN = '<a href="{}" style="display:none" aria-hidden="true" tabindex="-1" rel="nofollow"></a>'
_FAILED = Notice("rewrite_failed", "this part could not be rewritten: it is as it was, but for its placeholders")


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the link report. ``index`` and ``tracked_url`` are None where the link was left as it is."""

    index: int | None
    part: str
    url: str
    tracked_url: str | None
    action: str
    reason: Reason | None = None


class Rewritten(msgspec.Struct, frozen=True):
    """A rewritten message. A part that was not given is None."""

    message_id: str
    html: str | None
    text: str | None
    headers: dict[str, str]
    track: Tracks
    open_url: str | None
    unsubscribe_url: str
    links: list[Link]
    warnings: list[Notice]


class Rewriter:
    """Rewrites messages of one account, for its tracking origin (``https://host``, no slash at the end)."""

    def __init__(
        self, codec: TokenCodec, origin: str, policy: Policy | None = None, account: str = DEFAULT_ACCOUNT
    ) -> None:
        self.codec = codec
        self.origin = origin
        self.policy = policy or Policy()
        self.account = account
        self.own = OwnLinks(codec, origin, account)
        self.footer = _Footer(self.policy)

    def prepare(self, html: str | None, text: str | None, options: Options | None = None) -> Template:
        """Parse the bodies of a message, for any number of recipients."""
        return Template(self, html, text, options or Options())


class Template:
    """The bodies of one call, parsed once, and planned once for each choice of what is tracked."""

    def __init__(self, rewriter: Rewriter, html: str | None, text: str | None, options: Options) -> None:
        self._rewriter = rewriter
        self._html = html
        self._text = text
        self._options = options
        ours = rewriter.own.tokens(html or "") + rewriter.own.tokens(text or "")
        self._has_our_links = bool(ours)
        # An unsubscribe link alone may have been put there by the sender, who has its URL from an earlier call.
        self._done = {(token.account, token.message_id) for token in ours if token.purpose is not Purpose.UNSUBSCRIBE}
        self._plans: dict[tuple[Tracks, bool], tuple[Plan | None, Plan | None]] = {}
        self.failures: list[Exception] = []
        """What stopped a body from being rewritten: for the log, since the caller gets the body back regardless."""

    @cached_property
    def _page(self) -> html_body.Page:
        return html_body.scan(self._html or "", images=self._has_our_links)

    def render(self, message: Message, tracks: Tracks) -> Rewritten:
        """The message for one recipient. Deterministic: the same call gives the same bytes."""
        again = (message.account, message.message_id) in self._done
        if (tracks, again) not in self._plans:
            self._plans[tracks, again] = self._plan_bodies(tracks, again)
        html, text = self._plans[tracks, again]
        urls = _Urls(self._rewriter, message, self._options.list)
        new_html = html.splice(urls.fill) if html else None
        new_text = text.splice(urls.fill) if text else None
        # What is in force: a text has no pixel, and a part that could not be rewritten has no tracked links either.
        opens = tracks.opens and html is not None and _FAILED not in html.warnings
        clicks = tracks.clicks and any(_FAILED not in plan.warnings for plan in (html, text) if plan)
        notices = (notice for plan in (html, text) if plan for notice in plan.warnings)
        return Rewritten(
            message_id=message.message_id,
            html=new_html,
            text=new_text,
            headers=message_headers(urls.unsubscribe, urls.tokens.header()),
            track=Tracks(opens, clicks),
            open_url=urls.open if opens else None,
            unsubscribe_url=urls.unsubscribe,
            links=[urls.report(found) for plan in (html, text) if plan for found in plan.links],
            warnings=[*_size_warnings(self._html, new_html), *dict.fromkeys(notices)],
        )

    def _plan_bodies(self, tracks: Tracks, again: bool) -> tuple[Plan | None, Plan | None]:
        rewriter = self._rewriter
        planner = Planner(rewriter.own, rewriter.policy, self._options, tracks, resent=self._has_our_links)
        plan_html, plan_text = (planner.html_again, planner.text_again) if again else (planner.html, planner.text)
        html = self._attempt(lambda body: plan_html(body, self._page), self._html)
        return html, self._attempt(plan_text, self._text)

    def _attempt(self, plan: Callable[[str], Plan], body: str | None) -> Plan | None:
        if body is None:
            return None
        try:
            return plan(body)
        except Exception as error:  # whatever went wrong: a mail that is lost is worse than one not tracked
            self.failures.append(error)
            return replace(placeholders(body), warnings=(_FAILED,))


def _size_warnings(before: str | None, after: str | None) -> Iterator[Notice]:
    if before is None or after is None or len(after) * 4 <= GMAIL_LIMIT_BYTES:
        return
    sizes = [len(html.encode(errors="surrogatepass")) for html in (before, after)]
    if sizes[1] > GMAIL_LIMIT_BYTES:
        yield Notice(
            "html_over_gmail_limit",
            f"the HTML has {sizes[1]} bytes ({sizes[0]} before rewriting); Gmail hides what comes after "
            f"about {GMAIL_LIMIT_BYTES}, which may take the pixel and the unsubscribe link with it",
        )


class _Footer:
    """The unsubscribe link for a body that has no place for it, below who the mail is from, as far as that is known."""

    def __init__(self, policy: Policy) -> None:
        lines = (policy.sender_name, *policy.postal_address.split("\n"))
        self._lines = [line.strip() for line in lines if line.strip()]
        self._sender = "".join(f"{escape(line)}<br>" for line in self._lines)

    def html(self, url: str) -> str:
        style = "margin:16px 0;text-align:center;font-size:12px"
        return f'<p style="{style}">{self._sender}<a href="{url}">Unsubscribe</a></p>'

    def text(self, url: str, newline: str) -> str:
        return newline.join([*self._lines, f"Unsubscribe: {url}"])


class _Urls:
    """The signed links of one message, as they are spliced in and reported."""

    def __init__(self, rewriter: Rewriter, message: Message, list_: str) -> None:
        self.tokens = rewriter.codec.tokens_for(message)
        self._origin = rewriter.origin
        self._footer = rewriter.footer
        self.open = f"{self._origin}/o/{self.tokens.open()}.gif"
        self.unsubscribe = f"{self._origin}/u/{self.tokens.unsubscribe(list_)}"
        self._clicks: dict[int, str] = {}

    def fill(self, edit: Edit) -> str:
        """What takes the place of one edit."""
        match edit.slot:
            case Slot.CLICK:
                url = self._clicks[edit.link] = f"{self._origin}/c/{self.tokens.click(edit.link, edit.packed)}"
                return url
            case Slot.UNSUBSCRIBE:
                return self.unsubscribe
            case Slot.PIXEL:
                return _PIXEL.format(self.open)
            case Slot.TOP_PIXEL:
                return _PIXEL.format(f"{self._origin}/o/{self.tokens.open(1)}.gif")
            case Slot.HIDDEN:
                url = f"{self._origin}/c/{self.tokens.click(edit.link, edit.packed, honeypot=True)}"
                return url if edit.start < edit.end else _HIDDEN.format(url)
            case Slot.HTML_FOOTER:
                return edit.literal + self._footer.html(self.unsubscribe) + edit.literal
            case Slot.TEXT_FOOTER:
                return edit.literal * 2 + self._footer.text(self.unsubscribe, edit.literal) + edit.literal
            case Slot.LITERAL:
                return edit.literal

    def report(self, found: Found) -> Link:
        """One line of the link report; call it after the body was filled in."""
        if found.reason is None and found.edit is not None:
            return Link(found.edit.link, found.part, found.url, self._clicks[found.edit.link], "rewritten")
        return Link(None, found.part, found.url, None, "skipped", found.reason)
