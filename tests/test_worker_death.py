"""Rows that kill the worker that reads them: each is found, named and recorded; no other row notices."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chaos
import pytest
from engine_works import ACTS
from parquet_files import make_dataset
from processes_of import descendants

import scanner
from scanner.batch import Batch
from scanner.engines.processes import ProcessEngine
from scanner.options import MIB, Options
from scanner.pipeline import run_scan
from scanner.probes import Probes
from scanner.progress import progress_for
from scanner.run import Run
from scanner.sources.opening import open_source
from scanner.sources.parquet import ParquetSource
from scanner.storage import open_folder

SOURCES = {"a__first": 1_100, "b__second": 300}
PLANNED = sum(SOURCES.values())

CAUSES = {
    "SIGKILL": "signal 9 (SIGKILL)",
    "SIGSEGV": "signal 11 (SIGSEGV)",
    "SIGABRT": "signal 6 (SIGABRT)",
    "SIGTERM": "signal 15 (SIGTERM)",
    "_exit": "exit code 5",
    "memory": "memory limit of 700 MiB",
    "loop": "watchdog: no progress for 1 s of processor time",
    "loop in C": "watchdog: no progress for 1 s of processor time",
}
"""What a row does to its worker, and what its record says of that."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("death") / "data", SOURCES, row_group_size=500)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The undisturbed scan."""
    return scanner.scan(data, out=tmp_path_factory.mktemp("whole") / "run", engine="serial")


def outputs(run: Run) -> list[bytes]:
    return [(run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")]


def scan_with(data: Path, out: Path, function: Callable[[Any], bool], workers: int = 2) -> Run:
    """A scan with a probe, in workers that may take 700 MiB and a second of processor time a row."""
    options = Options()
    source = open_source(str(data), options)
    plan = source.plan()
    engine = ProcessEngine(workers, memory_bytes=700 * MIB, row_seconds=1.0, preload=("scanner.worker",))
    probes = Probes({"deadly": function})
    with progress_for("quiet", planned_rows=plan.n_rows, planned_bytes=None, workers=workers) as watcher:
        return run_scan(source, plan, engine, open_folder(out), options, watcher, probes=probes)


def deadly(act: str, *paths: str) -> Callable[[Any], bool]:
    """A probe that does ``act`` at the rows of these paths. What it needs travels with it."""

    def probe(task: Any) -> bool:
        if task.path in paths:
            ACTS[act]()
        return True

    return probe


@pytest.mark.parametrize("act", CAUSES)
def test_a_deadly_row_is_found_and_costs_no_other(data: Path, whole: Run, tmp_path: Path, act: str) -> None:
    """The row is failed with ``worker-died`` and the cause; every other record is that of the undisturbed scan."""
    victims = {"first-0007", "second-0299"}
    run = scan_with(data, tmp_path / "run", deadly(act, *victims))
    assert run.account.balances()
    assert (run.account.failed, run.account.not_reached) == (2, 0)
    records, expected = run.records().drop("deadly").collect(), whole.records().collect()
    for before, after in zip(expected.to_dicts(), records.to_dicts(), strict=True):
        if after["path"] in victims:
            assert after["status"] == "failed"
            assert [(fault["kind"], fault["detail"]) for fault in after["faults"]] == [("worker-died", CAUSES[act])]
            assert (after["blob_id"], after["source"]) == (before["blob_id"], before["source"])
        else:
            assert after == before


def test_many_deadly_rows_in_a_row(data: Path, tmp_path: Path) -> None:
    """Twelve neighbours that all kill: each is recorded, and the scan goes on."""
    victims = [f"first-{number:04}" for number in range(100, 112)]
    run = scan_with(data, tmp_path / "run", deadly("SIGSEGV", *victims))
    assert (run.account.failed, run.account.ok) == (12, PLANNED - 12)


def test_deaths_do_not_depend_on_the_number_of_workers(data: Path, tmp_path: Path) -> None:
    """Records and statistics with deadly rows are the same bytes for one worker and for three."""
    runs = [scan_with(data, tmp_path / f"{n}", deadly("_exit", "first-0500", "second-0001"), workers=n) for n in (1, 3)]
    assert outputs(runs[0]) == outputs(runs[1])


STILLBORN = """
import os, signal, sys
from scanner import cli, pipeline

def scan_work(*_):
    os.kill(os.getpid(), signal.SIGKILL)

pipeline.ScanWork = scan_work
sys.exit(cli.main())
"""
"""``scanner``, whose workers are killed while they make their work: before they answer anything, on any machine."""


def test_workers_that_die_without_progress(data: Path, whole: Run, tmp_path: Path) -> None:
    """Where every worker is killed before it answers anything: exit 3 with the cause; the next scan completes it."""
    out = tmp_path / "run"
    command = [sys.executable, "-c", STILLBORN, "scan", str(data), "--out", str(out), "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "Workers end again and again without a result, 5 times in a row" in ended.stderr
    assert "signal 9 (SIGKILL)" in ended.stderr
    assert "Traceback" not in ended.stderr
    run = Run(out)
    assert run.account.balances()
    assert run.account.not_reached == PLANNED
    assert outputs(scanner.scan(data, out=out, workers=1)) == outputs(whole)


@pytest.mark.parametrize("limit", [24, 31, 37, 40, 43])
def test_a_pool_that_cannot_start(data: Path, tmp_path: Path, limit: int) -> None:
    """Where there is no room for workers (here: no descriptors): exit 3 with the cause, and a Run that can go on.

    Whichever start it is that the descriptors end in, nobody else's traceback is seen.
    """

    def few_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    command = [sys.executable, "-m", "scanner", "scan", str(data), "--out", str(tmp_path / "run"), "--workers", "30"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, preexec_fn=few_descriptors, check=False
    )
    assert ended.returncode == 3, ended.stderr
    assert "Too many open files" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert Run(tmp_path / "run").account.balances()


def test_a_scan_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    """After a scan with deaths and after an interrupted one, a process has the descriptors and children of before."""

    def left() -> tuple[int, list[int]]:
        return len(list(Path("/dev/fd").iterdir())), descendants(os.getpid())

    scan_with(data, tmp_path / "first", deadly("SIGKILL", "first-0007"))  # its forkserver stays for the next
    before = left()
    scan_with(data, tmp_path / "second", deadly("SIGKILL", "first-0007"))
    assert left() == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ParquetSource, "read", interrupted(ParquetSource.read))
        with pytest.raises(KeyboardInterrupt, match="interrupted; "):
            scan_with(data, tmp_path / "third", deadly("SIGKILL", "first-0007"))
    assert left() == before


def interrupted(read: Callable[..., Iterator[Batch]]) -> Callable[..., Iterator[Batch]]:
    """``read``, with Ctrl-C after the first batch."""

    def reading(*arguments: Any) -> Iterator[Batch]:
        batches = read(*arguments)
        yield next(batches)
        signal.raise_signal(signal.SIGINT)
        yield from batches

    return reading


def test_chaos_in_small(tmp_path: Path) -> None:
    """Workers killed every 0.3 s, a parent killed twice, interrupted thrice: the same bytes (``make chaos``: more)."""
    arena = chaos.Arena(tmp_path, rows=5_000)
    chance = random.Random(1)
    chaos.kill_workers(arena, seconds=1, every_s=0.3, chance=chance)
    chaos.kill_parents(arena, kills=2, chance=chance)
    chaos.interrupt(arena, times=3, chance=chance)
