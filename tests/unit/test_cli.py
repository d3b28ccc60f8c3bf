"""The command line's own decisions: arguments, exit codes, where it says that the service is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracker import __version__, cli
from tracker.cli import look, serve


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKER_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["nothing"], ["serve", "--port", "0"], ["serve", "--port", "x"], ["serve", "--port", "-1"],
        ["serve", "--port", "65536"], ["serve", "--workers", "0"], ["serve", "--workers", "two"], ["rewrite"],
        ["rewrite", "x", "--message-id", ""], ["rewrite", "x", "--message-id", "a b"], ["token"], ["spool"],
    ],
)  # fmt: skip
def test_wrong_arguments_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, __version__ + "\n")


def test_a_configuration_that_is_not_usable_exits_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKER_CLIENT_IP", "hashed")
    for arguments in (["serve"], ["rewrite", "x"], ["token", "inspect", "x"], ["spool", "status"], ["demo"]):
        assert cli.main(arguments) == 3
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("tracker: TRACKER_CLIENT_IP: ")


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(look, "inspect", interrupted)
    assert cli.main(["spool", "status"]) == 130


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"),
        ("2001:db8::1", "http://[2001:db8::1]:80"), ("edge-1", "http://edge-1:80"),
    ],
)  # fmt: skip
def test_where_this_machine_reaches_the_service(host: str, url: str) -> None:
    assert serve.local_url(host, 80) == url


def test_no_spool_yet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["spool", "status"]) == 0
    assert "no spool yet" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()


def test_a_spool_that_cannot_be_read_exits_with_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "spool").mkdir(parents=True)
    (tmp_path / "data" / "spool" / "spool-0.db").write_bytes(b"damaged" * 1000)
    assert cli.main(["spool", "status"]) == 1
    assert "unreadable" in capsys.readouterr().out
