"""How a plan is cut into Units, and what a limit or a sample leaves of it. From row counts and bytes alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import numpy as np

from scanner.model import Unit

if TYPE_CHECKING:
    from scanner.sources import InputFile

UNIT_BYTES: Final = 3 << 20
"""Blob bytes a Unit aims at: with what a row group's skew adds it still fits a 4 MiB slot most times."""

UNIT_ROWS: Final = 1_024
"""Rows a Unit has at most."""

_ANY_ROWS: Final = 1 << 24
"""Rows that a file of any size may claim: their Units take 3 MB. Equal or null rows take no bytes, so ten million of
them in a few kB may well be there."""

_ROWS_A_BYTE: Final = 16
"""Rows that a larger claim may make for each byte of the file: a plan then takes no more memory than the files have
bytes, three for each, whatever they claim. A row that holds a task takes a hundred bytes, its path alone a few."""


def is_plausible(n_rows: int, size_bytes: int) -> bool:
    """Whether a file of that size may be planned with so many rows: what a footer claims is nothing that was read."""
    return n_rows <= max(_ANY_ROWS, _ROWS_A_BYTE * size_bytes)


def units_of(file: str, n_rows: int, blob_bytes: int, first_index: int) -> list[Unit]:
    """Cut a file into Units of equal row counts (the last is shorter), about :data:`UNIT_BYTES` each."""
    if not n_rows:
        return []
    size = min(UNIT_ROWS, max(1, int(UNIT_BYTES * n_rows / max(blob_bytes, 1))))
    starts = range(0, n_rows, size)
    return [Unit(first_index + i, file, start, min(size, n_rows - start)) for i, start in enumerate(starts)]


def select(units: Sequence[Unit], *, sample: int | None, seed: int, limit: int | None) -> list[Unit]:
    """What ``--sample`` and ``--limit`` leave of a plan, numbered anew."""
    kept = list(units)
    if sample is not None:
        kept = _sampled(kept, sample, seed)
    if limit is not None:
        kept = _limited(kept, limit)
    return kept


def _limited(units: Sequence[Unit], limit: int) -> list[Unit]:
    """The first ``limit`` rows of a plan."""
    kept: list[Unit] = []
    for unit in units:
        if limit <= 0:
            break
        if unit.picks is not None:
            kept.append(Unit(unit.index, unit.file, unit.first_row, unit.n_rows, unit.picks[:limit]))
        else:
            kept.append(Unit(unit.index, unit.file, unit.first_row, min(unit.n_rows, limit)))
        limit -= kept[-1].n_planned
    return kept


def _sampled(units: Sequence[Unit], n: int, seed: int) -> list[Unit]:
    """``n`` rows drawn without replacement from the whole plan by PCG64: the same rows on every machine."""
    total = sum(unit.n_rows for unit in units)
    chosen = np.sort(np.random.Generator(np.random.PCG64(seed)).choice(total, min(n, total), replace=False))
    kept: list[Unit] = []
    start = 0
    for unit in units:
        low, high = np.searchsorted(chosen, [start, start + unit.n_rows])
        if low < high:
            picks = tuple(int(row) for row in chosen[low:high] - start + unit.first_row)
            kept.append(Unit(len(kept), unit.file, unit.first_row, unit.n_rows, picks))
        start += unit.n_rows
    return kept


def share_of(units: Sequence[Unit], inputs: Sequence[InputFile], part: int, n_parts: int) -> tuple[int, int]:
    """Where the ``part``-th (from 1) of ``n_parts`` shares of a plan begins and ends, as positions in ``units``.

    Shares are runs of consecutive Units, so that a file is decoded once and shares follow one another as the rows do.
    They are equal in bytes to within one Unit, which weighs its rows by its file's mean; a share may be empty. Whole
    numbers only: every machine cuts at the same places. A file whose rows nobody knows weighs its size, though it has
    no Units, so that the cuts stay where they are once it has.
    """
    unknown, passed = 0, {}
    for each in inputs:
        passed[each.file] = unknown
        unknown += (each.size_bytes or 0) if each.rows is None else 0
    sizes = unit_bytes(units, inputs)
    ends = [end + passed[unit.file] for unit, end in zip(units, accumulate(sizes), strict=True)]
    total = sum(sizes) + unknown
    cuts = np.searchsorted(ends, [total * (part - 1) // n_parts, total * part // n_parts], side="right")
    return int(cuts[0]) if part > 1 else 0, int(cuts[1]) if part < n_parts else len(units)


def unit_bytes(units: Sequence[Unit], inputs: Sequence[InputFile]) -> list[int]:
    """About how many bytes each Unit has to read (at least 1), by the size of its file and the rows in it."""
    sizes = {each.file: (each.size_bytes or each.rows or 1, each.rows or 1) for each in inputs}
    return [max(1, unit.n_planned * sizes[unit.file][0] // sizes[unit.file][1]) for unit in units]
