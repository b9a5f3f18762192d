"""Ctrl-C: the first leaves a valid partial Run and says how to go on, the second ends at once; both can be resumed."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from parquet_files import make_dataset
from processes_of import descendants, still_there, wait_until_loaded

import scanner
from scanner.interrupts import Interrupts
from scanner.run import Run

SOURCES = {"a__first": 4_000, "b__second": 4_000, "c__third": 4_000}
PLANNED = sum(SOURCES.values())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("interrupted") / "data", SOURCES, row_group_size=1000)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The undisturbed scan."""
    return scanner.scan(data, out=tmp_path_factory.mktemp("whole") / "run", workers=1)


def outputs(run: Run) -> list[bytes]:
    return [(run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")]


def start(data: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """A scan in a process (and a process group) of its own."""
    command = [sys.executable, "-m", "scanner", "scan", str(data), "--out", str(out), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_shards(out: Path, n: int, child: subprocess.Popen[str]) -> None:
    """Until so many shards are on disk (or the scan has ended: the test then says so)."""
    while child.poll() is None and len(list(out.glob("shards/*/*.msgpack"))) < n:
        select.select([], [], [], 0.005)


@pytest.mark.parametrize("options", [("--workers", "2"), ("--engine", "serial")], ids=["processes", "serial"])
@pytest.mark.parametrize("shards", [1, 4])
def test_one_interrupt_leaves_a_valid_partial_run(
    data: Path, whole: Run, tmp_path: Path, options: tuple[str, ...], shards: int
) -> None:
    """Exit 130, an account that balances with rows not reached, as many records as it says, nothing left running."""
    out = tmp_path / "my run"
    child = start(data, out, *options, "--fresh")
    wait_for_shards(out, shards, child)
    family = descendants(child.pid)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does it: every process of the group
    _, said = child.communicate(timeout=300)
    assert child.returncode == 130, said
    assert not still_there(family)
    run = Run(out)
    assert run.manifest.state == "partial"
    assert run.account.balances()
    assert 0 < run.account.not_reached < PLANNED
    assert run.records().collect().height == run.account.ok == PLANNED - run.account.not_reached
    assert run.stats.overall.rows == run.account.ok
    assert not list(out.rglob("*.part"))

    line = said.strip().splitlines()[-1]
    assert re.search(rf"interrupted; {run.account.ok:,} of {PLANNED:,} rows are done and kept in ", line)
    words = shlex.split(line.partition("continue with: ")[2])
    assert words[0] == "scanner"
    assert "--fresh" not in words
    again = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=True)
    assert "Traceback" not in again.stderr
    assert outputs(Run(out)) == outputs(whole)


def test_it_ends_soon(data: Path, tmp_path: Path) -> None:
    """From Ctrl-C to the end of the last process it takes less than the two seconds that are promised."""
    child = start(data, tmp_path / "run", "--workers", "2")
    wait_for_shards(tmp_path / "run", 3, child)
    before = _cpu_seconds(child.pid)
    os.killpg(child.pid, signal.SIGINT)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.communicate()
    assert usage.ru_utime + usage.ru_stime - before < 2  # processor time: a busy machine is no fault of ours


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("pause_ms", [0, 20])
def test_a_second_interrupt_ends_at_once_and_resumes(data: Path, whole: Run, tmp_path: Path, pause_ms: int) -> None:
    """Two in a row, at any distance: exit 130, no process left, and the same command completes the Run."""
    out = tmp_path / "run"
    child = start(data, out, "--workers", "2")
    wait_for_shards(out, 2, child)
    family = descendants(child.pid)
    for _ in range(2):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
            select.select([], [], [], pause_ms / 1000)
    _, said = child.communicate(timeout=300)
    assert child.returncode in {130, -signal.SIGINT}, said
    assert not still_there(family)
    assert outputs(scanner.scan(data, out=out, workers=2)) == outputs(whole)


def test_an_interrupt_while_planning(tmp_path: Path, data: Path) -> None:
    """Before the first row there is nothing to keep: exit 130, and the same command works."""
    child = start(data, tmp_path / "run")
    wait_until_loaded(child.pid, "libparquet")  # what plans are made with: no row is scanned yet
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 130, said
    assert "continue with: scanner scan " in said


STRUCK = """
import os, pkgutil, signal, sys
from scanner import cli

place, _, name = sys.argv.pop(1).rpartition(".")
owner = pkgutil.resolve_name(place)
do = getattr(owner, name)
def struck(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return do(*arguments, **options)
setattr(owner, name, struck)
sys.argv[0] = "scanner"
sys.exit(cli.main())
"""
"""``scanner``, interrupted whenever it calls what the first argument names."""

PHASES = {
    "planning": "scanner.api.open_source",
    "looking": "scanner.pipeline._Scan.open",
    "beginning": "scanner.pipeline._Scan.begin",
    "working": "scanner.pipeline._Scan.work",
    "writing": "scanner.pipeline._Scan._append_ready",
    "finishing": "scanner.pipeline._Scan.finish",
    "reporting": "scanner.cli.report.show",
}


@pytest.mark.parametrize("done", [False, True], ids=["new", "resumed"])
@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_an_interrupt_in_any_phase(tmp_path: Path, phase: str, done: bool) -> None:
    """Wherever it comes: exit 130 and the line that continues it, a Run whose records are those it accounts for."""
    data, out = (
        make_dataset(tmp_path / "data", {"a__first": 300, "b__second": 300}, row_group_size=100),
        tmp_path / "run",
    )
    arguments = ["scan", str(data), "--out", str(out), "--workers", "1"]
    if done:
        scanner.scan(data, out=out, engine="serial")
        for shard in sorted(out.glob("shards/*/*.msgpack"))[::3]:
            shard.unlink()
    command = [sys.executable, "-c", STRUCK, phase, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 130, ended.stderr
    assert "continue with: scanner scan " in ended.stderr
    assert "Traceback" not in ended.stderr
    if (out / "run.json").exists():
        run = Run(out)
        assert run.account.balances()
        if run.manifest.state != "running":
            assert run.records().collect().height == run.account.planned - run.account.not_reached
    whole = scanner.scan(data, out=tmp_path / "whole", engine="serial")
    assert outputs(scanner.scan(data, out=out, engine="serial")) == outputs(whole)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


STRUCK_IN_EXEC = """
import sys
from scanner import cli
def run(arguments):
    exec("raise KeyboardInterrupt")
cli._run = run
sys.exit(cli.main(["scan"]))
"""


def test_an_interrupt_while_something_is_imported(tmp_path: Path) -> None:
    """Exit 130 also where Ctrl-C comes within an ``exec``, after which CPython would end ``-m`` with SIGINT."""
    (tmp_path / "struck.py").write_text(STRUCK_IN_EXEC)
    command = [sys.executable, "-m", "struck"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "scanner: interrupted\n")


def test_steps_are_not_interrupted() -> None:
    """Among steps the first SIGINT is kept for the next wait; the second is not kept."""
    steps: list[str] = []
    with Interrupts() as interrupts, interrupts.held():
        interrupt()
        steps.append("first")
        with pytest.raises(KeyboardInterrupt), interrupts.released():
            steps.append("a wait")
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert steps == ["first"]


def test_a_wait_among_steps_is_interrupted_at_once() -> None:
    """While a scan waits SIGINT raises as ever; the step after the wait is protected again."""
    with Interrupts() as interrupts, interrupts.held():
        with interrupts.released():
            pass
        interrupt()
    with Interrupts() as interrupts, interrupts.held(), pytest.raises(KeyboardInterrupt), interrupts.released():
        interrupt()


def test_a_swallowed_interrupt_is_raised_again() -> None:
    """Where something swallows the KeyboardInterrupt, the next wait begins with it, or the end of the scan."""
    with Interrupts() as interrupts:
        with contextlib.suppress(KeyboardInterrupt):
            interrupt()
        with interrupts.held():
            with pytest.raises(KeyboardInterrupt), interrupts.released():
                pass
            with pytest.raises(KeyboardInterrupt):
                interrupts.check()


def test_planning_and_scanning_see_the_same_signals() -> None:
    """Entered within another one it is that one, and leaves the handler to it."""
    with Interrupts() as outer:
        with Interrupts() as inner:
            assert inner is outer
        with contextlib.suppress(KeyboardInterrupt):
            interrupt()
        with pytest.raises(KeyboardInterrupt):
            outer.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_steps_an_interrupt_is_as_ever() -> None:
    """Where nothing is held SIGINT raises at once; afterwards Python's own handler is back."""
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_scans_in_threads_leave_signals_alone(data: Path, whole: Run, tmp_path: Path) -> None:
    """A scan in another thread than the main one installs no handler and gives the same bytes."""
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(scanner.scan(data, out=tmp_path / "run", engine="serial")))
    thread.start()
    thread.join()
    assert outputs(found[0]) == outputs(whole)
