"""An empty spool keeps nothing of what was in it, not even as free space."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import apsw
import pytest
from spools import hit, messages, opened, run, until

from tracker import relay as relay_module
from tracker.relay import Relay

AGENT = "Unheard-of/1.0"


def traces(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if AGENT.encode() in path.read_bytes())


def test_acknowledged_rows_are_gone_from_the_files(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as spool:
            for number in range(50):
                await spool.append(hit(number, user_agent=AGENT), 1)
            await spool.wipe()
            assert traces(tmp_path)  # they are all still needed
            await spool.ack(spool.read(100)[-1][0])
            assert traces(tmp_path)
            await spool.wipe()
            assert not traces(tmp_path)
            await spool.append(hit("later"), 1)
            await spool.wipe()
            assert messages(spool) == ["m-later"]

    run(main())


def test_the_relay_sees_to_it_when_nothing_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_IDLE_S", 0.05)

    class Sink:
        async def record(self, events: object) -> None: ...

    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append(hit(user_agent=AGENT), 1)
            relaying = asyncio.create_task(Relay(spool, Sink()).run())
            await until(lambda: not spool.depth and not traces(tmp_path))
            relaying.cancel()
            await asyncio.wait([relaying])

    run(main())


def test_the_relay_sees_to_it_while_hits_keep_coming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_WIPE_EVERY_S", 0.1)

    class Sink:
        async def record(self, events: object) -> None: ...

    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append(hit(user_agent=AGENT), 1)
            relaying = asyncio.create_task(Relay(spool, Sink()).run())
            for _ in range(1000):  # where somebody reads at that moment, it is done the next time
                await spool.append(hit("other"), 1)
                await asyncio.sleep(0.01)
                if not traces(tmp_path):
                    break
            else:
                pytest.fail("it is still there")
            relaying.cancel()
            await asyncio.wait([relaying])

    run(main())


def test_it_is_wiped_again_where_somebody_was_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.spool.file.BUSY_MS", 10)

    async def main() -> None:
        async with opened(tmp_path) as spool:
            await spool.append(hit(user_agent=AGENT), 1)
            await spool.ack(spool.read(100)[-1][0])
            with contextlib.closing(apsw.Connection(str(tmp_path / "spool-0.db"))) as reader:
                reader.execute("BEGIN; SELECT * FROM set_aside").fetchall()
                await spool.wipe()
            assert traces(tmp_path)
            await spool.wipe()
            assert not traces(tmp_path)

    run(main())
