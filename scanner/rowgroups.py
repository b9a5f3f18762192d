"""Row groups of Parquet files as they are encoded, to be put into another file without decoding them.

Nothing in a row group says where in its file it lies: only the footer does. So a row group is copied as bytes, and the
footers are joined, with the offsets moved. Where both files have the same schema and were written alike, the bytes are
those that encoding the rows again would give. parquet-java's ``appendRowGroup`` does the same; pyarrow can write a
footer that joins others, but none with other offsets.

Parquet format 2.11, ``parquet.thrift``: FileMetaData, RowGroup, ColumnChunk, ColumnMetaData. Apache Thrift compact
protocol, "Struct encoding", "List and Set".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC: Final = b"PAR1"
_TAIL: Final = struct.Struct("<I4s")
"""At the end of a file: bytes of the footer before it, and the magic."""

# Numbers of fields.
_FILE_ROWS, _FILE_GROUPS = 3, 4
_GROUP_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET = 1, 3, 5
_CHUNK_OFFSET, _CHUNK_META = 2, 3
_META_BYTES, _META_DATA_PAGE, _META_DICTIONARY_PAGE = 7, 9, 11

_NOT_TAKEN: Final = ({7}, {1, 4, 6}, {10, 14})
"""Fields of a row group, a chunk and its metadata that say more of the file than where it begins: the number of the
row group, another file, page indexes, Bloom filters. Arrow writes none of them unless asked."""

Field: TypeAlias = "list[Any]"
"""Number, type and value: an integer, bytes, a list as the type of its items and the items, or a struct."""
Struct: TypeAlias = "list[Field]"


class EncodedTable:
    """A Parquet file whose row groups are to be taken, in order.

    Raises OSError where it cannot be read, ValueError where it is no Parquet file, and where a row group cannot be
    taken. Whether it holds what it was written with is for the caller to know.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._end, self._footer = _footer_of(file)
        self._opened: pq.ParquetFile | None = None

    def __iter__(self) -> Iterator[RowGroup]:
        try:
            for number, fields in enumerate(_Reader(self._footer).items(_FILE_GROUPS)):
                yield RowGroup(self, number, fields, self._end)
        except (IndexError, KeyError, TypeError, RecursionError) as error:  # TypeError: a number where a struct is due
            raise ValueError("a footer that nobody writes") from error

    def decoded(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a row group, in one chunk."""
        if self._opened is None:
            self._opened = pq.ParquetFile(self.path)
        return self._opened.read_row_group(number, columns=list(columns), use_threads=False).combine_chunks()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()


class RowGroup:
    """A row group of an :class:`EncodedTable`."""

    def __init__(self, table: EncodedTable, number: int, fields: Struct, end: int) -> None:
        self._table = table
        self._number = number
        self._fields = fields
        self.n_rows: int = _get(fields, _GROUP_ROWS)
        self._start, self._end = _span(fields)
        if not len(_MAGIC) <= self._start < self._end <= end:
            raise ValueError("a row group that is not in its file")

    def encoded(self) -> bytes:
        """Its bytes."""
        with self._table.path.open("rb") as file:
            file.seek(self._start)
            return file.read(self._end - self._start)

    def decoded(self, columns: Sequence[str]) -> pa.Table:
        """Some of its columns, in one chunk."""
        return self._table.decoded(self._number, columns)

    def footer_at(self, start: int) -> bytes:
        """Its part of the footer of a file in which its bytes begin at ``start``."""
        by = start - self._start
        chunks = []
        for chunk in _get(self._fields, _GROUP_COLUMNS):
            meta = _with_offset(_with_offset(_get(chunk, _CHUNK_META), _META_DATA_PAGE, by), _META_DICTIONARY_PAGE, by)
            chunks.append(_with(_with_offset(chunk, _CHUNK_OFFSET, by), _CHUNK_META, meta))
        fields = _with(_with_offset(self._fields, _GROUP_OFFSET, by), _GROUP_COLUMNS, (_STRUCT, chunks))
        out = bytearray()
        _write_struct(out, fields)
        return bytes(out)


def join_footers(file: IO[bytes], order: Sequence[bytes | None], n_rows: int) -> None:
    """Give a whole file, open for reading and writing, a footer that names row groups it does not know of.

    ``order`` are the parts of all row groups as they lie in the file (:meth:`RowGroup.footer_at`); None is the next one
    that the footer has. ``n_rows`` are in all of them. They stay bytes, as objects they would take 50 times as much.
    """
    start, footer = _footer_of(file)
    fields = _Reader(footer, raw=_FILE_GROUPS).struct()
    own = iter(_get(fields, _FILE_GROUPS))
    groups = [next(own) if each is None else each for each in order]
    data = bytearray()
    _write_struct(data, _with(_with(fields, _FILE_ROWS, n_rows), _FILE_GROUPS, (_STRUCT, groups)))
    file.seek(start)
    file.write(data + _TAIL.pack(len(data), _MAGIC))
    file.truncate()


def _footer_of(file: IO[bytes]) -> tuple[int, bytes]:
    """Where the footer of a file begins, and its bytes."""
    end = file.seek(0, 2)
    file.seek(max(end - _TAIL.size, 0))
    tail = file.read(_TAIL.size)
    size, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
    start = end - _TAIL.size - size
    if magic != _MAGIC or start < len(_MAGIC):
        raise ValueError("no Parquet file")
    file.seek(start)
    return start, file.read(size)


def _span(group: Struct) -> tuple[int, int]:
    """Where the bytes of a row group begin and end. Raises ValueError where they are not all that belongs to it."""
    starts, ends = [], []
    for chunk in _get(group, _GROUP_COLUMNS):
        meta = _get(chunk, _CHUNK_META)
        if any(field[0] in odd for part, odd in zip((group, chunk, meta), _NOT_TAKEN, strict=True) for field in part):
            raise ValueError("a row group that depends on its file")
        starts.append(min(field[2] for field in meta if field[0] in (_META_DATA_PAGE, _META_DICTIONARY_PAGE)))
        ends.append(starts[-1] + _get(meta, _META_BYTES))
    if starts[1:] != ends[:-1]:
        raise ValueError("a row group with gaps")
    return starts[0], ends[-1]


# -- Thrift's compact protocol -----------------------------------------------------------------------------------------

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
_INTEGERS: Final = frozenset({_I16, _I32, _I64})


def _get(fields: Struct, number: int) -> Any:
    """The value of a field; of a list its items. Raises ValueError where it is missing."""
    for field in fields:
        if field[0] == number:
            return field[2][1] if field[1] == _LIST else field[2]
    raise ValueError(f"a footer without field {number}")


def _with(fields: Struct, number: int, value: Any) -> Struct:
    """The same with another value of a field."""
    return [[number, field[1], value] if field[0] == number else field for field in fields]


def _with_offset(fields: Struct, number: int, by: int) -> Struct:
    """The same with ``by`` added to an offset. 0 is none, as a file begins with its magic."""
    return [[number, field[1], field[2] + by] if field[0] == number and field[2] else field for field in fields]


class _Reader:
    """Reads a struct. Raises IndexError where the bytes end too early, KeyError for types that Parquet does not have.

    The items of the list that is its field ``raw`` stay bytes.
    """

    def __init__(self, data: bytes, raw: int | None = None) -> None:
        self._data = data
        self._at = 0
        self._raw = raw
        integer = self._integer
        self._read: Final[dict[int, Callable[[], Any]]] = {
            _TRUE: lambda: None,
            _FALSE: lambda: None,
            _BYTE: self._byte,
            _I16: integer,
            _I32: integer,
            _I64: integer,
            _DOUBLE: lambda: self._bytes(8),
            _BINARY: lambda: self._bytes(self._varint()),
            _LIST: self._list,
            _STRUCT: self.struct,
        }

    def struct(self) -> Struct:
        """All fields. Hot in a merge: a row group has 2,000 values, nearly all of them a byte long."""
        raw, self._raw = self._raw, None
        data = self._data
        fields: Struct = []
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._integer()
            value: Any
            if kind in _INTEGERS and (byte := data[self._at]) < 128:
                self._at += 1
                value = byte >> 1 ^ -(byte & 1)
            elif number == raw:
                value = self._list(self._span)
            else:
                value = self._read[kind]()
            fields.append([number, kind, value])
        return fields

    def items(self, wanted: int) -> Iterator[Struct]:
        """The structs of the list that is field ``wanted``, one at a time."""
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._integer()
            if number == wanted:
                _, size = self._list_head()
                for _ in range(size):
                    yield self.struct()
                return
            self._read[kind]()

    def _list(self, read: Callable[[], Any] | None = None) -> tuple[int, list[Any]]:
        kind, size = self._list_head()
        read = read or (self._byte if kind in (_TRUE, _FALSE) else self._read[kind])
        return kind, [read() for _ in range(size)]

    def _list_head(self) -> tuple[int, int]:
        """The type and number of its items."""
        head = self._byte()
        return head & 15, head >> 4 if head < 0xF0 else self._varint()

    def _span(self) -> bytes:
        start = self._at
        self.struct()
        return self._data[start : self._at]

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _bytes(self, size: int) -> bytes:
        start = self._at
        self._at += size
        if self._at > len(self._data):
            raise IndexError
        return self._data[start : self._at]

    def _varint(self) -> int:
        value = self._byte()
        if value < 128:  # as most are
            return value
        value, shift = value & 127, 7
        while (byte := self._byte()) > 127:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        zigzag = self._varint()
        return zigzag >> 1 ^ -(zigzag & 1)


def _write_struct(out: bytearray, fields: Struct) -> None:
    last = 0
    for number, kind, value in fields:
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _write_integer(out, number)
        last = number
        _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_integer(out, value)
    elif kind == _BINARY:
        _write_varint(out, len(value))
        out += value
    elif isinstance(value, bytes):  # a double, or a struct that stayed as it was
        out += value
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind == _LIST:
        _write_list(out, *value)
    elif kind == _BYTE:
        out.append(value)


def _write_list(out: bytearray, kind: int, items: Sequence[Any]) -> None:
    out.append(min(len(items), 15) << 4 | kind)
    if len(items) >= 15:
        _write_varint(out, len(items))
    for item in items:
        if kind in (_TRUE, _FALSE):
            out.append(item)
        else:
            _write_value(out, kind, item)


def _write_integer(out: bytearray, value: int) -> None:
    _write_varint(out, value << 1 if value >= 0 else ~(value << 1))


def _write_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
