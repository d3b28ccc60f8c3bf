"""Stopping in order, and several workers: nothing that was answered is lost, and the exit code says all is well."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx2
import pytest
from raw import ask, connected, received
from serving import API_KEY, Service, eventually, run, serving

pytest_plugins = ["service_fixtures"]

HEAD = f"POST /v1/rewrite HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
WORKERS = pytest.mark.parametrize("workers", [1, 2])


def status(service: Service, path: str) -> int:
    return httpx2.get(service.url + path, trust_env=False, timeout=30).status_code


@WORKERS
def test_sigterm_drains_finishes_what_is_in_flight_and_exits_with_0(tmp_path: Path, workers: int) -> None:
    body = json.dumps({"message_id": "in-flight", "html": "<p>x</p>"}).encode()
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n"
    arguments = ("--workers", str(workers))
    with serving(tmp_path / "data", arguments=arguments, DRAIN_S="3") as service, connected(service.port) as slow:
        eventually(lambda: service.output().count("Application startup complete"), lambda count: count == workers)
        path = service.rewrite("draining")["open_url"].removeprefix(service.url)
        slow.sendall(head.encode() + body[:5])
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: status(service, "/readyz"), lambda code: code == 503)
        assert status(service, "/healthz") == 200
        assert ask(service.port, "GET", path).status == 200
        eventually(lambda: "Shutting down" in service.output())
        slow.sendall(body[5:])
        answer = received(slow)
        assert (answer.status, json.loads(answer.body)["message_id"]) == (200, "in-flight")
        assert service.process.wait(30) == 0
        assert all(json.loads(line)["level"] in ("info", "warning") for line in service.stderr.read_text().splitlines())
    check_spools_are_empty(tmp_path / "data")
    with serving(tmp_path / "data") as service:
        service.reached("draining", "rewritten", "opened")
        service.reached("in-flight", "rewritten")


def check_spools_are_empty(data_dir: Path) -> None:
    ran = run(data_dir, "spool", "status")
    lines = ran.stdout.decode().splitlines()
    assert ran.returncode == 0
    assert lines
    assert all("depth 0, oldest -" in line for line in lines)


def test_a_body_that_never_ends_does_not_hold_the_stop_for_ever(tmp_path: Path) -> None:
    head = HEAD + "Content-Length: 10\r\n\r\n"
    with serving(tmp_path / "data") as service, connected(service.port) as stuck:
        stuck.sendall(head.encode())
        assert status(service, "/healthz") == 200
        assert service.stop() == 0


@WORKERS
def test_ctrl_c_is_orderly_as_well(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path / "data", arguments=("--workers", str(workers))) as service:
        eventually(lambda: service.output().count("Application startup complete"), lambda count: count == workers)
        path = service.rewrite("interrupted")["open_url"].removeprefix(service.url)
        assert ask(service.port, "GET", path).status == 200
        os.killpg(service.process.pid, signal.SIGINT)  # as a terminal does
        assert service.process.wait(30) in (0, 130)
        assert "Traceback" not in service.output()
    check_spools_are_empty(tmp_path / "data")
    with serving(tmp_path / "data") as service:
        service.reached("interrupted", "rewritten", "opened")


def test_what_two_workers_see_comes_together(tmp_path: Path) -> None:
    with serving(tmp_path / "data", arguments=("--workers", "2")) as service:
        eventually(lambda: service.output().count("Application startup complete"), lambda count: count == 2)
        assert len(list((tmp_path / "data" / "spool").glob("spool-?.db"))) == 2
        path = service.rewrite("shared")["open_url"].removeprefix(service.url)
        # Connections that stay open at the same time: the kernel gives them to both of the workers.
        clients = [httpx2.Client(base_url=service.url, trust_env=False, timeout=30) for _ in range(20)]
        for number, client in enumerate(clients):
            assert client.get(path, headers={"User-Agent": f"agent {number}"}).status_code == 200
        service.reached("shared", "rewritten", *["opened"] * len(clients))
        # Each scrape is answered by one of the workers, and each knows the sum.
        for client in clients:
            appended = f"\ntracker_spool_appended_total {len(clients) + 1}.0\n"
            eventually(lambda client=client: client.get("/metrics").text, lambda text, sum_=appended: sum_ in text)  # type: ignore[misc]
            client.close()
