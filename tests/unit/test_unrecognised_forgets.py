"""Reports that nobody could make sense of: those that name an erased person go."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tracker.web.api.unrecognised import UnrecognisedReports

PLAIN = b"Subject: odd\r\n\r\nThe mail to <Ann@Example.net> came back.\r\n"
ENCODED = (
    b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode(b"no mailbox ann@example.net here")
    + b"\r\n"
)


LATIN = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nJ\xf6rg M\xfcller\r\n"


@pytest.mark.parametrize(
    "report",
    [
        PLAIN,
        ENCODED,
        LATIN,
        b"To: bounce+m-1@x\r\n\r\n?",
        b"\r\nid=m-1, perhaps",
        b"\xff\xfe ann@example.net",
        b"To: bounces+ann=example.net@mail.example\r\n\r\n?",
        b"\r\nhttps://a.example/?u=ann%40example.net",
        b"Subject: =?utf-8?q?J=C3=B6rg_M=C3=BCller?=\r\n\r\n?",
        b"Content-Type: text/plain; charset=nonsense\r\n\r\nann@example.net",
        b"\r\nnot MIME:\r\n\r\n" + base64.encodebytes(b"We could not reach ann@example.net, whatever we tried; sorry."),
        b"\r\nnot MIME: u=3Dann=40exam=\r\nple.net",
        b"Content-Type: application/json\r\n\r\n" + rb'{"to": "ann\u0040example.net"}',
        b"Subject: =?utf-8?b?a?=\r\nX-Odd: =?nonsense?q?a?=\r\nFrom: ann@example.net\r\n\r\n?",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n?\r\n--a\r\n" + ENCODED + b"--a--",
    ],
)
def test_what_names_them_goes(tmp_path: Path, report: bytes) -> None:
    reports = UnrecognisedReports(tmp_path / "unrecognised")
    reports.keep(report)
    kept = reports.keep(b"\r\nsomething about dann@example.network and m-12")
    assert reports.forget(["ann@example.net", "m-1", "Jörg Müller"]) == 1
    assert [file.name for file in (tmp_path / "unrecognised").iterdir()] == [kept]


def test_without_a_folder_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert UnrecognisedReports(tmp_path / "unrecognised").forget(["ann"]) == 0


@pytest.mark.parametrize(
    "report",
    [
        b"Subject: =?utf-8?b?a?=\r\nX: =?\xff?q?a?=\r\n\r\n\x00",
        b"Content-Type: text/plain; charset*=nonsense''%ff\r\nContent-Transfer-Encoding: base64\r\n\r\na",
        b"Content-Type: message/rfc822\r\n\r\n" * 2000,
        b"Content-Type: text/plain; charset=idna\r\nContent-Transfer-Encoding: uuencode\r\n\r\n\xff",
        b"",
    ],
)
def test_what_is_broken_is_in_nobodys_way(tmp_path: Path, report: bytes) -> None:
    reports = UnrecognisedReports(tmp_path / "unrecognised")
    reports.keep(report)
    reports.keep(PLAIN)
    assert reports.forget(["ann@example.net"]) == 1


def test_nobody_is_named_by_nothing(tmp_path: Path) -> None:
    reports = UnrecognisedReports(tmp_path / "unrecognised")
    kept = reports.keep(PLAIN)
    assert reports.forget([]) == 0
    assert [file.name for file in (tmp_path / "unrecognised").iterdir()] == [kept]
