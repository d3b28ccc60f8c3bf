"""Pixels are served in time while others have large messages rewritten, or send what can't be read at all."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from pathlib import Path

import pytest
from databases import SqliteDatabase

from .load import Load
from .serving import API_KEY, Service, serving
from .wire import Connection

pytestmark = pytest.mark.anyio

BODY_BYTES = 2 * 1024 * 1024
REQUEST_BYTES = 15 << 20
CALLERS = 4
REWRITING_S = 1.0
REFUSING_S = 1.0
"""And ten times what it is without any of this: wide, for a machine that does other things besides."""


def nested() -> str:
    return "<b>" * 100_000 + "x"


def attributes() -> str:
    return "<a " + " ".join(f"a{number}=1" for number in range(BODY_BYTES // 10)) + ">x</a>"


def comments() -> str:
    return "<!-- <a href='https://a.example/'>" * (BODY_BYTES // 40)


def one_attribute() -> str:
    return f'<a href="https://a.example/{"a" * (BODY_BYTES - 100)}">x</a>'


def links() -> str:
    return "".join(f'<a href="https://a.example/{number}">x</a>' for number in range(20_000))


def bodies() -> list[bytes]:
    """Calls of ``/v1/rewrite`` with bodies that are as large, or as strange, as they may be."""
    made = (nested(), attributes(), comments(), one_attribute(), links())
    return [json.dumps({"message_id": f"large-{number}", "html": html}).encode() for number, html in enumerate(made)]


def hostile() -> list[bytes]:
    """Calls that are refused, but only after something was made of all that they hold."""
    recipient, parameter = b'{"message_id":"a"}', b'"%x":""'
    recipients = b",".join([recipient] * (REQUEST_BYTES // (len(recipient) + 1)))
    parameters = b",".join(parameter % number for number in range(REQUEST_BYTES // 12))
    return [
        b'{"html":"x","recipients":[%b]}' % recipients,
        b'{"html":"x","link_params":{%b},"recipients":[%b]}' % (parameters, recipient),
    ]


def call(service: Service, path: str, wanted: list[bytes], stop: threading.Event) -> set[int]:
    """Ask for the same again and again, on a thread; returns the statuses of the answers."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    seen = set()
    while not stop.is_set():
        for body in wanted:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            connection.request("POST", path, body, headers)
            with connection.getresponse() as answer:
                answer.read()
                seen.add(answer.status)
            connection.close()
            if stop.is_set():
                break
    return seen


async def pixels(path: str, service: Service, seconds: float) -> list[float]:
    """The times that pixels took, sorted."""
    waits = []
    connection = await Connection.open(service.port)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert (await connection.request("GET", path)).status == 200
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.01)
    connection.close()
    return sorted(waits)


async def assert_served_in_time(
    database: SqliteDatabase, data: Path, path: str, wanted: list[bytes], status: int, within_s: float
) -> None:
    """While several callers ask for ``wanted``; each of them, at its own place in it."""
    with serving(data, database) as service:
        await service.start()
        load = Load([service], seed=95)
        await load.register(1)
        stop = threading.Event()
        orders = [wanted[at % len(wanted) :] + wanted[: at % len(wanted)] for at in range(CALLERS)]
        alone = await pixels(load.mails[0].pixel, service, 1)
        calls = [asyncio.create_task(asyncio.to_thread(call, service, path, order, stop)) for order in orders]
        await asyncio.sleep(0.5)
        waits = await pixels(load.mails[0].pixel, service, 6)
        stop.set()
        assert set.union(*await asyncio.gather(*calls)) == {status}
        p99_alone, p99 = (times[int(0.99 * len(times))] for times in (alone, waits))
        print(f"\np99 alone {p99_alone:.3f} s, now {p99:.3f} s, at most {waits[-1]:.3f} s")
        assert p99 < within_s + 10 * p99_alone
        assert await service.stop() == 0


async def test_pixels_while_large_messages_are_rewritten(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    await assert_served_in_time(sqlite, tmp_path / "data", "/v1/rewrite", bodies(), 200, REWRITING_S)


async def test_pixels_while_hostile_calls_are_refused(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    await assert_served_in_time(sqlite, tmp_path / "data", "/v1/rewrite/batch", hostile(), 422, REFUSING_S)
