"""What operators have set up: accounts, API keys, hooks, settings.

Owns how it is kept, its limits, and its version, which grows with every change. Must not see an API key, only its
digest, nor know what a setting means.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from tracker.core.accounts import Account, ApiKey, Hook, Scope
from tracker.core.errors import AlreadyThere, NotThere, StoreUnavailable, TooLarge
from tracker.core.tokens import DEFAULT_ACCOUNT

from .audit import CLI, Act, write
from .database import Database, Once, Row
from .limits import is_key

MAX_ACCOUNTS: Final = 1000
MAX_LIVE: Final = 100
"""The most API keys in force of one account, and the most hooks."""
MAX_REVOKED: Final = 100
"""As many revoked ones of an account are still listed: the latest."""

_READS: Final = 5
"""How often a change may come in between before reading is given up for now."""

Document = dict[str, Any]
"""The settings of an account that were set, as JSON decodes them."""
Steps: TypeAlias = Generator[Once, Sequence[Row], tuple[None, Act]]
_SCOPES: Final = frozenset(Scope)
_decode: Final = msgspec.json.Decoder(Document).decode


class DirectoryRows(msgspec.Struct, frozen=True):
    """All that is in force, as it was at one version. The account `DEFAULT_ACCOUNT` is not among the accounts."""

    version: int
    accounts: tuple[Account, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    hooks: tuple[Hook, ...] = ()
    settings: dict[str, Document] = {}
    """By account."""


class KeptAccount(NamedTuple):
    """An account, and when it was made: microseconds since the epoch."""

    account: Account
    created_at: int


class KeptKey(NamedTuple):
    """An API key, and when it was made and revoked: microseconds since the epoch, None while it is in force."""

    key: ApiKey
    created_at: int
    revoked_at: int | None


class KeptHook(NamedTuple):
    """A hook, and when it was made and revoked: as with a key. A revoked one has no secret any more."""

    hook: Hook
    created_at: int
    revoked_at: int | None


class Accounts:
    """What operators have set up, in ``database``; raises what that raises.

    Every change is noted in the audit log, as done ``by`` the API key with that id, or by a command.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        """Grows with every change of anything here."""
        ((version,),) = await self._database.read(Once("directory_version"))
        return int(version)

    async def directory(self) -> DirectoryRows:
        """All that is in force. Raises `StoreUnavailable` also where it changes faster than it can be read."""
        version = await self.version()
        for _ in range(_READS):
            rows = await self._rows(version)
            # Each change bumps the version as it commits: where that is still the same, nothing came in between.
            before, version = version, await self.version()
            if before == version:
                return rows
        raise StoreUnavailable("the accounts change faster than they can be read")

    async def _rows(self, version: int) -> DirectoryRows:
        read = self._database.read
        return DirectoryRows(
            version,
            tuple(Account(name, origin) for name, origin, _ in await read(Once("accounts"))),
            tuple(_key_in(row) for row in await read(Once("live_api_keys"))),
            tuple(_hook_in(row) for row in await read(Once("live_hooks"))),
            {account: _decode(document) for account, document in await read(Once("account_settings"))},
        )

    async def list_accounts(self) -> list[KeptAccount]:
        """All accounts by name, but for `DEFAULT_ACCOUNT`."""
        return [KeptAccount(Account(name, origin), at) for name, origin, at in await self._read("accounts")]

    async def add_account(self, account: Account, default_origin: str, *, by: str = CLI) -> None:
        """Add ``account``; ``default_origin`` is where the links of `DEFAULT_ACCOUNT` lead.

        Raises `AlreadyThere` where its name or its host is taken, `TooLarge` where there are too many accounts.
        """
        await write(self._database, _adding_account(account, Account(DEFAULT_ACCOUNT, default_origin), by))

    async def list_keys(self, account: str | None = None) -> list[KeptKey]:
        """The API keys of ``account``, or of all, revoked ones too. Raises `NotThere` for an unknown account."""
        rows = await self._listed("api_keys", account)
        return [KeptKey(_key_in(row[:5]), row[5], row[6]) for row in rows]

    async def add_key(self, key: ApiKey, *, by: str = CLI) -> None:
        """Add ``key``. Raises `NotThere` for an unknown account, `TooLarge` where that has too many keys."""
        row = (key.account, key.id, key.name, key.digest, " ".join(key.scopes))
        act = Act(key.account, by, "key_added", key.id, {"name": key.name, "scopes": key.scopes})
        await write(self._database, _adding("api_key", row, act))

    async def revoke_key(self, id_: str, *, by: str = CLI) -> None:
        """See to it that a key is not in force. Raises `NotThere` where there is none with that id."""
        await write(self._database, _revoking("api_key", id_, "key_revoked", by))

    async def list_hooks(self, account: str | None = None) -> list[KeptHook]:
        """The hooks of ``account``, or of all, revoked ones too. Raises `NotThere` for an unknown account."""
        rows = await self._listed("hooks", account)
        return [KeptHook(_hook_in(row[:5]), row[5], row[6]) for row in rows]

    async def add_hook(self, hook: Hook, *, by: str = CLI) -> None:
        """Add ``hook``. Raises `NotThere` for an unknown account, `TooLarge` where that has too many hooks."""
        row = (hook.account, hook.id, hook.provider, hook.digest, hook.secret)
        act = Act(hook.account, by, "hook_added", hook.id, {"provider": hook.provider})
        await write(self._database, _adding("hook", row, act))

    async def revoke_hook(self, id_: str, *, by: str = CLI) -> None:
        """See to it that a hook is not in force. Raises `NotThere` where there is none with that id."""
        await write(self._database, _revoking("hook", id_, "hook_revoked", by))

    async def settings(self, account: str) -> Document:
        """What was set for ``account``. Raises `NotThere` for an unknown one."""
        await self._check_known(account)
        rows = await self._read("settings_of", account)
        return _decode(rows[0][0]) if rows else {}

    async def change_settings(
        self, account: str, change: Callable[[Document], Mapping[str, Any]], *, by: str = CLI
    ) -> Document:
        """Put what ``change`` makes of the settings of ``account`` in their place; returns that.

        ``change`` may raise: then nothing is changed. Raises `NotThere` for an unknown account.
        """
        return await write(self._database, _changing_settings(account, change, by))

    async def put_settings(self, account: str, values: Mapping[str, Any], *, by: str = CLI) -> None:
        """Make ``values`` the settings of ``account``, all of them. Raises `NotThere` for an unknown account."""
        await self.change_settings(account, lambda _: values, by=by)

    async def _read(self, query: str, *parameters: str) -> list[Row]:
        return await self._database.read(Once(query, parameters))

    async def _listed(self, table: str, account: str | None) -> list[Row]:
        if account is None:
            return await self._read(table)
        await self._check_known(account)
        return await self._read(f"{table}_of", account)

    async def _check_known(self, account: str) -> None:
        _check_known(account, await self._read("accounts"))


def _check_known(account: str, rows: Iterable[Row]) -> None:
    if account != DEFAULT_ACCOUNT and all(account != row[0] for row in rows):
        raise NotThere(f"there is no account {account!r}")


# Each change bumps the version first: that locks its row, so that changes come one after the other.


def _adding_account(account: Account, default: Account, by: str) -> Steps:
    yield Once("bump_directory")
    rows = yield Once("accounts")
    others = [default, *(Account(name, origin) for name, origin, _ in rows)]
    for other in others:
        if other.name == account.name:
            raise AlreadyThere(f"there is an account {account.name!r} already")
        if other.host == account.host:
            raise AlreadyThere(f"{account.host} is the host of the account {other.name!r} already")
    if len(rows) >= MAX_ACCOUNTS:
        raise TooLarge(f"there are {len(rows)} accounts already: that is the most there can be")
    yield Once("add_account", (account.name, account.origin))
    return None, Act(account.name, by, "account_added", account.name, {"origin": account.origin})


def _adding(kind: str, row: Row, act: Act) -> Steps:
    """Steps that add a key or a hook, whose account stands first in ``row``."""
    account = row[0]
    yield Once("bump_directory")
    _check_known(account, (yield Once("accounts")))
    ((live,),) = yield Once(f"count_{kind}s", (account,))
    if live >= MAX_LIVE:
        things = kind.replace("api_key", "API key")
        raise TooLarge(f"the account {account!r} has {live} {things}s already, the most there can be: revoke one first")
    yield Once(f"trim_{kind}s", (account, MAX_REVOKED))
    yield Once(f"add_{kind}", row)
    return None, act


def _revoking(kind: str, id_: str, act: str, by: str) -> Steps:
    yield Once("bump_directory")
    revoked = (yield Once(f"revoke_{kind}", (id_,))) if is_key(id_) else ()
    if not revoked:
        raise NotThere(f"there is no {kind.replace('api_key', 'API key')} with the id {id_!r}")
    return None, Act(revoked[0][0], by, act, id_)


def _changing_settings(
    account: str, change: Callable[[Document], Mapping[str, Any]], by: str
) -> Generator[Once, Sequence[Row], tuple[Document, Act]]:
    yield Once("bump_directory")
    _check_known(account, (yield Once("accounts")))
    rows = yield Once("settings_of", (account,))
    changed = dict(change(_decode(rows[0][0]) if rows else {}))
    yield Once("put_settings", (account, msgspec.json.encode(changed).decode()))
    before = _decode(rows[0][0]) if rows else {}  # anew, since ``change`` may have changed what it was given
    names = [name for name in sorted({*before, *changed}) if before.get(name) != changed.get(name)]
    differences = {name: [before.get(name), changed.get(name)] for name in names}
    return changed, Act(account, by, "settings_changed", "", differences)


def _key_in(row: Row) -> ApiKey:
    account, id_, name, digest, scopes = row
    # A newer tracker may know more scopes.
    return ApiKey(id_, account, name, bytes(digest), tuple(Scope(word) for word in scopes.split() if word in _SCOPES))


def _hook_in(row: Row) -> Hook:
    account, id_, provider, digest, secret = row
    return Hook(id_, account, provider, bytes(digest), secret)
