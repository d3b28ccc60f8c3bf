"""The spool's file against a list: power cuts, lost tails, flipped bits, a disk that fails, and a limit reached."""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

import apsw
import msgspec
import pytest
from faults.disk import Disk, Trouble, remember, set_trouble, survivors
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tracker.spool.file import SpoolFile
from tracker.spool.rescue import CORRUPT
from tracker.spool.seals import NewRow, without_seal

MAX_BYTES = 120_000


class SpoolMachine(RuleBasedStateMachine):
    """``rows`` is what the file must hold, as (sequence number, row), in order."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.lives = 0
        self.made = 0
        self.rows: list[tuple[int, NewRow]] = []
        self.history: list[list[tuple[int, NewRow]]] = [[]]
        self.set_aside = 0
        self.highest_seq = 0
        self.failed: set[bytes] = set()
        """Ids of rows that could not be synced: the disk may have them all the same, as a power cut shows."""
        self.disk: Disk
        self.file: SpoolFile

    @initialize()
    def start(self) -> None:
        self.begin_life({})
        self.file.open()

    def teardown(self) -> None:
        self.end_life()
        shutil.rmtree(self.root)

    def begin_life(self, files: dict[str, bytes]) -> None:
        self.lives += 1
        folder = self.root / str(self.lives)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        remember(folder)
        self.disk = Disk(folder, only_synced=True, written_back=0.2)
        apsw.set_default_vfs(self.disk.name)
        self.file = SpoolFile(folder / "spool.db", max_bytes=MAX_BYTES)

    def end_life(self) -> None:
        self.file.close()
        apsw.set_default_vfs("unix")
        self.disk.end()

    def held(self) -> list[tuple[int, NewRow]]:
        return [(row[0], without_seal(row[1:])) for row in self.file.read(100_000)]

    def new_rows(self, count: int, size: int) -> list[NewRow]:
        self.made += count
        facts = msgspec.msgpack.encode([b"f" * size, *range(20)])
        return [(n.to_bytes(16, "big"), n, n, 1, n, facts) for n in range(self.made - count, self.made)]

    @rule(count=st.integers(1, 30), size=st.sampled_from([10, 200, 3000]))
    def append(self, count: int, size: int) -> None:
        rows = self.new_rows(count, size)
        try:
            self.file.insert(rows)
        except apsw.FullError:
            held = sum(len(row[5]) for _, row in self.rows) + count * size
            assert held > MAX_BYTES / 4 or self.set_aside  # else there was room
            return
        found = self.held()[-count:]
        assert [row for _, row in found] == rows
        assert found[0][0] > self.highest_seq
        self.highest_seq = found[-1][0]
        self.rows += found

    @rule(count=st.integers(1, 30))
    def fail(self, count: int) -> None:
        """What could not be synced is not there, and nothing else is harmed."""
        rows = self.new_rows(count, 10)
        self.failed.update(row[0] for row in rows)
        set_trouble(self.disk.folder, Trouble(sync_fails=True))
        with pytest.raises((apsw.IOError, apsw.FullError)):
            self.file.insert(rows)
        set_trouble(self.disk.folder, Trouble())

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        through = data.draw(st.sampled_from([seq for seq, _ in self.rows]))
        gone = [seq for seq, _ in self.rows if seq <= through]
        assert self.file.delete(through) == len(gone)
        self.rows = self.rows[len(gone) :]

    @precondition(lambda self: self.rows and self.set_aside < 20)
    @rule(data=st.data())
    def put_aside(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.rows))
        assert self.file.set_aside(chosen[0], "a reason")
        assert not self.file.set_aside(chosen[0], "a reason")
        self.rows.remove(chosen)
        self.set_aside += 1

    def cut_power(self, *, lost_bytes: int = 0) -> None:
        """What was synced, less the end of the log, is what the next process finds."""
        files = {path.name: path.read_bytes() for path in survivors(self.disk.folder)}
        self.end_life()
        if lost_bytes and (log := files.get("spool.db-wal")):
            files["spool.db-wal"] = log[:-lost_bytes]
        self.begin_life(files)
        self.file.open()

    def firm(self, rows: list[tuple[int, NewRow]]) -> list[tuple[int, NewRow]]:
        return [row for row in rows if row[1][0] not in self.failed]

    def now_holds(self, found: list[tuple[int, NewRow]]) -> None:
        self.rows = found
        self.highest_seq = found[-1][0] if found else 0
        self.set_aside = self.file.status().set_aside

    @rule()
    def power_cut(self) -> None:
        self.cut_power()
        found = self.held()
        assert self.firm(found) == self.firm(self.rows)
        self.now_holds(found)

    @rule()
    def close_and_open(self) -> None:
        self.file.close()
        self.file.open()

    @rule(lost_bytes=st.integers(1, 20_000))
    def lose_the_tail(self, lost_bytes: int) -> None:
        # Whole commits go, and no part of one: what is left is what it held at some earlier time.
        try:
            self.cut_power(lost_bytes=lost_bytes)
        except CORRUPT:  # the main file had got some of what was lost: of that, too, no row may be wrong
            self.file.replace()
            found = self.held()
            known = {row for rows in self.history for _, row in rows}
            assert {row for _, row in self.firm(found)} <= known
            self.history.append(found)
        else:
            found = self.held()
            assert self.firm(found) in [self.firm(rows) for rows in self.history]
        self.now_holds(found)

    @rule(seed=st.integers(0, 1 << 32))
    def flip_a_bit(self, seed: int) -> None:
        """Rows may go, by the page, but none comes that is wrong."""
        rng = random.Random(seed)
        self.end_life()  # so that all of it is in the main file
        flipped = bytearray(self.file.path.read_bytes())
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        self.begin_life({"spool.db": bytes(flipped)})
        try:
            self.file.open()
            found = self.held()
        except CORRUPT:
            self.file.replace()
            found = self.held()
            assert [row for row in found if row[1] not in [known for _, known in self.rows]] == []
        else:
            assert found == self.rows
        self.now_holds(found)

    @invariant()
    def holds_the_same(self) -> None:
        assert self.held() == self.rows
        self.history.append(list(self.rows))
        status = self.file.status()
        assert (status.rows, status.set_aside) == (len(self.rows), self.set_aside)
        assert status.oldest_at == (self.rows[0][1][4] if self.rows else None)
        assert status.bytes <= MAX_BYTES + 64 * 4096


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
