"""Selected records as one Parquet file for analysis: what ``scanner slice`` writes.

Read and written a row group at a time, so that a slice of all records takes no more memory than one of a few. The types
are the records' own, plain Arrow ones, which polars, pandas, DuckDB and ``datasets`` all open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scanner.errors import NoMatchError, OutputError, UsageError
from scanner.explore.notebook import NOTEBOOK_READS, NotebookRows
from scanner.explore.where import Where
from scanner.run import Run
from scanner.storage import OUTPUTS, is_same_place


def write_slice(
    run: Run,
    target: str | os.PathLike[str],
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    notebook: bool = False,
    overwrite: bool = False,
) -> int:
    """Write the records of ``run`` that match to ``target`` and return their number.

    Args:
        run: The Run.
        target: A Parquet file.
        where: A SQL expression over the record columns; None takes every record.
        columns: Names of the columns to keep, in this order; None keeps all.
        limit: Keep the first so many.
        notebook: Write the columns of :data:`scanner.explore.notebook.NOTEBOOK` instead. The source has to be there
            still: the preview is that of the notebook, the longest text in the task, and not in the records.
        overwrite: Replace ``target`` where it exists.

    Raises:
        UsageError: A column is not there, or the expression is wrong.
        NoMatchError: No record matches; nothing is written.
        SourceError: The notebook's columns are wanted, and the source cannot be read again.
        OutputError: ``target`` exists or cannot be written.
    """
    path = Path(target)
    if path.name in OUTPUTS and is_same_place(path.parent, run.location):
        raise OutputError(f"{path} is part of the Run that is read; name another file")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; name another file, or replace it with --overwrite")
    temporary = path.with_name(path.name + ".part")
    with pq.ParquetFile(run.records_path) as records:
        schema = records.schema_arrow
        wanted = list(NOTEBOOK_READS) if notebook else _known(columns, schema)
        tables = _matching(records, Where(where, schema) if where else None, wanted, limit)
        first = next(tables, None)
        if first is None:
            raise NoMatchError(f"no record of {run.folder} matches {where!r}" if where else f"{run.folder} has no rows")
        shaped = NotebookRows(run).of if notebook else _as_it_is
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            n_rows = _write(temporary, map(shaped, chain([first], tables)))
            temporary.replace(path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; name another file") from error
        finally:
            temporary.unlink(missing_ok=True)
    return n_rows


def _write(path: Path, tables: Iterator[pa.Table]) -> int:
    first = next(tables)
    n_rows = 0
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in chain([first], tables):
            writer.write_table(table)
            n_rows += len(table)
    return n_rows


def _matching(
    records: pq.ParquetFile, where: Where | None, columns: list[str], limit: int | None
) -> Iterator[pa.Table]:
    left: int = records.metadata.num_rows if limit is None else limit
    for group in range(records.num_row_groups):
        if left <= 0:
            return
        rows = where.matches(records.read_row_group(group, columns=where.columns)) if where is not None else None
        if rows == []:
            continue
        table = records.read_row_group(group, columns=columns).select(columns)
        table = (table if rows is None else table.take(rows)).slice(0, left)
        left -= table.num_rows
        yield table


def _known(columns: Sequence[str] | None, schema: pa.Schema) -> list[str]:
    for name in columns or ():
        if name not in schema.names:
            near = get_close_matches(name, schema.names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(schema.names)}"
            raise UsageError(f"--columns: there is no column {name!r}; {hint}")
    return list(schema.names if columns is None else dict.fromkeys(columns))


def _as_it_is(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)
