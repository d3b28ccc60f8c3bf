"""Accounts and what each may set: its origin, its API keys, its settings.

Owns what a setting means and which of several wishes is the narrowest. Must not know where any of it is kept.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from .agents import ClassifierSettings
from .errors import InvalidRequest
from .model import Consent, MessageClass
from .plan import Footer, LinkTextRule, PixelPosition, Policy, Tracks
from .tokens import DEFAULT_ACCOUNT
from .urls import LinkRules, plain_host

AccountName = Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")]
_Host = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?:\*\.)?[^\s\x00/:*@]+\Z")]
_Piece = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00]*\Z")]
_Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
_Lines = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*\Z")]
_ParamName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00]*\Z")]
_ParamValue = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00]*\Z")]
_Kept = TypeVar("_Kept", "ApiKey", "Hook")


class Scope(enum.StrEnum):
    """What an API key may be used for."""

    REWRITE = "rewrite"
    EVENTS = "events"
    READ = "read"
    ADMIN = "admin"
    """To change settings and recipients."""


class TrackSetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is tracked at all."""

    opens: bool = True
    clicks: bool = True


class UnknownConsent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it means that a recipient's consent is not known: as if ``granted``, or as if ``denied``."""

    opens: Annotated[Consent, Meta(description="granted or denied")] = Consent.GRANTED
    clicks: Annotated[Consent, Meta(description="granted or denied")] = Consent.GRANTED


class AccountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one account, as ``/v1/settings`` has them."""

    track: TrackSetting = TrackSetting()
    text_part: bool = True
    """Whether links in the text part are tracked, too."""
    transactional_clicks: bool = True
    """Whether links in messages of class transactional are tracked."""
    pixel_position: PixelPosition = PixelPosition.BOTTOM
    excluded_hosts: Annotated[tuple[_Host, ...], Meta(max_length=1000)] = ()
    """Hosts whose links are left alone; ``*.example.com`` means every host below it."""
    one_use_links: Annotated[tuple[_Piece, ...], Meta(max_length=100)] = ()
    """Pieces of paths: links that have one are left alone."""
    link_text_urls: LinkTextRule = LinkTextRule.WARN
    link_params: Annotated[dict[_ParamName, _ParamValue], Meta(max_length=20)] = {}
    """Added to links, but for keys that are there already or that the call gives."""
    footer: Footer = Footer.AUTO
    sender_name: _Line = ""
    """Who the mail is from, in the footer and on the unsubscribe page."""
    postal_address: _Lines = ""
    """The sender's, in the footer: some laws ask for it."""
    unknown_consent: UnknownConsent = UnknownConsent()
    classifier: ClassifierSettings = ClassifierSettings()
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """A message whose last event is older is deleted, with its events. None: kept for good."""

    def policy(self) -> Policy:
        """What of it concerns rewriting."""
        hosts = frozenset(_plain_pattern(host) for host in self.excluded_hosts)
        pieces = tuple(piece.lower() for piece in self.one_use_links)
        return Policy(
            LinkRules(hosts, pieces),
            self.link_text_urls,
            self.pixel_position,
            text_links=self.text_part,
            sender_name=self.sender_name,
            postal_address=self.postal_address,
            honeypot=self.classifier.honeypot,
        )

    def tracks(
        self, asked: Tracks, message_class: MessageClass, call: tuple[Consent, Consent], kept: tuple[Consent, Consent]
    ) -> Tracks:
        """What is tracked in one message: the narrowest of the settings, the call, and the recipient's consent.

        ``call`` is the consent that the call states, ``kept`` the one on record, each for opens and for clicks.
        """
        clicks = self.transactional_clicks or message_class is not MessageClass.TRANSACTIONAL
        return Tracks(
            self.track.opens and asked.opens and _allowed((call[0], kept[0]), self.unknown_consent.opens),
            self.track.clicks and asked.clicks and clicks and _allowed((call[1], kept[1]), self.unknown_consent.clicks),
        )


def _allowed(said: tuple[Consent, Consent], unknown: Consent) -> bool:
    if Consent.DENIED in said:
        return False
    return Consent.GRANTED in said or unknown is Consent.GRANTED


def _plain_pattern(host: str) -> str:
    name = host.removeprefix("*.")
    return host[: len(host) - len(name)] + plain_host(name)


def settings_from(values: Mapping[str, Any], defaults: AccountSettings) -> AccountSettings:
    """``defaults`` with ``values``, decoded JSON, in their place. Raises `InvalidRequest`."""
    fields = {name: getattr(defaults, name) for name in AccountSettings.__struct_fields__}
    try:
        given = msgspec.convert(values, AccountSettings)
    except msgspec.ValidationError as error:
        message, _, path = str(error).rpartition(" - at `")
        path = path.rstrip("`").rpartition("` in `")[2]  # of a key that is not valid: "key` in `$.place"
        raise InvalidRequest([(path, message) if message else ("$", str(error))]) from None
    settings = AccountSettings(**{**fields, **{name: getattr(given, name) for name in values}})
    for name in ("opens", "clicks"):
        if getattr(settings.unknown_consent, name) is Consent.UNKNOWN:
            raise InvalidRequest([(f"$.unknown_consent.{name}", "must be granted or denied")])
    for at, host in enumerate(settings.excluded_hosts):
        try:
            _plain_pattern(host)
        except ValueError:
            raise InvalidRequest([(f"$.excluded_hosts[{at}]", "is not a host name")]) from None
    return settings


class Account(msgspec.Struct, frozen=True):
    """Whoever sends mail under one tracking domain."""

    name: str
    origin: str
    """``https://HOST`` or ``https://HOST:PORT``."""

    @property
    def host(self) -> str:
        """Where its links lead, in the spelling that hosts are compared in: no two accounts have the same."""
        return _plain_authority(urlsplit(self.origin).netloc)


def _plain_authority(authority: str) -> str:
    """``HOST`` or ``HOST:PORT`` in lower case, without a dot at the end of the host and without a default port."""
    host, colon, port = authority.lower().rpartition(":")
    if not colon or port.endswith("]"):
        return authority.lower().removesuffix(".")
    host = host.removesuffix(".")
    return host if port in ("", "80", "443") else f"{host}:{port}"


def _name(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


class ApiKey(msgspec.Struct, frozen=True):
    """An API key, but for the key itself, which nobody keeps."""

    id: str
    account: str
    name: str
    digest: bytes
    scopes: tuple[Scope, ...]


class Hook(msgspec.Struct, frozen=True):
    """Where a provider reports to."""

    id: str
    account: str
    provider: str
    digest: bytes
    """Of the secret in the hook's URL."""
    secret: str
    """What the provider's requests are verified with."""


def digest(secret: str) -> bytes:
    """What is kept of an API key or a hook's URL: 32 bytes. They are random and long, so one round of hashing does."""
    return hashlib.sha256(secret.encode()).digest()


class Directory:
    """Everything that operators have set up, as it was at one moment. Immutable."""

    def __init__(
        self,
        accounts: Iterable[Account],
        keys: Iterable[ApiKey] = (),
        hooks: Iterable[Hook] = (),
        settings: Mapping[str, AccountSettings] | None = None,
        defaults: AccountSettings | None = None,
    ) -> None:
        self.accounts = {account.name: account for account in accounts}
        self._keys = {key.digest: key for key in keys if key.account in self.accounts}
        self._keys_by_id = {key.id: key for key in self._keys.values()}
        self._hooks = {hook.digest: hook for hook in hooks if hook.account in self.accounts}
        self._settings = dict(settings or {})
        self._defaults = defaults or AccountSettings()
        self._by_host = {
            account.host: account.name for account in self.accounts.values() if account.name != DEFAULT_ACCOUNT
        }
        names = [_name(account.host) for account in self.accounts.values()]
        # A proxy may add its own port to the Host header, or leave ours out: where it can mean but one, that will do.
        self._by_name = {_name(host): name for host, name in self._by_host.items() if names.count(_name(host)) == 1}

    @property
    def has_hosts(self) -> bool:
        """Whether it matters to which host a link leads: any account but the default one has its own."""
        return bool(self._by_host)

    def at(self, host: bytes) -> str:
        """The account whose links lead to ``host``, a Host header; `DEFAULT_ACCOUNT` where it is nobody else's."""
        if not self._by_host:
            return DEFAULT_ACCOUNT
        authority = _plain_authority(host.decode("latin-1"))
        return self._by_host.get(authority) or self._by_name.get(_name(authority), DEFAULT_ACCOUNT)

    def settings(self, account: str) -> AccountSettings:
        """The settings of ``account``."""
        return self._settings.get(account, self._defaults)

    def key(self, secret: str) -> ApiKey | None:
        """The API key that is ``secret``."""
        return _found(self._keys, digest(secret))

    def key_by_id(self, id_: str) -> ApiKey | None:
        """The API key with this id, where it is in force."""
        return self._keys_by_id.get(id_)

    def hook(self, provider: str, secret: str) -> Hook | None:
        """The hook of ``provider`` whose URL has ``secret`` in it."""
        hook = _found(self._hooks, digest(secret))
        return hook if hook is not None and hook.provider == provider else None


def _found(kept: Mapping[bytes, _Kept], wanted: bytes) -> _Kept | None:
    # Looked up by digest: how long that takes says nothing that helps to guess the secret.
    found = kept.get(wanted)
    return found if found is not None and hmac.compare_digest(found.digest, wanted) else None
