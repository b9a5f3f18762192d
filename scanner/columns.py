"""Python lists as Arrow arrays, built from their buffers.

``pyarrow.array`` asks pandas whether what it is given is one of its own, and imports it for that: a second of processor
time in every worker. Laying the buffers out here costs about the same as it
costs after that (docs/design.md).

Layouts: Arrow columnar format 1.4, "Fixed-size primitive", "Variable-size binary", "Variable-size list", "Struct".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa


def to_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """``values`` (None is null) as an array of ``kind``: string, bool, an integer, double, or a list or struct of them.

    Structs are given as sequences in the order of the fields. Raises KeyError for other types, OverflowError for
    integers that do not fit.
    """
    if pa.types.is_list(kind):
        return _list_array(values, kind)
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        columns = list(zip(*values, strict=True)) or [()] * len(fields)
        arrays = [to_array(column, field.type) for column, field in zip(columns, fields, strict=True)]
        return pa.StructArray.from_arrays(arrays, fields=fields)
    return _BUILDERS[kind](values, kind)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """The bitmap of what is not null; None where nothing is."""
    if None not in values:
        return None
    return pa.py_buffer(np.packbits(np.array([value is not None for value in values]), bitorder="little"))


def _string_array(values: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    n = len(values)
    if n and values.count(values[0]) == n:  # a third of the record columns say the same of a whole batch
        return _same_string(values[0], n, kind)
    validity = _validity(values)
    texts: Sequence[str] = values if validity is None else [value or "" for value in values]  # type: ignore[assignment]
    joined = "".join(texts)
    if joined.isascii():
        data, lengths = joined.encode("ascii"), map(len, texts)
    else:
        encoded = [text.encode() for text in texts]
        data, lengths = b"".join(encoded), map(len, encoded)
    return pa.Array.from_buffers(kind, n, [validity, _offsets(lengths, n), pa.py_buffer(data)])


def _same_string(value: str | None, n: int, kind: pa.DataType) -> pa.Array:
    if value is None:
        return pa.nulls(n, kind)
    data = value.encode()
    ends = len(data) * np.arange(n + 1, dtype=np.int32)
    return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(ends), pa.py_buffer(data * n)])


def _offsets(lengths: Any, n: int) -> pa.Buffer:
    ends = np.zeros(n + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int32, n), out=ends[1:])
    return pa.py_buffer(ends)


def _number_array(dtype: Any) -> Callable[[Sequence[Any], pa.DataType], pa.Array]:
    def build(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        validity = _validity(values)
        numbers = values if validity is None else [0 if value is None else value for value in values]
        return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.array(numbers, dtype))])

    return build


def _bool_array(values: Sequence[bool | None], kind: pa.DataType) -> pa.Array:
    bits = np.packbits(np.array(values, np.bool_), bitorder="little")  # None is False
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(bits)])


def _list_array(values: Sequence[Sequence[Any]], kind: pa.DataType) -> pa.Array:
    items = to_array([item for value in values for item in value], kind.value_type)
    return pa.Array.from_buffers(kind, len(values), [None, _offsets(map(len, values), len(values))], children=[items])


_BUILDERS: Final[dict[pa.DataType, Callable[[Sequence[Any], pa.DataType], pa.Array]]] = {
    pa.string(): _string_array,
    pa.bool_(): _bool_array,
    pa.int32(): _number_array(np.int32),
    pa.int64(): _number_array(np.int64),
    pa.float64(): _number_array(np.float64),
}
