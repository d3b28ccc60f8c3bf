"""What links must not lead to any more, and which sessions are over: a map that merges in any order.

Owns what can be revoked, how its name is spelled, which of two changes holds, and whether a link is revoked. Must not
know where it is kept.

A change of an entry replaces the one before it, and of two the later one holds, on every node and whatever the order in
which they hear of them. So what was lifted stays in the map, for a while.
"""

from __future__ import annotations

import enum
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from .errors import InvalidRequest, TooLarge
from .tokens import MAX_DESTINATION_BYTES, Token
from .urls import LinkRules, location, plain_host

MAX_IN_FORCE: Final = 2000
"""The most revocations of one account, and the most sessions of it that were ended and would still go on."""
MAX_LIFTED: Final = 2000
"""So many of those lifted are remembered of one account, the latest, and no longer than `LIFTED_US`."""
MAX_REASON_CHARS: Final = 200
SESSION_US: Final = 12 * 3_600_000_000
"""How long a session goes on at most, so how long it has to be remembered that it was ended: microseconds."""
LIFTED_US: Final = 365 * 86_400_000_000

_HOST: Final = re.compile(r"(?:\*\.)?(?:\[[0-9A-Fa-f:.]+\]|[^\s\x00-\x20\x7f/:*@\[\]?#%\\]+)")
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@+=~-]{0,127}")
_LINE: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_AUTHORITY: Final = re.compile(r"https?://(\[[^\]]*\]|[^:/?#]*)", re.IGNORECASE)


class Kind(enum.StrEnum):
    """What is revoked. The vocabulary is open: what a newer tracker revokes is kept and passed on."""

    HOST = "host"
    """A host that links lead to; ``*.example.com`` means every host below it."""
    URL = "url"
    """A destination, as a Location header has it."""
    MESSAGE = "message"
    """The links of one message, by its id."""
    BATCH = "batch"
    """The links of all messages of a batch, by its name."""
    SESSION = "session"
    """One session of the console, by the id in its cookie."""
    SESSIONS = "sessions"
    """All sessions of the console that were begun with one API key before then, by the key's id."""


LINKS: Final = (Kind.HOST, Kind.URL, Kind.MESSAGE, Kind.BATCH)
"""The kinds that are about links."""
_SESSIONS: Final = frozenset({Kind.SESSION.value, Kind.SESSIONS.value})

Key = tuple[str, str, str]
"""Account, kind and value."""


class Revocation(msgspec.Struct, frozen=True):
    """One thing that is revoked, or was and is not any more."""

    account: str
    kind: str
    value: str
    is_revoked: bool
    changed_at: int
    """Microseconds since the epoch, and later than any change before it that whoever made this one knew of."""
    actor: str
    """The id of the API key that this was asked for with, or `CLI`."""
    reason: str = ""

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.account, self.kind, self.value

    def beats(self, other: Revocation | None) -> bool:
        """Whether this one holds and not ``other``, which is about the same. Of two at once, the stricter one."""
        return other is None or self._rank() > other._rank()

    def _rank(self) -> tuple[int, bool, str, str]:
        return self.changed_at, self.is_revoked, self.actor, self.reason


Entries = Mapping[Key, Revocation]


def merged(one: Entries, other: Entries) -> dict[Key, Revocation]:
    """What holds where both are known."""
    both = dict(one)
    for key, entry in other.items():
        if entry.beats(both.get(key)):
            both[key] = entry
    return both


def pruned(entries: Entries, now: int) -> dict[Key, Revocation]:
    """``entries`` without those that are of no more use at ``now``, microseconds since the epoch."""
    kept: dict[Key, Revocation] = {}
    lifted: dict[str, list[Revocation]] = defaultdict(list)
    for key, entry in entries.items():
        if entry.kind in _SESSIONS:
            if now - entry.changed_at < SESSION_US:
                kept[key] = entry
        elif entry.is_revoked:
            kept[key] = entry
        elif now - entry.changed_at < LIFTED_US:
            lifted[entry.account].append(entry)
    for of_account in lifted.values():
        of_account.sort(key=lambda entry: (entry.changed_at, entry.key), reverse=True)
        kept |= {entry.key: entry for entry in of_account[:MAX_LIFTED]}
    return kept


def canonical(kind: str, value: str) -> str:
    """``value`` in the one spelling in which it is compared. Raises `InvalidRequest`."""
    found: str | None = None
    if kind == Kind.HOST:
        found = _plain_host(value)
    elif kind == Kind.URL:
        target = location(value) if len(value) <= MAX_DESTINATION_BYTES else None
        found = target.decode() if target else None
    elif kind == Kind.MESSAGE:
        found = value if _MESSAGE_ID.fullmatch(value) else None
    elif kind in (Kind.BATCH, Kind.SESSION, Kind.SESSIONS):
        found = value if len(value) <= 128 and _LINE.fullmatch(value) else None
    if found is None:
        raise InvalidRequest([("$.value", _FAULTS.get(kind, "is not an id"))])
    return found


_FAULTS: Final[dict[str, str]] = {
    Kind.HOST: "is not a host name: shop.example, or *.shop.example for every host below it",
    Kind.URL: "is not a destination: write it as the rewrite answer has it in `url`",
    Kind.MESSAGE: "is not the id of a message",
    Kind.BATCH: "is not the name of a batch",
}


def _plain_host(value: str) -> str | None:
    if len(value) > 255 or not _HOST.fullmatch(value):
        return None
    name = value.removeprefix("*.")
    plain = plain_host(name)
    return value[: len(value) - len(name)] + plain if plain and plain.isascii() else None


def changed(entries: Entries, change: Revocation) -> Revocation:
    """``change`` as it has to be noted to hold, given ``entries``: later than what was there, whatever the clocks say.

    Raises `InvalidRequest`, and `TooLarge` past the limit.
    """
    value = canonical(change.kind, change.value)
    if len(change.reason) > MAX_REASON_CHARS or (change.reason and not _LINE.fullmatch(change.reason)):
        raise InvalidRequest([("$.reason", f"must be one line of {MAX_REASON_CHARS} characters at most")])
    change = msgspec.structs.replace(change, value=value)
    before = entries.get(change.key)
    if change.is_revoked and not (before and before.is_revoked):
        about_sessions = change.kind in _SESSIONS
        live = sum(
            entry.is_revoked and entry.account == change.account and (entry.kind in _SESSIONS) is about_sessions
            for entry in entries.values()
        )
        if live >= MAX_IN_FORCE:
            raise TooLarge(f"{live} are revoked already, the most there can be: lift some, or revoke a host or a batch")
    at = change.changed_at if before is None else max(change.changed_at, before.changed_at + 1)
    return msgspec.structs.replace(change, changed_at=at)


class _Rules:
    """What is revoked of one account's."""

    def __init__(self, entries: Sequence[Revocation], tags: Callable[[str], Iterable[bytes]]) -> None:
        self.hosts = LinkRules(frozenset(entry.value for entry in entries if entry.kind == Kind.HOST))
        self.urls = frozenset(entry.value.encode() for entry in entries if entry.kind == Kind.URL)
        self.messages = frozenset(entry.value for entry in entries if entry.kind == Kind.MESSAGE)
        self.tags = frozenset(tag for entry in entries if entry.kind == Kind.BATCH for tag in tags(entry.value))
        self.ended = frozenset(entry.value for entry in entries if entry.kind == Kind.SESSION)
        self.ended_before = {entry.value: entry.changed_at for entry in entries if entry.kind == Kind.SESSIONS}

    def covers(self, target: bytes) -> bool:
        return target in self.urls or (bool(self.hosts.excluded_hosts) and self._covers_host(target))

    def _covers_host(self, target: bytes) -> bool:
        found = _AUTHORITY.match(target.decode("latin-1"))
        return found is not None and self.hosts.reason(found[1], "") is not None


class Revoked:
    """All that is revoked, as it was at one moment, to be asked for every click. Immutable.

    ``batch_tags`` gives what tokens may carry for a batch of an account.
    """

    def __init__(self, entries: Iterable[Revocation], batch_tags: Callable[[str, str], Iterable[bytes]]) -> None:
        by_account: dict[str, list[Revocation]] = defaultdict(list)
        for entry in entries:
            if entry.is_revoked:
                by_account[entry.account].append(entry)
        self._rules = {
            account: _Rules(found, lambda batch, account=account: batch_tags(account, batch))  # type: ignore[misc]
            for account, found in by_account.items()
        }

    def link(self, token: Token, target: bytes) -> bool:
        """Whether the link of ``token``, which leads to the Location ``target``, must not be followed."""
        rules = self._rules.get(token.account)
        return rules is not None and (
            token.message_id in rules.messages or token.batch_tag in rules.tags or rules.covers(target)
        )

    def destination(self, account: str, url: str) -> bool:
        """Whether no link of ``account`` may lead to ``url``."""
        rules = self._rules.get(account)
        target = location(url) if rules else None
        return rules is not None and target is not None and rules.covers(target)

    def session(self, account: str, id_: str, key_id: str, began: int) -> bool:
        """Whether the session ``id_``, begun with an API key at ``began``, seconds since the epoch, was ended."""
        rules = self._rules.get(account)
        return rules is not None and (id_ in rules.ended or began * 1_000_000 <= rules.ended_before.get(key_id, -1))
