"""The pipeline around the work: reading, the ring, whole scans, start-up. In wall time, which is what workers save."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scanner
from bench.corpora import Corpus, corpus
from scanner.batch import Batch
from scanner.engines.processes import ProcessEngine
from scanner.engines.ring import SLOT_BYTES, Ring, Window
from scanner.engines.tally import Tally
from scanner.options import Options
from scanner.sources.opening import open_source

PerRow = Callable[[Callable[[], object], int], None]
ROWS = 10_000


@pytest.fixture(scope="module")
def many() -> Corpus:
    return corpus("pax", ROWS)


def test_read(per_row: PerRow, many: Corpus) -> None:
    def call() -> None:
        source = open_source(many.folder, Options())
        plan = source.plan()
        for batch in source.read(plan, range(len(plan.units)), lambda *_: None):
            len(batch)

    per_row(call, ROWS)


def test_ring(per_row: PerRow, many: Corpus) -> None:
    """The one copy into a slot, and the rows seen from the other side, in one process."""
    batches = [Batch.unpack(packed) for packed in many.packed]
    ring = Ring(2, SLOT_BYTES, Tally())
    windows = [Window(slot.fd, SLOT_BYTES) for slot in ring.slots]

    def call() -> None:
        for batch in batches:
            slot, size = ring.put(batch)
            for _blob in Batch.unpack(windows[slot].view(size)):
                pass
            windows[slot].settle()
            ring.free(slot)

    per_row(call, ROWS)
    ring.close()


def test_processes_without_work(per_row: PerRow, many: Corpus) -> None:
    """The whole engine with one worker that does nothing: start, tickets, replies, end."""
    batches = [Batch.unpack(packed) for packed in many.packed]

    def call() -> None:
        for _ in ProcessEngine(1).run(iter(batches), Nothing):
            pass

    per_row(call, ROWS)


class Nothing:
    """Work that looks at every row."""

    def __call__(self, packed: memoryview) -> bytes:
        for _blob in Batch.unpack(packed):
            pass
        return b""


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_scan(per_row: PerRow, many: Corpus, workers: int, tmp_path: Path) -> None:
    per_row(lambda: scanner.scan(many.folder, out=tmp_path / "run", workers=workers, fresh=True), ROWS)


@pytest.mark.parametrize(
    "code", ["import scanner", "from scanner.cli import main; main(['--help'])"], ids=["import", "--help"]
)
def test_start_up(benchmark: Any, code: str) -> None:
    command = [sys.executable, "-c", code]
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=7, warmup_rounds=1)
