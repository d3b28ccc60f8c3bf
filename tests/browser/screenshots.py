"""The README's pictures of the console, with the demo's batches in it, made anew.

``python -m tests.browser.screenshots``. Needs Chromium. Takes a quarter of a minute, since the demo's people take it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.sync_api import sync_playwright

from tracker.demo import process
from tracker.demo.client import Client
from tracker.demo.crowd import BATCHES, LINKS
from tracker.demo.findings import compare_path
from tracker.demo.spring import Mail, play

FOLDER: Final = Path(__file__).with_name("screenshots")
MAX_BYTES: Final = 250_000
MARGIN: Final = 16
RUN: Final = "2026"
DESK: Final[dict[str, Any]] = {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"}
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True, "has_touch": True,
}  # fmt: skip


class Shot(NamedTuple):
    """One picture: of a page, from an element on."""

    name: str
    path: str
    options: dict[str, Any]
    max_height: int
    start: str = "body"
    """A CSS selector."""


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium is installed", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with _demo() as (client, key, mails), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for shot in _shots(mails):
            size = _take(browser, client.base_url, key, shot)
            print(f"{shot.name}.png: {size} bytes")
            if size > MAX_BYTES:
                print(f"{shot.name}.png has over {MAX_BYTES} bytes", file=sys.stderr)
                return 1
        browser.close()
    return 0


@contextmanager
def _demo() -> Iterator[tuple[Client, str, list[Mail]]]:
    """A service that has the demo's batches, in a data dir of its own, and with no setting from elsewhere."""
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        key = secrets.token_urlsafe(32)
        os.environ |= {"TRACKER_DATA_DIR": folder, "TRACKER_API_KEY": key, "TRACKER_NODE": "edge-1"}
        port = process.free_port()
        process.prepare(port)
        client = Client(f"http://127.0.0.1:{port}", key)
        with process.service(client, port):
            yield client, key, play(client, RUN)


def _shots(mails: Sequence[Mail]) -> list[Shot]:
    names = [batch.name(RUN) for batch in BATCHES]
    scanned = next(mail for mail in mails if _is_scanned_and_clicked(mail))
    return [
        Shot("comparison", compare_path(names), DESK, 1190),
        Shot("batch", f"/console/batches/{names[1]}", DESK, 1500),
        Shot("timeline", f"/console/messages/{scanned.message_id}", DESK, 1800, "#timeline"),
        Shot("comparison-phone", compare_path(names), PHONE, 1300, "#open_rate"),
    ]


def _is_scanned_and_clicked(mail: Mail) -> bool:
    """Whether a filter followed all links from one address, and a person opened the message and clicked later."""
    scan, reading = mail.recipient.scan, mail.recipient.reading
    return len(scan) > LINKS and len({hit.address for hit in scan}) == 1 and [hit.link is None for hit in reading] == [
        True, False,
    ]  # fmt: skip


def _take(browser: Any, url: str, key: str, shot: Shot) -> int:
    """Sign in, take the picture, and return its size in bytes."""
    context = browser.new_context(**shot.options)
    page = context.new_page()
    page.goto(url + "/console/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    answer = page.goto(url + shot.path)
    if answer.status != 200:
        raise SystemExit(f"{shot.path} was answered with {answer.status}")
    width = shot.options["viewport"]["width"]
    top, whole = page.evaluate(
        "start => [document.querySelector(start).getBoundingClientRect().top, document.documentElement.scrollHeight]",
        shot.start,
    )
    top = max(0, top - MARGIN)
    clip = {"x": 0, "y": top, "width": width, "height": min(whole - top, shot.max_height)}
    file = FOLDER / f"{shot.name}.png"
    page.screenshot(path=file, full_page=True, clip=clip)
    context.close()
    return file.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
