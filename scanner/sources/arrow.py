"""Arrow columns to Batches, without copying blobs: the sections of a Batch are the buffers of the columns.

Blob columns as datasets have them: binary, large_binary, fixed_size_binary, string (base64) and lists of integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from scanner.batch import Batch
from scanner.errors import ColumnError, UsageError

BATCH_BYTES: Final = 8 << 20
"""A Batch is closed once its blobs reach this size; a single larger row still travels, alone."""


class Columns(NamedTuple):
    """Names of the two columns that are read."""

    path: str = "path"
    blob: str = "task_binary"


def read_columns(text: str) -> Columns:
    """``path=NAME,blob=NAME`` (either may be left out) as Columns. Raises UsageError for anything else."""
    names = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if not names or set(names) - {"path", "blob"} or "" in names.values() or len(names) <= text.count(","):
        raise UsageError(f"--column {text!r} is not of the form path=NAME,blob=NAME")
    return Columns(**names)


def check_columns(schema: pa.Schema, columns: Columns, where: str) -> None:
    """Raise ColumnError, listing what is there, unless ``schema`` has both columns as usable types."""
    for name, usable, kind in ((columns.path, _is_path, "text"), (columns.blob, _is_blob, "bytes")):
        if schema.get_field_index(name) < 0:
            there = ", ".join(f"{field.name}: {field.type}" for field in schema) or "none"
            raise ColumnError(
                f"{where} has no column {name!r} (columns: {there}); name yours with --column path=…,blob=…"
            )
        if not usable(schema.field(name).type):
            raise ColumnError(f"{where}: column {name!r} is {schema.field(name).type}, which cannot hold {kind}")


def _is_path(kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        kind = kind.value_type
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_blob(kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        kind = kind.value_type
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return bool(pt.is_integer(kind.value_type))
    return bool(
        pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind) or pt.is_binary_view(kind)
    ) or _is_path(kind)


class Piece(NamedTuple):
    """Consecutive rows of both columns."""

    first_row: int
    paths: pa.Array
    blobs: pa.Array


def to_batches(unit: int, file: str, pieces: Iterator[Piece], most_bytes: int = BATCH_BYTES) -> Iterator[Batch]:
    """The rows of one Unit as Batches of at most ``most_bytes`` of blobs (one row at least), in order."""
    held: list[_Flat] = []
    held_bytes = 0
    for piece in pieces:
        for flat in _split(_flatten(piece), most_bytes):
            if held and (held_bytes + flat.n_bytes > most_bytes or held[0].base64 != flat.base64):
                yield _join(unit, file, held)
                held, held_bytes = [], 0
            held.append(flat)
            held_bytes += flat.n_bytes
    if held:
        yield _join(unit, file, held)


class _Flat(NamedTuple):
    """One piece as numpy columns over its Arrow buffers. ``ends`` count from the start of the data."""

    rows: np.ndarray[Any, np.dtype[np.int64]]
    flaws: np.ndarray[Any, np.dtype[np.uint8]]
    path_ends: np.ndarray[Any, np.dtype[np.int64]]
    paths: memoryview
    blob_ends: np.ndarray[Any, np.dtype[np.int64]]
    blobs: memoryview
    base64: bool

    @property
    def n_bytes(self) -> int:
        return len(self.blobs)


def _flatten(piece: Piece) -> _Flat:
    n = len(piece.blobs)
    blobs = piece.blobs.dictionary_decode() if pt.is_dictionary(piece.blobs.type) else piece.blobs
    paths = piece.paths.dictionary_decode() if pt.is_dictionary(piece.paths.type) else piece.paths
    if not (pt.is_string(paths.type) or pt.is_large_string(paths.type)):
        paths = paths.cast(pa.large_string())
    path_ends, path_data = _ends_and_data(paths)
    flaws = np.zeros(n, np.uint8)
    base64 = _is_path(blobs.type)
    if pt.is_list(blobs.type) or pt.is_large_list(blobs.type) or pt.is_fixed_size_list(blobs.type):
        blob_ends, blob_data = _from_lists(blobs, flaws)
    else:
        if pt.is_string_view(blobs.type) or pt.is_binary_view(blobs.type) or pt.is_fixed_size_binary(blobs.type):
            blobs = blobs.cast(pa.large_binary())
        blob_ends, blob_data = _ends_and_data(blobs)
    if blobs.null_count:
        flaws[_as_numpy(blobs.is_null()) != 0] = 1
    rows = np.arange(piece.first_row, piece.first_row + n, dtype=np.int64)
    return _Flat(rows, flaws, path_ends, path_data, blob_ends, blob_data, base64)


def _ends_and_data(array: pa.Array) -> tuple[np.ndarray[Any, np.dtype[np.int64]], memoryview]:
    wide = pt.is_large_binary(array.type) or pt.is_large_string(array.type)
    _, offsets_buffer, data = array.buffers()
    if not len(array) or offsets_buffer is None:
        return np.zeros(0, np.int64), memoryview(b"")
    offsets = np.frombuffer(offsets_buffer, np.int64 if wide else np.int32)[
        array.offset : array.offset + len(array) + 1
    ]
    first, last = int(offsets[0]), int(offsets[-1])
    view = memoryview(data)[first:last] if data is not None else memoryview(b"")
    return offsets[1:].astype(np.int64) - first, view


def _from_lists(
    array: pa.Array, flaws: np.ndarray[Any, np.dtype[np.uint8]]
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], memoryview]:
    """Lists of integers as bytes. Rows with a null or a number outside 0..255 are flawed, the others untouched."""
    flat = array.flatten()  # honours offsets and leaves the items of null lists out
    lengths = _as_numpy(array.value_lengths().fill_null(0)).astype(np.int64)
    ends = np.cumsum(lengths)
    values = _as_numpy(flat.fill_null(0))
    outside = (values < 0) | (values > 255)
    if flat.null_count:
        outside |= _as_numpy(flat.is_null()) != 0
    bad = np.flatnonzero(outside)
    flaws[np.searchsorted(ends, bad, side="right")] = 2
    return ends, memoryview(values.astype(np.uint8).tobytes())


def _as_numpy(array: pa.Array) -> np.ndarray[Any, Any]:
    """Numbers or booleans (as 0 and 1) without nulls. ``Array.to_numpy`` would import pandas first: a second."""
    return np.from_dlpack(array.cast(pa.uint8()) if pt.is_boolean(array.type) else array)


def _split(flat: _Flat, most_bytes: int) -> Iterator[_Flat]:
    """``flat`` in parts of at most ``most_bytes`` of blobs; most are returned as they are."""
    start = blob_start = path_start = 0
    n = len(flat.rows)
    while start < n:
        if len(flat.blobs) - blob_start <= most_bytes:
            end = n
        else:
            end = max(start + 1, int(np.searchsorted(flat.blob_ends, blob_start + most_bytes, side="right")))
        if start == 0 and end == n:
            yield flat
            return
        blob_end, path_end = int(flat.blob_ends[end - 1]), int(flat.path_ends[end - 1])
        yield _Flat(
            flat.rows[start:end],
            flat.flaws[start:end],
            flat.path_ends[start:end] - path_start,
            flat.paths[path_start:path_end],
            flat.blob_ends[start:end] - blob_start,
            flat.blobs[blob_start:blob_end],
            flat.base64,
        )
        start, blob_start, path_start = end, blob_end, path_end


def _join(unit: int, file: str, parts: Sequence[_Flat]) -> Batch:
    """One Batch over the buffers of all parts: only the small columns are joined, blobs stay where they are."""
    path_ends, blob_ends, path_base, blob_base = [], [], 0, 0
    for part in parts:
        path_ends.append(part.path_ends + path_base)
        blob_ends.append(part.blob_ends + blob_base)
        path_base += len(part.paths)
        blob_base += len(part.blobs)
    return Batch(
        unit,
        file,
        np.concatenate([part.rows for part in parts]).data,
        np.concatenate([part.flaws for part in parts]).data,
        np.concatenate(path_ends).data,
        [part.paths for part in parts],
        np.concatenate(blob_ends).data,
        [part.blobs for part in parts],
        base64=parts[0].base64,
    )
