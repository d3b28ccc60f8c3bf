"""A store that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from .outages import AwayDatabase


@pytest.fixture
def away(tmp_path: Path) -> AwayDatabase:
    return AwayDatabase(tmp_path / "status.db")
