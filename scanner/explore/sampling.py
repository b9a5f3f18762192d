"""A few rows to look at: seeded, spread over the sources and, within a source, over its whole length.

A plain draw would nearly always be of the largest source (a third of all rows) and would seldom show the small ones. So
sources take turns, in an order drawn by the seed; a source that has k turns is cut into k equal stretches and gives one
row of each, which spreads them over its row groups whatever their sizes. Drawn by PCG64 from row counts alone: the same
rows on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread_sample(sizes: Sequence[int], n: int, seed: int) -> list[int]:
    """``n`` distinct row numbers, ascending, out of consecutive sources of these sizes (fewer where there are fewer).

    >>> spread_sample([1000, 10, 10], 3, seed=0)
    [850, 1006, 1010]
    """
    random = np.random.Generator(np.random.PCG64(seed))
    turns = _turns(sizes, n, random.permutation(len(sizes)).tolist())
    numbers = []
    first = 0
    for size, k in zip(sizes, turns, strict=True):
        for stretch in range(k):
            low, high = size * stretch // k, size * (stretch + 1) // k
            numbers.append(first + int(random.integers(low, high)))
        first += size
    return numbers


def _turns(sizes: Sequence[int], n: int, order: Sequence[int]) -> list[int]:
    """How many rows each source gives when they take turns in ``order`` until ``n`` are drawn or none is left."""
    turns = [0] * len(sizes)
    left = min(n, sum(sizes))
    while left:
        open_ones = [source for source in order if turns[source] < sizes[source]]
        fewest = min(sizes[source] - turns[source] for source in open_ones)
        each = max(1, min(left // len(open_ones), fewest))
        for source in open_ones[:left]:
            turns[source] += each
            left -= each
    return turns
