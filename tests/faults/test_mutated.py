"""Tokens that were tampered with, over HTTP: none redirects, none records anything, none breaks a handler."""

from __future__ import annotations

import asyncio
import random
import string
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from databases import SqliteDatabase

from .load import Load
from .oracle import assert_kept
from .serving import Service, serving
from .wire import Connection

pytestmark = pytest.mark.anyio

ALPHABET = string.ascii_letters + string.digits + "-_"
PURPOSES = ("o", "c", "u")
ANOTHER_KEY = "another-key-that-signs-just-as-well-0123456789"


class Forger:
    """Makes paths with tokens that are not quite those of ``paths``, nor those of ``foreign`` keys."""

    def __init__(self, paths: list[str], foreign: list[str], seed: int) -> None:
        self._random = random.Random(seed)
        self._tokens = [(path[1], path[3:].removesuffix(".gif")) for path in paths]
        self._foreign = [path for path in foreign if path not in paths]
        self._valid = set(paths)

    def forged(self) -> Iterator[tuple[str, str]]:
        """How it was forged, and the path; never a valid one."""
        kinds = (self.flipped, self.cut, self.extended, self.spelled, self.escaped, self.swapped, self.purpose)
        while True:
            for kind in kinds:
                purpose, token = self._random.choice(self._tokens)
                path = kind(purpose, token)
                if path not in self._valid:
                    yield kind.__name__, path
            yield "foreign", self._random.choice(self._foreign)

    def _path(self, purpose: str, token: str) -> str:
        return f"/{purpose}/{token}" + (".gif" if purpose == "o" else "")

    def flipped(self, purpose: str, token: str) -> str:
        """Some characters are others; often the last, whose spare bits a careless decoder ignores."""
        text = list(token)
        for _ in range(self._random.choice((1, 1, 1, 2, 8))):
            at = self._random.choice((-1, self._random.randrange(len(text)), -16, -17))
            text[at] = self._random.choice(ALPHABET)
        return self._path(purpose, "".join(text))

    def cut(self, purpose: str, token: str) -> str:
        start, end = sorted(self._random.choices((0, 0, len(token), self._random.randrange(len(token))), k=2))
        return self._path(purpose, token[start:end] if (start, end) != (0, len(token)) else token[:-1])

    def extended(self, purpose: str, token: str) -> str:
        more = "".join(self._random.choices(ALPHABET, k=self._random.choice((1, 2, 4, 16, 64, 5000))))
        at = self._random.choice((0, len(token), self._random.randrange(len(token))))
        return self._path(purpose, token[:at] + more + token[at:])

    def spelled(self, purpose: str, token: str) -> str:
        """Other spellings of the same bytes in base64, and of the same path."""
        spellings = (
            token + "=",
            token + "==",
            token.replace("-", "+").replace("_", "/"),
            token[:-16] + "=" + token[-16:],
            token + "/",
            "/" + token,
            "./" + token,
            token.swapcase(),
            token + ".gif",
            token[: len(token) // 2] + "." + token[len(token) // 2 :],
        )
        path = self._path(purpose, self._random.choice(spellings))
        return path if path not in self._valid else self._path(purpose, token + "=")

    def escaped(self, purpose: str, token: str) -> str:
        """Characters of the path as percent escapes, and escapes that stand for nothing or for anything."""
        path = self._path(purpose, token)
        at = self._random.randrange(1, len(path))
        junk = self._random.choice(("%0A", "%00", "%20", "%2F", "%C3%A9", "%FF", "%", "%zz", "%3D", "%2e%2e%2f"))
        escape = f"%{ord(path[at]):02{self._random.choice('xX')}}"
        return self._random.choice((path[:at] + escape + path[at + 1 :], path[:at] + junk + path[at:], path + junk))

    def swapped(self, purpose: str, token: str) -> str:
        """The payload of one token and the signature of another."""
        _, other = self._random.choice(self._tokens)
        mixed = token[:-16] + other[-16:]
        return self._path(purpose, mixed if mixed != token else token[::-1])

    def purpose(self, purpose: str, token: str) -> str:
        return self._path(self._random.choice([other for other in PURPOSES if other != purpose]), token)


async def genuine(service: Service, seed: int) -> list[str]:
    load = Load([service], seed)
    await load.register(50)
    return [path for mail in load.mails for path in (mail.pixel, *mail.clicks, mail.unsubscribe)]


async def try_all(service: Service, paths: list[tuple[str, str]], clients: int = 20) -> Counter[tuple[str, str, int]]:
    """Request each of ``paths``; returns how often which kind was answered how."""
    answers: Counter[tuple[str, str, int]] = Counter()
    waiting = iter(paths)

    async def client() -> None:
        connection = await Connection.open(service.port)
        for number, (kind, path) in enumerate(waiting):
            method = "POST" if path.startswith("/u/") and number % 2 else "GET"
            answer = await connection.request(method, path)
            answers[kind, path[:3], answer.status] += 1
            assert "location" not in answer.headers, path
            if connection.is_last:
                connection.close()
                connection = await Connection.open(service.port)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


async def attack(tmp_path: Path, database: SqliteDatabase, count: int) -> None:
    foreign = serving(tmp_path / "other", f"sqlite:///{tmp_path}/other.db", signing_keys=ANOTHER_KEY)
    with serving(tmp_path / "data", database) as service, foreign as other:
        await asyncio.gather(service.start(), other.start())
        load = Load([service], seed=80)
        await load.register(50)
        own = [path for mail in load.mails for path in (mail.pixel, *mail.clicks, mail.unsubscribe)]
        forger = Forger(own, await genuine(other, 81), seed=82)
        answers = await try_all(service, list(islice(forger.forged(), count)))
        assert answers.total() == count
        assert {status for _, start, status in answers if start == "/o/"} == {200}
        # 404 from anywhere else, and 405 where an escape in the prefix makes a POST to no route of ours.
        assert {status for _, start, status in answers if start != "/o/"} <= {404, 405}, answers
        metrics = await service.metrics()
        assert await assert_kept(database, load.log, [service]) == load.log.asked
        assert metrics["spool_appended"] == load.log.asked.total()
        assert (await service.stop(), await other.stop()) == (0, 0)


async def test_mutated_tokens(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    await attack(tmp_path, sqlite, 2000)


@pytest.mark.long
async def test_ten_thousand_mutated_tokens(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    await attack(tmp_path, sqlite, 10_000)
