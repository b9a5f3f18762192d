"""The first rows that match a condition, from the records of a Run; :mod:`scanner.explore.search` scans for them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow.parquet as pq

from scanner.errors import SourceError, UsageError
from scanner.model import Blob, Record
from scanner.records import SCHEMA
from scanner.run import Run
from scanner.sources import InputFile
from scanner.sources.arrow import Columns

if TYPE_CHECKING:
    from scanner.explore.where import Where


class Hit(NamedTuple):
    """A row that was found or drawn."""

    number: int
    """Its number in the dataset, as ``scanner show --row`` takes it."""
    record: Record
    blob: Blob | None
    """Its bytes, where they were read to find it and could be kept."""


def asked_of(run: Run) -> dict[str, Any]:
    """The arguments of an :class:`scanner.Explorer` that has the rows that ``run`` was asked for."""
    arguments = run.manifest.arguments
    given = {name: arguments.get(name) for name in ("split", "config", "include", "exclude", "source_filter")}
    given["revision"] = run.manifest.revision or arguments.get("revision")
    columns = Columns(arguments.get("path_column", "path"), arguments.get("blob_column", "task_binary"))
    return {name: value for name, value in given.items() if value} | {"columns": columns}


def check_unchanged(run: Run, inputs: Sequence[InputFile]) -> None:
    """Raise where records of ``run`` are not of these files: UsageError for others, SourceError for changed ones."""
    scanned = {each.file: each.identity for each in run.manifest.inputs}
    if inputs and not any(each.file in scanned for each in inputs):
        raise UsageError(f"{run.folder} is a Run of {run.manifest.source}, which has none of these files")
    for each in inputs:
        if scanned.get(each.file, each.identity) != each.identity:
            raise SourceError(f"{each.file} has changed since {run.folder} was scanned; scan it again")


def find_in_run(run: Run, expression: str) -> Generator[Hit, None, None]:
    """Rows of ``run`` that match, in plan order. Reads the columns of the condition, and whole records of hits.

    Raises UsageError where the expression is wrong, before anything else is read.
    """
    from scanner.explore.where import Where  # noqa: PLC0415 - polars, a third of a second that drawing rows spares

    where = Where(expression, pq.read_schema(run.records_path))
    return _found_in_run(run, where)


def _found_in_run(run: Run, where: Where) -> Generator[Hit, None, None]:
    ends = list(accumulate(each.rows or 0 for each in run.manifest.inputs))
    firsts = {each.file: end - (each.rows or 0) for each, end in zip(run.manifest.inputs, ends, strict=True)}
    with pq.ParquetFile(run.records_path) as records:
        for group in range(records.num_row_groups):
            matching = where.matches(records.read_row_group(group, columns=where.columns))
            if not matching:
                continue
            rows = records.read_row_group(group, columns=SCHEMA.names).take(matching)
            for values in rows.to_pylist():
                record = msgspec.convert(values, Record)
                yield Hit(firsts.get(record.file, 0) + record.row, record, None)
