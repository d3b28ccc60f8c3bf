"""Sessions of the console end on the server, for every process, and nobody may try keys without end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from operating import Operator
from serving import API_KEY, Service, eventually, free_port, run, serving

COOKIE = "tracker_console"
FAILURES_PER_MINUTE = 10


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data", TRUSTED_PROXIES="127.0.0.1") as service:
        yield service


@pytest.fixture
def visitors(service: Service) -> Iterator[Callable[..., Operator]]:
    """Makes browsers, each without a session."""
    with ExitStack() as open_:
        yield lambda of=service: open_.enter_context(Operator(of))


def asked_to_sign_in(answer: httpx2.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith("/console/sign-in")


def with_cookie(service: Service, value: str) -> httpx2.Response:
    """A copy of a cookie, elsewhere."""
    with httpx2.Client(base_url=service.url, trust_env=False, timeout=30) as client:
        return client.get("/console", headers={"Cookie": f"{COOKIE}={value}"})


def signed_in(operator: Operator, key: str = API_KEY) -> str:
    assert operator.sign_in(key).status_code == 303
    return str(operator.client.cookies[COOKIE])


def test_signing_out_ends_the_session_on_the_server(service: Service, visitors: Callable[..., Operator]) -> None:
    one, other = visitors(), visitors()
    copy, others = signed_in(one), signed_in(other)
    assert with_cookie(service, copy).status_code == 200
    assert asked_to_sign_in(one.send("/console/sign-out", {}))
    assert asked_to_sign_in(with_cookie(service, copy)), "a copy of the cookie is of no use"
    assert with_cookie(service, others).status_code == 200


def test_all_sessions_of_a_key_end_at_once(service: Service, visitors: Callable[..., Operator]) -> None:
    reader = run(service.data_dir, "keys", "add", "--name", "reader", "--scope", "read").stdout.decode().strip()
    headers = {"Authorization": f"Bearer {reader}"}
    eventually(lambda: service.client.get("/v1/settings", headers=headers).status_code, lambda status: status == 200)
    one, other, unconcerned = visitors(), visitors(), visitors()
    cookies = [signed_in(one, reader), signed_in(other, reader)]
    kept = signed_in(unconcerned)
    assert "End all sessions of this key" in one.page("/console/settings")
    assert asked_to_sign_in(one.send("/console/sign-out", {"all": "1"}))
    assert all(asked_to_sign_in(with_cookie(service, cookie)) for cookie in cookies)
    assert with_cookie(service, kept).status_code == 200
    eventually(lambda: one.sign_in(reader).status_code == 303 and one.get("/console").status_code == 200)


def test_the_command_ends_all_sessions_of_a_key(service: Service, visitors: Callable[..., Operator]) -> None:
    listed = json.loads(run(service.data_dir, "keys", "list", "--json").stdout)
    cookie = signed_in(visitors())
    ran = run(service.data_dir, "sessions", "end", "environment")
    assert ran.returncode == 0, ran.stderr
    eventually(lambda: asked_to_sign_in(with_cookie(service, cookie)))
    assert run(service.data_dir, "sessions", "end", "key_0").returncode == 1
    for key in listed:
        assert run(service.data_dir, "sessions", "end", key["id"]).returncode == 0


def test_an_ended_session_stays_ended_after_a_restart_without_the_store(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service, Operator(service) as operator:
        copy = signed_in(operator)
        operator.send("/console/sign-out", {})
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with serving(tmp_path / "data", STORE_URL=away) as service, Operator(service) as operator:
        assert asked_to_sign_in(with_cookie(service, copy))
        assert operator.sign_in(API_KEY).status_code == 303


def test_every_worker_knows_of_it(tmp_path: Path) -> None:
    with serving(tmp_path / "data", arguments=("--workers", "2")) as service, Operator(service) as operator:
        copy = signed_in(operator)
        operator.send("/console/sign-out", {})
        in_row = 0

        def ended() -> bool:
            nonlocal in_row
            in_row = in_row + 1 if asked_to_sign_in(with_cookie(service, copy)) else 0
            return in_row >= 20  # each on its own connection: some go to either

        eventually(ended)


def test_a_sign_out_that_the_disk_cannot_take_is_not_said_to_be_done(
    service: Service, visitors: Callable[..., Operator]
) -> None:
    operator = visitors()
    copy = signed_in(operator)
    lock = service.data_dir / "revocations.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    answer = operator.send("/console/sign-out", {})
    assert answer.status_code == 503
    assert "in this browser only" in answer.text
    assert COOKIE not in operator.client.cookies
    assert with_cookie(service, copy).status_code == 200
    lock.rmdir()


def test_signing_in_is_throttled_by_network(service: Service, visitors: Callable[..., Operator]) -> None:
    stranger, elsewhere, six = visitors(), visitors(), visitors()
    for number in range(FAILURES_PER_MINUTE):
        assert stranger.sign_in(f"wrong {number}", **{"X-Forwarded-For": f"203.0.113.{number}"}).status_code == 403
    answer = stranger.sign_in("wrong again", **{"X-Forwarded-For": "203.0.113.99"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 6
    assert answer.headers["content-type"].startswith("text/html")
    assert "set-cookie" not in answer.headers
    assert stranger.sign_in(API_KEY, **{"X-Forwarded-For": "203.0.113.99"}).status_code == 429, (
        "nor is a right one tried"
    )
    assert elsewhere.sign_in(API_KEY, **{"X-Forwarded-For": "203.0.114.1"}).status_code == 303
    for number in range(FAILURES_PER_MINUTE):
        six.sign_in("wrong", **{"X-Forwarded-For": f"2001:db8:1:{number}::1"})
    assert six.sign_in("wrong", **{"X-Forwarded-For": "2001:db8:1:ffff::1"}).status_code == 429
    assert six.sign_in("wrong", **{"X-Forwarded-For": "2001:db8:2::1"}).status_code == 403


def test_the_right_key_costs_nothing(service: Service, visitors: Callable[..., Operator]) -> None:
    operator = visitors()
    for _ in range(3 * FAILURES_PER_MINUTE):
        assert operator.sign_in(API_KEY, **{"X-Forwarded-For": "198.51.100.1"}).status_code == 303
