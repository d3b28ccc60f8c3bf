"""The audit log: every administrative act is in it, in the transaction of the act, and no secret is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from databases import Database

from tracker.core.accounts import Account, ApiKey, Hook, Scope, digest
from tracker.core.errors import AlreadyThere, NotThere
from tracker.stores import Store
from tracker.stores.accounts import Accounts
from tracker.stores.audit import Act, Audit
from tracker.stores.outbox import Outbox

pytestmark = pytest.mark.anyio

ORIGIN = "https://t.example"
SHOP = Account("shop", "https://t.shop.example")
KEY = ApiKey("key_1", "shop", "mailer", digest("trk_secret-of-a-key"), (Scope.READ, Scope.ADMIN))
HOOK = Hook("hook_1", "shop", "mailgun", digest("secret-path"), "secret-of-a-hook")


@pytest.fixture
def audit(store: Store) -> Audit:
    return Audit(store.database)


async def acts(audit: Audit, account: str) -> list[Act]:
    return [kept.act for kept in await audit.page(account)]


async def test_what_is_set_up_is_noted_with_who_did_it(
    audit: Audit, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    accounts = Accounts(store.database)
    await accounts.add_account(SHOP, ORIGIN)
    await accounts.add_key(KEY)
    await accounts.revoke_key("key_1", by="key_2")
    await accounts.add_hook(HOOK, by="key_2")
    await accounts.revoke_hook("hook_1")
    await accounts.put_settings("shop", {"text_part": False, "sender_name": "Shop"}, by="key_2")
    await accounts.change_settings("shop", lambda document: {**document, "text_part": True})
    expected = [
        Act("shop", "cli", "account_added", "shop", {"origin": SHOP.origin}),
        Act("shop", "cli", "key_added", "key_1", {"name": "mailer", "scopes": ["read", "admin"]}),
        Act("shop", "key_2", "key_revoked", "key_1"),
        Act("shop", "key_2", "hook_added", "hook_1", {"provider": "mailgun"}),
        Act("shop", "cli", "hook_revoked", "hook_1"),
        Act("shop", "key_2", "settings_changed", "", {"sender_name": [None, "Shop"], "text_part": [None, False]}),
        Act("shop", "cli", "settings_changed", "", {"text_part": [False, True]}),
    ]
    assert await acts(audit, "shop") == expected
    assert await acts(audit, "default") == []
    logged = [record for record in caplog.records if getattr(record, "action", "") == "audit"]
    assert [(record.act, record.actor) for record in logged] == [(act.act, act.actor) for act in expected]  # type: ignore[attr-defined]


async def test_settings_that_are_changed_in_place_show_what_they_were(audit: Audit, store: Store) -> None:
    accounts = Accounts(store.database)
    await accounts.put_settings("default", {"track": {"opens": True}})

    def change(document: dict[str, Any]) -> dict[str, Any]:
        document["track"]["opens"] = False
        return document

    await accounts.change_settings("default", change)
    assert (await acts(audit, "default"))[-1].detail == {"track": [{"opens": True}, {"opens": False}]}


async def test_what_was_not_done_is_not_noted(audit: Audit, store: Store) -> None:
    accounts = Accounts(store.database)
    await accounts.add_account(SHOP, ORIGIN)
    with pytest.raises(AlreadyThere):
        await accounts.add_account(SHOP, ORIGIN)
    with pytest.raises(NotThere):
        await accounts.revoke_key("key_0")
    with pytest.raises(ZeroDivisionError):
        await accounts.change_settings("shop", lambda _: {"retention_days": 1 // 0})
    outbox = Outbox(store.database)
    assert not await outbox.enable("ep_0")
    assert not await outbox.replay("ep_0", None, 0)
    assert [act.act for act in await acts(audit, "shop")] == ["account_added"]


async def test_webhooks(audit: Audit, store: Store) -> None:
    outbox = Outbox(store.database)
    await outbox.add_endpoint("ep_1", "default", "https://u:secret@a.example/secret?secret", "whsec_secret")
    await outbox.rotate("ep_1", "whsec_secret2", 1)
    await outbox.disable("ep_1", "the receiver answered 410 Gone")
    await outbox.disable("ep_1", "by an operator", by="cli")
    await outbox.enable("ep_1")
    await outbox.remove_endpoint("ep_1")
    assert [(act.act, act.subject, act.detail) for act in await acts(audit, "default")] == [
        ("endpoint_added", "ep_1", {"host": "a.example"}),
        ("endpoint_secret_rotated", "ep_1", {}),
        ("endpoint_disabled", "ep_1", {}),
        ("endpoint_enabled", "ep_1", {}),
        ("endpoint_removed", "ep_1", {}),
    ]


async def test_no_secret_is_in_it(audit: Audit, store: Store, database: Database) -> None:
    accounts = Accounts(store.database)
    await accounts.add_account(SHOP, ORIGIN)
    await accounts.add_key(KEY)
    await accounts.add_hook(HOOK)
    await Outbox(store.database).add_endpoint("ep_1", "default", "https://u:secret@a.example/secret?secret", "secret")
    rows = await database.execute("SELECT account, actor, act, subject, detail FROM tracker.audit")
    assert len(rows) == 4
    assert "secret" not in str(rows)


async def test_pages_leave_nothing_out(audit: Audit) -> None:
    for number in range(25):
        await audit.add(Act("default" if number % 5 else "shop", "cli", "tested", str(number)))
    seen, after = [], 0
    while page := await audit.page("default", after=after, limit=7):
        assert len(page) <= 7
        seen += [int(kept.act.subject) for kept in page]
        after = page[-1].id
    assert seen == [number for number in range(25) if number % 5]
    assert [kept.act.subject for kept in await audit.latest(None, 3)] == ["24", "23", "22"]
    assert [kept.act.subject for kept in await audit.latest("shop", 2)] == ["20", "15"]


async def test_acts_at_once_are_seen_in_the_order_of_their_ids(audit: Audit, database: Database) -> None:
    stores = [database.store() for _ in range(3)]
    seen: list[int] = []
    done = False

    async def follow() -> None:
        after = 0
        while True:
            is_last = done
            page = await audit.page("default", after=after)
            seen.extend(kept.id for kept in page)
            after = page[-1].id if page else after
            if is_last and not page:
                return
            await asyncio.sleep(0)

    async def write(one: Store) -> None:
        for _ in range(20):
            await Audit(one.database).add(Act("default", "cli", "tested"))

    try:
        for one in stores:
            await one.open()
        following = asyncio.create_task(follow())
        await asyncio.gather(*map(write, stores))
        done = True
        await following
    finally:
        for one in stores:
            await one.close()
    assert len(seen) == len(set(seen)) == 60
    assert seen == sorted(seen)
