"""Exact counters: what scanning a few rows takes, counted instead of timed, so that a noisy machine cannot blur it.

They are taken in processes of their own with fixed hashes, so the same tree and the same rows give the same numbers:
copies of a blob, bytes inflated, bytecodes and calls of the interpreter; allocations, counted by glibc's memusage_; and
machine instructions, where valgrind_ is there and asked for. The latter two are the difference to a process that does
everything but scan. Instructions repeat to a few millionths. Of the 160 MB that a process allocates before it scans,
a few kB depend on where the loader puts things; so allocations are counted over many passes.

Started as ``python -m scanner.bench.exact FILE WHAT``; FILE holds what :func:`write_packed` wrote.

.. _memusage: https://man7.org/linux/man-pages/man1/memusage.1.html
.. _valgrind: https://valgrind.org/docs/manual/cg-manual.html
"""

from __future__ import annotations

import gc
import gzip
import io
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from scanner.batch import Batch
from scanner.engines.serial import SerialEngine
from scanner.errors import ScannerError
from scanner.model import Blob, Buffer, printable
from scanner.options import MIB, Limits
from scanner.shards import decode
from scanner.sources.arrow import Columns
from scanner.sources.memory import TableSource
from scanner.sources.ranges import blocks_of, layout_of
from scanner.sources.units import units_of
from scanner.worker import ScanWork

ROWS: Final = 200
"""Rows that are counted: tracing costs a millisecond a row, valgrind 20 (and 11 seconds to start with)."""

_PASSES: Final = 25
"""How often the rows are scanned where allocations are counted."""

_BIG_BYTES: Final = 4 * MIB
_GROUP_ROWS: Final = 32
_LENGTH: Final = struct.Struct("<q")
_MEMUSAGE: Final = {"LD_PRELOAD": "libmemusage.so", "PYTHONMALLOC": "malloc", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Counts every allocation, with Python's and Arrow's all going to malloc. Where there is no such library, the loader
says so and goes on."""
_ALLOCATIONS: Final = re.compile(rb"(?:malloc|realloc|calloc)\|\S*\s+(\d+)")
_ALLOCATED: Final = re.compile(rb"heap total: (\d+)")
_INSTRUCTIONS: Final = re.compile(rb"I\s+refs:\s+([\d,]+)")
_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Exact(msgspec.Struct, frozen=True):
    """The counters, a row where the name says so. None: not counted here."""

    rows: int
    blob_bytes: int
    raw_bytes: int
    """Bytes inflated."""
    copies: int
    """Copies of a blob's bytes that exist at a time between the Arrow buffer and the decompressor; 1 is the ring's."""
    requests: int
    """Ranges that reading these rows takes from a remote Parquet file with 32 of them in a row group."""
    bytecodes_per_row: float
    """Of the interpreter, for comparison under the same version of Python alone."""
    calls_per_row: float
    """Of Python functions and of built-in ones."""
    allocations_per_row: float | None = None
    """Calls of malloc, calloc and realloc, where glibc's ``libmemusage.so`` is there to count them."""
    allocated_bytes_per_row: float | None = None
    instructions_per_row: float | None = None
    """Of the machine, where valgrind was asked."""


def count(packed: Path, *, valgrind: bool, command: Sequence[str] = (), python_path: str | None = None) -> Exact:
    """Count what scanning the rows in ``packed`` takes.

    Args:
        packed: What :func:`write_packed` wrote.
        valgrind: Count instructions too: half a minute of processor time.
        command: What is started instead of this module, and is given the same two arguments.
        python_path: Directory whose ``scanner`` is counted; None: this one.

    Raises:
        ScannerError: the process that counts failed.
    """
    child = _Child([*command] or [sys.executable, __file__], packed, python_path)
    found = msgspec.json.decode(child.run("count").stdout, type=Exact)
    allocations = _per_row(child.allocations, _PASSES * found.rows)
    instructions = _per_row(child.instructions, found.rows) if valgrind else None
    return msgspec.structs.replace(
        found,
        allocations_per_row=allocations and allocations[0],
        allocated_bytes_per_row=allocations and allocations[1],
        instructions_per_row=instructions and instructions[0],
    )


def _per_row(figures: Callable[[str], list[int] | None], rows: int) -> list[float] | None:
    """What scanning adds to doing everything else, by figures of whole processes; both run at the same time."""
    with ThreadPoolExecutor(2) as pool:
        idle, scan = pool.map(figures, ("idle", "scan"))
    if idle is None or scan is None:
        return None
    return [(above - below) / rows for above, below in zip(scan, idle, strict=True)]


def has_valgrind() -> bool:
    """Whether ``valgrind`` can be started."""
    return shutil.which("valgrind") is not None


def write_packed(batches: Iterable[Buffer], path: Path, rows: int = ROWS) -> None:
    """Write the first ``rows`` rows of packed Batches: a new Batch, after its length (int64, little endian)."""
    blobs = list(islice((blob for packed in batches for blob in Batch.unpack(packed)), rows))
    source = TableSource(_table(blobs), columns=Columns())
    plan = source.plan()
    with path.open("wb") as file:
        for batch in source.read(plan, range(len(plan.units)), _unreadable):
            packed = batch.pack()
            file.write(_LENGTH.pack(len(packed)))
            file.write(packed)


def read_packed(path: Path) -> Iterator[memoryview]:
    """What :func:`write_packed` wrote."""
    data = memoryview(path.read_bytes())
    at = 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield data[at : at + size]
        at += size


# -- the process that counts, seen from outside ------------------------------------------------------------------------


class _Child(NamedTuple):
    """The process that counts, or is counted by valgrind."""

    command: list[str]
    packed: Path
    python_path: str | None

    def run(
        self, what: str, tool: Sequence[str] = (), passes: int = 1, **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end. Raises ScannerError where that is a bad one."""
        environment = {**os.environ, **_ENVIRONMENT, **more}
        if self.python_path is not None:
            environment["PYTHONPATH"] = self.python_path
        command = [*tool, *self.command, str(self.packed), what, str(passes)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603 - ourselves
        if done.returncode:
            raise ScannerError(f"counting failed: {done.stderr.decode(errors='replace')[-2000:]}")
        return done

    def allocations(self, what: str) -> list[int] | None:
        """Allocations and their bytes; None where nothing counts them."""
        said = self.run(what, passes=_PASSES, **_MEMUSAGE).stderr
        calls, allocated = _ALLOCATIONS.findall(said), _ALLOCATED.search(said)
        return [sum(map(int, calls)), int(allocated[1])] if allocated is not None else None

    def instructions(self, what: str) -> list[int]:
        """Machine instructions, by cachegrind without its cache model."""
        tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        said = self.run(what, tool).stderr
        found = _INSTRUCTIONS.search(said)
        if found is None:
            raise ScannerError(f"valgrind counted nothing: {said.decode(errors='replace')[-1000:]}")
        return [int(found[1].replace(b",", b""))]


# -- inside it ---------------------------------------------------------------------------------------------------------


def main(path: str, what: str, passes: str = "1") -> None:
    """Count (``count``), or do what is counted from outside: ``scan``, or ``idle`` for everything but that.

    Each pass begins from nothing but what is loaded on first use.
    """
    packed = list(read_packed(Path(path)))
    first = memoryview(Batch.unpack(packed[0]).single(0).pack())
    gc.disable()
    for _ in range(int(passes)):
        work = ScanWork(Limits())
        work(first)
        if what == "count":
            sys.stdout.buffer.write(msgspec.json.encode(_counted(packed, work)))
        elif what == "scan":
            for batch in packed:
                work(batch)
        gc.collect()  # works hold each other's parts in cycles, and 10 MB


def _counted(packed: list[memoryview], work: Callable[[memoryview], bytes]) -> Exact:
    replies: list[bytes] = []
    bytecodes, calls = _traced(lambda: replies.extend(map(work, packed)))
    counters = [decode(reply).counters for reply in replies]
    rows = sum(each.rows for each in counters)
    return Exact(
        rows=rows,
        blob_bytes=sum(each.blob_bytes for each in counters),
        raw_bytes=sum(each.raw_bytes for each in counters),
        copies=_copies(work),
        requests=_requests(packed),
        bytecodes_per_row=bytecodes / rows,
        calls_per_row=calls / rows,
    )


def _traced(call: Callable[[], object]) -> tuple[int, int]:
    """Bytecodes that ``call`` executes, and calls of Python and built-in functions that it makes."""
    bytecodes = calls = 0

    def local(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal bytecodes
        if event == "opcode":
            bytecodes += 1
        return local

    def on_call(frame: FrameType, _event: str, _argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    def on_profile(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        if event in {"call", "c_call"}:
            calls += 1

    sys.settrace(on_call)
    sys.setprofile(on_profile)
    try:
        call()
    finally:
        sys.setprofile(None)
        sys.settrace(None)
    return bytecodes, calls


def _copies(work: Callable[[memoryview], bytes]) -> int:
    """Copies of one blob of 4 MiB that exist at a time, from its Arrow buffer to the Record: the ring's and no other.

    By the peak of what Python allocates meanwhile: what goes into the decompressor's arena is there already.
    """
    blob = _big_blob()
    source = TableSource(_table([Blob(memoryview(blob), "big-0", "big.parquet", 0)]), columns=Columns())
    plan = source.plan()
    for _ in range(2):  # once more than it is measured: what is kept on first use is no copy
        batches = source.read(plan, {0}, _unreadable)
        engine = SerialEngine()
        tracemalloc.start()
        for _outcome in engine.run(batches, lambda: work):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return round(peak / len(blob))


def _requests(packed: list[memoryview]) -> int:
    table = _table([blob for batch in packed for blob in Batch.unpack(batch)])
    columns = Columns()
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=_GROUP_ROWS)
    layout = layout_of(pq.read_metadata(out), columns)
    units = units_of("tasks.parquet", table.num_rows, layout.raw_bytes(columns.blob), 0)
    return len(blocks_of(layout, units, len(out.getvalue())))


def _table(blobs: Sequence[Blob]) -> pa.Table:
    data = [None if blob.data is None else bytes(blob.data) for blob in blobs]
    return pa.table({"path": [printable(blob.path) for blob in blobs], "task_binary": pa.array(data, pa.binary())})


def _big_blob() -> bytes:
    """A tar of one file that does not deflate, in gzip that only stores: as large before the decompressor as after."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("data/weights.bin")
        member.size = _BIG_BYTES
        archive.addfile(member, io.BytesIO(random.Random(0).randbytes(_BIG_BYTES)))  # noqa: S311 - no secret
    return gzip.compress(out.getvalue(), compresslevel=0, mtime=0)


def _unreadable(_file: str, _unit: int, reason: str) -> None:
    raise ScannerError(reason)


if __name__ == "__main__":
    main(*sys.argv[1:])
