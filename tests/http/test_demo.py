"""The demo as whoever tries the service sees it: what it prints, on each kind of store, and that the service agrees."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from postgres import Server
from serving import command, environment, free_port

pytest_plugins = ["service_fixtures"]

MAX_COLUMNS = 100
MAX_LINES = 125
PATIENCE_S = 120.0
TABLE = {
    "ada": ["Unsubscribed", "Unsubscribed", "—", "2", "1"],
    "ben": ["—", "Sent", "—", "0", "0"],
    "cleo": ["Opened", "Replied", "—", "1", "0"],
    "dan": ["Failed", "Failed", "550 5.1.1", "0", "0"],
    "eve": ["Failed", "Failed", "550 5.1.1", "0", "0"],
    "finn": ["Spam", "Spam", "—", "0", "0"],
    "gus": ["Clicked", "Clicked", "—", "0", "1"],
    "hal": ["Delivered", "Delivered", "—", "0", "0"],
}


class Told:
    """A demo that has told all, and whose service still runs."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.process = self._start()
        headers = {"Authorization": f"Bearer {(data_dir / 'api.key').read_text().strip()}"}
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=PATIENCE_S, trust_env=False
        )

    def _start(self) -> subprocess.Popen[bytes]:
        out = self.data_dir.with_name("out")
        with out.open("wb") as stdout:
            process = subprocess.Popen(
                command("demo", "--port", str(self.port)), env=environment(self.data_dir, {}),
                cwd=self.data_dir.parent, stdout=stdout, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while "Ctrl-C stops it." not in out.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"the demo told only this: {out.read_text()}")
            time.sleep(0.1)
        self.shown = out.read_text()
        return process

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    told = Told(tmp_path_factory.mktemp("demo") / "data")
    try:
        yield told
    finally:
        told.client.close()
        told.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            told.process.wait(30)
        told.process.kill()
        told.process.wait()


def table(shown: str) -> list[tuple[str, ...]]:
    """The rows of the batches: letter, run, messages, delivered, failed, and three times a count and of how many."""
    rates = r" +(\d+)/(\d+) = [\d.]+ %" * 3
    return re.findall(rf"^   spring-(\w)-(\w+) +(\d+) +(\d+) +(\d+){rates}$", shown, re.MULTILINE)


def recognised(shown: str) -> list[int]:
    """Clicks by filters and those told apart, those missed alone, clicks by people and those recognised."""
    words = (
        r"Of (\d+) clicks by mail filters, (\d+) were .*\s+Of the others, (\d+) were .*\s+"
        r"Of (\d+) clicks by people, (\d+) were"
    )
    (found,) = re.findall(words, shown)
    return list(map(int, found))


def check(shown: str) -> None:
    """The facts that every run tells."""
    rows = re.findall(r"^   (\w+)-([0-9a-f]{8}) +nov-\2-\d  +(.*)$", shown, re.MULTILINE)
    assert {name: re.split(" {2,}", rest) for name, _, rest in rows} == TABLE
    assert "Stage: Unsubscribed" in shown
    assert "opens:  1 human, 1 proxy, 1 machine" in shown
    assert "clicks: 1 human, 0 proxy, 0 machine" in shown
    timeline = re.findall(r"^ +\d\d:\d\d:\d\d\.\d{3} +(\w+)", shown, re.MULTILINE)
    assert timeline == ["rewritten", "sent", "delivered", "opened", "opened", "opened", "clicked", "unsubscribed"]
    moves = re.findall(r"nov-\w+-8 +(\w+) -> (\w+) +(\S+)$", shown, re.MULTILINE)
    assert moves == [("delivered", "clicked", "—"), ("clicked", "delivered", "correction")]
    assert [(letter, messages) for letter, _, messages, *_ in table(shown)] == [
        ("a", "300"),
        ("b", "300"),
        ("c", "300"),
    ]
    by_filters, told_apart, missed_alone, by_people, as_people = recognised(shown)
    assert by_filters > 500
    assert told_apart + missed_alone == by_filters
    assert by_people == as_people > 100


def test_the_demo_tells_its_story(told: Told) -> None:
    check(told.shown)
    for said in (
        r"eve's bounce \(RFC 3464\), known by its X-Tracker-Id: nov-\w+-5 failed",
        r"finn .* POST 202 /v1/events/report  complained",
        r"gus .* POST 200 /u/\.\.\./stop-tracking",
        r"gus +clicks again: answered, and not recorded +GET  302 /c/",
        r"   ada +409 recipient_suppressed: the recipient has unsubscribed",
        r"   dan, eve +409 recipient_suppressed: the recipient's address does not exist",
        r"   finn +409 recipient_suppressed: the recipient called an earlier message spam",
        r"   ben, cleo, hal +rewritten; pixel: yes; links: 1 tracked",
        r"   gus +rewritten; pixel: no; links: 1 plain",
        r"GET /v1/changes: \d+ more changes of these messages; go on with \?after=\d+",
        r"dec-\w+-8 +new -> sent",
        r"The click rate of spring-b-\w+ is\s+higher than that of spring-a-",
        r"No difference shown between the click rates of spring-a-\w+ and\s+spring-c-",
        r"The open rate of spring-c-\w+ is\s+lower than that of spring-a-",
    ):
        assert re.search(said, told.shown), said
    story = told.shown[: told.shown.index("The service is still running")].splitlines()
    assert len(story) <= MAX_LINES
    assert [line for line in story[1:] if len(line) > MAX_COLUMNS] == [], "but for the first, which names a directory"


def test_the_numbers_are_those_of_the_service(told: Told) -> None:
    totals = {"human": 0, "proxy": 0, "machine": 0}
    for letter, run, *numbers in table(told.shown):
        batch = told.get(f"/v1/batches/spring-{letter}-{run}")
        rates = [batch["rates"][name] for name in ("open_rate", "click_rate", "unsubscribe_rate")]
        expected = [batch["messages"], batch["delivered"], batch["failed"]]
        expected += [rate[field] for rate in rates for field in ("count", "of")]
        assert list(map(int, numbers)) == expected
        assert batch["opens"]["tracked"] == batch["clicks"]["tracked"] < 300, "some did not consent"
        assert all(batch["opens"]["total"][actor] for actor in totals)
        assert len(batch["failures"]) == 3
        assert len(batch["devices"]["client"]) > 5
        for actor in totals:
            totals[actor] += batch["clicks"]["total"][actor]
    _, told_apart, missed, by_people, _ = recognised(told.shown)
    assert totals == {"human": by_people + missed, "proxy": 0, "machine": told_apart}


def test_filters_come_from_everywhere(told: Told) -> None:
    letter, run, *_ = table(told.shown)[1]
    listed = told.get(f"/v1/batches/spring-{letter}-{run}/messages", limit=1000)["messages"]
    reasons: set[str] = set()
    for message in listed:
        if message["clicks"]["machine"]:
            found = told.get(f"/v1/messages/{message['message_id']}/events")["events"]
            reasons.update(reason for event in found if event["type"] == "clicked" for reason in event["reasons"])
    assert reasons == {"burst_from_one_source", "burst", "scanner_network"}


def test_the_page_is_there_and_asks_for_the_key(told: Told) -> None:
    (url,) = re.findall(r"^   (http://\S+/console/compare\?\S+)$", told.shown, re.MULTILINE)
    answer = httpx2.get(url, trust_env=False)
    assert answer.is_redirect
    assert "/console/sign-in" in answer.headers["location"]
    assert f"which is in {told.data_dir / 'api.key'}" in told.shown
    assert (told.data_dir / "api.key").read_text().strip() in told.shown, "the start that makes the key shows it"


def test_again_on_a_terminal_without_dashes_and_with_its_port_taken(told: Told) -> None:
    """In the same data dir, while the first one's service runs."""
    terminal, end = pty.openpty()
    where = {**environment(told.data_dir, {}), "PYTHONIOENCODING": "ascii"}
    arguments = command("demo", "--once", "--port", str(told.port))
    with subprocess.Popen(arguments, env=where, cwd=told.data_dir.parent, stdout=end) as process:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal that was closed
            while part := os.read(terminal, 65536):
                shown += part
        assert process.wait(PATIENCE_S) == 0
    os.close(terminal)
    assert b"is taken" in shown
    assert re.search(rb"\r   \[#+ +\] \d+ of \d+", shown), "a bar"
    lines = re.sub(r"\r.*\r\x1b\[K", "", shown.decode("ascii").replace("\r\n", "\n")).replace("?", "—")
    check(lines)
    assert told.client.headers["authorization"].removeprefix("Bearer ") not in lines
    assert [row[2:] for row in table(lines)] == [row[2:] for row in table(told.shown)], "the same people every time"
    assert recognised(lines) == recognised(told.shown)


def test_the_service_runs_until_ctrl_c(told: Told) -> None:
    assert told.process.poll() is None
    told.process.send_signal(signal.SIGINT)
    assert told.process.wait(30) == 0


def test_the_demo_on_postgresql(postgres_server: Server, tmp_path: Path) -> None:
    with postgres_server.new_database() as url:
        where = environment(tmp_path / "data", {"STORE_URL": url, "API_KEY": "x" * 20})
        arguments = command("demo", "--once", "--port", str(free_port()))
        ran = subprocess.run(arguments, env=where, cwd=tmp_path, capture_output=True, timeout=PATIENCE_S)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr.decode()
    assert "/console/compare" not in ran.stdout.decode(), "that service is gone"
    check(ran.stdout.decode())
