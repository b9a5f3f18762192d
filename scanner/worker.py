"""Inside a worker: a packed Batch in, an encoded Shard out. Made once in each worker, called once a batch."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from scanner import tasks
from scanner.batch import Batch
from scanner.engines.limits import progress
from scanner.members import MemberLists
from scanner.model import SCHEMA_VERSION, Blob, Reading, source_of
from scanner.options import Limits
from scanner.ordinary import Ordinary
from scanner.probe import Probe
from scanner.probes import Probes
from scanner.readings import Readings
from scanner.records import to_arrow, to_ipc
from scanner.shards import Counters, Shard, encode
from scanner.stats import Stats

_NAMES_HELD: Final = 100_000
"""Names that wait to be counted: a batch of crafted archives must not hold millions of them at once."""


class ScanWork:
    """The work of a scan: see :data:`scanner.engines.Work`. Travels to the workers as its arguments."""

    def __init__(self, limits: Limits, source_filter: str | None = None, probes: Probes | None = None) -> None:
        self._probe = Probe(limits)
        self._ordinary = Ordinary(self._probe)
        self._probes = probes
        self._filter = re.compile(source_filter) if source_filter is not None else None

    def __call__(self, packed: memoryview) -> bytes:
        """Scan a packed batch, with the cycle collector off: rows make no cycles, and it would cost 2 µs a row."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            return encode(self._scan(Batch.unpack(packed)))
        finally:
            if collecting:
                gc.enable()

    def _scan(self, batch: Batch) -> Shard:
        probe = self._probe
        raw_before, streamed_before, memos_before = probe.raw_bytes, probe.streamed_rows, self._memos()
        timed_before = probe.timed_ns, probe.timed_bytes
        started_ns = time.process_time_ns()
        blobs = list(batch)
        if self._filter is not None:
            wanted = self._filter.search
            blobs = [blob for blob in blobs if wanted(source_of(blob.file, blob.path))]
        tables = _Tables(self._probes)
        done, names_held = 0, 0
        readings: list[Reading] = []
        for reading in self._ordinary(blobs):
            readings.append(reading)
            names_held += len(reading.common.names)
            if names_held > _NAMES_HELD:
                tables.add(blobs[done : done + len(readings)], readings, probe.limits)
                done, names_held, readings = done + len(readings), 0, []
        tables.add(blobs[done:], readings, probe.limits)
        counters = Counters(
            rows=len(blobs),
            skipped=len(batch) - len(blobs),
            blob_bytes=tables.blob_bytes,
            raw_bytes=probe.raw_bytes - raw_before,
            streamed_rows=probe.streamed_rows - streamed_before,
            timed_ns=probe.timed_ns - timed_before[0],
            timed_bytes=probe.timed_bytes - timed_before[1],
            memos=_since(memos_before, self._memos()),
        )
        records, members = to_ipc(tables.records()), to_ipc(tables.members.to_arrow())
        counters.cpu_ns = time.process_time_ns() - started_ns
        return Shard(SCHEMA_VERSION, batch.unit, "", len(batch), records, members, tables.stats, counters)

    def _memos(self) -> dict[str, tuple[int, int]]:
        twins, rows = self._probe.twins, self._ordinary
        own = {"blobs": (twins.hits, twins.misses), "gists": (rows.gists_found, rows.gists_missed)}
        return {**own, **tasks.cache_info()}


class _Tables:
    """What a batch becomes, from its rows in order."""

    def __init__(self, probes: Probes | None) -> None:
        self.stats = Stats()
        self.members = MemberLists()
        self.blob_bytes = 0
        self._probes = probes
        self._records: list[pa.RecordBatch] = []

    def add(self, blobs: Sequence[Blob], readings: Sequence[Reading], limits: Limits) -> None:
        """Take the next rows. Nothing of them is kept but columns."""
        if self._probes is None:
            rows = Readings.of_blobs(blobs, readings)
            self._records.append(to_arrow(rows))
        else:
            rows, values = _asked(self._probes, blobs, readings, limits)
            self._records.append(to_arrow(rows, self._probes.fields, values))
        self.stats.add(rows)
        self.members.add(rows)
        self.blob_bytes += sum(rows.column("compressed_size"))

    def records(self) -> pa.RecordBatch | pa.Table:
        """All that were taken."""
        return self._records[0] if len(self._records) == 1 else pa.Table.from_batches(self._records).combine_chunks()


def _asked(
    probes: Probes, blobs: Sequence[Blob], readings: Sequence[Reading], limits: Limits
) -> tuple[Readings, Sequence[Sequence[Any]]]:
    """The rows with what the user's probes find wrong with them, and the columns that these make."""
    records, values = [], []
    for blob, reading in zip(blobs, readings, strict=True):
        progress()
        record = reading.record(blob)
        values.append(probes.values(blob, record, limits))
        records.append(record)
    columns = list(zip(*values, strict=True)) or [()] * len(probes.fields)
    return Readings.of(records, [reading.census() for reading in readings]), columns


def _since(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {
        name: (hits - before.get(name, (0, 0))[0], misses - before.get(name, (0, 0))[1])
        for name, (hits, misses) in after.items()
    }
