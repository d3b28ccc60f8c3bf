"""The directory in force: how it follows the store, and what is known without it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from spools import until

from tracker import directory as module
from tracker.config import read
from tracker.core.accounts import Account, AccountSettings, ApiKey, Hook, Scope, TrackSetting, digest
from tracker.core.errors import StoreUnavailable
from tracker.core.plan import LinkTextRule, PixelPosition
from tracker.directory import SNAPSHOT_FILE, DirectoryWatch, default_settings, new_hook, new_key
from tracker.stores.accounts import DirectoryRows

SHOP = Account("shop", "https://t.shop.example")
ROWS = DirectoryRows(
    7,
    (SHOP,),
    (ApiKey("key_1", "shop", "mailer", digest("trk_1"), (Scope.READ, Scope.EVENTS)),),
    (Hook("hook_1", "shop", "mailgun", digest("path"), "sécret"),),
    {"shop": {"track": {"opens": False}, "sender_name": "Shop ☃"}},
)
DEFAULTS = AccountSettings(sender_name="Default")


class PlannedSource:
    """Has ``rows``; raises ``fault``, if there is one."""

    def __init__(self, rows: DirectoryRows = ROWS, fault: Exception | None = None) -> None:
        self.rows = rows
        self.fault = fault
        self.reads = 0
        self.polls = 0

    async def version(self) -> int:
        self.polls += 1
        if self.fault:
            raise self.fault
        return self.rows.version

    async def directory(self) -> DirectoryRows:
        self.reads += 1
        if self.fault:
            raise self.fault
        return self.rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / SNAPSHOT_FILE


def watching(source: PlannedSource, path: Path, *, api_key: str = "environment's key") -> DirectoryWatch:
    return DirectoryWatch(source, path, default_origin="https://t.example", defaults=DEFAULTS, api_key=api_key)


def knows_all(watch: DirectoryWatch) -> bool:
    directory = watch.current
    return (
        directory.accounts == {"shop": SHOP, "default": Account("default", "https://t.example")}
        and directory.key("trk_1") == ROWS.keys[0]
        and directory.hook("mailgun", "path") == ROWS.hooks[0]
        and directory.settings("shop") == AccountSettings(track=TrackSetting(opens=False), sender_name="Shop ☃")
        and directory.settings("default") == DEFAULTS
        and directory.at(b"t.shop.example") == "shop"
    )


def knows_the_default_alone(watch: DirectoryWatch) -> bool:
    return list(watch.current.accounts) == ["default"] and watch.current.key("trk_1") is None


def away() -> PlannedSource:
    return PlannedSource(fault=StoreUnavailable("away"))


def put(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def put_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def content(path: Path) -> bytes:
    return path.read_bytes()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def inode(path: Path) -> int:
    return path.stat().st_ino


async def saved(path: Path, rows: DirectoryRows = ROWS) -> None:
    await watching(PlannedSource(rows), path).start()


@contextlib.asynccontextmanager
async def running(watch: DirectoryWatch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until_polled(source: PlannedSource, times: int) -> None:
    aim = source.polls + source.reads + times
    async with asyncio.timeout(20):
        await until(lambda: source.polls + source.reads >= aim)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.001)
    monkeypatch.setattr(module, "_BACKOFF_S", (0.001, 0.002))


@pytest.mark.anyio
async def test_it_starts_with_what_the_store_has(path: Path) -> None:
    await saved(path, DirectoryRows(99, (Account("old", "https://old.example"),)))
    watch = watching(PlannedSource(), path)
    assert await watch.start()
    assert knows_all(watch)


@pytest.mark.anyio
async def test_without_the_store_it_starts_with_the_snapshot(path: Path) -> None:
    await saved(path)
    assert mode(path) == 0o600
    assert names(path.parent) == [SNAPSHOT_FILE]
    watch = watching(away(), path)
    assert not await watch.start()
    assert knows_all(watch)
    only_loaded = watching(away(), path)
    only_loaded.load()
    assert knows_all(only_loaded)


@pytest.mark.anyio
async def test_without_either_there_is_the_default_account(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = watching(away(), path)
    assert not await watch.start()
    assert knows_the_default_alone(watch)
    assert watch.current.settings("default") == DEFAULTS
    key = watch.current.key("environment's key")
    assert key is not None
    assert (key.account, set(key.scopes)) == ("default", set(Scope))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert names(path.parent) == []


def test_without_a_key_in_the_environment_no_key_opens_anything(path: Path) -> None:
    assert watching(away(), path, api_key="").current.key("") is None


@pytest.mark.anyio
@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "other", "shape", "folder"])
async def test_a_damaged_snapshot_is_as_good_as_none(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    await saved(path)
    whole = content(path)
    if damage == "folder":
        put_folder(path)
    else:
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        shape = whole.replace(b'"version"', b'"virsion"')
        damaged = {"cut": whole[:-2], "one bit": bytes(flipped), "empty": b"", "other": b"\0\xff" * 99, "shape": shape}
        put(path, damaged[damage])
    watch = watching(away(), path)
    assert not await watch.start()
    assert knows_the_default_alone(watch)
    assert [record.action for record in caplog.records] == [  # type: ignore[attr-defined]
        "directory_snapshot_damaged", "directory_unavailable",
    ]  # fmt: skip
    if damage != "folder":
        await saved(path)
        assert content(path) == whole


@pytest.mark.anyio
async def test_a_snapshot_of_another_shape_is_as_good_as_none(path: Path) -> None:
    body = b'{"version":"seven"}'
    put(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body + b"\n")
    watch = watching(away(), path)
    watch.load()
    assert knows_the_default_alone(watch)


@pytest.mark.anyio
async def test_the_snapshot_is_written_only_when_something_changed(path: Path) -> None:
    await saved(path)
    first = inode(path)
    source = PlannedSource()
    watch = watching(source, path)
    await watch.start()
    await watch.refresh()
    assert inode(path) == first
    source.rows = DirectoryRows(8)
    await watch.refresh()
    assert inode(path) != first
    restarted = watching(away(), path)
    restarted.load()
    assert knows_the_default_alone(restarted)


@pytest.mark.anyio
async def test_a_snapshot_that_cannot_be_written_changes_nothing_else(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watching(PlannedSource(), path.parent / "later" / SNAPSHOT_FILE)
    for _ in range(3):
        assert await watch.refresh()
        assert knows_all(watch)
    assert [record.action for record in caplog.records] == ["directory_snapshot_failed"]  # type: ignore[attr-defined]
    put_folder(path.parent / "later")
    await watch.refresh()
    assert names(path.parent / "later") == [SNAPSHOT_FILE]


@pytest.mark.anyio
async def test_a_draft_is_removed_when_it_cannot_be_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert await watching(PlannedSource(), path).start()
    assert names(path.parent) == []


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
async def test_a_change_is_seen(path: Path) -> None:
    source = PlannedSource(DirectoryRows(0))
    watch = watching(source, path)
    await watch.start()
    async with running(watch):
        await until_polled(source, 5)
        assert knows_the_default_alone(watch)
        assert source.reads == 1, "as long as the version is the same, nothing else is asked for"
        source.rows = ROWS
        await until_polled(source, 5)
        assert knows_all(watch)
        source.rows = DirectoryRows(8, (SHOP,))
        await until_polled(source, 5)
        assert watch.current.key("trk_1") is None


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", [StoreUnavailable("away"), TimeoutError(), RuntimeError("quotes a secret")])
async def test_while_the_store_is_away_what_is_known_stays(
    path: Path, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source = PlannedSource()
    watch = watching(source, path)
    await watch.start()
    async with running(watch):
        source.fault = fault
        await until_polled(source, 20)
        assert knows_all(watch)
        source.fault, source.rows = None, DirectoryRows(ROWS.version)  # an older backup, which has come as far
        await until_polled(source, 5)
        assert knows_the_default_alone(watch)
    actions = [record.action for record in caplog.records]  # type: ignore[attr-defined]
    assert actions == ["directory_unavailable", "directory_available"]
    assert "quotes a secret" not in caplog.text


@pytest.mark.anyio
async def test_a_store_that_says_nothing_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(PlannedSource):
        async def directory(self) -> DirectoryRows:
            await asyncio.sleep(3600)
            raise AssertionError

    monkeypatch.setattr(module, "_STORE_S", 0.01)
    watch = watching(Silent(), path)
    assert not await watch.start()


def test_the_wait_for_a_store_that_is_away_stays_below_five_seconds() -> None:
    for failures in (1, 2, 3, 10, 1000):
        longest = min(4.0, 0.5 * 2 ** min(failures - 1, 10))
        for _ in range(20):
            assert longest / 2 <= module._backoff_s(failures) <= longest


@pytest.mark.anyio
async def test_a_setting_that_is_not_understood_is_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    document = {"text_part": False, "hologram": "3d", "footer": "sideways", "sender_name": "Shop"}
    watch = watching(PlannedSource(DirectoryRows(1, (SHOP,), settings={"shop": document})), path)
    await watch.start()
    assert watch.current.settings("shop") == AccountSettings(text_part=False, sender_name="Shop")
    assert len(caplog.records) == 2
    assert "sideways" not in caplog.text


@pytest.mark.anyio
async def test_links_to_a_host_that_base_url_takes_from_an_account_stay_that_accounts(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = DirectoryWatch(
        PlannedSource(), path, default_origin="http://t.shop.example", defaults=DEFAULTS, api_key="k"
    )
    await watch.start()
    assert watch.current.at(b"t.shop.example") == "shop"
    assert [record.action for record in caplog.records] == ["directory_host_taken"]  # type: ignore[attr-defined]


@pytest.mark.anyio
async def test_the_key_of_the_environment_is_not_narrowed_by_one_that_was_kept(path: Path) -> None:
    kept = ApiKey("key_2", "shop", "same", digest("environment's key"), (Scope.READ,))
    watch = watching(PlannedSource(DirectoryRows(1, (SHOP,), (kept,))), path)
    await watch.start()
    found = watch.current.key("environment's key")
    assert found is not None
    assert (found.account, found.scopes) == ("default", tuple(Scope))


def test_new_keys_and_hooks() -> None:
    key, kept = new_key("shop", "mailer", [Scope.READ, Scope.ADMIN, Scope.READ])
    assert key.startswith("trk_")
    assert len(key) == 4 + 43
    assert kept == ApiKey(kept.id, "shop", "mailer", digest(key), (Scope.ADMIN, Scope.READ))
    path, hook = new_hook("shop", "mailgun", "secret")
    assert hook == Hook(hook.id, "shop", "mailgun", digest(path), "secret")
    assert len(path) == 43
    assert new_key("shop", "mailer", [])[0] != key
    assert new_hook("shop", "mailgun", "secret")[1].id != hook.id


def test_the_defaults_of_the_process() -> None:
    settings = read(
        {
            "TRACKER_SENDER_NAME": "Shop", "TRACKER_EXCLUDED_HOSTS": "b.example,*.a.example",
            "TRACKER_ONE_USE_LINKS": "/Reset", "TRACKER_LINK_TEXT_URLS": "skip",
            "TRACKER_TRANSACTIONAL_CLICKS": "no", "TRACKER_PIXEL_POSITION": "both",
        }
    )  # fmt: skip
    assert default_settings(settings) == AccountSettings(
        sender_name="Shop",
        excluded_hosts=("*.a.example", "b.example"),
        one_use_links=("/reset",),
        link_text_urls=LinkTextRule.SKIP,
        transactional_clicks=False,
        pixel_position=PixelPosition.BOTH,
    )
    assert default_settings(read({})) == AccountSettings()
