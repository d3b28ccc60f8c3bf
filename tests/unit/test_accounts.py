"""What a setting means, which wish is the narrowest, whose host it is."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from tracker.core.accounts import (
    Account,
    AccountName,
    AccountSettings,
    ApiKey,
    Directory,
    Hook,
    Scope,
    TrackSetting,
    UnknownConsent,
    digest,
    settings_from,
)
from tracker.core.errors import InvalidRequest
from tracker.core.model import Consent, MessageClass
from tracker.core.plan import Footer, LinkTextRule, PixelPosition, Tracks

MARKETING, TRANSACTIONAL = MessageClass.MARKETING, MessageClass.TRANSACTIONAL
DEFAULT = Account("default", "https://t.example")


# What is tracked.


def allowed(setting: bool, asked: bool, call: Consent, kept: Consent, unknown: Consent) -> bool:
    """Another way to say it: of all that was said, with the meaning of silence where nothing was, all say yes."""
    said = {call, kept} - {Consent.UNKNOWN}
    return {setting, asked} | {consent is Consent.GRANTED for consent in said or {unknown}} == {True}


COMBINATIONS = list(
    product((True, False), (True, False), Consent, Consent, (Consent.GRANTED, Consent.DENIED)),
)


@pytest.mark.parametrize("other", [COMBINATIONS[0], COMBINATIONS[-1]])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_narrowest_wish_wins(combination: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    for opens, clicks in ((combination, other), (other, combination)):
        settings = AccountSettings(
            track=TrackSetting(opens[0], clicks[0]), unknown_consent=UnknownConsent(opens[4], clicks[4])
        )
        asked, call, kept = Tracks(opens[1], clicks[1]), (opens[2], clicks[2]), (opens[3], clicks[3])
        assert settings.tracks(asked, MARKETING, call, kept) == (allowed(*opens), allowed(*clicks))


@pytest.mark.parametrize(
    ("setting", "message_class", "clicks"),
    [(True, MARKETING, True), (True, TRANSACTIONAL, True), (False, MARKETING, True), (False, TRANSACTIONAL, False)],
)
def test_transactional_clicks(setting: bool, message_class: MessageClass, clicks: bool) -> None:
    settings = AccountSettings(transactional_clicks=setting)
    unknown = (Consent.UNKNOWN, Consent.UNKNOWN)
    assert settings.tracks(Tracks(), message_class, unknown, unknown) == (True, clicks)


def test_what_of_the_settings_concerns_rewriting() -> None:
    settings = AccountSettings(
        text_part=False,
        pixel_position=PixelPosition.TOP,
        excluded_hosts=("Shop.Example.", "*.bücher.example"),
        one_use_links=("/Reset",),
        link_text_urls=LinkTextRule.SKIP,
        sender_name="Shop",
        postal_address="1 Road\nTown",
    )
    policy = settings.policy()
    assert policy.links.excluded_hosts == {"shop.example", "*.xn--bcher-kva.example"}
    assert policy.links.one_use_paths == ("/reset",)
    assert (policy.text_links, policy.pixel, policy.link_text) == (False, PixelPosition.TOP, LinkTextRule.SKIP)
    assert (policy.sender_name, policy.postal_address) == ("Shop", "1 Road\nTown")


# Settings from JSON.


def test_settings_keep_the_defaults_that_are_not_given() -> None:
    defaults = AccountSettings(sender_name="Shop", footer=Footer.NEVER, retention_days=30)
    assert settings_from({}, defaults) == defaults
    given = settings_from({"footer": "auto", "retention_days": None, "track": {"opens": False}}, defaults)
    assert given == AccountSettings(sender_name="Shop", track=TrackSetting(opens=False))
    every = msgspec.to_builtins(given)
    assert settings_from(every, defaults) == given
    assert list(every) == list(AccountSettings.__struct_fields__)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"nope": 1}, "$"),
        ({"track": {"opens": 1}}, "$.track.opens"),
        ({"track": {"nope": True}}, "$.track"),
        ({"text_part": "yes"}, "$.text_part"),
        ({"pixel_position": "middle"}, "$.pixel_position"),
        ({"excluded_hosts": ["a.example", "b/c"]}, "$.excluded_hosts[1]"),
        ({"excluded_hosts": ["a" * 256]}, "$.excluded_hosts[0]"),
        ({"excluded_hosts": ["a.example"] * 1001}, "$.excluded_hosts"),
        ({"one_use_links": ["/reset", ""]}, "$.one_use_links[1]"),
        ({"one_use_links": ["a\0b"]}, "$.one_use_links[0]"),
        ({"link_params": {"utm": 1}}, "$.link_params[...]"),
        ({"link_params": {"utm": "\0"}}, "$.link_params[...]"),
        ({"link_params": {f"p{n}": "x" for n in range(21)}}, "$.link_params"),
        ({"footer": None}, "$.footer"),
        ({"sender_name": "a\nb"}, "$.sender_name"),
        ({"postal_address": "a\tb"}, "$.postal_address"),
        ({"unknown_consent": {"opens": "maybe"}}, "$.unknown_consent.opens"),
        ({"unknown_consent": {"opens": "unknown"}}, "$.unknown_consent.opens"),
        ({"unknown_consent": {"clicks": "unknown"}}, "$.unknown_consent.clicks"),
        ({"retention_days": 0}, "$.retention_days"),
        ({"retention_days": 36_501}, "$.retention_days"),
        ({"retention_days": True}, "$.retention_days"),
    ],
)
def test_an_error_says_where_it_is(values: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        settings_from(values, AccountSettings())
    ((at, message),) = caught.value.errors
    assert at == path
    assert message


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("shop", True), ("a", True), ("a-1", True), ("a" * 32, True), ("0", True),
        ("", False), ("-a", False), ("a-", False), ("Shop", False), ("a b", False), ("a" * 33, False), ("a\n", False),
        ("ä", False),
    ],
)  # fmt: skip
def test_names_of_accounts(name: str, good: bool) -> None:
    try:
        msgspec.convert(name, AccountName)
    except msgspec.ValidationError:
        assert not good
    else:
        assert good


# The directory.


@pytest.mark.parametrize(
    ("host", "account"),
    [
        (b"t.shop.example", "shop"), (b"T.Shop.EXAMPLE", "shop"), (b"t.shop.example.", "shop"),
        (b"t.shop.example:443", "shop"), (b"t.shop.example:80", "shop"), (b"t.shop.example.:443", "shop"),
        (b"t.shop.example:", "shop"), (b"t.shop.example:8443", "shop"), (b"x.t.shop.example", "default"),
        (b"t.news.example:8443", "news"), (b"T.news.example.:8443", "news"), (b"t.news.example", "news"),
        (b"t.news.example:443", "news"), (b"[::1]:8000", "local"), (b"[::1]", "plain"), (b"[::1]:443", "plain"),
        (b"127.0.0.1:8000", "four"), (b"t.example", "default"), (b"other.example", "default"), (b"", "default"),
        (b":", "default"), (b"\xff\xfe:80", "default"), (b"dotted.example", "dotted"),
    ],
)  # fmt: skip
def test_whose_host_it_is(host: bytes, account: str) -> None:
    directory = Directory(
        [
            DEFAULT, Account("shop", "https://t.shop.example"), Account("news", "https://t.news.example:8443"),
            Account("local", "http://[::1]:8000"), Account("plain", "http://[::1]"),
            Account("four", "http://127.0.0.1:8000"), Account("dotted", "https://dotted.example."),
        ]
    )  # fmt: skip
    assert directory.has_hosts
    assert directory.at(host) == account


def test_a_directory_without_other_accounts() -> None:
    directory = Directory([DEFAULT])
    assert not directory.has_hosts
    assert directory.at(b"t.example") == directory.at(b"x") == "default"


def test_keys_and_hooks_are_found_by_their_secret() -> None:
    key = ApiKey("key_1", "shop", "mailer", digest("trk_1"), (Scope.READ,))
    orphan = ApiKey("key_2", "gone", "mailer", digest("trk_2"), (Scope.READ,))
    hook = Hook("hook_1", "shop", "mailgun", digest("path"), "secret")
    lost = Hook("hook_2", "gone", "mailgun", digest("path 2"), "secret")
    directory = Directory([DEFAULT, Account("shop", "https://t.shop.example")], [key, orphan], [hook, lost])
    assert directory.key("trk_1") == key
    assert directory.key("trk_1 ") is directory.key("") is directory.key("trk_2") is None
    assert directory.hook("mailgun", "path") == hook
    assert directory.hook("postal", "path") is directory.hook("mailgun", "path 2") is None


def test_settings_of_an_account_that_has_set_none() -> None:
    defaults, own = AccountSettings(sender_name="Default"), AccountSettings(sender_name="Shop")
    directory = Directory([DEFAULT], settings={"shop": own}, defaults=defaults)
    assert (directory.settings("shop"), directory.settings("default")) == (own, defaults)
    assert Directory([DEFAULT]).settings("default") == AccountSettings()
