"""``records.parquet``: its columns, rows as Arrow columns, and the writer that puts them on disk in plan order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from scanner.columns import to_array
from scanner.model import SCHEMA_VERSION, Record
from scanner.readings import Readings
from scanner.tables import TableWriter

_FAULT: Final = pa.struct(
    [("kind", pa.string()), ("member", pa.string()), ("offset", pa.int64()), ("detail", pa.string())]
)

SCHEMA: Final = pa.schema(
    [
        ("source", pa.string()),
        ("path", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("status", pa.string()),
        ("compressed_size", pa.int64()),
        ("raw_size", pa.int64()),
        ("codec", pa.string()),
        ("format", pa.string()),
        ("n_members", pa.int32()),
        ("n_files", pa.int32()),
        ("n_dirs", pa.int32()),
        ("n_links", pa.int32()),
        ("largest_file", pa.string()),
        ("largest_file_size", pa.int64()),
        ("layout", pa.string()),
        ("verifier_kind", pa.string()),
        ("verifier_signals", pa.list_(pa.string())),
        ("heuristic_verifier", pa.bool_()),
        ("harbor_loadable", pa.bool_()),
        ("harbor_reason", pa.string()),
        ("has_solution", pa.bool_()),
        ("base_image", pa.string()),
        ("instruction_file", pa.string()),
        ("instruction_chars", pa.int32()),
        ("instruction_preview", pa.string()),
        ("blob_id", pa.string()),
        ("content_id", pa.string()),
        ("instruction_id", pa.string()),
        ("faults", pa.list_(_FAULT)),
    ],
    metadata={b"scanner.schema": str(SCHEMA_VERSION).encode()},
)
"""The record columns, in order: schema version 1."""

if SCHEMA.names != list(Record.__struct_fields__):  # pragma: no cover - a mistake made in this file
    raise AssertionError


def to_arrow(rows: Readings, extra: Sequence[pa.Field] = (), values: Sequence[Sequence[object]] = ()) -> pa.RecordBatch:
    """Rows as one Arrow batch of :data:`SCHEMA`, followed by the ``extra`` columns. Runs once a batch."""
    columns = {name: rows.column(name) for name in SCHEMA.names}
    columns["faults"] = [list(map(msgspec.structs.astuple, each)) if each else () for each in columns["faults"]]
    fields = [*SCHEMA, *extra]
    arrays = [to_array(column, field.type) for field, column in zip(fields, [*columns.values(), *values], strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=SCHEMA.metadata))


def to_ipc(rows: pa.RecordBatch | pa.Table) -> memoryview:
    """Rows as one Arrow IPC stream, LZ4 compressed: how records lie in a shard."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=_LZ4) as writer:
        writer.write(rows)
    return memoryview(sink.getvalue()).cast("B")


_LZ4: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)  # the workers are the threads
_ONE_THREAD: Final = pa.ipc.IpcReadOptions(use_threads=False)


def from_ipc(data: memoryview) -> pa.Table:
    """What :func:`to_ipc` packed. Threads would cost four times what they decode: columns of a shard are small."""
    with pa.ipc.open_stream(pa.py_buffer(data), options=_ONE_THREAD) as reader:
        return reader.read_all()


class RecordsWriter(TableWriter):
    """Writes ``records.parquet``."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema = SCHEMA,
        *,
        tap: Callable[[pa.Table], None] | None = None,
        tapped: Sequence[str] = (),
        first_row: int = 0,
    ) -> None:
        super().__init__(
            path,
            schema,
            dictionary=_DICTIONARY_COLUMNS,
            statistics=_STATISTICS_COLUMNS,
            tap=tap,
            tapped=tapped,
            first_row=first_row,
        )


# Distinct (nearly) everywhere: a dictionary would be built for each row group and thrown away again.
_DISTINCT_COLUMNS: Final = {
    "path", "row", "blob_id", "content_id", "instruction_id", "faults", "compressed_size", "raw_size",
    "largest_file_size", "instruction_chars",
}  # fmt: skip
_DICTIONARY_COLUMNS: Final = [name for name in SCHEMA.names if name not in _DISTINCT_COLUMNS]
_STATISTICS_COLUMNS: Final = [
    "source",
    "path",
    "file",
    "row",
    "status",
    "compressed_size",
    "raw_size",
    "layout",
    "verifier_kind",
]
