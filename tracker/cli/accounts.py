"""Accounts, their API keys, and the hooks that providers report to: lists, adds and revokes them.

Owns what is printed: a new secret once, on standard output and alone. Must not keep or log one.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tracker.config import Settings
from tracker.core.accounts import Account, AccountName, Scope
from tracker.core.tokens import DEFAULT_ACCOUNT
from tracker.core.urls import origin
from tracker.directory import new_hook, new_key
from tracker.reporters.providers import PROVIDERS
from tracker.stores.accounts import Accounts

from .opening import opened_store
from .terminal import FAILED, WRONG_ARGUMENTS, as_time, print_json, print_rows, read_settings, say, warn

Commands = argparse._SubParsersAction  # argparse has no public name for what add_subparsers returns
KeyName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")]
DEFAULT_SCOPES: Final = (Scope.REWRITE, Scope.EVENTS, Scope.READ)
_Row = Mapping[str, str | Sequence[str] | None]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Accounts]:
    """The accounts in the store that ``settings`` name. Raises `ConfigError` and `StoreUnavailable`."""
    async with opened_store(settings) as store:
        yield Accounts(store.database)


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``accounts``, ``keys`` and ``hooks``."""
    _add_account_commands(commands)
    _add_key_commands(commands)
    _add_hook_commands(commands)


def _add_account_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    accounts = commands.add_parser("accounts", help="list accounts, or add one")
    accounts.set_defaults(run=_list_accounts, json=False)
    actions = accounts.add_subparsers(metavar="COMMAND")
    _add_list(actions, "list all accounts").set_defaults(run=_list_accounts)
    add = actions.add_parser("add", help="add an account")
    add.add_argument("name", type=account_name, help="lower-case letters, digits and hyphens, up to 32")
    add.add_argument("--origin", type=_origin, required=True, help="where its links lead: https://t.shop.example")
    add.set_defaults(run=_add_account)


def _add_key_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser("keys", help="list API keys, add or revoke one")
    keys.set_defaults(run=_list_keys, json=False, account=None)
    actions = keys.add_subparsers(metavar="COMMAND")
    list_ = _add_list(actions, "list API keys, revoked ones too; not the one of the environment")
    list_.add_argument("--account", type=account_name, help="only those of this account")
    list_.set_defaults(run=_list_keys)
    add = actions.add_parser("add", help="make an API key, and print it this once")
    add_account_option(add)
    add.add_argument("--name", type=_key_name, required=True, help="who uses it")
    add.add_argument(
        "--scope", action="append", type=_scope, metavar="SCOPE", dest="scopes",
        help=f"what it may be used for, once for each: {', '.join(Scope)} (default: {', '.join(DEFAULT_SCOPES)})",
    )  # fmt: skip
    add.set_defaults(run=_add_key)
    revoke = actions.add_parser("revoke", help="refuse an API key from now on")
    revoke.add_argument("id", help="as the list has it")
    revoke.set_defaults(run=_revoke_key)


def _add_hook_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    hooks = commands.add_parser("hooks", help="list hooks for providers, add or revoke one")
    hooks.set_defaults(run=_list_hooks, json=False, account=None)
    actions = hooks.add_subparsers(metavar="COMMAND")
    list_ = _add_list(actions, "list hooks, revoked ones too")
    list_.add_argument("--account", type=account_name, help="only those of this account")
    list_.set_defaults(run=_list_hooks)
    add = actions.add_parser("add", help="make the URL that a provider reports to, and print it this once")
    add.add_argument("provider", choices=list(PROVIDERS), metavar="PROVIDER", help=", ".join(PROVIDERS))
    add_account_option(add)
    add.add_argument(
        "--secret-file", type=Path, metavar="FILE",
        help="has the secret that the provider's requests are verified with (default: standard input)",
    )  # fmt: skip
    add.set_defaults(run=_add_hook)
    revoke = actions.add_parser("revoke", help="take no more reports at a hook")
    revoke.add_argument("id", help="as the list has it")
    revoke.set_defaults(run=_revoke_hook)


def _add_list(actions: Commands[argparse.ArgumentParser], text: str) -> argparse.ArgumentParser:
    parser = actions.add_parser("list", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def add_account_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--account``."""
    parser.add_argument("--account", type=account_name, default=DEFAULT_ACCOUNT, help="(default: %(default)s)")


def account_name(text: str) -> str:
    """An argument that names an account."""
    return _converted(text, AccountName, "must be 1 to 32 lower-case letters, digits and hyphens")


def _key_name(text: str) -> str:
    return _converted(text, KeyName, "must be 1 to 100 printable characters")


def _scope(text: str) -> Scope:
    return Scope(_converted(text, Scope, f"must be one of {', '.join(Scope)}"))


def _converted(text: str, kind: object, fault: str) -> str:
    try:
        return str(msgspec.convert(text, kind))
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(fault) from None


def _origin(text: str) -> str:
    try:
        return origin(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _print_list(parsed: argparse.Namespace, columns: Sequence[str], rows: Sequence[_Row]) -> int:
    if parsed.json:
        print_json(rows)
    else:
        print_rows(columns, rows)
    return 0


def _list_accounts(parsed: argparse.Namespace) -> int:
    settings = read_settings()

    async def read() -> list[_Row]:
        async with opened(settings) as accounts:
            kept = await accounts.list_accounts()
        default: _Row = {"account": DEFAULT_ACCOUNT, "origin": settings.base_url, "created_at": None}
        return [
            default,
            *({"account": a.name, "origin": a.origin, "created_at": as_time(created_at)} for a, created_at in kept),
        ]

    return _print_list(parsed, ("account", "origin", "created_at"), asyncio.run(read()))


def _add_account(parsed: argparse.Namespace) -> int:
    settings = read_settings()
    account = Account(parsed.name, parsed.origin)

    async def add() -> None:
        async with opened(settings) as accounts:
            await accounts.add_account(account, settings.base_url)

    asyncio.run(add())
    if account.origin.startswith("http://"):
        warn(f"{account.origin} is not https: mail programs may refuse it")
    say(f"added the account {account.name!r}; make a key for it with: tracker keys add --account {account.name} ...")
    return 0


def _list_keys(parsed: argparse.Namespace) -> int:
    settings = read_settings()

    async def read() -> list[_Row]:
        async with opened(settings) as accounts:
            return [
                {
                    "id": key.id, "account": key.account, "name": key.name, "scopes": key.scopes,
                    "created_at": as_time(created_at), "revoked_at": as_time(revoked_at),
                }
                for key, created_at, revoked_at in await accounts.list_keys(parsed.account)
            ]  # fmt: skip

    columns = ("id", "account", "name", "scopes", "created_at", "revoked_at")
    return _print_list(parsed, columns, asyncio.run(read()))


def _add_key(parsed: argparse.Namespace) -> int:
    settings = read_settings()
    secret, key = new_key(parsed.account, parsed.name, parsed.scopes or DEFAULT_SCOPES)

    async def add() -> None:
        async with opened(settings) as accounts:
            await accounts.add_key(key)

    asyncio.run(add())
    say(f"made the API key {key.id} for the account {key.account!r}, for {', '.join(key.scopes)}; shown this once:")
    print(secret)
    return 0


def _revoke_key(parsed: argparse.Namespace) -> int:
    settings = read_settings()

    async def revoke() -> None:
        async with opened(settings) as accounts:
            await accounts.revoke_key(parsed.id)

    asyncio.run(revoke())
    say(f"revoked the API key {parsed.id}: within seconds it is refused")
    return 0


def _list_hooks(parsed: argparse.Namespace) -> int:
    settings = read_settings()

    async def read() -> list[_Row]:
        async with opened(settings) as accounts:
            return [
                {
                    "id": hook.id, "account": hook.account, "provider": hook.provider,
                    "created_at": as_time(created_at), "revoked_at": as_time(revoked_at),
                }
                for hook, created_at, revoked_at in await accounts.list_hooks(parsed.account)
            ]  # fmt: skip

    columns = ("id", "account", "provider", "created_at", "revoked_at")
    return _print_list(parsed, columns, asyncio.run(read()))


def _add_hook(parsed: argparse.Namespace) -> int:
    settings = read_settings()
    provider = PROVIDERS[parsed.provider]
    try:
        secret = _read_secret(parsed.secret_file, provider.SECRET)
    except (OSError, UnicodeDecodeError) as error:
        say(f"the secret cannot be read: {error.strerror if isinstance(error, OSError) else 'it is not UTF-8'}")
        return FAILED
    try:
        provider.check_secret(secret)
    except ValueError as error:
        say(f"the secret {error}. It should be this: {provider.SECRET}")
        return WRONG_ARGUMENTS
    path, hook = new_hook(parsed.account, parsed.provider, secret)

    async def add() -> None:
        async with opened(settings) as accounts:
            await accounts.add_hook(hook)

    asyncio.run(add())
    if settings.base_url.startswith("http://"):
        warn(f"{settings.base_url} is not https: the provider may refuse it, or not reach it")
    say(f"made the hook {hook.id} for the account {hook.account!r}; its requests are verified with the secret given.")
    say(f"That is: {provider.SECRET}")
    say(f"Set this URL at {hook.provider}, shown this once:")
    print(f"{settings.base_url}/v1/events/{hook.provider}/{path}")
    return 0


def _read_secret(file: Path | None, what: str) -> str:
    if file is not None:
        return file.read_bytes().decode().strip()
    if sys.stdin.isatty():
        say(what)
        return getpass.getpass("Secret: ").strip()
    return sys.stdin.buffer.read().decode().strip()


def _revoke_hook(parsed: argparse.Namespace) -> int:
    settings = read_settings()

    async def revoke() -> None:
        async with opened(settings) as accounts:
            await accounts.revoke_hook(parsed.id)

    asyncio.run(revoke())
    say(f"revoked the hook {parsed.id}: within seconds it takes no reports")
    return 0
