"""What limits a scan, in words: the sentence that ``scanner bench`` ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from scanner.bench.ratios import Ratio

_PARENT: Final = ("read", "transport", "write")
_SATURATED: Final = 0.8
"""A parent that is busy for so much of the wall time is what the workers wait for."""

_SCALES: Final = 0.8
"""Speedup over the number of workers from which on more workers may be expected to go on paying."""


class Measured(Protocol):
    """The part of :class:`scanner.bench.measure.Scan` that is judged."""

    @property
    def workers(self) -> int:
        """0: one process did it all."""

    @property
    def wall_us(self) -> float:
        """Of a row."""

    @property
    def speedup(self) -> Ratio:
        """Over one process."""


_NOT_COMPILED: Final = (
    "The scanner was installed without a C compiler, and so takes 1.4 to 1.9 times as long as it could: install it "
    "again where there is one."
)


def verdict(
    efficiency: float,
    scans: Sequence[Measured],
    stages_us: Mapping[str, float],
    cores: int,
    *,
    is_compiled: bool = True,
) -> str:
    """Two sentences: what a core spends its time on, and what keeps more cores from helping. A third where needed."""
    said = f"{_per_core(efficiency, stages_us)} {_of_all_cores(scans, stages_us, cores)}"
    return said if is_compiled else f"{said} {_NOT_COMPILED}"


def _per_core(efficiency: float, stages_us: Mapping[str, float]) -> str:
    total = sum(stages_us.values())
    if not total:
        return f"A core spends {efficiency:.2f} times what inflating alone costs."
    largest = max(stages_us, key=stages_us.__getitem__)
    share = stages_us[largest] / total
    return f"A core spends {efficiency:.2f} times what inflating alone costs, of which {share:.0%} go to {largest}."


def _of_all_cores(scans: Sequence[Measured], stages_us: Mapping[str, float], cores: int) -> str:
    most = max(scans, key=lambda scan: scan.workers)
    speedup = most.speedup.median
    if not most.workers or speedup < 1:
        return "Workers do not pay: either the rows are too few to start any for (see --rows), or the cores are busy."
    parent_us = sum(stages_us.get(stage, 0.0) for stage in _PARENT)
    name = f"{most.workers} worker" + "s" * (most.workers > 1)
    if parent_us > _SATURATED * most.wall_us:
        return (
            f"The one process that reads and writes is the limit: it takes {parent_us:.1f} µs of the "
            f"{most.wall_us:.1f} that a row takes with {name}, so more workers will not help."
        )
    if speedup >= _SCALES * most.workers:
        more = "more cores will make it faster" if most.workers >= cores else "more workers will, up to one a core"
        return f"With {name} it is {speedup:.2f} times as fast as in one process: {more}."
    return (
        f"With {name} it is only {speedup:.2f} times as fast as in one process though the process that feeds them has "
        f"time left: the cores are shared with something else, or share caches and memory with one another."
    )
