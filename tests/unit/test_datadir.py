"""The data dir: secrets are made once, whoever asks first, and are never replaced."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tracker.config import Settings, read
from tracker.core.errors import ConfigError
from tracker.datadir import prepare


def settings(data_dir: Path, **more: str) -> Settings:
    return read({"TRACKER_DATA_DIR": str(data_dir), **{f"TRACKER_{name}": value for name, value in more.items()}})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_for_the_owner_only(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    first = prepare(settings(data_dir))
    assert mode(data_dir) == 0o700
    assert sorted(path.name for path in data_dir.iterdir()) == ["api.key", "signing.key"]
    assert {mode(path) for path in data_dir.iterdir()} == {0o600}
    assert first.new_api_key == first.settings.api_key
    assert len(first.settings.signing_keys[0]) >= 32
    assert first.settings.signing_keys[0].decode() != first.settings.api_key
    second = prepare(settings(data_dir))
    assert second.settings == first.settings
    assert second.new_api_key is None
    assert first.settings.api_key not in repr(first)


def test_what_is_configured_is_not_made(tmp_path: Path) -> None:
    prepared = prepare(settings(tmp_path, SIGNING_KEYS="k" * 32, API_KEY="key"))
    assert (prepared.settings.signing_keys, prepared.settings.api_key) == ((b"k" * 32,), "key")
    assert prepared.new_api_key is None
    assert list(tmp_path.iterdir()) == []


def test_an_api_key_that_nobody_would_show_is_not_made(tmp_path: Path) -> None:
    prepared = prepare(settings(tmp_path), with_api_key=False)
    assert (prepared.settings.api_key, prepared.new_api_key) == ("", None)
    assert prepare(settings(tmp_path)).new_api_key


def test_threads_that_start_at_once_agree(tmp_path: Path) -> None:
    """Threads of one process have one process id, as processes of two containers may have."""
    for turn in range(5):
        data_dir = tmp_path / str(turn)
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _, where=data_dir: prepare(settings(where)), range(8)))
        assert len({(one.settings.api_key, one.settings.signing_keys) for one in made}) == 1
        assert sum(one.new_api_key is not None for one in made) == 1
        assert sorted(path.name for path in data_dir.iterdir()) == ["api.key", "signing.key"]


STARTING = """
import sys
from tracker import config, datadir
prepared = datadir.prepare(config.read({"TRACKER_DATA_DIR": sys.argv[1]}))
print(prepared.settings.api_key, prepared.settings.signing_keys, bool(prepared.new_api_key))
"""


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTING, str(tmp_path / "data")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.communicate(timeout=60)[0].rsplit(maxsplit=1) for process in processes]
    assert len({secrets for secrets, _ in answers}) == 1
    assert sorted(is_new.strip() for _, is_new in answers) == ["False", "False", "False", "True"]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short\n", b"x" * 42, b"\xff" * 60, b"x" * 43 + b"\n" + b"y" * 43, b" " * 50]
)
@pytest.mark.parametrize("name", ["api.key", "signing.key"])
def test_a_damaged_secret_stops_the_start_and_is_left_alone(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name} is damaged"):
        prepare(settings(tmp_path))
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("name", ["", "below", "below/below"])
def test_a_data_dir_that_cannot_be_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^TRACKER_DATA_DIR: .* cannot be used: "):
        prepare(settings(tmp_path / "file" / name))


def test_a_folder_where_a_secret_should_be(tmp_path: Path) -> None:
    (tmp_path / "api.key").mkdir()
    with pytest.raises(ConfigError, match=r"^TRACKER_DATA_DIR: "):
        prepare(settings(tmp_path))
