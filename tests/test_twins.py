"""Exact duplicates are recognised, and only they."""

from __future__ import annotations

import tempfile

import msgspec
import polars as pl
import pyarrow as pa
import pytest
from parquet_files import task

import scanner
from scanner.model import Blob
from scanner.options import Limits
from scanner.probe import Probe
from scanner.twins import BLOB_BYTES, ENTRIES, Twins


def test_a_copy_has_the_record_of_its_original_under_its_own_path() -> None:
    """The third copy of a blob is not scanned, and differs from the first in path and row alone."""
    probe = Probe(Limits())
    blobs = [Blob(memoryview(task(7)), f"task-{row}", "a__b/tasks.parquet", row) for row in range(4)]
    records = [probe(blob) for blob in blobs]
    assert (probe.twins.hits, probe.twins.misses) == (2, 2)
    alone = [Probe(Limits())(blob) for blob in blobs]
    assert records == alone
    assert [record.path for record, _ in records] == ["task-0", "task-1", "task-2", "task-3"]
    assert probe.raw_bytes == 4 * (records[0][0].raw_size or 0)


def test_what_a_probe_makes_of_one_copy_is_not_said_of_others() -> None:
    """A user's function that raises for one row in ten degrades that row, once, and none of its copies."""

    def fails_for_sevens(task_: scanner.Task) -> int:
        if task_.path.endswith("7"):
            raise ValueError("seven")
        return 1

    table = pa.table({"path": [f"a-{row}" for row in range(60)], "task_binary": [task(0)] * 60})
    with tempfile.TemporaryDirectory() as folder:
        run = scanner.scan(table, out=f"{folder}/run", engine="serial", probes={"p": fails_for_sevens})
        rows = run.records().collect()
    degraded = rows.filter(pl.col("status") == "degraded")
    assert degraded["path"].to_list() == [f"a-{row}" for row in range(7, 60, 10)]
    assert degraded["faults"].list.len().to_list() == [1] * 6


def test_a_collision_is_no_copy() -> None:
    """Other bytes under the same id are scanned for themselves."""
    twins = Twins()
    reading = Probe(Limits()).read(Blob(memoryview(task(1)), "p", "f", 0))
    assert reading.blob_id is not None
    for _ in range(2):
        twins.keep(memoryview(task(1)), reading)
    assert twins.find(reading.blob_id, memoryview(task(1))) is not None
    assert twins.find(reading.blob_id, memoryview(task(2))) is None


@pytest.mark.parametrize("flaw", ["large", "degraded"])
def test_what_is_not_kept(flaw: str) -> None:
    """Large blobs and rows with damage are scanned each time."""
    twins = Twins()
    reading = Probe(Limits()).read(Blob(memoryview(task(1)), "p", "f", 0))
    data = memoryview(bytes(BLOB_BYTES + 1) if flaw == "large" else task(1))
    if flaw == "degraded":
        reading.common = msgspec.structs.replace(reading.common, status="degraded")
    for _ in range(3):
        twins.keep(data, reading)
    assert reading.blob_id is not None
    assert twins.find(reading.blob_id, data) is None


def test_memory_is_bounded() -> None:
    """However many blobs come twice, so many are kept."""
    twins = Twins()
    reading = Probe(Limits()).read(Blob(memoryview(task(1)), "p", "f", 0))
    for number in range(2 * ENTRIES):
        copy = msgspec.structs.replace(reading, blob_id=str(number))
        twins.keep(memoryview(b"x"), copy)
        twins.keep(memoryview(b"x"), copy)
    assert sum(twins.find(str(number), memoryview(b"x")) is not None for number in range(2 * ENTRIES)) <= ENTRIES
    assert twins.find("0", memoryview(b"x")) is None
    assert twins.find(str(2 * ENTRIES - 1), memoryview(b"x")) is not None


def test_ids_that_share_a_slot_take_turns() -> None:
    """A blob is kept at its second sight, unless another one took its place meanwhile: then at its next but one."""
    twins = Twins()
    reading = Probe(Limits()).read(Blob(memoryview(task(1)), "p", "f", 0))
    one, other = (msgspec.structs.replace(reading, blob_id=f"{number:032x}") for number in (1 << 64, 2 << 64))
    for each in (one, other, one):
        twins.keep(memoryview(b"x"), each)
    assert twins.find(f"{1 << 64:032x}", memoryview(b"x")) is None
    twins.keep(memoryview(b"x"), one)
    assert twins.find(f"{1 << 64:032x}", memoryview(b"x")) is one
