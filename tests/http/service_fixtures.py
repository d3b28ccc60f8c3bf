"""Fixtures that give tests a running service: one for each test module, on each kind of store where that matters."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from postgres import Server
from receiving import Receiver
from serving import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the embedded store, shared by the tests of a module: each has message ids of its own."""
    with serving(tmp_path_factory.mktemp("service") / "data") as service:
        yield service


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty store of each kind; "" is the embedded one."""
    yield from _empty_store(request)


@pytest.fixture(params=["sqlite", "postgres"])
def own_store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same for one test alone."""
    yield from _empty_store(request)


def _empty_store(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    server: Server = request.getfixturevalue("postgres_server")
    with server.new_database() as url:
        yield url


@pytest.fixture(scope="module")
def any_service(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on each kind of store, shared by the tests of a module."""
    with serving(tmp_path_factory.mktemp("service") / "data", STORE_URL=store_url) as service:
        yield service


@pytest.fixture(scope="module")
def proxied_service(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same behind a proxy: ``X-Forwarded-For`` says where a hit comes from."""
    folder = tmp_path_factory.mktemp("service")
    with serving(folder / "data", STORE_URL=store_url, TRUSTED_PROXIES="127.0.0.1") as service:
        yield service


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A system that takes webhooks."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()
