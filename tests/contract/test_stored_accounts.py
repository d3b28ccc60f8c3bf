"""What operators set up: kept, limited, and at a version that every change moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from databases import Database

from tracker.core.accounts import Account, ApiKey, Hook, Scope, digest
from tracker.core.errors import AlreadyThere, NotThere, StoreUnavailable, TooLarge, TrackerError
from tracker.stores import Store
from tracker.stores import accounts as module
from tracker.stores.accounts import Accounts, DirectoryRows, KeptAccount

pytestmark = pytest.mark.anyio

DEFAULT_ORIGIN = "https://t.example"
SHOP = Account("shop", "https://t.shop.example")


@pytest.fixture
def accounts(store: Store) -> Accounts:
    return Accounts(store.database)


def api_key(id_: str, account: str = "default", *scopes: Scope) -> ApiKey:
    return ApiKey(id_, account, f"name of {id_}", digest(id_), scopes or (Scope.READ,))


def hook(id_: str, account: str = "default") -> Hook:
    return Hook(id_, account, "mailgun", digest(id_), f"secret of {id_}")


async def with_shop(accounts: Accounts) -> None:
    await accounts.add_account(SHOP, DEFAULT_ORIGIN)


async def test_an_empty_directory(accounts: Accounts) -> None:
    assert await accounts.directory() == DirectoryRows(0)
    assert await accounts.version() == 0
    assert await accounts.list_accounts() == []
    assert await accounts.list_keys() == await accounts.list_keys("default") == []
    assert await accounts.list_hooks() == await accounts.list_hooks("default") == []
    assert await accounts.settings("default") == {}


async def test_everything_in_force_is_in_the_directory(accounts: Accounts, database: Database) -> None:
    await with_shop(accounts)
    keys = (api_key("k-1", "default", Scope.ADMIN, Scope.READ), api_key("k-2", "shop", *Scope))
    hooks = (hook("h-1"), hook("h-2", "shop"))
    values = {"track": {"opens": False}, "link_params": {"utm_source": "Ärger ☃"}, "retention_days": None}
    for key in (*keys, api_key("k-3", "shop")):
        await accounts.add_key(key)
    for each in (*hooks, hook("h-3", "shop")):
        await accounts.add_hook(each)
    await accounts.put_settings("shop", values)
    await accounts.revoke_key("k-3")
    await accounts.revoke_hook("h-3")
    expected = DirectoryRows(10, (SHOP,), keys, hooks, {"shop": values})
    assert await accounts.directory() == expected
    other = database.store()
    assert await Accounts(other.database).directory() == expected
    await other.close()


async def test_lists_have_what_was_revoked_and_when(accounts: Accounts) -> None:
    await with_shop(accounts)
    ((account, created_at),) = await accounts.list_accounts()
    assert account == SHOP
    await accounts.add_key(api_key("k-1", "shop"))
    await accounts.add_key(api_key("k-2"))
    await accounts.revoke_key("k-1")
    await accounts.add_hook(hook("h-1", "shop"))
    await accounts.revoke_hook("h-1")
    (first, second) = await accounts.list_keys()
    assert (first.key, first.revoked_at) == (api_key("k-2"), None)
    assert second.key == api_key("k-1", "shop")
    assert second.revoked_at is not None
    assert 0 <= second.revoked_at - created_at < 600_000_000
    assert created_at <= second.created_at <= second.revoked_at
    assert await accounts.list_keys("shop") == [second]
    (kept,) = await accounts.list_hooks("shop")
    assert kept.revoked_at is not None
    assert (kept.hook.id, kept.hook.secret) == ("h-1", ""), "its secret is of no more use"
    assert await accounts.list_hooks("default") == []


async def test_a_key_stays_revoked_since_it_was_first_revoked(accounts: Accounts) -> None:
    await accounts.add_key(api_key("k-1"))
    await accounts.revoke_key("k-1")
    revoked = await accounts.list_keys()
    await asyncio.sleep(0.01)
    await accounts.revoke_key("k-1")
    assert await accounts.list_keys() == revoked


@pytest.mark.parametrize(
    ("account", "fault"),
    [
        (Account("shop", "https://other.example"), "account 'shop' already"),
        (Account("default", "https://other.example"), "account 'default' already"),
        (Account("other", SHOP.origin), "of the account 'shop'"),
        (Account("other", "http://t.shop.example"), "of the account 'shop'"),
        (Account("other", "http://t.shop.example:443"), "of the account 'shop'"),
        (Account("other", DEFAULT_ORIGIN), "of the account 'default'"),
    ],
)
async def test_names_and_hosts_are_taken_once(accounts: Accounts, account: Account, fault: str) -> None:
    await with_shop(accounts)
    with pytest.raises(AlreadyThere, match=fault):
        await accounts.add_account(account, DEFAULT_ORIGIN)
    await accounts.add_account(Account("other", SHOP.origin + ":8443"), DEFAULT_ORIGIN)


CALLS: dict[str, Callable[[Accounts], Awaitable[Any]]] = {
    "key": lambda accounts: accounts.add_key(api_key("k", "nobody")),
    "hook": lambda accounts: accounts.add_hook(hook("h", "nobody")),
    "keys": lambda accounts: accounts.list_keys("nobody"),
    "hooks": lambda accounts: accounts.list_hooks("nobody"),
    "settings": lambda accounts: accounts.settings("nobody"),
    "settings of NUL": lambda accounts: accounts.settings("\0"),
    "setting": lambda accounts: accounts.put_settings("nobody", {}),
    "revoked key": lambda accounts: accounts.revoke_key("nothing"),
    "revoked hook": lambda accounts: accounts.revoke_hook("nothing"),
    "an id that cannot be": lambda accounts: accounts.revoke_key("a\0b"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_what_is_not_there(accounts: Accounts, name: str) -> None:
    with pytest.raises(NotThere, match=r"there is no (account|API key|hook)"):
        await CALLS[name](accounts)
    assert await accounts.version() == 0


async def test_each_change_moves_the_version_and_a_refused_one_does_not(accounts: Accounts) -> None:
    changes: list[Callable[[], Awaitable[None]]] = [
        lambda: accounts.add_account(SHOP, DEFAULT_ORIGIN),
        lambda: accounts.add_key(api_key("k")),
        lambda: accounts.add_hook(hook("h")),
        lambda: accounts.put_settings("default", {"text_part": False}),
        lambda: accounts.put_settings("default", {}),
        lambda: accounts.revoke_key("k"),
        lambda: accounts.revoke_hook("h"),
    ]
    for number, change in enumerate(changes, 1):
        await change()
        assert await accounts.version() == number
        with pytest.raises(TrackerError):
            await accounts.add_account(SHOP, DEFAULT_ORIGIN)
        assert await accounts.version() == number


async def test_settings_change_from_what_they_are_when_they_change(accounts: Accounts) -> None:
    def add(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda document: {**document, name: True}

    names = [f"n-{number}" for number in range(8)]
    await asyncio.gather(*(accounts.change_settings("default", add(name)) for name in names))
    assert await accounts.settings("default") == dict.fromkeys(names, True)

    def refuse(document: dict[str, Any]) -> dict[str, Any]:
        document.clear()
        raise NotThere("not this")

    with pytest.raises(NotThere, match="not this"):
        await accounts.change_settings("default", refuse)
    assert await accounts.change_settings("default", add("n-0")) == dict.fromkeys(names, True)


async def test_the_number_of_accounts_is_limited(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ACCOUNTS", 3)
    adding = [
        accounts.add_account(Account(f"a-{number}", f"https://{number}.example"), DEFAULT_ORIGIN) for number in range(6)
    ]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert (
        sorted(str(result) for result in results)
        == ["None"] * 3 + ["there are 3 accounts already: that is the most there can be"] * 3
    )
    assert all(result is None or isinstance(result, TooLarge) for result in results)
    assert len(await accounts.list_accounts()) == 3


async def test_the_number_of_keys_in_force_is_limited(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIVE", 2)
    monkeypatch.setattr(module, "MAX_REVOKED", 1)
    await with_shop(accounts)
    results = await asyncio.gather(
        *(accounts.add_key(api_key(f"k-{number}", "shop")) for number in range(4)), return_exceptions=True
    )
    assert [type(result) for result in results if result is not None] == [TooLarge, TooLarge]
    await accounts.add_key(api_key("other"))
    for number in (1, 2, 3):
        live = [kept.key.id for kept in await accounts.list_keys("shop") if kept.revoked_at is None]
        await accounts.revoke_key(live[0])
        await accounts.add_key(api_key(f"new-{number}", "shop"))
    kept = await accounts.list_keys("shop")
    assert sorted(each.revoked_at is not None for each in kept) == [False, False, True]
    with pytest.raises(TooLarge, match="the account 'shop' has 2 API keys already"):
        await accounts.add_key(api_key("one-more", "shop"))


async def test_the_number_of_hooks_in_force_is_limited(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LIVE", 1)
    await accounts.add_hook(hook("h-1"))
    with pytest.raises(TooLarge, match="1 hooks already"):
        await accounts.add_hook(hook("h-2"))
    await accounts.revoke_hook("h-1")
    await accounts.add_hook(hook("h-2"))
    assert [kept.hook.id for kept in await accounts.list_hooks() if kept.revoked_at is None] == ["h-2"]


async def test_a_scope_that_only_a_newer_tracker_knows_is_left_out(accounts: Accounts, database: Database) -> None:
    await accounts.add_key(api_key("k", "default", Scope.READ, Scope.EVENTS))
    await database.execute("UPDATE tracker.api_keys SET scopes = 'read teleport events'")
    (key,) = (await accounts.directory()).keys
    assert key.scopes == (Scope.READ, Scope.EVENTS)


async def test_the_directory_is_of_one_moment(accounts: Accounts) -> None:
    # A key, then a setting, in turn: the version says how many of each there must be.

    async def change() -> None:
        for number in range(30):
            await accounts.add_key(api_key(f"k-{number:02}"))
            await accounts.put_settings("default", {"number": number})

    changing = asyncio.create_task(change())
    seen = set()
    while not changing.done():
        try:
            rows = await accounts.directory()
        except StoreUnavailable:
            continue
        seen.add(rows.version)
        assert len(rows.keys) == (rows.version + 1) // 2
        assert rows.settings.get("default", {}).get("number", -1) == rows.version // 2 - 1
    await changing
    assert (await accounts.directory()).version == 60
    assert seen


async def test_reading_while_it_changes_all_the_time_is_given_up(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(range(100))

    async def version() -> int:
        return next(versions)

    monkeypatch.setattr(accounts, "version", version)
    with pytest.raises(StoreUnavailable, match="change faster"):
        await accounts.directory()


async def test_accounts_are_listed_by_name(accounts: Accounts) -> None:
    for name in ("b", "a-b", "ab", "a"):
        await accounts.add_account(Account(name, f"https://{name}.example"), DEFAULT_ORIGIN)
    listed = await accounts.list_accounts()
    assert [kept.account.name for kept in listed] == ["a", "a-b", "ab", "b"]
    assert all(isinstance(kept, KeptAccount) for kept in listed)
