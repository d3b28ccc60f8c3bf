"""Whole messages and what must become of them, byte for byte.

``NN-name.html`` (or ``.txt``, a text part) goes in; ``NN-name.out.html`` is the message that comes out, and
``NN-name.report`` says what was done to each link. To accept a change on purpose, delete the files it is about and
run these tests with ``TRACKER_UPDATE_GOLDEN=1``: that writes what is missing and fails, so that it is never silent.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rewriting import report, rewrite

from tracker.core.plan import Options, Tracks

FOLDER = Path(__file__).parent
INPUTS = sorted(path for path in FOLDER.glob("[0-9][0-9]-*.[ht]*") if ".out" not in path.suffixes)


def check(path: Path, made: str) -> None:
    """Compare with the golden file, as bytes: a line ending is part of a message."""
    if not path.exists() and os.environ.get("TRACKER_UPDATE_GOLDEN"):
        path.write_bytes(made.encode())
        pytest.fail(f"wrote {path.name}: read it, then commit it")
    assert made.encode() == path.read_bytes()


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_golden(path: Path) -> None:
    body = path.read_bytes().decode()
    html, text = (None, body) if path.suffix == ".txt" else (body, None)
    rewritten = rewrite(html, text, tracks=Tracks(), options=Options(link_params={"utm_source": "crm"}))
    out = rewritten.text if html is None else rewritten.html
    assert out is not None
    try:
        check(path.with_suffix(f".out{path.suffix}"), out)
    finally:
        lines = [*report(rewritten), *(f"warning {warning.code}" for warning in rewritten.warnings)]
        check(path.with_suffix(".report"), "".join(f"{line}\n" for line in lines))


def test_the_line_endings_survived_version_control() -> None:
    assert b"\r\n" in (FOLDER / "01-crlf.html").read_bytes()
    assert b"\r" not in (FOLDER / "02-lf.html").read_bytes()
