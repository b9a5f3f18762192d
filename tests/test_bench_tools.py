"""The tools of `make bench` around the measurements: tables, and what is said of scans of whole corpora."""

from __future__ import annotations

import msgspec
import pytest

from bench import full, side_by_side
from bench.stage_work import STAGES
from bench.stages import TITLES, Line
from bench.stages import show as show_stages
from scanner.bench.ratios import Ratio
from scanner.run import Account
from scanner.shards import Counters

RATIO = Ratio(12.04, 11.88, 12.26, 7)


def scanned(rows: int, parent_mb: float, worker_mb: float, **account: int) -> full.Scanned:
    """A scan of so many rows that peaked at these figures."""
    not_reached = account.get("not_reached", 0)
    return full.Scanned(
        source=f"{rows}-rows",
        n_files=1,
        file_bytes=5_000 * rows,
        command_seconds=2.0,
        wall_seconds=1.5,
        account=Account(rows, rows - not_reached, 0, 0, 0, not_reached),
        engine={"name": "processes", "workers": 2},
        counters=Counters(rows=rows),
        throughput={"rows_per_second": 20_001.5, "efficiency": 1.8},
        cpu_seconds={"parent": 0.2, "workers": 2.5},
        peak_memory_mb={"parent": parent_mb, "largest_worker": worker_mb},
    )


@pytest.mark.parametrize(
    ("scans", "words"),
    {
        "as promised": ([scanned(50_000, 300, 150), scanned(400_000, 310, 150)], []),
        "too much": ([scanned(50_000, 401, 251)], ["parent took 401 MB", "largest worker took 251 MB"]),
        "grows": ([scanned(50_000, 200, 100), scanned(400_000, 240, 100)], ["parent took 240 MB, 50000-rows only 200"]),
        "rows are missing": ([scanned(50_000, 300, 150, not_reached=7)], ["7 rows were not reached"]),
    }.values(),
    ids=str,
)
def test_what_is_not_as_promised_is_said(scans: list[full.Scanned], words: list[str]) -> None:
    """Each flaw of a scan of a whole corpus is a line, and nothing else is."""
    found = list(full.flaws(scans))
    assert len(found) == len(words)
    for flaw, word in zip(found, words, strict=True):
        assert word in flaw


def test_a_scan_is_a_line_of_79_columns() -> None:
    """The table of whole corpora fits a terminal at the size of the real dataset, and its columns stand in line."""
    lines = full.show([scanned(1_739_326, 300, 150)]).splitlines()
    assert len(lines) == 3
    assert {len(line) for line in lines} == {79}
    assert "1,739,326" in lines[-1]


@pytest.mark.parametrize(("columns", "longest"), [(80, 80), (104, 104), (200, 104)])
def test_side_by_side_fits_the_terminal(columns: int, longest: int) -> None:
    """No line is wider than 80 columns where that is all there is; intervals are left out then."""
    lines = [
        side_by_side.Line(title, 50_000, 1234.5, 617.3, ratio, ratio)
        for title, ratio in (("scanner, one process", None), ("datasets.map, 2 processes", RATIO))
    ]
    shown = side_by_side.show(side_by_side.Table("pax", 50_000, 7, lines, RATIO, RATIO), columns)
    assert max(map(len, shown.splitlines())) <= longest
    assert ("12.04 [11.88, 12.26]" in shown.splitlines()[3]) == (columns >= 104)


def test_every_stage_has_a_title_and_a_base() -> None:
    """Each stage is shown with what it adds to one that is measured too."""
    lines = [Line(stage, 10.0 * n, msgspec.structs.replace(RATIO)) for n, stage in enumerate(TITLES)]
    shown = show_stages("pax", 50_000, lines)
    assert set(STAGES) < set(TITLES)
    assert all(not base or base in TITLES for _, base in TITLES.values())
    assert len(shown.splitlines()) == 2 + len(TITLES)
