"""Which bytes of a Parquet file some rows need, from its footer alone, and as which requests they are read.

A file that is read over a network is asked for in Blocks: runs of column chunks that lie next to one another, cut at
8 MiB, in the order in which the decoder comes to need them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from scanner.model import Buffer, Unit

BLOCK_BYTES: Final = 8 << 20
"""Bytes of one request at most."""

WASTE: Final = 0.04
"""Share of a file's bytes that may be read in vain, to join what other columns lie between."""

READ_AHEAD_BYTES: Final = 2 << 20
"""What a decoder reads beyond the rows it was asked for: the piece it decodes at a time, and its buffer."""

HEAD_BYTES: Final = 64
"""The beginning of a chunk's first page, as far as :func:`first_page` wants it."""

_NUMBER: Final = rb"([\x80-\xff]{0,4}[\x00-\x7f])"
_LENGTH: Final = struct.Struct("<I")
_DATA_PAGES: Final = (b"\x15\x00\x15", b"\x15\x06\x15")
_DICTIONARY_PAGE: Final = re.compile(
    rb"\x15\x04\x15%s\x15%s(?:\x4c|\x15%s\x3c)\x15%s\x15%s[\x11\x12]?\x00\x00" % ((_NUMBER,) * 5), re.DOTALL
)
"""Thrift's compact protocol: kind of page, bytes decompressed and compressed, a checksum or none; values, encoding."""

Ints = np.ndarray[Any, np.dtype[np.int64]]


class Layout(NamedTuple):
    """Where the chunks of some columns lie: arrays of (row groups,) and (row groups, leaf columns)."""

    leaves: list[str]
    """The top-level column that each leaf belongs to."""
    numbers: list[int]
    """The number of each leaf among all leaves of the file."""
    group_ends: Ints
    """Row after the last one of each row group."""
    starts: Ints
    """Byte at which each column chunk starts, its dictionary included."""
    heads: Ints
    """Bytes of its dictionary, which is read before its first row."""
    sizes: Ints
    """Compressed bytes of it, dictionary included."""
    raw_sizes: Ints
    """Bytes once decompressed: what its values take in memory, nearly, unless they are repeated by a dictionary."""
    values: Ints
    """Values of it, nulls included; a list has one for each item."""

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return int(self.group_ends[-1]) if len(self.group_ends) else 0

    def raw_bytes(self, column: str) -> int:
        """Decompressed bytes of a top-level column."""
        return int(self.raw_sizes[:, [leaf == column for leaf in self.leaves]].sum())

    def decoded_bytes(self, column: str) -> int:
        """About what a top-level column takes in memory: for lists of numbers, a byte a number at least.

        Equal numbers take no bytes in a file. Equal blobs do not either, but those are told by their dictionary.
        """
        return max(self.raw_bytes(column), int(self.values[:, [leaf == column for leaf in self.leaves]].sum()))

    def only(self, column: str) -> Layout:
        """The layout of one top-level column."""
        mine = [leaf == column for leaf in self.leaves]
        columns = (values[:, mine] for values in self[3:])
        numbers = [number for number, is_mine in zip(self.numbers, mine, strict=True) if is_mine]
        return Layout([column] * sum(mine), numbers, self.group_ends, *columns)


class Block(NamedTuple):
    """One request: bytes ``start .. end`` of a file, of which ``wanted`` are of the columns that are read."""

    start: int
    end: int
    wanted: int


def layout_of(meta: pq.FileMetaData, columns: Sequence[str]) -> Layout:
    """The layout of top-level ``columns`` (nested ones have several leaves). Costs 10 µs or so a row group, once.

    Numbers are as the footer has them: :func:`blocks_of` keeps within the file.
    """
    tops = [meta.schema.column(i).path.split(".")[0] for i in range(meta.num_columns)]
    leaves = [i for i, top in enumerate(tops) if top in columns]
    numbers = np.zeros((5, meta.num_row_groups, len(leaves)), np.int64)
    rows = np.zeros(meta.num_row_groups, np.int64)
    for group in range(meta.num_row_groups):
        row_group = meta.row_group(group)
        rows[group] = row_group.num_rows
        for at, leaf in enumerate(leaves):
            chunk = row_group.column(leaf)
            data = chunk.data_page_offset
            start = min(data, chunk.dictionary_page_offset or data)
            sizes = chunk.total_compressed_size, chunk.total_uncompressed_size
            numbers[:, group, at] = start, data - start, *sizes, chunk.num_values
    return Layout([tops[leaf] for leaf in leaves], leaves, np.cumsum(rows), *numbers)


class Dictionary(NamedTuple):
    """What a page of a dictionary says of itself. Decoders rely on it, other than on what a footer says."""

    header_bytes: int
    compressed_bytes: int
    raw_bytes: int
    n_values: int


def first_page(head: bytes) -> Dictionary | None:
    """The dictionary that a column chunk begins with, from its first :data:`HEAD_BYTES`; None where it has none.

    Raises ValueError where a page begins as nobody writes it.
    """
    if head.startswith(_DATA_PAGES):
        return None
    found = _DICTIONARY_PAGE.match(head)
    if found is None:
        raise ValueError("no header of a page")
    raw, compressed, _, n_values, _ = (_number(group or b"\0") for group in found.groups())
    return Dictionary(found.end(), compressed, raw, n_values)


def _number(varint: bytes) -> int:
    """A positive number as Thrift's compact protocol has it."""
    return sum((byte & 0x7F) << 7 * at for at, byte in enumerate(varint)) >> 1


def longest_value(page: Buffer, n_values: int) -> int:
    """Bytes of the longest of ``n_values`` in a decompressed dictionary of byte arrays."""
    at, longest, end = 0, 0, len(page) - _LENGTH.size
    for _ in range(n_values):
        if at > end:
            break
        (size,) = _LENGTH.unpack_from(page, at)
        longest = max(longest, size)
        at += _LENGTH.size + size
    return longest


def blocks_of(layout: Layout, units: Sequence[Unit], end: int, most_bytes: int = BLOCK_BYTES) -> list[Block]:
    """The requests that read ``units`` (ascending, of one file), in the order they are needed.

    ``end`` is the byte from which on nothing is asked for: what follows is at hand already, or no part of the file.
    """
    pieces = (_Piece(max(p.start, 0), min(p.end, end), p.group) for p in _pieces(layout, units))
    runs = _joined(sorted(piece for piece in pieces if piece.start < piece.end))
    return [block for _, block in sorted(cut for run in runs for cut in _cut(run, most_bytes))]


class _Piece(NamedTuple):
    """What is needed of one column chunk."""

    start: int
    end: int
    group: int


def groups_of(layout: Layout, units: Sequence[Unit]) -> dict[int, int]:
    """The row groups that ``units`` (ascending) lie in, each with the row after the last one wanted of it."""
    ends: dict[int, int] = {}
    for unit in units:
        spans = (
            [(unit.first_row, unit.first_row + unit.n_rows)]
            if unit.picks is None
            else [(row, row + 1) for row in unit.picks]
        )
        for start, end in spans:
            first = int(np.searchsorted(layout.group_ends, start, side="right"))
            last = int(np.searchsorted(layout.group_ends, end, side="left"))
            for group in range(first, min(last + 1, len(layout.group_ends))):
                ends[group] = min(end, int(layout.group_ends[group]))
    return ends


def _pieces(layout: Layout, units: Sequence[Unit]) -> Iterator[_Piece]:
    group_starts = np.concatenate([[0], layout.group_ends])
    for group, end in groups_of(layout, units).items():
        first, after = int(group_starts[group]), int(group_starts[group + 1])
        for start, head, size in zip(layout.starts[group], layout.heads[group], layout.sizes[group], strict=True):
            need = int(size)
            if end < after:  # a decoder starts with the row group; what comes after the last row is left out
                share = (end - first) / (after - first)
                need = min(need, int(head + (size - head) * share) + READ_AHEAD_BYTES)
            yield _Piece(int(start), int(start) + need, group)


def _joined(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Pieces in runs that are read as one: across the smallest gaps first, as long as the waste allows."""
    gaps = [(after.start - before.end, i) for i, (before, after) in enumerate(pairwise(pieces))]
    allowed = WASTE * sum(piece.end - piece.start for piece in pieces)
    bridged: set[int] = set()
    for gap, i in sorted(gaps):
        allowed -= max(gap, 0)
        if allowed < 0:
            break
        bridged.add(i)
    runs: list[list[_Piece]] = []
    for i, piece in enumerate(pieces):
        if i and i - 1 in bridged:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def _cut(run: Sequence[_Piece], most_bytes: int) -> Iterator[tuple[tuple[int, float], Block]]:
    """A run as Blocks, each with when it is needed: the row group, and how far into it the decoder is by then."""
    start, end = run[0].start, max(piece.end for piece in run)
    n_blocks = -(-(end - start) // most_bytes)
    step = -(-(end - start) // n_blocks)  # all alike: a short one at the end would leave the other connections idle
    at = 0
    while start < end:
        stop = min(start + step, end)
        wanted, need = 0, (run[-1].group + 1, 0.0)
        for piece in _overlapping(run[at:], start, stop):
            wanted += min(piece.end, stop) - max(piece.start, start)
            need = min(need, (piece.group, max(0, start - piece.start) / max(piece.end - piece.start, 1)))
        if wanted:
            yield need, Block(start, stop, wanted)
        while at < len(run) - 1 and run[at].end <= stop:
            at += 1
        start = stop


def _overlapping(run: Iterable[_Piece], start: int, stop: int) -> Iterator[_Piece]:
    for piece in run:
        if piece.start >= stop:
            return
        if piece.end > start:
            yield piece
