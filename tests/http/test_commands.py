"""The commands that operators run by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

from raw import ask
from serving import free_port, run, serving

HTML = (
    b"<!DOCTYPE html>\r\n<BODY  bgcolor=#fff>\r\n"
    b"<a CLASS=x HREF='https://shop.example/?a=1&amp;b=2'\tid=1 >S\xc3\xb6</a>\n"
    b'<img src=cid:1><br/>\r\n<a href="mailto:a@b.example">m</a></BODY>\r\n \xf0\x9f\x8e\x81\n\n'
)


def test_rewrite_changes_the_links_and_not_one_other_byte(tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_bytes(HTML)
    ran = run(tmp_path / "data", "rewrite", "mail.html", BASE_URL="https://t.example")
    assert ran.returncode == 0
    html = re.sub(rb"https://t\.example/c/[\w-]+", b"https://shop.example/?a=1&amp;b=2", ran.stdout)
    html = re.sub(rb'<img src="https://t\.example/o/[\w-]+\.gif"[^>]*>', b"", html)
    html = re.sub(rb'\r\n<p[^>]*><a href="https://t\.example/u/[\w-]+">Unsubscribe</a></p>\r\n', b"", html)
    assert html == HTML
    assert run(tmp_path / "data", "rewrite", "mail.html", BASE_URL="https://t.example").stdout == ran.stdout


def test_rewrite_of_a_text_and_the_report(tmp_path: Path) -> None:
    (tmp_path / "mail.TXT").write_bytes(b"Hello\r\nhttps://shop.example/.\r\n")
    ran = run(tmp_path / "data", "rewrite", "mail.TXT", "--message-id", "m-7", BASE_URL="https://t.example")
    assert re.fullmatch(
        rb"Hello\r\nhttps://t\.example/c/[\w-]+\.\r\n\r\n\r\nUnsubscribe: https://t\.example/u/[\w-]+\r\n", ran.stdout
    )
    report = json.loads(run(tmp_path / "data", "rewrite", "mail.TXT", "--report").stdout)
    assert [(link["url"], link["action"]) for link in report] == [("https://shop.example/", "rewritten")]


def test_rewrite_says_what_it_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "latin.html").write_bytes(b"<p>\xe9</p>")
    (tmp_path / "mail.html").write_bytes(HTML)
    for code, *arguments in (
        (1, "nothing.html"), (1, "latin.html"), (2, "mail.html", "--message-id", "not an id"),
    ):  # fmt: skip
        ran = run(tmp_path / "data", "rewrite", *map(str, arguments))
        assert (ran.returncode, ran.stdout) == (code, b"")
        assert b"Traceback" not in ran.stderr


def test_token_inspect_says_what_a_link_carries(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        mail = service.rewrite("m-1", batch="b", list="news")
        tracked = mail["links"][0]["tracked_url"]
        cases = [
            (tracked + "?utm=1#x", "click"), (mail["open_url"], "open"),
            (mail["headers"]["List-Unsubscribe"], "unsubscribe"), (mail["headers"]["X-Tracker-Id"], "header"),
        ]  # fmt: skip
        for text, purpose in cases:
            ran = run(tmp_path / "data", "token", "inspect", text)
            assert ran.returncode == 0, text
            found = json.loads(ran.stdout)
            assert (found["purpose"], found["message_id"], found["account"]) == (purpose, "m-1", "default")
            assert re.fullmatch("[0-9a-f]{8}", found["batch_tag"])
            assert purpose != "click" or (found["destination"], found["link"]) == ("https://shop.example/", 0)
            assert purpose != "unsubscribe" or found["list"] == "news"
        ran = run(tmp_path / "data", "token", "inspect", tracked[:-1])
        assert (ran.returncode, ran.stdout) == (1, b"")
        assert ran.stderr.startswith(b"tracker: ")


def test_spool_status_while_it_runs_and_after(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    ran = run(data_dir, "spool", "status")
    assert ran.returncode == 0
    assert not data_dir.exists()
    with serving(data_dir, STORE_URL=f"postgresql://x@127.0.0.1:{free_port()}/x") as service:
        path = service.rewrite("m-1")["open_url"].removeprefix(service.url)
        ask(service.port, "GET", path)
        ran = run(data_dir, "spool", "status")
        assert re.match(rb"spool-0\.db: depth 2, oldest \d+\.\d s, \d+ bytes, set aside 0\n", ran.stdout)
    assert re.match(rb"spool-0\.db: depth 2, ", run(data_dir, "spool", "status").stdout)
    with serving(data_dir) as service:
        service.reached("m-1", "rewritten", "opened")
    assert re.match(rb"spool-0\.db: depth 0, oldest -, ", run(data_dir, "spool", "status").stdout)


def test_the_version(tmp_path: Path) -> None:
    ran = run(tmp_path / "data", "--version")
    assert re.fullmatch(rb"\d+\.\d+[\w.]*\n", ran.stdout)
