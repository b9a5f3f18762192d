"""Whole scans, each in a process of its own: what an earlier one left in memos would make a later one look fast.

Such a process first scans a single row of nothing, so that imports and the start of the forkserver, which no long scan
notices, are not counted.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from scanner.api import open_engine
from scanner.bench.part import part_of
from scanner.bench.ratios import Cost
from scanner.bench.stages import Sampler
from scanner.environment import settled
from scanner.options import Options
from scanner.pipeline import run_scan
from scanner.progress import progress_for
from scanner.run import Run
from scanner.shards import Counters
from scanner.sources import Plan, Source
from scanner.sources.arrow import Columns
from scanner.sources.memory import TableSource
from scanner.sources.opening import open_source
from scanner.storage import open_folder


class Request(NamedTuple):
    """One scan to be measured."""

    source: str
    rows: int
    workers: int
    """0: in the process itself."""
    options: Options
    folder: str
    """An existing folder for what it writes."""


class Taken(NamedTuple):
    """What it took."""

    cost: Cost
    """Of the process and its workers, the writing of the Run included, the plan not."""
    modules: Counter[str]
    """Samples by module of the process, see :class:`scanner.bench.stages.Sampler`."""
    wait_seconds: float
    """How long the producer waited for workers."""
    counters: Counters
    verified: int
    """Rows with a verifier by the notebook's rule: what other tools can be compared by."""


def scan_once(request: Request) -> Taken:
    """Scan as asked in a fresh process, set up as a command is, and say what it took.

    Raises ScannerError as :func:`scanner.scan` does.
    """
    with settled(), ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(_measured, request).result()


def _measured(request: Request) -> Taken:
    options = msgspec.structs.replace(request.options, workers=request.workers, engine="processes")
    nothing = TableSource(pa.table({"path": ["nothing-0"], "task_binary": [b""]}), columns=Columns())
    _run(nothing, nothing.plan(), options, request.folder)
    source = open_source(request.source, request.options)
    plan = part_of(source.plan(), request.rows)
    sampler = Sampler()
    cpu, wall = time.process_time(), time.perf_counter()
    with sampler:
        run = _run(source, plan, options, request.folder)
    wall_seconds = time.perf_counter() - wall
    cpu_seconds = time.process_time() - cpu
    manifest = run.manifest
    if request.workers:
        cpu_seconds += manifest.counters.cpu_ns / 1e9
    waits = manifest.engine.get("wait_seconds", 0.0)
    verified = run.stats.overall.heuristic_verifier
    return Taken(Cost(cpu_seconds, wall_seconds), sampler.modules, waits, manifest.counters, verified)


def _run(source: Source, plan: Plan, options: Options, folder: str) -> Run:
    with tempfile.TemporaryDirectory(dir=folder) as out, progress_for("quiet", planned_rows=None) as told:
        run = run_scan(source, plan, open_engine(options), open_folder(Path(out) / "run"), options, told)
        assert run.stats  # read while it is there
        return run
