"""What the tests of the spool and of the relay share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from tracker.core.model import Facts
from tracker.spool import Spool


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


@contextlib.asynccontextmanager
async def opened(directory: Path, *, max_bytes: int = 64 << 20) -> AsyncIterator[Spool]:
    spool = Spool(directory, node="n1", max_bytes=max_bytes)
    spool.open()
    try:
        yield spool
    finally:
        await spool.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


def hit(message: int | str = 1, type_: str = "opened", **facts: Any) -> Facts:
    return Facts("default", f"m-{message}", type_, **facts)


def messages(spool: Spool) -> list[str]:
    return [event.facts.message_id for _, event in spool.read(100_000)]


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(f"tracker_{name}_total") or 0.0


async def all_of(*answers: Awaitable[bool]) -> list[bool]:
    return await asyncio.gather(*answers)
