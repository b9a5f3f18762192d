"""Counters that no machine can blur: the same numbers every time, others as soon as the code does more."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.slowdowns import put_into
from scanner.bench.compare import compare_exact, read_figures
from scanner.bench.exact import Exact, count, read_packed, write_packed
from scanner.cli import main
from scanner.corpus.sources import MAIN, row_of
from scanner.errors import ScannerError
from scanner.options import Options
from scanner.sources.opening import open_source

ROOT = Path(__file__).parent.parent
CONTENDER = [sys.executable, str(ROOT / "bench" / "contender.py")]
ROWS = 60


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the main flavour."""
    rows = [row_of(MAIN, 0, row) for row in range(ROWS)]
    path = tmp_path_factory.mktemp("bench") / "tasks.parquet"
    pq.write_table(pa.table({"path": [row.path for row in rows], "task_binary": [row.blob for row in rows]}), path)
    return path


@pytest.fixture(scope="module")
def packed(tasks: Path) -> Path:
    """Its rows as they are counted."""
    source = open_source(tasks, Options())
    plan = source.plan()
    path = tasks.with_name("packed")
    write_packed([batch.pack() for batch in source.read(plan, range(len(plan.units)), lambda *_: None)], path)
    return path


@pytest.fixture(scope="module")
def counted(packed: Path) -> Exact:
    """The counters of the tree as it is."""
    return count(packed, valgrind=False)


def test_counting_twice_gives_the_same(counted: Exact, packed: Path) -> None:
    """Another process counts exactly the same, whatever else runs on the machine; allocations, to a thousandth."""
    again = count(packed, valgrind=False, command=CONTENDER)
    for name in Exact.__struct_fields__:
        one, other = getattr(counted, name), getattr(again, name)
        if name.startswith("allocat") and one is not None:
            assert other == pytest.approx(one, rel=1e-3), name
        else:
            assert other == one, name


def test_a_blob_is_copied_once(counted: Exact) -> None:
    """From the Arrow buffer to the decompressor a blob's bytes are copied once, into the queue."""
    assert counted.rows == ROWS
    assert counted.copies == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc brings what counts allocations")
def test_allocations_are_counted(counted: Exact) -> None:
    """Without being asked for; a row takes at least one for each of its files, and less memory than what streams do."""
    assert counted.allocations_per_row is not None
    assert counted.allocated_bytes_per_row is not None
    assert 10 < counted.allocations_per_row < 10_000
    assert counted.allocated_bytes_per_row > counted.allocations_per_row


def slowed(tmp_path: Path, slowdown: str) -> str:
    """A copy of this tree that is slower."""
    shutil.copytree(ROOT / "scanner", tmp_path / "scanner", ignore=shutil.ignore_patterns("__pycache__"))
    put_into(tmp_path, slowdown)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("slowdown", "told_by"),
    [("copy", "copies"), ("checksum", "bytecodes per row"), ("parse", "calls per row")],
)
def test_each_seeded_slowdown_is_found(
    slowdown: str, told_by: str, counted: Exact, packed: Path, tmp_path: Path
) -> None:
    """An extra copy a row, checksums by sum() and a parse without memo each fail the gate, without any clock."""
    now = count(packed, valgrind=False, command=CONTENDER, python_path=slowed(tmp_path, slowdown))
    worse = [each.what for each in compare_exact(counted, now) if each.is_worse]
    assert told_by in worse
    assert "raw bytes" not in worse, "the same must come out"


def test_a_process_that_cannot_count_is_told(tmp_path: Path) -> None:
    """What goes wrong in the other process is an error with its last words."""
    with pytest.raises(ScannerError, match=r"(?s)counting failed.*FileNotFoundError"):
        count(tmp_path / "nothing", valgrind=False, command=CONTENDER)


def test_packed_rows_are_read_back(packed: Path, tmp_path: Path) -> None:
    """The first rows alone are written, as many as asked."""
    from scanner.batch import Batch

    write_packed(read_packed(packed), tmp_path / "few", 7)
    assert sum(len(Batch.unpack(each)) for each in read_packed(tmp_path / "few")) == 7


def test_bench_measures_and_compares(tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What --json prints is the base of a comparison; where the base copied less, that is said and the exit code 1."""
    arguments = ["bench", str(tasks), "--workers", "1", "--pairs", "1"]
    assert main([*arguments, "--json"]) == 0
    figures = read_figures(capsys.readouterr().out.encode())
    assert figures.rows == ROWS
    assert figures.raw_bytes == figures.exact.raw_bytes
    assert [scan.workers for scan in figures.scans] == [0, 1]
    assert figures.efficiency.low > 1
    assert set(figures.stages_us) >= {"read", "inflate", "interpret", "write"}
    better = msgspec.structs.replace(figures, exact=msgspec.structs.replace(figures.exact, copies=0))
    base = tmp_path / "base.json"
    base.write_bytes(msgspec.json.encode(better))
    assert main([*arguments, "--compare", str(base), "--fail-above", "100"]) == 1
    shown = capsys.readouterr()
    assert "times the floor" in shown.out
    assert "WORSE copies" in shown.err
