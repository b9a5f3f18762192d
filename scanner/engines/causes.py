"""Why a worker ended, in words for a record: the same words in every run, so records stay the same bytes."""

from __future__ import annotations

import signal

from scanner.options import MIB

OUT_OF_MEMORY_EXIT = 112
"""A worker exits with this code on MemoryError: a heap at its limit would fail the innocent rows that come next."""

RAISED = (Exception, SystemExit)
"""What work may raise that is a result and not the end: a user's function that calls sys.exit means its row."""

DETAIL_CHARS = 500
"""A message of an exception is cut to this: it may quote the data."""

WATCHDOG_SIGNALS = (signal.SIGPROF, signal.SIGALRM)
"""What the timers of :mod:`scanner.engines.limits` end a worker with: processor time, wall time."""

WALL_FACTOR = 10
"""Wall time a row may take over its processor time: machines are shared, swap, and are put to sleep."""


def of_exit(code: int, memory_bytes: int | None, row_seconds: float | None) -> str:
    """The cause behind a process's exit ``code`` (negative: a signal), given the limits it ran under."""
    if code == OUT_OF_MEMORY_EXIT:
        return "out of memory" if memory_bytes is None else f"memory limit of {memory_bytes // MIB:,} MiB"
    if code >= 0:
        return f"exit code {code}"
    if row_seconds is not None and -code == signal.SIGPROF:
        return f"watchdog: no progress for {row_seconds:g} s of processor time"
    if row_seconds is not None and -code == signal.SIGALRM:
        return f"watchdog: no progress for {WALL_FACTOR * row_seconds:g} s"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:  # real-time signals have no name
        return f"signal {-code}"


def of_exception(error: BaseException) -> str:
    """The cause where the work raised: a bug, for work never raises on account of the data."""
    text = str(error)
    return f"exception: {type(error).__name__}{': ' if text else ''}{text}"[:DETAIL_CHARS]
