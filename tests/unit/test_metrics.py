"""Metrics are named alike and documented, for one process and for several."""

from __future__ import annotations

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from tracker import metrics

ALL = {name: value for name, value in vars(metrics).items() if isinstance(value, Counter | Gauge | Histogram)}


@pytest.mark.parametrize("name", ALL)
def test_each_has_a_name_and_a_help_text(name: str) -> None:
    (described,) = ALL[name].describe()
    assert described.name == f"tracker_{name.lower()}"
    assert described.documentation.endswith(".")


def test_the_exposition_can_be_parsed() -> None:
    body, status, headers = metrics.exposition()
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {f"tracker_{name.lower()}" for name in ALL} <= families
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
