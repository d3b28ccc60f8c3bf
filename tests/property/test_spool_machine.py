"""The spool's file against a list, through crashes, lost tails of its log, and a limit that is reached."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import apsw
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tracker.spool.file import SpoolFile
from tracker.spool.reading import NewRow

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
        self.file = SpoolFile(self.root / "0.db", max_bytes=MAX_BYTES)

    @initialize()
    def start(self) -> None:
        self.file.open()

    def teardown(self) -> None:
        self.file.close()
        shutil.rmtree(self.root)

    def new_rows(self, count: int, size: int) -> list[NewRow]:
        self.made += count
        return [(n.to_bytes(16, "big"), n, n, 1, n, b"f" * size) for n in range(self.made - count, self.made)]

    @rule(count=st.integers(1, 30), size=st.sampled_from([10, 200, 3000]))
    def append(self, count: int, size: int) -> None:
        rows = self.new_rows(count, size)
        try:
            self.file.insert(rows)
        except apsw.FullError:
            held = sum(len(row[5]) for _, row in self.rows) + count * size
            assert held > MAX_BYTES / 4 or self.set_aside  # else there was room
            return
        found = self.file.read(100_000)[-count:]
        assert [row[1:] for row in found] == rows
        assert found[0][0] > self.highest_seq
        self.highest_seq = found[-1][0]
        self.rows += [(row[0], row[1:]) for row in found]

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

    def crash(self, *, lost_bytes: int) -> None:
        """What is on disk now, less the end of the log, is what the next process finds."""
        self.lives += 1
        path = self.root / f"{self.lives}.db"
        shutil.copy(self.file.path, path)
        log = Path(f"{self.file.path}-wal")
        kept = log.read_bytes()
        Path(f"{path}-wal").write_bytes(kept[: len(kept) - lost_bytes])
        self.file.close()
        self.file = SpoolFile(path, max_bytes=MAX_BYTES)
        self.file.open()

    @rule()
    def crash_and_open(self) -> None:
        self.crash(lost_bytes=0)
        self.highest_seq = 0 if not self.rows else self.rows[-1][0]

    @rule()
    def close_and_open(self) -> None:
        self.file.close()
        self.file.open()

    @rule(lost_bytes=st.integers(1, 20_000))
    def lose_the_tail(self, lost_bytes: int) -> None:
        # Whole commits go, and no part of one: what is left is what it held at some earlier time.
        self.crash(lost_bytes=lost_bytes)
        found = self.file.read(100_000)
        assert [(row[0], row[1:]) for row in found] in self.history
        self.rows = [(row[0], row[1:]) for row in found]
        self.highest_seq = found[-1][0] if found else 0
        self.set_aside = self.file.status().set_aside

    @invariant()
    def holds_the_same(self) -> None:
        assert [(row[0], row[1:]) for row in self.file.read(100_000)] == self.rows
        self.history.append(list(self.rows))
        status = self.file.status()
        assert (status.rows, status.set_aside) == (len(self.rows), self.set_aside)
        assert status.oldest_at == (self.rows[0][1][4] if self.rows else None)
        assert status.bytes <= MAX_BYTES + 64 * 4096


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
