"""``tracker report``: one batch's numbers, or several beside each other, and what can be said of the differences."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sending import Batch
from serving import Service, run, serving

MACHINE = {"User-Agent": "Mozilla/5.0"}
PROXY = {"User-Agent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with three batches: of few who open, of many, and one in which opens are not tracked."""
    with serving(tmp_path_factory.mktemp("service") / "data") as service:
        few, many, blind = (Batch(service, name) for name in ("few", "many", "\N{SNOWMAN} blind"))
        ids = few.send(20)
        few.report("delivered", *ids[1:])
        few.report("failed", ids[0], status_code="550 5.1.1")
        few.open(*ids[1:4])
        few.open(ids[4], headers=PROXY)
        few.open(ids[5], headers=MACHINE)
        few.click(ids[1])
        many.open(*many.send(20))
        blind.send(2, track={"opens": False})
        for batch in (few, many, blind):
            batch.read()
        yield service


def report(service: Service, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    ran = run(service.data_dir, "report", *arguments)
    assert ran.returncode == code, ran.stderr
    assert b"Traceback" not in ran.stderr
    return ran


def table(ran: subprocess.CompletedProcess[bytes]) -> dict[str, list[str]]:
    """The cells of the lines, by their first one."""
    lines = [re.split(r" {2,}", line.strip()) for line in ran.stdout.decode().splitlines()]
    return {name: rest for name, *rest in lines}


def test_one_batch(service: Service) -> None:
    rows = table(report(service, "few"))
    assert rows["messages"] == ["20"]
    assert rows["delivered"] == ["19"]
    assert rows["failed"] == ["1"]
    assert rows["550 5.1.1"] == ["1"]
    assert rows["open rate"] == ["21.1 % (8.5 to 43.3) of 19"]
    assert rows["click rate"] == ["5.3 % (0.9 to 24.6) of 19"]
    assert rows["opened by people"] == ["3"]
    assert rows["opened through proxies alone"] == ["1 (25.0 % of the opened)"]
    assert rows["opened by machines alone"] == ["1"]
    assert rows["opens by people/proxies/machines"] == ["3/1/1"]
    assert rows["https://shop.example/a"] == ["1", "1/0/0"]
    assert rows["desktop"] == rows["Linux"] == rows["Firefox"] == ["3"]


def test_several_batches(service: Service) -> None:
    ran = report(service, "few", "many", "\N{SNOWMAN} blind")
    rows = table(ran)
    assert rows["messages"] == ["20", "20", "2"]
    assert rows["open rate"][1:] == ["100.0 % (83.9 to 100.0) of 20", "-"]
    assert rows["opened by people"] == ["3", "20", "-"]
    assert rows["delivery rate"][1:] == ["-", "-"]
    head, *_ = ran.stdout.decode().splitlines()
    assert re.split(r" {2,}", head.strip()) == ["few", "many", "\N{SNOWMAN} blind"]
    said = ran.stdout.decode().partition("\n\n")[2].splitlines()
    assert said[0].startswith("The open rate of many is higher than that of few: 100.0 % against 21.1 %,")
    assert "(97.5 % interval" in said[0]
    assert any(line.startswith("No difference shown between the unsubscribe rates of few and many:") for line in said)
    assert (
        "The open rates of few and \N{SNOWMAN} blind cannot be compared: opens were not tracked in \N{SNOWMAN} blind."
        in said
    )
    young = "few, many and \N{SNOWMAN} blind are less than 48 hours old, so their numbers may still grow."
    assert young in said


def test_what_cannot_be_shown(service: Service, tmp_path: Path) -> None:
    unknown = report(service, "few", "unheard-of", code=1)
    assert unknown.stderr == b"tracker: no such batch, or not yet: 'unheard-of'\n"
    assert unknown.stdout == b""
    for arguments in (("few", "few"), tuple(map(str, range(11)))):
        assert report(service, *arguments, code=2).stderr.startswith(b"tracker: batch: ")
    report(service, code=2)
    assert b"account" in report(service, "few", "--account", "nobody", code=1).stderr
    assert run(service.data_dir, "accounts", "add", "shop", "--origin", "https://t.shop.example").returncode == 0
    report(service, "few", "--account", "shop", code=1)
    assert run(tmp_path / "data", "report", "few").returncode == 1
    assert run(tmp_path / "data", "report", "few", STORE_URL="mysql://x/y").returncode == 3
