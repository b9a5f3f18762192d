"""``--where``: a SQL expression over the record columns, read by polars. Wrong ones are told before any row is read."""

from __future__ import annotations

import re
from difflib import get_close_matches

import polars as pl
import pyarrow as pa
from polars.exceptions import PolarsError

from scanner.errors import UsageError

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_QUERY = re.compile(r"\S.*\bselect\b", re.IGNORECASE | re.DOTALL)

FAULT_KINDS = "fault_kinds"
"""A column that expressions may use besides the records': the list of a row's fault kinds."""


class Where:
    """A condition on one record. ``schema`` is that of the records, with the columns of probes.

    >>> from scanner.records import SCHEMA
    >>> Where("n_fils > 10", SCHEMA)
    Traceback (most recent call last):
    scanner.errors.UsageError: --where: there is no column 'n_fils'; did you mean n_files or n_dirs or n_links?

    Raises:
        UsageError: It does not parse, names a column that is not there, or is no condition on a single row.
    """

    def __init__(self, expression: str, schema: pa.Schema) -> None:
        self.expression = expression
        if _QUERY.search(_QUOTED.sub("", expression)):  # polars would read files that it names
            raise UsageError(f"--where {expression!r} is no condition on the columns of one row")
        try:
            self._expr = pl.sql_expr(expression)
        except PolarsError as error:
            raise UsageError(f"--where {expression!r} is no SQL expression: {_sentence(error)}") from None
        self.columns = self._known(self._expr.meta.root_names(), schema)
        try:
            empty = _with_kinds(pl.DataFrame(schema.empty_table()))
            empty.filter(self._expr)
            is_about_rows = bool(self.columns) and not empty.select(self._expr).height
        except PolarsError as error:
            raise UsageError(f"--where {expression!r} does not fit the columns: {_sentence(error)}") from None
        if not is_about_rows:
            raise UsageError(f"--where {expression!r} is no condition on the columns of one row")

    def matches(self, records: pa.Table | pa.RecordBatch) -> list[int]:
        """Positions, ascending, of the rows of ``records`` (which has :attr:`columns` at least) that match."""
        table = pa.Table.from_batches([records]) if isinstance(records, pa.RecordBatch) else records
        frame = _with_kinds(pl.DataFrame(table.select(self.columns))).with_row_index("__position")
        try:
            return frame.filter(self._expr)["__position"].to_list()
        except PolarsError as error:
            raise UsageError(f"--where {self.expression!r} fails on a row: {_sentence(error)}") from None

    @staticmethod
    def _known(names: list[str], schema: pa.Schema) -> list[str]:
        """The record columns to read for the columns that are named."""
        known = [*schema.names, FAULT_KINDS]
        for name in names:
            if name not in known:
                near = get_close_matches(name, known)
                hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
                raise UsageError(f"--where: there is no column {name!r}; {hint}")
        return list(dict.fromkeys("faults" if name == FAULT_KINDS else name for name in names))


def _with_kinds(frame: pl.DataFrame) -> pl.DataFrame:
    if "faults" not in frame.columns:
        return frame
    kinds = pl.col("faults").list.eval(pl.element().struct.field("kind"))
    return frame.with_columns(kinds.alias(FAULT_KINDS))


def _sentence(error: PolarsError) -> str:
    return str(error).splitlines()[0].rstrip(". ")
