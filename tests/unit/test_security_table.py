"""Each threat and each fault has its line in SECURITY.md, and each test that is named in the documents is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NAMED: Final = re.compile(r"`?(tests/[\w/]+\.py)::(\w+)`?")
FAULTS: Final = [*range(1, 13), *range(20, 28), 29, 30]
"""13 to 19 come with a message stream; 28 is answered in words."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table in one section of SECURITY.md, without its head."""
    section = (ROOT / "SECURITY.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names_in(path: Path) -> set[str]:
    """The names that pytest would collect: functions, methods, and classes made by assignment."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.startswith(("test_", "Test"))}


def test_every_row_says_what_happens_and_which_test_tries_it() -> None:
    assert [row[0] for row in rows("Threats")] == [str(number) for number in range(1, 35)]
    assert [row[0] for row in rows("Faults")] == [f"F-{number:02}" for number in FAULTS]
    for _, what, happens, tests in rows("Threats") + rows("Faults"):
        assert what
        assert happens
        assert NAMED.sub("", tests).strip(", ") == ""
        assert NAMED.findall(tests), what


def test_every_test_that_is_named_is_there() -> None:
    named = [found for name in ("SECURITY.md", "README.md") for found in NAMED.findall((ROOT / name).read_text())]
    assert named
    missing = []
    for path, test in named:
        file = ROOT / path
        if not file.is_file() or test not in names_in(file):
            missing.append(f"{path}::{test}")
    assert missing == []
