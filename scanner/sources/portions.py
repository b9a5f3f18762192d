"""A plan in portions: runs of consecutive Units that are read elsewhere, on another process or another machine."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final

from scanner.batch import Batch
from scanner.errors import UsageError
from scanner.model import Unit
from scanner.sources import Plan, Source, Unreadable
from scanner.sources.parquet import ParquetSource
from scanner.sources.units import unit_bytes

PORTION_BYTES: Final = 64 << 20
"""Bytes a portion aims at: about ten seconds of work, beside which starting and answering it is nothing."""

MOST_BYTES: Final = 4 * PORTION_BYTES
"""Up to here a portion goes on to the end of its row group: who starts within one decodes all that stands before."""

LEAST_BYTES: Final = 8 << 20
"""Towards the end portions get smaller, so that all workers end at about the same time, but not smaller than this."""

PORTIONS_A_WORKER: Final = 4
"""Where there is less to do than so many of the least, portions are smaller still."""


class Portion:
    """See :class:`scanner.engines.Portion`. Holds what it takes to read its own files, and no more."""

    def __init__(self, source: ParquetSource, plan: Plan, units: Sequence[Unit]) -> None:
        files = list(dict.fromkeys(unit.file for unit in units))
        inputs = [each for each in plan.inputs if each.file in files]
        self.units = list(units)
        self._source = source.only(files)
        self._plan = Plan(inputs, self.units, revision=plan.revision)

    @property
    def credentials(self) -> str | None:
        """See :class:`scanner.engines.Portion`."""
        return self._source.credentials

    def read(self, unreadable: Unreadable, credentials: str | None = None) -> Iterator[Batch]:
        """Batches of its Units; see :meth:`scanner.sources.Source.read`."""
        self._source.credentials = credentials
        return self._source.read(self._plan, {unit.index for unit in self.units}, unreadable)

    def halves(self) -> list[Portion]:
        """The same Units in two portions, or in one where it is one Unit."""
        middle = (len(self.units) + 1) // 2
        parts = (self.units[:middle], self.units[middle:])
        return [Portion(self._source, self._plan, part) for part in parts if part]


def portions_of(source: Source, plan: Plan, wanted: Container[int], workers: int) -> Iterator[Portion]:
    """The wanted Units in portions, in plan order, for so many workers. Raises UsageError where rows are not in files.

    Portions end where a row group does, as far as that makes none larger than :data:`MOST_BYTES` or than a worker's
    part of what is left. They aim at half that part: guided self-scheduling (Polychronopoulos and Kuck, 1987).
    """
    if not isinstance(source, ParquetSource):
        raise UsageError(f"{source.location} cannot be read from elsewhere: give Parquet files, or --engine processes")
    sizes = dict(zip((unit.index for unit in plan.units), unit_bytes(plan.units, plan.inputs), strict=True))
    todo = [unit for unit in plan.mine if unit.index in wanted]
    left = sum(sizes[unit.index] for unit in todo)
    workers = max(workers, 1)
    least = min(LEAST_BYTES, left // (PORTIONS_A_WORKER * workers))
    portion: list[Unit] = []
    n_bytes = 0
    for unit in todo:
        part = left // workers
        aim = min(PORTION_BYTES, max(least, part // 2))
        most = min(MOST_BYTES, max(aim, part))
        if portion and n_bytes >= aim and (n_bytes >= most or _starts_anew(source, portion[-1], unit)):
            yield Portion(source, plan, portion)
            left -= n_bytes
            portion, n_bytes = [], 0
        portion.append(unit)
        n_bytes += sizes[unit.index]
    if portion:
        yield Portion(source, plan, portion)


def _starts_anew(source: ParquetSource, before: Unit, unit: Unit) -> bool:
    """Whether ``unit`` begins in another row group than ``before`` does, or in another file."""
    rows = (before.first_row, unit.first_row)
    return before.file != unit.file or len({source.group_of(unit.file, row) for row in rows}) > 1
