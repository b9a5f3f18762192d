"""What a worker lives under: its memory, the time of one row, and the life of its parent.

The kernel watches, not the parent: interval timers and limits also end a loop inside C code that holds the GIL, they
need no polling, and time in which the machine or the worker is stopped does not count as processor time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

from scanner.engines.causes import WALL_FACTOR, WATCHDOG_SIGNALS

_row_seconds: float | None = None
_enough_until = 0.0


def limit_memory(memory_bytes: int) -> None:
    """Let allocations beyond ``memory_bytes`` of private memory fail, so that Python raises MemoryError.

    RLIMIT_DATA, not RLIMIT_AS: shared slots, files and address space that allocators only reserve do not count. macOS
    does not enforce it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        memory_bytes = min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, hard))


def need_descriptors(n: int) -> None:
    """Raise the OSError of too many open files where this process could not open ``n`` more.

    To be asked before processes are started: one that runs out of descriptors while it starts others dies of it, and
    says so in a traceback of its own.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(FileNotFoundError, PermissionError):  # where the system does not tell
        if soft != resource.RLIM_INFINITY and len(os.listdir("/dev/fd")) + n > soft:  # noqa: PTH208 - only counted
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes.

    Linux keeps ``ru_maxrss`` across exec: of a command it may be that of the process it was started by.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_bytes()
        return int(status.partition(b"VmHWM:")[2].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if sys.platform == "linux" else peak  # macOS counts bytes


def die_first() -> None:
    """When the machine runs out of memory the kernel shall end this worker, whose rows can be run again, no other."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", "ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def die_with_parent(sentinel: int) -> None:
    """End this process within milliseconds of its parent's death, even inside a C loop that holds the GIL.

    ``sentinel`` is a pipe whose other end only the parent holds: the kernel sends SIGIO when that closes, which ends a
    process on Linux. (PR_SET_PDEATHSIG would wait for the forkserver's death, and that waits for ours.) Where SIGIO is
    ignored by default (macOS) a handler ends the process as soon as it is back in Python.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL if sys.platform == "linux" else lambda *_: os._exit(1))
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([sentinel], [], [], 0)[0]:  # it died before the signal was armed
        os._exit(1)


def watch_rows(row_seconds: float) -> None:
    """Set what :func:`start_watch` allows: ``row_seconds`` of processor time, ten times as much of wall time."""
    global _row_seconds  # noqa: PLW0603 - one worker is one process with one pair of timers
    _row_seconds = row_seconds
    for signum in WATCHDOG_SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHDOG_SIGNALS)


def start_watch() -> None:
    """Kill this worker unless :func:`progress` or :func:`stop_watch` is called in time. Runs once a batch."""
    global _enough_until  # noqa: PLW0603 - as above
    if _row_seconds is not None:
        signal.setitimer(signal.ITIMER_PROF, _row_seconds)
        signal.setitimer(signal.ITIMER_REAL, WALL_FACTOR * _row_seconds)
        _enough_until = time.monotonic() + _row_seconds / 10


def stop_watch() -> None:
    """No work is in hand."""
    if _row_seconds is not None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def progress() -> None:
    """For work to call between rows (0.1 us): each then has the time to itself, or nine tenths of it at least.

    Without it a whole batch has the time of one row. One that takes longer is not lost: its rows are run again one by
    one. Does nothing outside a worker.
    """
    if _row_seconds is not None and time.monotonic() >= _enough_until:
        start_watch()
