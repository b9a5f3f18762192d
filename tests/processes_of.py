"""What processes there are, from /proc: tests look for what a scan leaves behind."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable
from pathlib import Path


def parents() -> dict[int, int]:
    """The parent of every process that is no zombie."""
    found: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if state != "Z":
            found[int(path.name)] = int(parent)
    return found


def descendants(pid: int) -> list[int]:
    """Children of ``pid``, their children, and so on."""
    of = parents()
    found: list[int] = []
    wave = [pid]
    while wave:
        wave = [child for child, parent in of.items() if parent in wave]
        found += wave
    return found


def command_of(pid: int) -> str:
    """The command line of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def wait_until_loaded(pid: int, library: str) -> None:
    """Until a process has loaded ``library``, or has ended: a moment in its life on a machine of any speed."""
    maps = Path(f"/proc/{pid}/maps")
    with contextlib.suppress(OSError):  # it has ended
        while (loaded := maps.read_text()) and library not in loaded:  # a zombie has nothing loaded
            select.select([], [], [], 0.001)


def still_there(pids: Iterable[int], patience_s: float = 60) -> list[str]:
    """Command lines of those that have not ended in time; helpers end when the pipe of their parent does."""
    left = []
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([fd], [], [], patience_s)[0]:
                left.append(f"{pid}: {command_of(pid)}")
        finally:
            os.close(fd)
    return left
