"""The demo, as whoever tries the service sees it: what it prints on each kind of store, and that it can be repeated."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from serving import command, environment, eventually, free_port, run, serving

pytest_plugins = ["service_fixtures"]

MAX_COLUMNS = 100
MAX_LINES = 75
TABLE = {
    "ada": ["Unsubscribed", "Unsubscribed", "—", "2", "2"],
    "ben": ["—", "Sent", "—", "0", "0"],
    "cleo": ["Opened", "Replied", "—", "1", "0"],
    "dan": ["Failed", "Failed", "550 5.1.1", "0", "0"],
    "eve": ["Failed", "Failed", "550 5.1.1", "0", "0"],
    "finn": ["Spam", "Spam", "—", "0", "0"],
    "gus": ["Clicked", "Clicked", "—", "0", "1"],
}


def demo(data_dir: Path, **settings: str) -> str:
    """What one run prints; it must work."""
    ran = run(data_dir, "demo", "--once", "--port", str(free_port()), cwd=data_dir.parent, **settings)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr.decode()
    return ran.stdout.decode()


def check(shown: str) -> None:
    """The facts that every run tells."""
    rows = re.findall(r"^   (\w+)-([0-9a-f]{8}) +nov-\2-\d  +(.*)$", shown, re.MULTILINE)
    assert {name: re.split(" {2,}", rest) for name, _, rest in rows} == TABLE
    assert "Stage: Unsubscribed" in shown
    assert "opens:  1 human, 1 proxy, 1 machine" in shown
    assert "clicks: 2 human, 0 proxy, 0 machine" in shown
    timeline = re.findall(r"^ +\d\d:\d\d:\d\d\.\d{3} +(\w+)", shown, re.MULTILINE)
    hits = ["opened", "opened", "opened", "clicked", "clicked"]
    assert timeline == ["rewritten", "sent", "delivered", *hits, "unsubscribed"]


def test_the_demo_tells_its_story_twice(store_url: str, tmp_path: Path) -> None:
    first = demo(tmp_path / "data", STORE_URL=store_url)
    check(first)
    key = (tmp_path / "data" / "api.key").read_text().strip()
    assert key in first, "the start that makes the key shows it"
    check(second := demo(tmp_path / "data", STORE_URL=store_url))
    assert key not in second


def test_the_demo_shows_reports_and_what_follows_from_them(tmp_path: Path) -> None:
    shown = demo(tmp_path / "data")
    for said in (
        r"eve's bounce \(RFC 3464\), known by its X-Tracker-Id: nov-\w+-5 failed",
        r"finn .* POST 202 /v1/events/report  complained",
        r"gus .* POST 200 /u/\.\.\./stop-tracking",
        r"gus +clicks again: answered, and not recorded +GET  302 /c/",
        r"   ada +409 recipient_suppressed: the recipient has unsubscribed",
        r"   dan, eve +409 recipient_suppressed: the recipient's address does not exist",
        r"   finn +409 recipient_suppressed: the recipient called an earlier message spam",
        r"   ben, cleo +rewritten; pixel: yes; links: 1 tracked",
        r"   gus +rewritten; pixel: no; links: 1 plain",
        r"GET /v1/changes: \d+ changes of these messages; go on with \?after=\d+",
        r"dec-\w+-6 +new -> failed +Dropped",
    ):
        assert re.search(said, shown), said
    lines = shown.splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines[1:])) <= MAX_COLUMNS, "but for the first, which names a directory"


def test_the_demo_on_a_terminal_without_dashes(tmp_path: Path) -> None:
    where = {**environment(tmp_path / "data", {}), "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(
        command("demo", "--once", "--port", str(free_port())), env=where, cwd=tmp_path, capture_output=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert b"Stage: Unsubscribed" in ran.stdout


def test_the_demo_takes_another_port_where_its_own_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path / "other") as service:
        ran = run(tmp_path / "data", "demo", "--once", "--port", str(service.port), API_KEY="x" * 20)
        assert ran.returncode == 0, ran.stderr
        assert b"is taken" in ran.stdout


def test_the_demo_leaves_the_service_running_until_ctrl_c(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        process = subprocess.Popen(
            command("demo", "--port", str(free_port())), env=environment(tmp_path / "data", {}), cwd=tmp_path,
            stdout=stdout, start_new_session=True,
        )  # fmt: skip
        try:
            eventually(lambda: "Ctrl-C stops it." in out.read_text() or process.poll() is not None)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    assert "/v1/changes" in out.read_text()
