"""Inside a worker: a packed Batch in, an encoded Shard out. Made once in each worker, called once a batch."""

from __future__ import annotations

import gc
import re
import time
from typing import Any, Final

import pyarrow as pa

from scanner import tasks
from scanner.batch import Batch
from scanner.bursts import Bursts
from scanner.members import MemberLists
from scanner.model import SCHEMA_VERSION, Census, Record, source_of
from scanner.options import Limits
from scanner.probe import Probe
from scanner.probes import Probes
from scanner.records import to_arrow, to_ipc
from scanner.shards import Counters, Shard, encode
from scanner.stats import Stats

_NAMES_HELD: Final = 100_000
"""Names that wait to be counted: a batch of crafted archives must not hold millions of them at once."""


class ScanWork:
    """The work of a scan: see :data:`scanner.engines.Work`. Travels to the workers as its arguments."""

    def __init__(self, limits: Limits, source_filter: str | None = None, probes: Probes | None = None) -> None:
        self._probe = Probe(limits)
        self._bursts = Bursts(self._probe)
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
        stats, members = Stats(), MemberLists()
        records: list[Record] = []
        waiting: list[Census] = []
        values: list[tuple[Any, ...]] = []
        counted = names_held = 0
        blobs = list(batch)
        if self._filter is not None:
            wanted = self._filter.search
            blobs = [blob for blob in blobs if wanted(source_of(blob.file, blob.path))]
        for record, census in self._bursts(blobs):
            if self._probes is not None:
                values.append(self._probes.values(blobs[len(records)], record, probe.limits))
            records.append(record)
            waiting.append(census)
            names_held += len(census.names)
            if names_held > _NAMES_HELD:
                stats.add(records[counted:], waiting)
                members.add(waiting)
                counted, waiting, names_held = len(records), [], 0
        stats.add(records[counted:], waiting)
        members.add(waiting)
        counters = Counters(
            rows=len(records),
            skipped=len(batch) - len(blobs),
            blob_bytes=sum([record.compressed_size for record in records]),
            raw_bytes=probe.raw_bytes - raw_before,
            streamed_rows=probe.streamed_rows - streamed_before,
            timed_ns=probe.timed_ns - timed_before[0],
            timed_bytes=probe.timed_bytes - timed_before[1],
            memos=_since(memos_before, self._memos()),
        )
        packed_records, packed_members = to_ipc(self._to_arrow(records, values)), to_ipc(members.to_arrow())
        counters.cpu_ns = time.process_time_ns() - started_ns
        return Shard(SCHEMA_VERSION, batch.unit, "", len(batch), packed_records, packed_members, stats, counters)

    def _to_arrow(self, records: list[Record], values: list[tuple[Any, ...]]) -> pa.RecordBatch:
        if self._probes is None:
            return to_arrow(records)
        fields = self._probes.fields
        return to_arrow(records, fields, list(zip(*values, strict=True)) or [()] * len(fields))

    def _memos(self) -> dict[str, tuple[int, int]]:
        twins = self._probe.twins
        return {"blobs": (twins.hits, twins.misses), **tasks.cache_info()}


def _since(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {
        name: (hits - before.get(name, (0, 0))[0], misses - before.get(name, (0, 0))[1])
        for name, (hits, misses) in after.items()
    }
