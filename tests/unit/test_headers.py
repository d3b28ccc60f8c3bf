from __future__ import annotations

from rewriting import rewrite

from tracker.core.headers import message_headers


def test_the_three_headers() -> None:
    assert message_headers("https://t.example.com/u/x", "y") == {
        "List-Unsubscribe": "<https://t.example.com/u/x>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Tracker-Id": "y",
    }


def test_each_is_one_short_line_of_ascii() -> None:
    for name, value in rewrite("x").headers.items():
        assert value.isascii()
        assert value.isprintable()
        assert len(f"{name}: {value}") <= 998
