"""Starting: what stops it, what it warns of, and the secrets that it makes."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from serving import API_KEY, Service, eventually, free_port, run, serving

pytest_plugins = ["service_fixtures"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(data_dir: Path, workers: int = 1, /, **settings: str) -> str:
    """The one line with which a start is refused."""
    cwd = next(parent for parent in data_dir.parents if parent.is_dir())
    ran = run(data_dir, "serve", "--port", str(free_port()), "--workers", str(workers), cwd=cwd, **settings)
    assert ran.returncode == 3, ran
    assert ran.stdout == b""
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith("tracker: ")
    return line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASE_URL", "https://shop.example/path"),
        ("SIGNING_KEYS", "changeme"),
        ("SIGNING_KEYS", "please-change-me-please-change-me"),
        ("API_KEY", "two words"),
        ("API_KEY", "REPLACE_THIS"),
        ("STORE_URL", "mysql://root@localhost/x"),
        ("STORE_URL", "sqlite:////nowhere/to/be/found/status.db"),
        ("CLIENT_IP", "hashed"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(tmp_path: Path, name: str, value: str) -> None:
    line = refused(tmp_path / "data", **{name: value})
    assert f"TRACKER_{name}" in line
    if name in ("SIGNING_KEYS", "API_KEY"):
        assert value not in line


@pytest.mark.parametrize("workers", [1, 2])
def test_a_data_dir_that_cannot_be_used_stops_the_start(tmp_path: Path, workers: int) -> None:
    (tmp_path / "file").write_text("")
    assert "TRACKER_DATA_DIR" in refused(tmp_path / "file", workers)
    assert "TRACKER_DATA_DIR" in refused(tmp_path / "file" / "below", workers)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").write_text("")
    assert "TRACKER_DATA_DIR" in refused(tmp_path / "data", workers, API_KEY=API_KEY)


def test_a_store_url_that_no_driver_takes_stops_the_start(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        arguments = ("serve", "--port", str(free_port()), "--workers", workers)
        ran = run(tmp_path / "data", *arguments, STORE_URL="postgresql://user:s3cr3t@[bad/x", API_KEY=API_KEY)
        assert ran.returncode == 3
        assert b"store's URL" in ran.stderr
        assert b"s3cr3t" not in ran.stderr + ran.stdout
        assert all(json.loads(line) for line in ran.stderr.splitlines())


def test_wrong_arguments(tmp_path: Path) -> None:
    assert run(tmp_path / "data", "serve", "--port", "99999").returncode == 2
    assert not (tmp_path / "data").exists()


def test_the_first_start_makes_secrets_and_shows_the_key_with_a_line_that_works(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir, api_key="", BASE_URL="https://t.not-yet-reachable.example") as service:
        shown = service.stdout.read_text()
        key = (data_dir / "api.key").read_text().strip()
        assert f"\n  {key}\n" in shown
        (curl,) = re.findall(r"^ *(curl .*)$", shown, re.MULTILINE)
        if not shutil.which("curl"):
            pytest.skip("curl is not installed")
        ran = subprocess.run(["/bin/sh", "-c", curl], capture_output=True, timeout=30)  # as pasted into a terminal
        answer = json.loads(ran.stdout)
        assert answer["links"][0]["url"] == "https://example.com/"
        assert answer["links"][0]["tracked_url"].startswith("https://t.not-yet-reachable.example/c/")
    assert mode(data_dir) == 0o700
    for path in data_dir.rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    secrets = {name: (data_dir / name).read_text() for name in ("api.key", "signing.key")}
    with serving(data_dir, api_key="") as service:
        assert key not in service.output()
        service.api_key = key
        tracked = answer["links"][0]["tracked_url"].rpartition("/")[2]
        assert service.client.get(f"/c/{tracked}").headers["location"] == "https://example.com/"
        assert service.message("m-1001")
    assert {name: (data_dir / name).read_text() for name in secrets} == secrets


def test_commands_that_need_no_api_key_do_not_use_up_its_one_showing(tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_text("<p>x</p>")
    assert run(tmp_path / "data", "rewrite", "mail.html").returncode == 0
    with serving(tmp_path / "data", api_key="") as service:
        assert "Authorization: Bearer" in service.stdout.read_text()


def test_unknown_names_are_warned_about_and_no_more(tmp_path: Path) -> None:
    with serving(tmp_path / "data", PORT="tcp://10.0.0.1:80", SIGNING_KEY="x", DRAIN_S_FILE="") as service:
        assert re.findall(r"warning: (\S+) is not a setting", service.output()) == [
            "TRACKER_PORT",
            "TRACKER_SIGNING_KEY",
        ]


def test_settings_come_from_files(tmp_path: Path) -> None:
    values = {"API_KEY": "key-from-a-file", "BASE_URL": "https://from-a-file.example", "SENDER_NAME": "Ærlig Café"}
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
    files: dict[str, Any] = {f"{name}_FILE": str(tmp_path / name) for name in values}
    with serving(tmp_path / "data", api_key="", **files) as service:
        service.api_key = values["API_KEY"]
        url = service.rewrite("from-files")["unsubscribe_url"]
        assert url.startswith("https://from-a-file.example/u/")
        page = service.client.get(url.removeprefix("https://from-a-file.example"))
        assert "Unsubscribe from Ærlig Café?" in page.text
        assert values["API_KEY"] not in service.output()


def test_a_file_that_is_missing_or_empty_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert "TRACKER_API_KEY" in refused(tmp_path / "data", API_KEY_FILE=str(tmp_path / "none"))
    assert "TRACKER_SIGNING_KEYS" in refused(tmp_path / "data", SIGNING_KEYS_FILE=str(tmp_path / "empty"))
    assert "TRACKER_API_KEY" in refused(tmp_path / "data", API_KEY="x", API_KEY_FILE=str(tmp_path / "empty"))


def test_links_outlive_their_key_until_it_is_removed(tmp_path: Path) -> None:
    old, new = "old-key-" * 4, "new-key-" * 4
    links: dict[str, str] = {}

    def works(service: Service, name: str) -> bool:
        answer = service.client.get(links[name])
        assert answer.status_code in (302, 404)
        return answer.status_code == 302

    with serving(tmp_path / "data", SIGNING_KEYS=old) as service:
        links["old"] = service.link("https://shop.example/", "by-old").removeprefix(service.url)
    with serving(tmp_path / "data", SIGNING_KEYS=f"{old},{new}") as service:
        links["new"] = service.link("https://shop.example/", "by-new").removeprefix(service.url)
        assert works(service, "old")
        assert works(service, "new")
        service.reached("by-old", "rewritten", "clicked")
    with serving(tmp_path / "data", SIGNING_KEYS=new) as service:
        assert not works(service, "old")
        assert works(service, "new")
        service.reached("by-new", "rewritten", "clicked", "clicked")
        assert eventually(lambda: service.types("by-old")) == ["clicked", "rewritten"]
