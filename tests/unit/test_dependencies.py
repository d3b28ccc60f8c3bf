"""Versions below which a dependency is known to be broken or open, and the verdict on what an audit found."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT: Final = Path(__file__).parents[2]
FLOORS: Final = {
    "starlette": "1.3.1",  # CVE-2025-62727, CVE-2026-48710, CVE-2026-54282, CVE-2026-54283
    "uvicorn": "0.51",  # SIGHUP replaces the workers one by one
    "apsw": "3.51.3",  # an older SQLite can corrupt a WAL
    "jinja2": "3.1.6",  # CVE-2025-27516
}


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_with_known_faults_may_be_installed(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (asked,) = (found for line in project["dependencies"] if (found := Requirement(line)).name == name)
    floors = [Version(one.version) for one in asked.specifier if one.operator == ">="]
    assert floors
    assert max(floors) >= Version(FLOORS[name])
    assert Version(version(name)) >= Version(FLOORS[name])


def test_the_sqlite_that_runs_is_a_current_one() -> None:
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)


def audited(tmp_path: Path, packages: list[dict[str, Any]] | None) -> tuple[int, str]:
    file = tmp_path / "audit.json"
    if packages is not None:
        file.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    ran = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", file], capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


def test_an_audit_is_red_for_what_is_known_and_never_silent_about_what_is_not(tmp_path: Path) -> None:
    good = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "not found"}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"], "aliases": []}]}
    assert audited(tmp_path, [good]) == (0, "1 packages audited, 0 known vulnerabilities\n")
    code, said = audited(tmp_path, [good, skipped, bad])
    assert code == 1
    assert "VULNERABLE: c 2: CVE-1, mended in 2.1" in said
    assert "NOT AUDITED: 1 of 3" in said
    code, said = audited(tmp_path, [skipped])
    assert (code, "NOT AUDITED: 1 of 1" in said) == (0, True)
    code, said = audited(tmp_path, [])
    assert (code, "NOT AUDITED: all" in said) == (0, True)
    (tmp_path / "audit.json").unlink()
    assert audited(tmp_path, None) == (code, said)
