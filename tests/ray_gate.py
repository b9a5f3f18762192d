"""What the tests of the Ray engine send to its workers: probes that wait or kill, and a portion nobody survives."""

from __future__ import annotations

import os
import select
import signal
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from scanner.batch import Batch
from scanner.engines import Unreadable
from scanner.model import Unit

_HELLO: Final = struct.Struct("=qqq")


_PATIENCE_SECONDS: Final = 60


class Hello(NamedTuple):
    """Who works on a row, by process id."""

    node: int
    """Its raylet."""
    task: int
    """The Ray worker process that runs the task."""
    worker: int
    """The process engine's worker below it."""


class Gate:
    """A probe that says hello and waits, at every row from ``from_row`` on, until its :class:`Keeper` opens."""

    def __init__(self, folder: Path, from_row: int = 0) -> None:
        self.hello, self.go = folder / "hello", folder / "go"
        self._from_row = from_row

    def __call__(self, task: Any) -> bool:
        """Whether the row was let through; it always was."""
        if int(task.path.rpartition("-")[2]) >= self._from_row:
            with self.hello.open("wb", buffering=0) as hello:
                hello.write(_HELLO.pack(*_ancestors()))
            self.go.open("rb").close()
        return True


class Keeper:
    """Who hears the hellos at a gate and opens it: two FIFOs, so that nobody polls and nobody sleeps."""

    def __init__(self, gate: Gate) -> None:
        os.mkfifo(gate.hello)
        os.mkfifo(gate.go)
        self._gate = gate
        self._ear = os.open(gate.hello, os.O_RDWR)
        self._door: int | None = None

    def hellos(self) -> Iterator[Hello]:
        """Of rows that wait, as they come; TimeoutError where none comes any more."""
        while select.select([self._ear], [], [], _PATIENCE_SECONDS)[0]:
            yield Hello(*_HELLO.unpack(os.read(self._ear, _HELLO.size)))
        raise TimeoutError("nobody said hello")

    def open(self) -> None:
        """Let all through from now on."""
        self._door = os.open(self._gate.go, os.O_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._door is None:  # the test has failed: let go of who waits
            self.open()
        assert self._door is not None
        os.close(self._ear)
        os.close(self._door)


def _ancestors() -> Hello:
    """This process is the child of a forkserver, which is the child of the task's process, the child of the raylet."""
    task = _parent(os.getppid())
    return Hello(_parent(task), task, os.getpid())


def _parent(pid: int) -> int:
    if pid <= 1:  # tests that were left by whoever started them are init's own children
        return 0
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


def die_at_seven(task: Any) -> bool:
    """A probe that a row kills, every time."""
    if task.path.endswith("-0007"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return True


class DeadlyPortion:
    """A portion of empty Units, one of which takes the process that reads it along."""

    credentials: str | None = None

    def __init__(self, units: Sequence[Unit], deadly: int) -> None:
        self.units = list(units)
        self._deadly = deadly

    def read(self, unreadable: Unreadable, credentials: str | None = None) -> Iterator[Batch]:
        """One batch a Unit."""
        for unit in self.units:
            if unit.index == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            none = struct.pack("=q", 0)
            yield Batch(unit.index, unit.file, struct.pack("=q", unit.first_row), b"\1", none, (b"",), none, (b"",))

    def halves(self) -> list[DeadlyPortion]:
        """As :class:`scanner.sources.portions.Portion`."""
        middle = (len(self.units) + 1) // 2
        parts = (self.units[:middle], self.units[middle:])
        return [DeadlyPortion(part, self._deadly) for part in parts if part]
