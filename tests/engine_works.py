"""Works that the engine tests send to workers, and batches to feed them. Importable there: all at module level."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import re
import signal
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scanner.batch import Batch
from scanner.engines import Work, limits

DIGEST = struct.Struct("<qqII")


def batch_of(blobs: Sequence[bytes], *, first_row: int = 0, unit: int = 0) -> Batch:
    """A batch of ``blobs``, rows numbered from ``first_row``, each with a path of its own."""
    paths = [f"task-{first_row + i}".encode() for i in range(len(blobs))]
    return Batch(
        unit,
        "a/b.parquet",
        array.array("q", range(first_row, first_row + len(blobs))).tobytes(),
        bytes(len(blobs)),
        _ends(paths),
        [b"".join(paths)],
        _ends(blobs),
        [b"".join(blobs)],
    )


def _ends(parts: Iterable[bytes]) -> bytes:
    ends, end = array.array("q"), 0
    for part in parts:
        end += len(part)
        ends.append(end)
    return ends.tobytes()


def batches_of(sizes: Sequence[Sequence[int]]) -> list[Batch]:
    """A batch for each inner sequence, whose numbers are its blobs' sizes; rows count on from batch to batch."""
    batches, row = [], 0
    for unit, blob_sizes in enumerate(sizes):
        blobs = [struct.pack("<q", row + i) * (size // 8) + bytes(size % 8) for i, size in enumerate(blob_sizes)]
        batches.append(batch_of(blobs, first_row=row, unit=unit))
        row += len(blobs)
    return batches


def digest(packed: memoryview) -> bytes:
    """A fixed-size digest of each row, one after the other: the same whether rows come together or singly."""
    batch = Batch.unpack(packed)
    return b"".join(
        DIGEST.pack(batch.unit, blob.row, zlib.crc32(blob.data or b""), zlib.crc32(blob.path.encode()))
        for blob in batch
    )


def make_digest() -> Work:
    return digest


def make_pid() -> Work:
    return lambda _: str(os.getpid()).encode()


class Large:
    """Answers each batch with ``size_bytes`` bytes."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def __call__(self) -> Work:
        return lambda packed: bytes([Batch.unpack(packed).unit % 251]) * self.size_bytes


class Poison:
    """Digests, but ``acts`` when it meets one of ``rows``."""

    def __init__(self, act: str, rows: Iterable[int], *, calls_progress: bool = False) -> None:
        self.act = act
        self.rows = frozenset(rows)
        self.calls_progress = calls_progress

    def __call__(self) -> Work:
        return self._work

    def _work(self, packed: memoryview) -> bytes:
        for row in Batch.unpack(packed).rows:
            if self.calls_progress:
                limits.progress()
            if row in self.rows:
                ACTS[self.act]()
        return digest(packed)


class KilledOnce:
    """Digests; the first worker that makes the file ``marker`` is killed in mid-batch."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self) -> Work:
        return self._work

    def _work(self, packed: memoryview) -> bytes:
        with contextlib.suppress(FileExistsError):
            self.marker.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return digest(packed)


def make_never() -> Work:
    """Cannot be made."""
    raise LookupError("no such model")


def make_exit() -> Work:
    """Ends the worker before it is one."""
    os._exit(7)


def make_descriptors() -> Work:
    """Answers with the descriptors above 2 that a program started from the worker would inherit."""

    def work(_: memoryview) -> bytes:
        numbers = [int(path.name) for path in Path("/dev/fd").iterdir()]
        return json.dumps([fd for fd in numbers if fd > 2 and _is_inherited(fd)]).encode()

    return work


def _is_inherited(fd: int) -> bool:
    try:
        return not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False


def make_surroundings() -> Work:
    """Answers with what the forkserver was started with."""
    seen = {"preloaded": "wave" in sys.modules, "threads": os.environ["OPENBLAS_NUM_THREADS"]}
    return lambda _: json.dumps(seen).encode()


def loop_in_c() -> None:
    """Hold the GIL for ever."""
    _processor_time_alone()
    re.match(r"(a|aa)+$", "a" * 5000 + "b")


def burn() -> None:
    """Take 0.1 s of processor time."""
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass


def _processor_time_alone() -> None:
    """Take the watchdog its other clock: on a machine that is busy enough, ten times the wall time passes first."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _loop() -> None:
    _processor_time_alone()
    while True:
        pass


def _hog() -> None:
    """Ask for memory until there is none, in no time: zeros of this size come from the kernel and are not written."""
    hoard = [bytes(1 << 24) for _ in range(1 << 20)]
    raise AssertionError(len(hoard))


def _raise() -> None:
    raise ValueError("bad luck")


ACTS: dict[str, Callable[[], object]] = {
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "SIGABRT": os.abort,
    "_exit": lambda: os._exit(5),
    "sys.exit": lambda: sys.exit(3),
    "memory": _hog,
    "raise": _raise,
    "loop": _loop,
    "loop in C": loop_in_c,
    "block": lambda: threading.Event().wait(),
    "burn": burn,
}
