"""Rows that are in memory already, or come one by one: an Arrow table, an iterable of mappings, a single blob."""

from __future__ import annotations

import io
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Any, Final

import pyarrow as pa
from xxhash import xxh3_128

from scanner.batch import Batch
from scanner.errors import ColumnError, UsageError
from scanner.faults import FaultKind
from scanner.model import Unit
from scanner.sources import InputFile, Plan, Unreadable
from scanner.sources.arrow import Columns, Piece, check_columns, to_batches
from scanner.sources.units import UNIT_BYTES, UNIT_ROWS, select, units_of


class _Digest(io.RawIOBase):
    """A file of which only the hash is kept."""

    def __init__(self) -> None:
        self.digest = xxh3_128()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)


class TableSource:
    """The rows of a :class:`pyarrow.Table` with a path and a blob column, planned like a Parquet file of that many."""

    open_ended = False

    def __init__(
        self,
        table: pa.Table,
        *,
        columns: Columns,
        name: str = "table",
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 0,
    ) -> None:
        self.location = name
        self._table = table
        self._columns = columns
        self._limit, self._sample, self._seed = limit, sample, seed

    def plan(self) -> Plan:
        """See :class:`scanner.sources.Source`. Raises ColumnError where a column is missing."""
        table = self._table
        check_columns(table.schema, self._columns, self.location)
        blob_bytes = table.column(self._columns.blob).nbytes
        identity = self._identity()
        units = units_of(self.location, table.num_rows, blob_bytes, 0)
        plan = Plan([InputFile(self.location, table.num_rows, table.nbytes, identity)], units, blob_bytes)
        plan.units = select(units, sample=self._sample, seed=self._seed, limit=self._limit)
        return plan

    def _identity(self) -> str:
        """Of the content of the two columns: tables have no name of their own, and another one may be the next."""
        sink = _Digest()
        table = self._table.select([self._columns.path, self._columns.blob])
        with pa.ipc.new_stream(pa.PythonFile(sink, "w"), table.schema) as writer:
            writer.write_table(table)
        return sink.digest.hexdigest()

    def read(self, plan: Plan, wanted: Container[int], unreadable: Unreadable) -> Iterator[Batch]:  # noqa: ARG002 - memory is always readable
        """See :class:`scanner.sources.Source`."""
        for unit in plan.units:
            if unit.index in wanted:
                yield from to_batches(unit.index, unit.file, self._pieces(unit.first_row, unit.n_rows, unit.picks))

    def paths(self, file: str) -> Iterator[pa.Array]:  # noqa: ARG002 - there is one
        """The path column alone, in order, chunk by chunk."""
        yield from self._table.column(self._columns.path).chunks

    def _pieces(self, first_row: int, n_rows: int, picks: tuple[int, ...] | None) -> Iterator[Piece]:
        for start, n in [(first_row, n_rows)] if picks is None else [(row, 1) for row in picks]:
            row = start
            part = self._table.select([self._columns.path, self._columns.blob]).slice(start, n)
            for batch in part.to_batches():
                yield Piece(row, batch.column(0), batch.column(1))
                row += batch.num_rows


class RowsSource:
    """Mappings with a path and a blob, taken as they come: a list of them, a generator, anything that can be iterated.

    Held are the rows of one Unit at a time. Blobs may be bytes, base64 text, lists of integers or None, also mixed. The
    number of rows is known at the end, so that such a scan starts over when it was interrupted.
    """

    open_ended = True

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        columns: Columns,
        name: str = "rows",
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 0,  # noqa: ARG002 - of a sample, which cannot be drawn
    ) -> None:
        if sample is not None:
            raise UsageError("a sample is drawn from a known number of rows; give a pyarrow.Table, or use limit")
        self.location = name
        self._rows = rows
        self._columns = columns
        self._limit = limit

    def plan(self) -> Plan:
        """See :class:`scanner.sources.Source`: one input, no Unit yet."""
        n_rows = len(self._rows) if isinstance(self._rows, Sized) else None
        return Plan([InputFile(self.location, n_rows, None, "memory")], [])

    def read(self, plan: Plan, wanted: Container[int], unreadable: Unreadable) -> Iterator[Batch]:  # noqa: ARG002 - what an iterable raises is its owner's
        """See :class:`scanner.sources.Source`. Raises ColumnError at the first row that is no such mapping."""
        first = 0
        for chunk in self._chunks():
            unit = Unit(len(plan.units), self.location, first, len(chunk))
            plan.units.append(unit)
            if unit.index in wanted:
                yield from to_batches(unit.index, unit.file, _pieces_of(first, chunk))
            first += len(chunk)

    def _chunks(self) -> Iterator[list[tuple[str, Any]]]:
        """Rows of one Unit each, as (path, blob)."""
        chunk: list[tuple[str, Any]] = []
        chunk_bytes = 0
        for number, row in enumerate(islice(self._rows, self._limit)):
            path, blob = self._pair(number, row)
            chunk.append((path, blob))
            chunk_bytes += len(blob) if isinstance(blob, Sized) else 0
            if len(chunk) == UNIT_ROWS or chunk_bytes >= UNIT_BYTES:
                yield chunk
                chunk, chunk_bytes = [], 0
        if chunk:
            yield chunk

    def _pair(self, number: int, row: Any) -> tuple[str, Any]:
        if not isinstance(row, Mapping):
            raise ColumnError(f"{self.location}: row {number:,} is no mapping but {type(row).__name__}")
        for name in self._columns:
            if name not in row:
                raise ColumnError(
                    f"{self.location}: row {number:,} has no {name!r}, only {', '.join(map(repr, row)) or 'nothing'}; "
                    "name yours with columns=Columns(path=…, blob=…)"
                )
        return str(row[self._columns.path]), row[self._columns.blob]


def blob_of(value: str | Sequence[int]) -> tuple[memoryview | None, FaultKind | None]:
    """The bytes of one blob given as base64 text or integers, or what is wrong with it: as a column of them reads."""
    (batch,) = to_batches(0, "", _pieces_of(0, [("", value)]))
    (blob,) = Batch.unpack(batch.pack())
    return blob.data, blob.flaw


_NO_BLOB: Final = "?"
"""What stands for a value that is no blob at all: text that is not base64, which is what the row's fault then says."""


def _pieces_of(first: int, rows: Sequence[tuple[str, Any]]) -> Iterator[Piece]:
    """Rows as Arrow columns: one piece where all blobs are of a kind, else a piece each."""
    paths = pa.array([path.encode("utf-8", "replace").decode() for path, _ in rows], pa.string())
    try:
        yield Piece(first, paths, _array([blob for _, blob in rows]))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for at, (_, blob) in enumerate(rows):
            yield Piece(first + at, paths.slice(at, 1), _array_of_one(blob))


def _array(blobs: list[Any]) -> pa.Array:
    bytes_or_null = all(blob is None or isinstance(blob, bytes | bytearray | memoryview) for blob in blobs)
    return pa.array(blobs, pa.large_binary() if bytes_or_null else None)


def _array_of_one(blob: Any) -> pa.Array:
    try:
        array = _array([blob])
        usable = pa.types.is_list(array.type) and pa.types.is_integer(array.type.value_type)
        if usable or pa.types.is_string(array.type) or pa.types.is_large_binary(array.type):
            return array
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        pass
    return pa.array([_NO_BLOB])
