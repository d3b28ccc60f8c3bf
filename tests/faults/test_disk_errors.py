"""A disk that fails writes or syncs for a while: the public side goes on, the lost is counted, and it mends itself."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from .disk import Trouble, program_on, set_trouble
from .load import Load
from .oracle import assert_kept
from .outages import AwayDatabase
from .serving import serving
from .test_full import REFUSED, until_refused

pytestmark = pytest.mark.anyio

TROUBLES = {
    "ENOSPC on write": Trouble(write_errno=errno.ENOSPC),
    "EIO on write": Trouble(write_errno=errno.EIO),
    "EROFS on write": Trouble(write_errno=errno.EROFS),
    "EIO on sync": Trouble(sync_fails=True),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_disk_errors(away: AwayDatabase, tmp_path: Path, name: str) -> None:
    trouble = TROUBLES[name]
    folder = tmp_path / "data" / "spool"
    with serving(tmp_path / "data", away) as service:
        service.launch = program_on(folder, fails_writes=bool(trouble.write_errno))
        await service.start()
        load = Load([service], seed=111)
        await load.register(60)
        async with load.running(40, pause_s=0.03) as log:
            await asyncio.sleep(0.4)
            assert not log.wrong
            set_trouble(folder, trouble)
            await until_refused(log)
            await service.wait_for(503)
            await asyncio.sleep(0.4)
            assert set(log.wrong) == REFUSED
            set_trouble(folder, Trouble())
            await service.wait_for(200)
            await asyncio.sleep(0.3)  # what was on its way when it ended
            log.wrong.clear()
            await asyncio.sleep(0.5)
            assert not log.wrong
            away.come_back()
        assert log.broken == 0
        unstored = int((await service.metrics())["unstored"])
        stored = await assert_kept(away, log, [service], unstored=unstored)
        assert unstored > 0
        # No part of a commit that failed, and nothing of what was refused.
        assert stored.total() == log.firm.total() + log.late.total() - unstored
        assert (await service.metrics())["spool_corrupt"] == 0
        print(f"\nlost and counted: {unstored} of {log.asked.total()}")
        assert await service.stop() == 0
