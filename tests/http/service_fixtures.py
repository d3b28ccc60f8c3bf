"""Fixtures that give tests a running service: one for each test module, on each kind of store where that matters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Server
from serving import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the embedded store, shared by the tests of a module: each has message ids of its own."""
    with serving(tmp_path_factory.mktemp("service") / "data") as service:
        yield service


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty store of each kind; "" is the embedded one."""
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
