"""Whole corpora scanned once, as a command: account, times, throughput and memory, and whether memory grows with rows.

    python -m bench.full SOURCE [--workers 2] [--save bench/runs/2026-01-31-full.json]
    python -m bench.full --rows 50000 --rows 400000

SOURCE is a folder of Parquet files. With ``--rows`` look-alikes of so many rows are made first, one after the other
(5 kB of disk a row, given back at once). Files are read once before they are scanned, so that they come out of the page
cache, where they fit. Ends with 1 where a row was not reached or the memory was more than is promised.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.corpora import ROOT
from bench.record import save, warn_if_busy
from scanner.corpus import make_corpus
from scanner.manifest import usable_cores
from scanner.run import Account, Run
from scanner.shards import Counters

PARENT_MB: Final = 400
WORKER_MB: Final = 250
GROWTH: Final = 1.1
"""How much more a larger corpus may take: what a process holds at its peak differs by so much from run to run."""

_READ_BYTES: Final = 1 << 24


class Scanned(msgspec.Struct, kw_only=True):
    """What one scan took, most of it as its ``run.json`` says it."""

    source: str
    n_files: int
    file_bytes: int
    command_seconds: float
    """Wall time of the command, with start-up and planning."""
    wall_seconds: float
    account: Account
    engine: dict[str, Any]
    counters: Counters
    throughput: dict[str, float]
    cpu_seconds: dict[str, float]
    peak_memory_mb: dict[str, float]


def scan(source: Path, workers: int, folder: Path) -> Scanned:
    """Scan ``source`` in a process of its own into a Run in ``folder``. Raises CalledProcessError where it fails."""
    files = sorted(source.rglob("*.parquet"))
    file_bytes = sum(map(_read, files))
    out = folder / "run"
    command = [sys.executable, "-m", "scanner", "scan", str(source), "--out", str(out), "--workers", str(workers)]
    started = time.perf_counter()
    subprocess.run([*command, "--fresh", "--format", "quiet"], check=True, cwd=ROOT)
    seconds = time.perf_counter() - started
    manifest = Run(out).manifest
    return Scanned(
        source=source.name,
        n_files=len(files),
        file_bytes=file_bytes,
        command_seconds=round(seconds, 2),
        wall_seconds=manifest.wall_seconds,
        account=manifest.account,
        engine=manifest.engine,
        counters=manifest.counters,
        throughput=manifest.throughput,
        cpu_seconds=manifest.cpu_seconds,
        peak_memory_mb=manifest.peak_memory_mb,
    )


def _read(file: Path) -> int:
    """Bring a file into the page cache; its size."""
    with file.open("rb", buffering=0) as opened:
        while opened.read(_READ_BYTES):
            pass
        return opened.tell()


def show(scans: list[Scanned]) -> str:
    """A line a scan, of 79 columns."""
    title = "{:12}{:>10}{:>7}{:>7}{:>8}{:>7}{:>8}{:>6}{:>7}{:>7}"
    line = "{:12}{:>10,}{:>7.1f}{:>7.1f}{:>8.1f}{:>7.1f}{:>8,.0f}{:>6.2f}{:>7.0f}{:>7.0f}"
    return "\n".join(
        [
            title.format("", "", "wall", "parent", "workers", "cpu", "", "times", "parent", "worker"),
            title.format("", "rows", "s", "cpu s", "cpu s", "µs/row", "rows/s", "floor", "MB", "MB"),
            *(line.format(*_cells(each)) for each in scans),
        ]
    )


def _cells(of: Scanned) -> tuple[str | float, ...]:
    cpu, speed, memory = of.cpu_seconds, of.throughput, of.peak_memory_mb
    us_per_row = sum(cpu.values()) / max(of.counters.rows, 1) * 1e6
    times = of.wall_seconds, cpu["parent"], cpu["workers"], us_per_row
    peaks = memory["parent"], memory["largest_worker"]
    return of.source[:11], of.account.planned, *times, speed["rows_per_second"], speed.get("efficiency", 0.0), *peaks


def flaws(scans: list[Scanned]) -> Iterator[str]:
    """What is not as promised."""
    smallest = min(scans, key=lambda each: each.account.planned)
    for each in scans:
        if each.account.not_reached or not each.account.balances():
            yield f"{each.source}: {each.account.not_reached:,} rows were not reached"
        for who, most in (("parent", PARENT_MB), ("largest_worker", WORKER_MB)):
            peak, before = each.peak_memory_mb[who], smallest.peak_memory_mb[who]
            if each.engine["workers"] and peak > most:
                yield f"{each.source}: {who.replace('_', ' ')} took {peak:.0f} MB, more than {most}"
            if peak > GROWTH * before:
                yield f"{each.source}: {who.replace('_', ' ')} took {peak:.0f} MB, {smallest.source} only {before:.0f}"


@contextmanager
def look_alike(rows: int) -> Iterator[Path]:
    """A corpus of so many rows, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="bench-full-") as folder:
        corpus = Path(folder) / f"{rows}-rows"
        make_corpus(corpus, rows=rows)
        yield corpus


def main() -> None:
    """Scan, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="*", type=Path)
    parser.add_argument("--rows", action="append", type=int, default=[])
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--save", type=Path, help="JSON file for the figures, machine, versions and commit")
    options = parser.parse_args()
    if not options.source and not options.rows:
        parser.error("name a folder, or --rows")
    warn_if_busy()
    scans: list[Scanned] = []
    with tempfile.TemporaryDirectory(prefix="bench-full-") as folder:
        scans += [scan(source.resolve(), options.workers, Path(folder)) for source in options.source]
        for rows in options.rows:
            with look_alike(rows) as corpus:
                scans.append(scan(corpus, options.workers, Path(folder)))
    print(show(scans))
    save({"scans": scans}, options.save)
    found = list(flaws(scans))
    print("\n".join(found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
