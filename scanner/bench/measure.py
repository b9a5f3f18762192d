"""``scanner bench``: the floor, whole scans with several numbers of workers, and where the time goes.

All of it is taken in one run, in alternation, from the same rows, so the figures can be compared with one another
whatever else the machine does. The rows are the first of each file, in proportion: files are read from their start.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from scanner import compiled
from scanner.batch import Batch
from scanner.bench.exact import Exact, count, write_packed
from scanner.bench.floor import inflate_all
from scanner.bench.part import part_of
from scanner.bench.ratios import PAIRS, Cost, Ratio, alternate, cost_of, ratio_of
from scanner.bench.stages import shares
from scanner.bench.verdict import verdict
from scanner.bench.whole import Request, scan_once
from scanner.errors import SourceError
from scanner.manifest import machine, now_utc, usable_cores, versions
from scanner.options import MIB, Options
from scanner.shards import Counters
from scanner.sources import Source
from scanner.sources.opening import open_source

ROWS: Final = 20_000
"""Rows that are measured, unless asked otherwise: seconds a scan, so that starting workers does not show."""

HELD_BYTES: Final = 512 * MIB
"""Blobs that are held in memory for the floor; rows beyond are left out."""


class Scan(msgspec.Struct, frozen=True):
    """Whole scans with one number of workers. Costs are µs a row, medians."""

    workers: int
    """0: in this process."""
    cpu_us: float
    wall_us: float
    rows_per_second: float
    speedup: Ratio
    """Wall time of the scan in this process over that of this one."""
    wait_share: float
    """Share of the wall time in which the producer waited for workers."""


class Figures(msgspec.Struct, kw_only=True):
    """What ``scanner bench --json`` prints."""

    schema: int = 1
    taken: str
    source: str
    rows: int
    blob_bytes: int
    raw_bytes: int
    floor_cpu_us: float
    """Inflating alone, µs a row."""
    efficiency: Ratio
    """Processor time of the whole scan in one process over the floor: 1 would be nothing but inflating."""
    efficiencies: list[float]
    """The ratio of each pair, for comparisons."""
    scans: list[Scan]
    stages_us: dict[str, float]
    """Processor time of each stage, µs a row; the scan in one process."""
    modules: dict[str, float]
    """The same by module, as shares, the largest ones."""
    verdict: str
    """What limits these scans, in a sentence or two."""
    exact: Exact
    load: float
    """Processes that wanted a core meanwhile, ours included."""
    machine: dict[str, str]
    versions: dict[str, str]


def bench(
    source: str | os.PathLike[str],
    *,
    workers: Sequence[int] = (),
    rows: int = ROWS,
    pairs: int = PAIRS,
    valgrind: bool = False,
    options: Options | None = None,
    on_round: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Measure ``source`` on this machine.

    Args:
        source: What :func:`scanner.scan` takes by name.
        workers: Numbers of workers; by default 1, 2, 4, … up to the cores that this process may use.
        rows: Rows that are measured.
        pairs: Rounds; every ratio is a median of so many pairs.
        valgrind: Count machine instructions too: half a minute of processor time.
        options: Selection, limits and columns.
        on_round: Told what is done next, in a line.

    Raises:
        ScannerError: as :func:`scanner.scan` does.
    """
    numbers = sorted({*(workers or _powers(usable_cores()))} - {0})
    with tempfile.TemporaryDirectory(prefix="scanner-bench-") as folder:
        bencher = _Bencher(os.fspath(source), rows, options or Options(), Path(folder))
        on_round("warming up")
        bencher.warm_up()
        costs = alternate(bencher.calls(numbers), pairs, lambda number: on_round(f"round {number + 1} of {pairs}"))
        on_round("counting")
        exact = bencher.count(valgrind=valgrind)
        on_round("")
        return bencher.figures(costs, exact)


def _powers(cores: int) -> list[int]:
    return sorted({1 << n for n in range(cores.bit_length()) if 1 << n <= cores} | {cores})


class _Bencher:
    """One measurement under way."""

    def __init__(self, source: str, rows: int, options: Options, folder: Path) -> None:
        self._source = source
        self._options = options
        self._folder = folder
        self._modules: Counter[str] = Counter()
        self._waits: dict[int, float] = {}
        self._counters = Counters()
        self._packed = _held(open_source(source, options), rows)
        self._rows = sum(len(Batch.unpack(packed)) for packed in self._packed)

    def warm_up(self) -> None:
        """Bring code and files into memory."""
        self._floor()
        self._scan(0)
        self._modules.clear()

    def calls(self, numbers: Sequence[int]) -> dict[str, Callable[[], Cost]]:
        """What is measured in alternation, by ``floor`` and number of workers."""
        return {"floor": self._floor, **{str(number): partial(self._scan, number) for number in (0, *numbers)}}

    def _floor(self) -> Cost:
        return cost_of(lambda: inflate_all(self._packed))

    def _scan(self, workers: int) -> Cost:
        taken = scan_once(Request(self._source, self._rows, workers, self._options, str(self._folder)))
        self._waits[workers] = self._waits.get(workers, 0.0) + taken.wait_seconds
        self._counters = taken.counters
        if not workers:
            self._modules += taken.modules
        return taken.cost

    def count(self, *, valgrind: bool) -> Exact:
        """The exact counters of the first rows."""
        path = self._folder / "packed"
        write_packed(self._packed, path)
        return count(path, valgrind=valgrind)

    def figures(self, costs: dict[str, list[Cost]], exact: Exact) -> Figures:
        """All that was measured."""
        rows = self._rows
        cpu = {name: [cost.cpu_seconds for cost in taken] for name, taken in costs.items()}
        wall = {name: [cost.wall_seconds for cost in taken] for name, taken in costs.items()}
        scans = [
            Scan(
                workers=int(name),
                cpu_us=round(median(cpu[name]) / rows * 1e6, 2),
                wall_us=round(median(wall[name]) / rows * 1e6, 2),
                rows_per_second=round(rows / median(wall[name]), 1),
                speedup=ratio_of(wall["0"], wall[name]),
                wait_share=round(self._waits[int(name)] / sum(wall[name]), 3),
            )
            for name in costs
            if name != "floor"
        ]
        samples, counters = self._modules, self._counters
        inflating = counters.inflating_seconds / median(cpu["0"])
        stages = {stage: round(share * scans[0].cpu_us, 2) for stage, share in shares(samples, inflating).items()}
        efficiency = ratio_of(cpu["0"], cpu["floor"])
        return Figures(
            taken=now_utc(),
            source=self._source,
            rows=rows,
            blob_bytes=counters.blob_bytes,
            raw_bytes=counters.raw_bytes,
            floor_cpu_us=round(median(cpu["floor"]) / rows * 1e6, 2),
            efficiency=efficiency,
            efficiencies=[above / below for above, below in zip(cpu["0"], cpu["floor"], strict=True)],
            scans=scans,
            stages_us=stages,
            modules={name: round(n / samples.total(), 3) for name, n in samples.most_common(20)},
            verdict=verdict(
                efficiency.median, scans, stages, usable_cores(), is_compiled=compiled.library() is not None
            ),
            exact=exact,
            load=round(os.getloadavg()[0], 2),
            machine=machine(),
            versions=versions(),
        )


def _held(source: Source, rows: int) -> list[bytearray]:
    """About ``rows`` rows in memory, for the floor; fewer where they would be more than :data:`HELD_BYTES`."""
    plan = source.plan()
    while True:
        part = part_of(plan, rows)
        packed: list[bytearray] = []
        left = HELD_BYTES
        for batch in source.read(part, range(len(part.units)), _unreadable):
            packed.append(batch.pack())
            left -= len(packed[-1])
            if left < 0:
                break
        if left >= 0 or rows == 1:
            return packed
        rows = max(1, sum(len(Batch.unpack(each)) for each in packed) * 3 // 4)


def _unreadable(file: str, unit: int, reason: str) -> None:
    raise SourceError(f"{file} cannot be read from unit {unit} on: {reason}")
