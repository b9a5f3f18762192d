"""What each stage of a scan adds to inflating alone: processor time a row, by stage, with cold memos as in a scan.

    python -m bench.stages [SOURCE ...] [--rows 50000] [--rounds 3] [--only inflate --only walk ...]

Every stage does all that the one before it does, over the same rows in scan order, in a fresh process that has seen one
row of nothing before. Rows are read beforehand, but for a whole scan, into a Run on disk and in one process; reading
them is a line of its own. The last lines are those of the probe, which reads every row by itself: what rows cost that
are not ordinary. Without SOURCE: the ``pax`` corpus, and a mixed one of the corpus maker.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from bench.corpora import HOME, corpus
from bench.record import commit, save, warn_if_busy
from bench.stage_work import STAGES
from scanner.bench.part import part_of
from scanner.bench.ratios import Cost, Ratio, alternate, ratio_of
from scanner.bench.whole import Request, scan_once
from scanner.corpus import make_corpus
from scanner.environment import settled
from scanner.options import Options
from scanner.sources import Plan, Source
from scanner.sources.arrow import Columns
from scanner.sources.memory import TableSource
from scanner.sources.opening import open_source

ROWS: Final = 50_000
ROUNDS: Final = 3


READ, SCAN = "read", "scan"
TITLES: Final = {
    READ: ("read and pack, alone", ""),
    "inflate": ("inflate only: the floor", ""),
    "quick": ("+ walk, hashes, first bytes: one call", "inflate"),
    "record": ("+ templates, content id, record", "quick"),
    "reading": ("+ rules", "record"),
    "shard": ("+ stats, columns, shard", "reading"),
    SCAN: ("+ read, transport, write: a scan", "shard"),
    "walk": ("row by row: inflate and walk", "inflate"),
    "collect": ("+ hashes, types", "walk"),
    "probe": ("+ rules, record", "collect"),
}
"""What each adds, and to which other one."""


# -- measuring, in a process of its own --------------------------------------------------------------------------------


class Asked(NamedTuple):
    """One measurement."""

    source: str
    rows: int
    stage: str


def cost_in_fresh_process(asked: Asked) -> Cost:
    """What the stage costs over these rows."""
    if asked.stage == SCAN:
        with tempfile.TemporaryDirectory() as folder:
            return scan_once(Request(asked.source, asked.rows, 0, Options(), folder)).cost
    with settled(), ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(_measured, asked).result()


def _measured(asked: Asked) -> Cost:
    source = open_source(asked.source, Options())
    plan = part_of(source.plan(), asked.rows)
    if asked.stage == READ:
        list(_batches(*_nothing()))
        return _timed(lambda: sum(len(batch) for batch in _batches(source, plan)))
    packed = list(_batches(source, plan))
    work = STAGES[asked.stage]()
    work(list(_batches(*_nothing())))  # loads what is loaded on first use
    return _timed(lambda: work(packed))


def _timed(call: Callable[[], object]) -> Cost:
    gc.disable()  # as a worker does
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def _batches(source: Source, plan: Plan) -> Iterator[memoryview]:
    for batch in source.read(plan, range(len(plan.units)), _unreadable):
        yield memoryview(batch.pack())


def _nothing() -> tuple[Source, Plan]:
    """One row that is empty."""
    source = TableSource(pa.table({"path": ["nothing-0"], "task_binary": [b""]}), columns=Columns())
    return source, source.plan()


def _unreadable(file: str, unit: int, reason: str) -> None:
    raise RuntimeError(f"{file}, unit {unit}: {reason}")


# -- the table ---------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A stage: its least and its ratio to the floor of the same round."""

    stage: str
    us_per_row: float
    over_floor: Ratio


def measure(source: str, rows: int, rounds: int, stages: Iterable[str]) -> list[Line]:
    """The stages over the first rows of each file of ``source``, in alternation."""
    n_rows = part_of(open_source(source, Options()).plan(), rows).n_rows
    calls = {stage: partial(cost_in_fresh_process, Asked(source, rows, stage)) for stage in stages}
    costs = alternate(calls, rounds, lambda number: _tell(f"round {number + 1} of {rounds}"))
    cpu = {stage: [cost.cpu_seconds for cost in taken] for stage, taken in costs.items()}
    floor = cpu["inflate"]
    return [Line(stage, min(taken) / n_rows * 1e6, ratio_of(taken, floor)) for stage, taken in cpu.items()]


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def show(source: str, rows: int, lines: Sequence[Line]) -> str:
    """One table."""
    out = [f"{source}, {rows:,} rows; processor time, µs a row, least of the rounds"]
    out.append(f"  {'':38}{'µs/row':>8}{'adds':>8}   times the floor")
    found = {line.stage: line.us_per_row for line in lines}
    for line in lines:
        title, base = TITLES[line.stage]
        step = f"{line.us_per_row - found[base]:.1f}" if base in found else ""
        out.append(f"  {title:38}{line.us_per_row:>8.1f}{step:>8}   {line.over_floor}")
    return "\n".join(out)


def sources(rows: int) -> list[str]:
    """The main flavour, and the whole mix of the corpus maker; made where they are not there yet."""
    mixed = HOME / f"mixed-{rows}"
    if not mixed.exists():
        make_corpus(mixed, rows=rows)
    return [str(corpus("pax", rows).folder), str(mixed)]


def main() -> None:
    """Measure and print a table a source; keep the figures under ``out/bench``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="*")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", action="append", choices=[*TITLES], help="besides the floor; may be repeated")
    options = parser.parse_args()
    warn_if_busy()
    stages = [stage for stage in TITLES if not options.only or stage in (*options.only, "inflate")]
    figures = {}
    for source in options.source or sources(options.rows):
        lines = measure(source, options.rows, options.rounds, stages)
        print(show(Path(source).name, options.rows, lines), end="\n\n", flush=True)
        figures[source] = [line._asdict() for line in lines]
    save({"stages": figures}, HOME / f"stages-{commit().rstrip('+')}.json")


if __name__ == "__main__":
    main()
