"""What callers send to the API: shapes, limits, validation.

Owns the field names of requests; an unknown one is an error. Must not know how a request is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from tracker.core.accounts import AccountSettings
from tracker.core.errors import InvalidRequest, TooLarge
from tracker.core.model import Consent, MessageClass, Registration
from tracker.core.plan import Footer, Options, Tracks
from tracker.core.rewrite import Rewritten
from tracker.stores.limits import MAX_KEY_BYTES, is_key

MAX_BODY_BYTES: Final = 2 * 1024 * 1024
"""Of the html, and of the text, in UTF-8."""
MAX_RECIPIENTS: Final = 10_000
MAX_PARAMS: Final = 20
LARGE_REQUEST_BYTES: Final = 1024 * 1024
"""In a request of this size, elements are counted before anything is made of them."""

MessageId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._:@+=~-]{0,127}\Z", description="The caller's own id")
]
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
Reference = Annotated[str, Meta(min_length=1, max_length=320, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
ParamName = Annotated[str, Meta(min_length=1, max_length=64)]
ParamValue = Annotated[str, Meta(max_length=256)]
TOO_LONG: Final = f"must be {MAX_KEY_BYTES} bytes at most in UTF-8"
_T = TypeVar("_T")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of what callers send."""


class TrackChoice(Request, frozen=True):
    """What the caller wants tracked; true: if the settings and the consent allow it."""

    opens: bool = True
    clicks: bool = True


class ConsentChoice(Request, frozen=True):
    """The recipient's consent, for opens and clicks apart."""

    opens: Consent = Consent.UNKNOWN
    clicks: Consent = Consent.UNKNOWN


class UnsubscribeChoice(Request, frozen=True):
    """How the unsubscribe link gets into the message."""

    footer: Footer = Footer.AUTO


class Content(Request, frozen=True, kw_only=True):
    """What the messages of one call share."""

    html: str | None = None
    text: str | None = None
    list: Name = "default"
    message_class: MessageClass = msgspec.field(name="class", default=MessageClass.MARKETING)
    batch: Name | None = None
    track: TrackChoice = TrackChoice()
    link_params: Annotated[dict[ParamName, ParamValue], Meta(max_length=MAX_PARAMS)] = {}
    unsubscribe: UnsubscribeChoice = UnsubscribeChoice()

    def check(self) -> None:
        """What the types do not say. Raises `InvalidRequest` and `TooLarge`."""
        if self.html is None and self.text is None:
            raise InvalidRequest([("$", "html or text is needed")])
        for name, body in (("html", self.html), ("text", self.text)):
            if body is not None and len(body) * 4 > MAX_BODY_BYTES and len(body.encode()) > MAX_BODY_BYTES:
                raise TooLarge(f"{name} is larger than {MAX_BODY_BYTES} bytes")

    def options(self, settings: AccountSettings) -> Options:
        """What the rewriter needs to know: the call's wishes, within the account's settings."""
        footer = self.unsubscribe.footer is Footer.AUTO and settings.footer is Footer.AUTO
        return Options(footer=footer, list=self.list, link_params={**settings.link_params, **self.link_params})

    def tracks(self) -> Tracks:
        """What the caller wants tracked."""
        return Tracks(self.track.opens, self.track.clicks)


class Addressee(Request, frozen=True, kw_only=True):
    """One message to one recipient."""

    message_id: MessageId
    rfc822_message_id: Reference | None = None
    recipient: Reference | None = None
    consent: ConsentChoice = ConsentChoice()

    def check(self, path: str) -> list[tuple[str, str]]:
        """What of it the store can't hold."""
        fields = (("recipient", self.recipient), ("rfc822_message_id", self.rfc822_message_id))
        return [(f"{path}.{name}", TOO_LONG) for name, text in fields if text is not None and not is_key(text)]

    def registration(self, content: Content, rewritten: Rewritten | None) -> Registration:
        """What is stored of the message; None: it was not rewritten, since it must not be sent."""
        return Registration(
            recipient=self.recipient,
            batch=content.batch,
            list=content.list,
            message_class=content.message_class,
            tracks_opens=rewritten is not None and rewritten.open_url is not None,
            tracks_clicks=rewritten is not None and rewritten.track.clicks,
            link_count=sum(link.index is not None for link in rewritten.links) if rewritten else 0,
            rfc822_message_id=rfc822_id(self.rfc822_message_id),
        )


def rfc822_id(text: str | None) -> str | None:
    """A ``Message-ID`` as bounces quote it: in angle brackets, without anything around them (RFC 5322, 3.6.4)."""
    bare = (text or "").strip().removeprefix("<").removesuffix(">").strip()
    return f"<{bare}>" if bare else None


class RewriteRequest(Content, frozen=True, kw_only=True):
    """``POST /v1/rewrite``: one message to one recipient."""

    message_id: MessageId
    rfc822_message_id: Reference | None = None
    recipient: Reference | None = None
    consent: ConsentChoice = ConsentChoice()

    def check(self) -> None:
        """The same, and that the store can hold the recipient."""
        super().check()
        if errors := self.addressee().check("$"):
            raise InvalidRequest(errors)

    def addressee(self) -> Addressee:
        """The fields that a batch has for each of its recipients."""
        return Addressee(**{name: getattr(self, name) for name in Addressee.__struct_fields__})


class BatchRequest(Content, frozen=True, kw_only=True):
    """``POST /v1/rewrite/batch``: one template, many recipients."""

    recipients: Annotated[list[Addressee], Meta(min_length=1, max_length=MAX_RECIPIENTS)]

    def check(self) -> None:
        """The same, and that no message comes twice and the store can hold each recipient."""
        super().check()
        seen: dict[str, int] = {}
        errors = [
            (f"$.recipients[{at}].message_id", f"the same as that of recipient {seen[one.message_id]}")
            for at, one in enumerate(self.recipients)
            if seen.setdefault(one.message_id, at) != at
        ]
        errors += [error for at, one in enumerate(self.recipients) for error in one.check(f"$.recipients[{at}]")]
        if errors:
            raise InvalidRequest(errors)


class _Element:
    """An element of a request that is counted, and no more."""


class _Outline(msgspec.Struct):
    recipients: list[_Element] = []
    events: list[_Element] = []
    link_params: dict[str, _Element] = {}


class _Count:
    """How many elements there were; raises at the first one too many, so that the rest of them is not looked at."""

    def __init__(self) -> None:
        self._left = MAX_RECIPIENTS + MAX_PARAMS
        self._element = _Element()

    def __call__(self, type_: type, value: object) -> _Element:
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many of them")
        return self._element


def decode(body: bytes, shape: type[_T]) -> _T:
    """``body`` as ``shape``; raises `InvalidRequest` that names the place.

    Nothing else runs meanwhile, so a request with a million elements, which takes a second, is stopped on the way.
    """
    try:
        if len(body) > LARGE_REQUEST_BYTES:
            msgspec.json.decode(body, type=_Outline, dec_hook=_Count())
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        message, _, path = str(error).rpartition(" - at `")
        path = path.rstrip("`").rpartition("` in `")[2]  # of a key that is not valid: "key` in `$.place"
        raise InvalidRequest([(path, message)] if message else [("$", str(error))]) from None
    except RecursionError:
        raise InvalidRequest([("$", "is nested too deeply")]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest([("$", f"not valid JSON: {error}")]) from None


_EVENT_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def event_cursor(values: Sequence[str]) -> bytes:
    """The event id in ``?after=``; nothing where it is not given. Raises `InvalidRequest`."""
    if not values:
        return b""
    if not _EVENT_ID.fullmatch(values[0]):
        raise InvalidRequest([("after", "must be the id of an event")])
    return UUID(values[0]).bytes


def number(name: str, values: Sequence[str], least: int, most: int, default: int) -> int:
    """The whole number in a query's parameter. Raises `InvalidRequest`."""
    if not values:
        return default
    if not (values[0].isascii() and values[0].isdecimal() and len(values[0]) < 20 and least <= int(values[0]) <= most):
        raise InvalidRequest([(name, f"must be a whole number from {least} to {most}")])
    return int(values[0])
