"""Exact counts of distinct ids, taken as records are written, in memory that does not grow with the dataset.

Ids are compared by their first 64 bits (at a billion rows the chance that this miscounts by one is 3 %), 16 bytes a row
and column. Beyond :data:`HELD_ROWS` rows they wait in a nameless temporary file, next to the records, and are dealt out
to the buckets of another one in the end, each of which then fits: two passes over them, however many rows there are.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from scanner.stats import OTHER_SOURCES, SOURCES_KEPT, Distinct

ID_COLUMNS: Final = ("blob_id", "content_id", "instruction_id")

COLUMNS: Final = ("source", *ID_COLUMNS)
"""What is looked at of a record."""

HELD_ROWS: Final = 125_000
"""Ids of a column that are held in memory, 16 bytes each, before they go to a temporary file."""

BUCKET_ROWS: Final = 125_000
"""Ids that are compared at a time: 16 bytes each, and 60 more where they repeat. A bucket in which one id repeats is
longer, and is folded piece by piece."""

_BIN_BITS: Final = 12
"""First bits of an id by which buckets are cut: 4,096 of them at most, with more than 512 million rows larger ones."""

_MARK_BITS: Final = 22
"""Last bits of an id by which rows are found that may share it: a byte each, 4 MiB."""

_Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
_Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
_Bools: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
_Pairs: TypeAlias = _Words
"""A row each: the first 64 bits of the id, the number of the source."""
_PAIR_BYTES: Final = 16


class DistinctIds:
    """The ids of all records so far. Temporary files lie in ``folder``; what they run into is raised as OSError.

    Sources are told apart as :class:`scanner.stats.Stats` does it: further ones than it keeps are one.
    """

    def __init__(self, folder: Path) -> None:
        self._sources: dict[str, int] = {}
        self._columns = {column: _Waiting(folder) for column in ID_COLUMNS}

    def add(self, rows: pa.Table) -> None:
        """Take rows of :data:`COLUMNS`, and of others maybe, in one chunk. Runs once a row group."""
        encoded = rows["source"].chunk(0).dictionary_encode()
        names = [self._number_of(name) for name in encoded.dictionary.to_pylist()]
        sources = np.array(names, np.uint64)[np.from_dlpack(encoded.indices)]
        for column, waiting in self._columns.items():
            ids = rows[column].chunk(0)
            pairs = np.empty((len(ids) - ids.null_count, 2), np.uint64)
            pairs[:, 0] = _first_64_bits(ids.drop_null())
            pairs[:, 1] = sources[np.from_dlpack(ids.is_valid().cast(pa.uint8())).view(np.bool_)]
            waiting.add(pairs)

    def _number_of(self, source: str) -> int:
        if source not in self._sources and len(self._sources) >= SOURCES_KEPT:
            source = OTHER_SOURCES
        return self._sources.setdefault(source, len(self._sources))

    def count(self) -> dict[str | None, dict[str, Distinct]]:
        """By source (None: the whole), for each id column: rows, distinct ids, rows shared with another source.

        Columns in a thread each: sorting takes no lock.
        """
        out: dict[str | None, dict[str, Distinct]] = {}
        with ThreadPoolExecutor(len(ID_COLUMNS), thread_name_prefix="scanner-count") as pool:
            for column, counts in zip(ID_COLUMNS, pool.map(self._count, ID_COLUMNS), strict=True):
                for name, distinct in counts.items():
                    out.setdefault(name, {})[column] = distinct
        return out

    def _count(self, column: str) -> dict[str | None, Distinct]:
        names = list(self._sources)
        total = _Counts.nothing(len(names))
        for pieces in self._columns[column].buckets():
            total = total.plus(_counted(pieces, len(names)))
        whole = Distinct(int(total.n_of.sum()), total.distinct, int(total.shared_of.sum()))
        by_source: dict[str | None, Distinct] = {
            names[at]: Distinct(int(total.n_of[at]), int(total.distinct_of[at]), int(total.shared_of[at]))
            for at in np.flatnonzero(total.n_of).tolist()
        }
        return {None: whole, **by_source}

    def discard(self) -> None:
        """Give back what is held."""
        for waiting in self._columns.values():
            waiting.discard()


class _Waiting:
    """The ids of one column: the last ones in memory, earlier ones in a temporary file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._held: list[_Pairs] = []
        self._held_rows = 0
        self._bins = np.zeros(1 << _BIN_BITS, np.int64)
        """Ids in the file by their first bits."""

    def add(self, pairs: _Pairs) -> None:
        if self._held_rows + len(pairs) > HELD_ROWS:
            self._spill()
        self._held.append(pairs)
        self._held_rows += len(pairs)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - open until the ids are counted
        for pairs in self._held:
            self._file.write(pairs.tobytes())
            self._bins += np.bincount(_bin_of(pairs), minlength=len(self._bins))
        self._held, self._held_rows = [], 0

    def buckets(self) -> Iterator[Iterator[_Pairs]]:
        """All of them, equal ids in one bucket, each in one piece or more. They are not held any longer then."""
        if self._file is None:
            yield iter([np.concatenate([np.zeros((0, 2), np.uint64), *self._held])])
        else:
            self._spill()
            yield from _dealt(self._file, self._bins, self._folder)
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # on a full disk it cannot be closed in order
                self._file.close()
        self._file, self._held, self._held_rows = None, [], 0


def _bin_of(pairs: _Pairs) -> _Numbers:
    return (pairs[:, 0] >> (64 - _BIN_BITS)).view(np.int64)


def _dealt(file: IO[bytes], bins: _Numbers, folder: Path) -> Iterator[Iterator[_Pairs]]:
    """The pairs in ``file`` by buckets, which are runs of ``bins``: written one behind the other to a second file."""
    n_buckets = min(len(bins), -(-int(bins.sum()) // BUCKET_ROWS))
    bucket_of_bin = np.arange(len(bins)) * n_buckets // len(bins)
    ends = np.cumsum(np.bincount(bucket_of_bin, weights=bins, minlength=n_buckets)).astype(np.int64)
    next_of = np.concatenate([[0], ends[:-1]])
    with tempfile.TemporaryFile(dir=folder) as dealt:
        for piece in _pieces(file, 0, int(ends[-1])):
            bucket = bucket_of_bin[_bin_of(piece)].astype(np.uint16)
            pairs = np.take(piece, np.argsort(bucket, kind="stable"), axis=0)  # of 16 bits numpy makes a radix sort
            counts = np.bincount(bucket, minlength=n_buckets)
            at = 0
            for number in np.flatnonzero(counts).tolist():
                part = pairs[at : at + int(counts[number])]
                dealt.seek(int(next_of[number]) * _PAIR_BYTES)
                dealt.write(part.tobytes())
                at += len(part)
            next_of += counts
        for number in range(n_buckets):
            yield _pieces(dealt, int(ends[number - 1]) if number else 0, int(ends[number]))


def _pieces(file: IO[bytes], start: int, end: int) -> Iterator[_Pairs]:
    """The pairs from ``start`` to ``end``: in one piece unless they are many more than is usual for a bucket."""
    piece_rows = 2 * BUCKET_ROWS
    for at in range(start, max(end, start + 1), piece_rows):
        file.seek(at * _PAIR_BYTES)
        yield np.frombuffer(file.read((min(end, at + piece_rows) - at) * _PAIR_BYTES), np.uint64).reshape(-1, 2)


# -- counting ----------------------------------------------------------------------------------------------------------


class _Counts(NamedTuple):
    """What a bucket adds: by the number of the source, and the ids of all of them."""

    n_of: _Numbers
    distinct_of: _Numbers
    shared_of: _Numbers
    distinct: int

    @classmethod
    def nothing(cls, n_sources: int) -> _Counts:
        none = np.zeros(n_sources, np.int64)
        return cls(none, none, none, 0)

    def plus(self, other: _Counts) -> _Counts:
        return _Counts(
            self.n_of + other.n_of,
            self.distinct_of + other.distinct_of,
            self.shared_of + other.shared_of,
            self.distinct + other.distinct,
        )


def _counted(pieces: Iterator[_Pairs], n_sources: int) -> _Counts:
    """What one bucket adds."""
    pairs = next(pieces)
    piece = next(pieces, None)
    if piece is None:
        return _counted_at_once(pairs, n_sources)
    folded, times = _folded(pairs, np.ones(len(pairs), np.int64))
    while piece is not None:
        folded, times = _folded(np.concatenate([folded, piece]), np.concatenate([times, np.ones(len(piece), np.int64)]))
        piece = next(pieces, None)
    return _counted_folded(folded, times, n_sources)


def _counted_at_once(pairs: _Pairs, n_sources: int) -> _Counts:
    """Most ids are met once: only the others are put together with their sources."""
    ids, sources = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]).view(np.int64)
    rows = _may_repeat(ids)
    # Two sorts of plain numbers: numpy takes several times as long for one of pairs.
    order = np.argsort(ids[rows])
    group = np.cumsum(_changes(ids[rows][order])) - 1
    both = group * n_sources + sources[rows][order]
    both.sort()
    group, source = np.divmod(both, n_sources or 1)
    is_new_pair = _changes(both)
    n_groups = int(group[-1]) + 1 if len(group) else 0
    is_shared = (np.bincount(group[is_new_pair], minlength=n_groups) > 1)[group]
    n_of, again_of, shared_of = (
        np.bincount(of, minlength=n_sources) for of in (sources, source[~is_new_pair], source[is_shared])
    )
    return _Counts(n_of, n_of - again_of, shared_of, len(ids) - len(rows) + n_groups)


def _may_repeat(ids: _Words) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The rows whose id is met twice, and a few others: those whose id ends with the same bits as one that is."""
    in_order = np.sort(ids)
    repeated = in_order[1:][~_changes(in_order)[1:]]
    mask = np.uint64((1 << _MARK_BITS) - 1)
    marks = np.zeros(1 << _MARK_BITS, np.bool_)
    marks[repeated & mask] = True
    return np.flatnonzero(marks[ids & mask])


def _folded(pairs: _Pairs, times: _Numbers) -> tuple[_Pairs, _Numbers]:
    """Each pair once, in order, and how often it was met."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, times = pairs[order], times[order]
    starts = np.flatnonzero(_changes(pairs[:, 0]) | _changes(pairs[:, 1]))
    return pairs[starts], np.add.reduceat(times, starts)


def _counted_folded(pairs: _Pairs, times: _Numbers, n_sources: int) -> _Counts:
    """The same of pairs that are there once each, in order."""
    is_new = _changes(pairs[:, 0])
    group = np.cumsum(is_new) - 1
    is_shared = (np.bincount(group) > 1)[group]
    source = pairs[:, 1].astype(np.int64)

    def sums(rows: Any, weights: _Numbers) -> _Numbers:
        return np.bincount(source[rows], weights=weights[rows], minlength=n_sources).astype(np.int64)

    every = slice(None)
    return _Counts(sums(every, times), sums(every, np.ones_like(times)), sums(is_shared, times), int(is_new.sum()))


def _first_64_bits(ids: pa.StringArray) -> _Words:
    """Of ids in lower-case hex, none null, all of one length: the nibbles of their first 16 digits, in some order."""
    if not len(ids):
        return np.zeros(0, np.uint64)
    _, offsets, data = ids.buffers()
    ends = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    digits = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].reshape(len(ids), -1)
    high, low = (_nibbles(digits[:, at : at + 8].view(np.uint64)[:, 0]) for at in (0, 8))
    low <<= np.uint64(4)
    low |= high
    return low


def _nibbles(eights: _Words) -> _Words:
    """Eight hexadecimal digits each as eight bytes below 16."""
    # '0'..'9' are 0x30..0x39, 'a'..'f' are 0x61..0x66: bit 6 tells letters, whose low nibbles are 1..6.
    letters = eights >> np.uint64(6)
    letters &= np.uint64(0x0101010101010101)
    letters *= np.uint64(9)
    letters += eights & np.uint64(0x0F0F0F0F0F0F0F0F)
    return letters


def _changes(values: _Words | _Numbers) -> _Bools:
    """Where a sorted column has a value for the first time."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return first
