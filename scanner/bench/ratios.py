"""Ratios of things measured in the same run, in alternation: what can be trusted where absolute times cannot.

A noisy machine slows both sides of a pair, so their ratio stays; what hits one side alone makes an outlier, which a
median ignores. How far the median may be off is told by a bootstrap over the pairs (Efron 1979), so a comparison can
ask for evidence instead of luck.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

PAIRS: Final = 7
"""Pairs that a median takes at least: with fewer, one outlier on each side already moves it."""

RESAMPLES: Final = 4_000
CONFIDENCE: Final = 0.95
_TINY: Final = 1e-12


class Cost(NamedTuple):
    """What one call took."""

    cpu_seconds: float
    """Processor time, that of child processes included."""
    wall_seconds: float

    def per(self, rows: int) -> Cost:
        """The same for one of so many rows."""
        return Cost(self.cpu_seconds / rows, self.wall_seconds / rows)


class Ratio(msgspec.Struct, frozen=True):
    """A median of paired ratios with its bootstrap interval (95 %)."""

    median: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def cost_of(call: Callable[[], object]) -> Cost:
    """Run ``call`` here and take its cost."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    call()
    wall_seconds = time.perf_counter() - wall
    return Cost(_cpu_seconds() - cpu, wall_seconds)


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def alternate(
    calls: Mapping[str, Callable[[], Cost]],
    rounds: int = PAIRS,
    on_round: Callable[[int], None] = lambda _: None,
) -> dict[str, list[Cost]]:
    """The costs that each call returns, round by round: every round runs all of them once.

    Every other round backwards, so that what one leaves behind (caches, a busy disk) does not fall on the same always.
    ``on_round`` is told the number of each round, from 0, before it begins.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in calls}
    for number in range(rounds):
        on_round(number)
        names = list(calls) if number % 2 == 0 else list(calls)[::-1]
        for name in names:
            costs[name].append(calls[name]())
    return costs


def ratio_of(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """The median of ``above[i] / below[i]`` with its interval. The same input gives the same interval.

    Raises ValueError where the sequences differ in length or are empty.
    """
    if len(above) != len(below) or not above:
        raise ValueError(f"{len(above)} measurements above and {len(below)} below make no pairs")
    ratios = np.asarray(above, np.float64) / np.maximum(np.asarray(below, np.float64), _TINY)
    return Ratio(float(np.median(ratios)), *_interval(_medians(ratios)), len(ratios))


def change_of(now: Sequence[float], before: Sequence[float]) -> Ratio:
    """How much larger the ratios of one run are than those of an earlier one.

    The interval is that of single pairs against single pairs (95 % of them), not of the medians: what else ran then
    and what runs now has nothing in common, and the spread within the runs is all that is known of its influence.
    """
    changes = np.divide.outer(np.asarray(now, np.float64), np.maximum(np.asarray(before, np.float64), _TINY))
    return Ratio(float(np.median(changes)), *_interval(changes.ravel()), min(len(now), len(before)))


def _medians(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    drawn = np.random.Generator(np.random.PCG64(0)).integers(0, len(values), (RESAMPLES, len(values)))
    medians: np.ndarray[tuple[int], np.dtype[np.float64]] = np.median(values[drawn], axis=1)
    return medians


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
