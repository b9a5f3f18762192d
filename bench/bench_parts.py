"""Each part of the pipeline by itself, over the same rows: sniff, codecs, walkers, tasks, probe, statistics.

In processor time, which other work on the machine changes least; what takes several processes is in ``bench_whole``.
"""

from __future__ import annotations

import io
import tarfile
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from bench.corpora import corpus
from bench.stage_work import Ignore, quickly_walking, reading
from scanner import tasks
from scanner.batch import Batch
from scanner.bench.floor import inflate_all
from scanner.corpus.pack import COMPRESSORS
from scanner.formats.gzip import GZIP
from scanner.formats.registry import CODECS
from scanner.formats.tar import TarWalker
from scanner.formats.zip import walk_zip
from scanner.model import Blob
from scanner.options import CHUNK_BYTES, SMALL_BYTES, Limits
from scanner.probe import Probe
from scanner.readings import Readings
from scanner.records import to_arrow, to_ipc
from scanner.sniff import codec_of, container_of
from scanner.stats import Stats
from scanner.worker import ScanWork

pytestmark = pytest.mark.benchmark(timer=time.process_time)

PerRow = Callable[[Callable[[], object], int], None]
FEW = 200


def test_sniff(per_row: PerRow, blobs: list[Blob], archives: list[bytes]) -> None:
    def call() -> None:
        for blob, raw in zip(blobs, archives, strict=True):
            assert blob.data is not None
            codec_of(bytes(blob.data[:32]))
            container_of(raw)

    per_row(call, len(blobs))


def test_floor(per_row: PerRow, rows: Any, blobs: list[Blob]) -> None:
    per_row(lambda: inflate_all(rows.packed), len(blobs))


def test_gzip_at_once(per_row: PerRow, blobs: list[Blob]) -> None:
    """The way of nearly every row; other codecs have none."""
    arena = bytearray(SMALL_BYTES)
    data = [blob.data for blob in blobs if blob.data is not None]
    per_row(lambda: [GZIP.inflate_into(each, arena) for each in data], len(data))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_codec_streamed(per_row: PerRow, codec: Any, archives: list[bytes]) -> None:
    data = [memoryview(COMPRESSORS[codec.name](raw)) for raw in archives[:FEW]]
    sink = Ignore()
    per_row(lambda: [sum(map(len, codec.stream(each, sink, CHUNK_BYTES))) for each in data], FEW)


def test_inflate_and_walk_quickly(per_row: PerRow, rows: Any, blobs: list[Blob]) -> None:
    packed = [memoryview(each) for each in rows.packed]
    work = quickly_walking()
    per_row(lambda: work(packed), len(blobs))


def walk_all(archives: list[bytes], chunk: int | None = None) -> None:
    sink, limits = Ignore(), Limits()
    for raw in archives:
        walker = TarWalker(sink, limits)
        for at in range(0, len(raw), chunk or len(raw)):
            walker.feed(raw, at, min(len(raw), at + (chunk or len(raw))))
        walker.close()


def test_tar_pax(per_row: PerRow, archives: list[bytes]) -> None:
    per_row(lambda: walk_all(archives), len(archives))


def test_tar_in_pieces(per_row: PerRow, archives: list[bytes]) -> None:
    per_row(lambda: walk_all(archives, 4096), len(archives))


def test_tar_plain(per_row: PerRow) -> None:
    import gzip

    archives = [gzip.decompress(blob) for _, blob in corpus("plain", 1_000).rows()]
    per_row(lambda: walk_all(archives), len(archives))


def test_zip(per_row: PerRow, archives: list[bytes]) -> None:
    blobs = [memoryview(_as_zip(raw)) for raw in archives[:FEW]]
    sink, limits = Ignore(), Limits()

    def call() -> None:
        for blob in blobs:
            walk_zip(blob, sink, limits)

    per_row(call, FEW)


def _as_zip(raw: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None:
                archive.writestr(member.name, file.read())
    return out.getvalue()


def test_tasks(per_row: PerRow, archives: list[bytes]) -> None:
    read: list[list[tasks.TaskFile]] = []
    for raw in archives:
        files = []
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in tar.getmembers():
                file = tar.extractfile(member)
                data = file.read() if file is not None and tasks.wants(member.name) else None
                files.append(tasks.TaskFile(member.name, "dir" if member.isdir() else "file", member.size, data))
        read.append(files)
    per_row(lambda: [tasks.interpret(files) for files in read], len(read))


def probe_all(blobs: list[Blob]) -> None:
    """With a fresh Probe each time: one that has seen the rows recognises them."""
    probe = Probe(Limits())
    for blob in blobs:
        probe(blob)


def test_ordinary(per_row: PerRow, rows: Any, blobs: list[Blob]) -> None:
    """Ordinary rows to their records."""
    packed = [memoryview(each) for each in rows.packed]
    per_row(lambda: reading()(packed), len(blobs))


def test_probe(per_row: PerRow, blobs: list[Blob]) -> None:
    per_row(lambda: probe_all(blobs), len(blobs))


def test_probe_large(per_row: PerRow) -> None:
    blobs = [blob for packed in corpus("large", 60).packed for blob in Batch.unpack(packed)]
    per_row(lambda: probe_all(blobs), len(blobs))


def test_stats(per_row: PerRow, blobs: list[Blob]) -> None:
    probe = Probe(Limits())
    readings = list(map(probe.read, blobs))
    per_row(lambda: Stats().add(Readings.of_blobs(blobs, readings)), len(blobs))


def test_records_to_arrow(per_row: PerRow, blobs: list[Blob]) -> None:
    probe = Probe(Limits())
    readings = list(map(probe.read, blobs))
    per_row(lambda: to_ipc(to_arrow(Readings.of_blobs(blobs, readings))), len(blobs))


def test_work(per_row: PerRow, rows: Any, blobs: list[Blob]) -> None:
    """All that a worker does, the memos of contents being warm."""

    def call() -> None:
        work = ScanWork(Limits())
        for packed in rows.packed:
            work(memoryview(packed))

    per_row(call, len(blobs))
