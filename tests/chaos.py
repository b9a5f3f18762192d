"""Chaos: workers and parents that are really killed, at random moments, over a large corpus. ``make chaos``.

The law is always the same: ``records.parquet``, ``members.parquet`` and ``stats.json`` are byte for byte those of an
undisturbed scan, and nothing is left behind: no process, no shared memory, no temporary file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes_of import command_of, descendants, still_there, wait_until_loaded

from scanner.cli import INTERRUPTED as EXIT_INTERRUPTED
from scanner.corpus import make_corpus
from scanner.run import Run

SHARED_MEMORY = Path("/dev/shm")


class Arena:
    """A corpus, the undisturbed scan of it, and a place for temporary files that has to be empty afterwards."""

    def __init__(self, folder: Path, rows: int, workers: int = 2) -> None:
        self.folder = folder
        self.data = folder / "corpus"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.workers = workers
        self.shared_before = self._shared()
        make_corpus(self.data, rows=rows, seed=1, hostile=True)
        started = time.monotonic()
        if self.start("whole").wait():
            raise AssertionError("the undisturbed scan failed")
        self.seconds = time.monotonic() - started
        self.expected = self.outputs("whole")

    def start(self, name: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
        """A scan into the Run ``name``, in a process group of its own."""
        command = [sys.executable, "-m", "scanner", "scan", str(self.data), "--out", str(self.folder / name)]
        options = ["--workers", str(self.workers), "--format", "quiet"]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        return subprocess.Popen([*command, *options], env=environment, start_new_session=True, stderr=stderr)

    def outputs(self, name: str) -> list[bytes]:
        """The files that must not depend on anything but the data."""
        files = ("records.parquet", "members.parquet", "stats.json")
        return [(self.folder / name / file).read_bytes() for file in files]

    def check(self, name: str) -> None:
        """Raise AssertionError unless the Run is complete, the same bytes, and nothing else is left."""
        run = Run(self.folder / name)
        if run.manifest.state != "complete" or not run.account.balances() or run.account.not_reached:
            raise AssertionError(run.account)
        if self.outputs(name) != self.expected:
            raise AssertionError(f"{name} differs from the undisturbed scan")
        left = [*self.temporary.iterdir(), *(self.folder / name).rglob("*.part")]
        if left or self._shared() != self.shared_before:
            raise AssertionError(left or self._shared())

    @staticmethod
    def _shared() -> set[str]:
        return {path.name for path in SHARED_MEMORY.glob("*scanner*")} | {
            path.name for path in SHARED_MEMORY.glob("pym*")
        }


def workers_of(parent: int) -> list[int]:
    """The worker processes of a scan: what its forkserver has started."""
    helpers = [pid for pid in descendants(parent) if "forkserver" in command_of(pid)]
    return [worker for helper in helpers for worker in descendants(helper)]


def kill_workers(arena: Arena, seconds: float, every_s: float, chance: random.Random) -> tuple[int, int]:
    """Kill a random worker every ``every_s`` until so long was scanned; scans and kills."""
    scans = kills = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scans += 1
        name = f"killed-workers-{scans}"
        child = arena.start(name)
        family: set[int] = set()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(every_s)
                break
            family |= set(descendants(child.pid))
            if time.monotonic() < end and (workers := workers_of(child.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    kills += 1
        if child.returncode or (left := still_there(family)):
            raise AssertionError(child.returncode or left)
        arena.check(name)
    return scans, kills


def kill_parents(arena: Arena, kills: int, chance: random.Random) -> list[int]:
    """SIGKILL the parent so many times at random moments and resume; rows that were done at each death."""
    reached = []
    for _ in range(kills):
        child = arena.start("killed-parents")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(chance.uniform(0.2, 1.5 + 2 * arena.seconds / kills))
        family = descendants(child.pid)
        child.kill()
        child.wait()
        if left := still_there(family):
            raise AssertionError(left)
        reached.append(len(list((arena.folder / "killed-parents").glob("shards/*/*.msgpack"))))
    if arena.start("killed-parents").wait():
        raise AssertionError("the last scan failed")
    arena.check("killed-parents")
    return reached


def interrupt(arena: Arena, times: int, chance: random.Random) -> tuple[list[float], list[float]]:
    """Ctrl-C at so many random moments, every third time twice, each time over what is done by then.

    Seconds from the last one to the exit: of those that came once, of those that came twice.
    """
    once: list[float] = []
    twice: list[float] = []
    name = "interrupted"
    while len(once) + len(twice) < times:
        child = arena.start(name, stderr=subprocess.PIPE)
        wait_until_loaded(child.pid, "libparquet")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=chance.uniform(0, 1 + 2 * arena.seconds / times))
            arena.check(name)  # it was done before, so it is begun again
            shutil.rmtree(arena.folder / name)
            continue
        waits = twice if len(once) >= 2 * len(twice) + 2 else once
        waits.append(_end(child, 1 if waits is once else 2, chance, arena.folder / name))
    if arena.start(name).wait():
        raise AssertionError("the last scan failed")
    arena.check(name)
    return once, twice


def _end(child: subprocess.Popen[bytes], interrupts: int, chance: random.Random, folder: Path) -> float:
    """Interrupt a scan, as a terminal does it: every process of the group; seconds until all of them have ended."""
    family, sent_at = descendants(child.pid), time.time()
    os.killpg(child.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if interrupts == 2:
            child.wait(chance.uniform(0, 0.3))
    if child.returncode is None and interrupts == 2:
        os.killpg(child.pid, signal.SIGINT)
    started = time.monotonic()
    _, said = child.communicate()
    seconds = time.monotonic() - started
    if left := still_there(family):
        raise AssertionError(left)
    is_told = child.returncode == EXIT_INTERRUPTED and b"continue with: scanner scan " in said
    is_killed = interrupts == 2 and child.returncode == -signal.SIGINT
    is_late = child.returncode in {0, -signal.SIGINT} and _was_complete(folder, sent_at)
    if not (is_told or is_killed or is_late):
        raise AssertionError(f"exit {child.returncode} after Ctrl-C: {said.decode()}")
    if (folder / "run.json").exists():
        _check_partial(Run(folder))
    return seconds


def _was_complete(folder: Path, at: float) -> bool:
    """Whether the Run was complete at a time, so that its process had nothing left to do but to end."""
    file = folder / "run.json"
    return file.exists() and Run(folder).manifest.state == "complete" and file.stat().st_mtime <= at


def _check_partial(run: Run) -> None:
    """Raise AssertionError unless the Run holds the records it accounts for (where it came to write that down)."""
    account = run.account
    n_records = None if run.manifest.state == "running" else run.records().collect().height
    if not account.balances() or n_records not in {None, account.planned - account.not_reached}:
        raise AssertionError((account, n_records))


def main() -> None:
    """Everything, with a line of figures for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="scanner-chaos-") as folder:
        arena = Arena(Path(folder), asked.rows)
        say(f"undisturbed: {asked.rows:,} rows in {arena.seconds:.1f} s")
        scans, kills = kill_workers(arena, asked.seconds, 2.0, chance)
        say(f"workers: {kills} killed, one every 2 s, over {scans} scans; the same bytes each time")
        reached = kill_parents(arena, asked.kills, chance)
        say(f"parents: {asked.kills} killed at {reached} shards; resumed, the same bytes")
        for times, waits in zip(("once", "twice"), interrupt(arena, asked.kills, chance), strict=True):
            say(f"Ctrl-C {times}: {', '.join(f'{wait:.2f}' for wait in sorted(waits))} s to the end")
        say("resumed after all of them, the same bytes")
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        say(f"largest process: {max(own.ru_maxrss, children.ru_maxrss) / 1000:.0f} MB")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - its purpose


if __name__ == "__main__":
    main()
