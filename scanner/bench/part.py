"""Which rows of a source are measured: the first of each file, in proportion, so that all sources are among them."""

from __future__ import annotations

from itertools import groupby

from scanner.errors import NoMatchError
from scanner.model import Unit
from scanner.sources import Plan


def part_of(plan: Plan, rows: int) -> Plan:
    """The plan of about ``rows`` rows: of each file the first, at least one. Raises NoMatchError where there is none.

    The first, because a file is decoded from the start of a row group on: rows spread over it would cost more to read
    than they do in a scan.
    """
    total = sum(unit.n_planned for unit in plan.units)
    if not total:
        raise NoMatchError("there are no rows to measure")
    units: list[Unit] = []
    for _, of_file in groupby(plan.units, lambda unit: unit.file):
        mine = list(of_file)
        left = max(1, round(sum(unit.n_planned for unit in mine) * min(1, rows / total)))
        for unit in mine:
            if left > 0:
                units.append(_first(unit, min(left, unit.n_planned), len(units)))
            left -= unit.n_planned
    return Plan(plan.inputs, units, None, plan.revision)


def _first(unit: Unit, rows: int, index: int) -> Unit:
    if unit.picks is not None:
        return Unit(index, unit.file, unit.first_row, unit.n_rows, unit.picks[:rows])
    return Unit(index, unit.file, unit.first_row, rows)
