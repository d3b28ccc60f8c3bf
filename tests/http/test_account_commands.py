"""Accounts, keys, hooks and settings, as operators set them up by hand."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import eventually, free_port, run, serving

pytest_plugins = ["service_fixtures"]

Ran = subprocess.CompletedProcess[bytes]
Tracker = Callable[..., Ran]
BASE_URL = "https://t.example"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    """Runs one command, which must end with a certain exit code, on an embedded store."""

    def ran(*arguments: str, code: int = 0, **settings: str) -> Ran:
        done = run(tmp_path / "data", *arguments, cwd=None, **{"BASE_URL": BASE_URL, **settings})
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        return done

    return ran


def lines(ran: Ran) -> list[list[str]]:
    """The cells of a table that was printed, without its head."""
    return [re.split(r" {2,}", line) for line in ran.stdout.decode().splitlines()[1:]]


def settings_of(tracker: Tracker, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(tracker("settings", *arguments).stdout))


def test_accounts_are_added_and_listed(tracker: Tracker) -> None:
    assert lines(tracker("accounts")) == [["default", BASE_URL, "-"]]
    added = tracker("accounts", "add", "shop", "--origin", "https://T.Shop.example:443/")
    assert added.stdout == b""
    assert b"warning" not in added.stderr
    assert b"is not https" in tracker("accounts", "add", "local", "--origin", "http://t.local.example").stderr
    for arguments in (("shop", "--origin", "https://x.example"), ("new", "--origin", BASE_URL)):
        refused = tracker("accounts", "add", *arguments, code=1)
        assert re.match(rb"tracker: .* already\n\Z", refused.stderr)
    table = tracker("accounts", "list").stdout.decode()
    assert re.fullmatch(
        r"ACCOUNT  ORIGIN                  CREATED_AT\n"
        r"default  https://t\.example       -\n"
        rf"local    http://t\.local\.example  {TIME}\n"
        rf"shop     https://t\.shop\.example  {TIME}\n",
        table,
    )
    listed = json.loads(tracker("accounts", "list", "--json").stdout)
    assert [(each["account"], each["origin"]) for each in listed] == [
        ("default", BASE_URL), ("local", "http://t.local.example"), ("shop", "https://t.shop.example"),
    ]  # fmt: skip
    assert listed[0]["created_at"] is None


def test_a_key_is_shown_once_and_kept_nowhere(tracker: Tracker, tmp_path: Path) -> None:
    tracker("accounts", "add", "shop", "--origin", "https://t.shop.example")
    made = tracker("keys", "add", "--account", "shop", "--name", "the mailer")
    key = made.stdout.decode()
    assert re.fullmatch(r"trk_[\w-]{43}\n", key)
    assert b"shown this once" in made.stderr
    assert key.strip().encode() not in made.stderr
    tracker("keys", "add", "--name", "core", "--scope", "read", "--scope", "admin", "--scope", "read")
    ((id_, *first), second) = sorted(lines(tracker("keys", "list")), key=lambda row: row[1], reverse=True)
    assert first[:3] == ["shop", "the mailer", "events read rewrite"]
    assert first[4] == "-"
    assert second[1:4] == ["default", "core", "admin read"]
    assert id_.encode() in made.stderr
    assert lines(tracker("keys", "list", "--account", "default")) == [second]
    tracker("keys", "revoke", id_)
    tracker("keys", "revoke", id_)
    (revoked,) = json.loads(tracker("keys", "list", "--account", "shop", "--json").stdout)
    assert list(revoked) == ["id", "account", "name", "scopes", "created_at", "revoked_at"]
    assert (revoked["id"], revoked["scopes"]) == (id_, ["events", "read", "rewrite"])
    assert re.fullmatch(TIME, revoked["revoked_at"])
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not [path for path in files if key.strip().encode() in path.read_bytes()]


def test_a_hook_is_shown_once(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  key-0123456789abcdef0123456789abcdef\n")
    made = tracker("hooks", "add", "mailgun", "--secret-file", "secret")
    assert re.fullmatch(rb"https://t\.example/v1/events/mailgun/[\w-]{43}\n", made.stdout)
    assert b"Mailgun shows under API security" in made.stderr
    assert b"0123456789abcdef" not in made.stderr
    from_input = tracker("hooks", "add", "postmark", "--secret-file", "/dev/stdin", code=2)
    assert re.match(rb"tracker: the secret is not of the form USER:PASSWORD\. It should be this: ", from_input.stderr)
    ((id_, *rest),) = lines(tracker("hooks", "list"))
    assert (rest[:2], rest[3]) == (["default", "mailgun"], "-")
    tracker("hooks", "revoke", id_)
    (revoked,) = json.loads(tracker("hooks", "list", "--json").stdout)
    assert list(revoked) == ["id", "account", "provider", "created_at", "revoked_at"]
    assert revoked["revoked_at"]
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    assert b"not UTF-8" in tracker("hooks", "add", "mailgun", "--secret-file", "secret", code=1).stderr
    assert b"No such file" in tracker("hooks", "add", "mailgun", "--secret-file", "nothing", code=1).stderr


def test_settings_are_set_and_reset(tmp_path: Path) -> None:
    def tracker(*arguments: str) -> Ran:
        done = run(tmp_path / "data", *arguments, BASE_URL=BASE_URL, SENDER_NAME="The Shop")
        assert done.returncode == 0, done.stderr
        return done

    before = settings_of(tracker, "show")
    assert (before["sender_name"], before["track"]) == ("The Shop", {"opens": True, "clicks": True})
    changed = settings_of(
        tracker, "set", "track.opens=false", "link_params.utm_source=crm=1", "link_params.a.b=", "retention_days=400",
        "excluded_hosts=a.example, *.b.example", "one_use_links=", "footer=never", "unknown_consent.clicks=denied",
        "sender_name=Söhne & Co", "text_part=No", "classifier.bursts=no", "classifier.quick_open_s=2.5",
    )  # fmt: skip
    assert changed == before | {
        "track": {"opens": False, "clicks": True},
        "link_params": {"utm_source": "crm=1", "a.b": ""},
        "retention_days": 400,
        "excluded_hosts": ["a.example", "*.b.example"],
        "footer": "never",
        "unknown_consent": {"opens": "granted", "clicks": "denied"},
        "sender_name": "Söhne & Co",
        "text_part": False,
        "classifier": before["classifier"] | {"bursts": False, "quick_open_s": 2.5},
    }
    again = settings_of(tracker, "set", "track.clicks=false", "retention_days=none", "link_params.utm_source=x")
    assert again == changed | {
        "track": {"opens": False, "clicks": False},
        "retention_days": None,
        "link_params": {"utm_source": "x", "a.b": ""},
    }
    reset = settings_of(tracker, "reset", "track.opens", "link_params.a.b", "sender_name", "footer", "link_params.gone")
    assert reset == again | {
        "track": {"opens": True, "clicks": False},
        "link_params": {"utm_source": "x"},
        "sender_name": "The Shop",
        "footer": "auto",
    }
    assert settings_of(tracker, "reset", *before) == before


def test_wrong_settings_are_named_and_none_is_set(tracker: Tracker) -> None:
    wrong = tracker(
        "settings", "set", "nope=1", "track=true", "track.opens=maybe", "link_params=a", "retention_days=1.5",
        "classifier.quick_open_s=-1",
        "footer=sideways", "track.nope=1", "text_part", "link_params.=x", "=1", "text_part=false", "a.b.c=1",
        code=2,
    )  # fmt: skip
    assert wrong.stderr.decode().splitlines() == [
        "tracker: nope: is not a setting",
        "tracker: track: has parts: write track.PART=VALUE",
        "tracker: track.opens: must be true or false",
        "tracker: link_params: has parts: write link_params.PART=VALUE",
        "tracker: retention_days: must be a whole number, or none",
        "tracker: classifier.quick_open_s: must be a number",
        "tracker: footer: must be one of auto, never",
        "tracker: track.nope: is not a setting",
        "tracker: text_part: has no value: write NAME=VALUE",
        "tracker: link_params.: is not a setting",
        "tracker: value: is not a setting",
        "tracker: a.b.c: is not a setting",
    ]
    for name, assignment in (
        ("excluded_hosts[1]", "excluded_hosts=a.example,b/c"),
        ("unknown_consent.opens", "unknown_consent.opens=unknown"),
    ):  # fmt: skip
        refused = tracker("settings", "set", "text_part=false", assignment, code=2)
        assert refused.stderr.decode().startswith(f"tracker: {name}: "), refused.stderr
        assert refused.stdout == b""
    assert settings_of(tracker, "show")["text_part"] is True
    assert b"track.nope: is not a setting" in tracker("settings", "reset", "footer", "track.nope", code=2).stderr


def test_what_does_not_work_exits_with_1(tracker: Tracker) -> None:
    for arguments in (
        ("keys", "list", "--account", "nobody"), ("hooks", "revoke", "hook_1"),
        ("settings", "set", "--account", "nobody", "footer=never"),
    ):  # fmt: skip
        refused = tracker(*arguments, code=1)
        assert re.match(rb"tracker: there is no (account|API key|hook) ", refused.stderr), arguments
        assert refused.stdout == b""
    away = tracker("accounts", code=1, STORE_URL=f"postgresql://x@127.0.0.1:{free_port()}/x")
    assert away.stderr.startswith(b"tracker: ")
    assert away.stdout == b""


def test_wrong_arguments_exit_with_2(tracker: Tracker) -> None:
    for arguments in (
        ("accounts", "add", "Shop", "--origin", "https://x.example"),
        ("accounts", "add", "shop", "--origin", "x.example/path"),
        ("keys", "add", "--name", "x", "--scope", "all"), ("hooks", "add", "pigeon"),
    ):  # fmt: skip
        assert tracker(*arguments, code=2).stdout == b"", arguments


def test_a_configuration_that_is_not_usable_exits_with_3(tracker: Tracker, tmp_path: Path) -> None:
    assert b"TRACKER_BASE_URL" in tracker("accounts", code=3, BASE_URL="x").stderr
    nowhere = f"sqlite:///{tmp_path / 'nowhere' / 'status.db'}"
    assert b"TRACKER_STORE_URL" in tracker("accounts", code=3, STORE_URL=nowhere).stderr


def test_a_running_service_hears_of_it(store_url: str, tmp_path: Path) -> None:
    with serving(tmp_path / "data", STORE_URL=store_url) as service:

        def tracker(*arguments: str) -> str:
            ran = run(service.data_dir, *arguments, STORE_URL=store_url, BASE_URL=service.url)
            assert ran.returncode == 0, ran.stderr
            return ran.stdout.decode().strip()

        def status(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return service.client.get("/v1/settings", headers=headers).status_code

        def soon(read: Callable[[], object], value: object) -> None:
            since = time.monotonic()
            eventually(read, lambda found: found == value)
            assert time.monotonic() - since < 5

        key = tracker("keys", "add", "--name", "reader", "--scope", "read")
        soon(lambda: status(key), 200)
        tracker("settings", "set", "footer=never")
        soon(lambda: service.call("GET", "/v1/settings").json()["footer"], "never")
        tracker("keys", "revoke", tracker("keys", "list").splitlines()[1].split()[0])
        soon(lambda: status(key), 401)
        assert stat.S_IMODE((service.data_dir / "directory.json").stat().st_mode) == 0o600
        assert status(service.api_key) == 200
