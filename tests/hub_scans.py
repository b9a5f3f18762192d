"""Scans of a loopback Hub without real waits: time passes when the client waits, and as fast as it likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from hub_server import HubServer
from parquet_files import tar_gz, write_rows

import scanner
from scanner.engines.serial import SerialEngine
from scanner.options import Options, Selection
from scanner.pipeline import run_scan
from scanner.sources.arrow import Columns
from scanner.sources.http import Budget, Http
from scanner.sources.hub import open_hub, place_of
from scanner.sources.parquet import ParquetSource
from scanner.storage import open_folder


class Time:
    """A clock that only waits move forward, and what was waited for. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 1000.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        with self._lock:
            self.waits.append(seconds)
            self._now += seconds

    def clock(self) -> float:
        return self._now


class Told:
    """A Watcher that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """Counted elsewhere."""

    def note(self, text: str) -> None:
        self.notes.append(text)


def http_to(
    server: HubServer,
    time: Time,
    *,
    read_seconds: float = 5.0,
    budget: Budget | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Http:
    """A client of ``server`` whose waits are only noted."""
    return Http(
        server.url,
        wait=time.wait,
        clock=time.clock,
        jitter=lambda: 0.0,
        read_seconds=read_seconds,
        budget=budget,
        note=note,
    )


def scan_hub(
    http: Http, out: Path, location: str = "org/tasks", *, told: Told | None = None, **selection: Any
) -> scanner.Run:
    """What ``scanner.scan`` does with a dataset on the Hub, through ``http``."""
    place = place_of(location)
    assert place is not None
    watcher = told or Told()
    chosen = Selection(**selection)
    files = open_hub(place, revision=chosen.revision, include=chosen.include, exclude=chosen.exclude, http=http)
    source = ParquetSource(location, files, columns=Columns(), limit=chosen.limit)
    source.tell = watcher.note
    return run_scan(source, source.plan(), SerialEngine(), open_folder(out), Options(selection=chosen), watcher)


def outputs(run: scanner.Run) -> dict[str, bytes]:
    return {name: (run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")}


def noisy_tasks(n: int, *, size: int = 3_000, seed: int = 0) -> list[bytes]:
    """Tasks that do not compress, so that files have a size."""
    rng = Random(seed)
    return [tar_gz({"instruction.md": b"Do it %d times.\n" % i, "noise": rng.randbytes(size)}) for i in range(n)]


def make_repo(folder: Path, rows: Sequence[int] = (150, 100, 60), *, size: int = 3_000) -> Path:
    """``a__1/tasks.parquet``, ``b__2/…`` and so on, a retired source and a README; row groups of 32 rows."""
    names = [f"{chr(ord('a') + i)}__{i + 1}" for i in range(len(rows))]
    for i, (name, n) in enumerate(zip(names, rows, strict=True)):
        blobs = noisy_tasks(n, size=size, seed=i)
        write_rows(folder / name / "tasks.parquet", blobs, row_group_size=32, prefix=name, compression="none")
    write_rows(folder / "deprecated" / "x__y" / "tasks.parquet", noisy_tasks(3), prefix="old")
    (folder / "README.md").write_text("# Tasks\n")
    return folder
