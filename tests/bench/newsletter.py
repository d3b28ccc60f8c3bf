"""The mail that is rewritten in benchmarks. Nothing but that."""

from __future__ import annotations

from typing import Final

_SHOP_LINK: Final = (
    "https://www.nordlicht-shop.example/p/wanderstiefel"
    "?utm_source=newsletter&utm_medium=email&utm_campaign=november&utm_content=hero"
)


def newsletter() -> str:
    """A mail of 20 kB with 8 links to the web."""
    paragraph = '<tr><td style="font-family:Arial,sans-serif;font-size:15px;padding:0 24px">{}</td></tr>\n'
    words = "The days grow short, and so does the list of what you need for the hills. " * 4
    rows = [paragraph.format(words)] * 56
    for number in range(8):
        link = _SHOP_LINK.replace("&", "&amp;").replace("wander", f"item-{number}-")
        rows[number * 5] = paragraph.format(f'<a href="{link}" style="color:#1a1a1a"><img src="i{number}.png"></a>')
    head = "<!DOCTYPE html>\n<html><head><title>November</title></head>"
    return f"{head}<body><table>\n{''.join(rows)}</table></body></html>"
