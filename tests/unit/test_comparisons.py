"""What is secret is compared in constant time, everywhere: `==` would tell how much of a guess is right."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tracker

SOURCES = sorted(Path(tracker.__file__).parent.rglob("*.py"))
SECRET_WORDS = {"signature", "signatures", "digest", "secret", "csrf", "mac", "hmac", "password", "key_text"}
PLACES = {
    "core/accounts.py": 1,
    "core/tokens.py": 1,
    "reporters/mailgun.py": 1,
    "reporters/postmark.py": 1,
    "reporters/ses.py": 1,
    "web/console/sessions.py": 1,
}
"""Where secrets are compared: a new place belongs here, and into the tests of the table of threats."""


def words(node: ast.AST) -> set[str]:
    """The names in an expression, by their words."""
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    names += [each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)]
    return {word for name in names for word in (name, *name.lower().split("_"))}


def suspicious(source: str) -> list[int]:
    """The lines that compare a secret with ``==`` or ``!=``, or look whether one starts with another."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and not any(isinstance(side, ast.Constant) for side in node.comparators)
        and not any(
            isinstance(side, ast.Call) and words(side.func) == {"len"} for side in (node.left, *node.comparators)
        )
        and words(node) & SECRET_WORDS
    ]


def calls(source: str) -> int:
    return sum(
        isinstance(node, ast.Call) and "compare_digest" in words(node.func) for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("if signature == expected: ...", [1]),
        ("x = other.secret != given", [1]),
        ("if len(signature) == SIGNATURE_BYTES: ...", []),
        ("if signature == '': ...", []),
    ],
)
def test_it_finds_what_it_looks_for(source: str, expected: list[int]) -> None:
    assert suspicious(source) == expected


def test_no_secret_is_compared_by_its_value() -> None:
    found = {str(path): lines for path in SOURCES if (lines := suspicious(path.read_text("utf-8")))}
    assert found == {}


def test_where_secrets_are_compared_it_takes_the_same_time_whatever_the_guess() -> None:
    root = Path(tracker.__file__).parent
    found = {
        path.relative_to(root).as_posix(): number for path in SOURCES if (number := calls(path.read_text("utf-8")))
    }
    assert found == PLACES
