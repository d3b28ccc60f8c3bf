"""The marker of the long forms, which run only when asked for (``pytest -m long``), and a store that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from .outages import AwayDatabase


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: a fault test in full length, some minutes; not run unless selected")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("markexpr"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def away(tmp_path: Path) -> AwayDatabase:
    return AwayDatabase(tmp_path / "status.db")
