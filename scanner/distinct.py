"""Exact counts of distinct ids, taken as records are written, in memory that does not grow with the dataset.

Ids are compared by their first 64 bits (at a billion rows the chance that this miscounts by one is 3 %), 16 bytes a row
and column. Beyond :data:`HELD_ROWS` rows they wait in nameless temporary files, next to the records, and are dealt
out to as many more in the end, each of which then fits: two passes over them, however many rows there are.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa

from scanner.stats import Distinct

ID_COLUMNS: Final = ("blob_id", "content_id", "instruction_id")

HELD_ROWS: Final = 125_000
"""Ids of a column that are held in memory, 16 bytes each, before they go to a temporary file."""

BUCKET_ROWS: Final = 125_000
"""Ids that are compared at a time: 16 bytes each, and 60 more where they repeat."""

BUCKETS: Final = 448
"""Temporary files of a column at most (a process may open 1,024): with more than 56 million rows the buckets grow
instead, to half a million ids with 220 million."""

_MARK_BITS: Final = 22
"""First bits of an id by which rows are found that may share it: a byte each, 4 MiB."""

_Words: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
_Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
_Pairs: TypeAlias = _Words
"""A row each: the first 64 bits of the id, the number of the source."""
_PAIR_BYTES: Final = 16


class DistinctIds:
    """The ids of all records so far. Temporary files lie in ``folder``; what they run into is raised as OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources: dict[str, int] = {}
        self._columns = {column: _Waiting(folder) for column in ID_COLUMNS}

    def add(self, rows: pa.Table) -> None:
        """Take rows of the record columns, in one chunk. Runs once a row group."""
        encoded = rows["source"].chunk(0).dictionary_encode()
        names = [self._sources.setdefault(name, len(self._sources)) for name in encoded.dictionary.to_pylist()]
        sources = np.array(names, np.uint64)[np.from_dlpack(encoded.indices)]
        for column, waiting in self._columns.items():
            ids = rows[column].chunk(0)
            pairs = np.empty((len(ids) - ids.null_count, 2), np.uint64)
            pairs[:, 0] = _first_64_bits(ids.drop_null())
            pairs[:, 1] = sources[np.from_dlpack(ids.is_valid().cast(pa.uint8())).view(np.bool_)]
            waiting.add(pairs)

    def count(self) -> dict[str, dict[str, Distinct]]:
        """By source (``""``: the whole), for each id column: rows, distinct ids, rows shared with another source.

        Columns in a thread each: sorting takes no lock.
        """
        out: dict[str, dict[str, Distinct]] = {}
        with ThreadPoolExecutor(len(ID_COLUMNS), thread_name_prefix="scanner-count") as pool:
            for column, counts in zip(ID_COLUMNS, pool.map(self._count, ID_COLUMNS), strict=True):
                for name, distinct in counts.items():
                    out.setdefault(name, {})[column] = distinct
        return out

    def _count(self, column: str) -> dict[str, Distinct]:
        counts: dict[str, Distinct] = {}
        for pairs in self._columns[column].buckets():
            _count(pairs, self._sources, counts)
        return counts

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
        self._filed_rows = 0

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
        self._filed_rows += self._held_rows
        self._held, self._held_rows = [], 0

    def buckets(self) -> Iterator[_Pairs]:
        """All of them, equal ids in one bucket. They are not held any longer then."""
        if self._file is None:
            yield np.concatenate([np.zeros((0, 2), np.uint64), *self._held])
        else:
            self._spill()
            n_buckets = min(BUCKETS, -(-self._filed_rows // BUCKET_ROWS))
            yield from _dealt(self._file, n_buckets, self._folder)
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._held, self._held_rows = None, [], 0


def _dealt(file: IO[bytes], n_buckets: int, folder: Path) -> Iterator[_Pairs]:
    """The pairs in ``file`` in ``n_buckets`` arrays; equal ids are in one of them."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(n_buckets)]
        file.seek(0)
        while data := file.read(HELD_ROWS * _PAIR_BYTES):
            pairs = np.frombuffer(data, np.uint64).reshape(-1, 2)
            bucket = (pairs[:, 0] % np.uint64(n_buckets)).astype(np.uint16)
            order = np.argsort(bucket, kind="stable")  # of so few bits numpy makes a radix sort
            ends = np.cumsum(np.bincount(bucket, minlength=n_buckets))
            for each, part in zip(files, np.split(np.take(pairs, order, axis=0), ends[:-1]), strict=True):
                each.write(part.tobytes())
        for each in files:
            each.seek(0)
            yield np.frombuffer(each.read(), np.uint64).reshape(-1, 2)


def _count(pairs: _Pairs, names: dict[str, int], counts: dict[str, Distinct]) -> None:
    """Add the pairs of one bucket. Most ids are met once: only the others are put together with their sources."""
    n_rows, n_sources = len(pairs), len(names)
    ids, sources = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]).view(np.int64)
    rows = _may_repeat(ids)
    group, source, is_new_pair = _grouped(ids[rows], sources[rows], n_sources)
    n_groups = int(group[-1]) + 1 if len(group) else 0
    is_shared = (np.bincount(group[is_new_pair], minlength=n_groups) > 1)[group]
    _add(counts, "", n_rows, n_rows - len(rows) + n_groups, int(np.count_nonzero(is_shared)))
    n_of, again_of, shared_of = (
        np.bincount(of, minlength=n_sources) for of in (sources, source[~is_new_pair], source[is_shared])
    )
    for name, number in names.items():
        if n_of[number]:
            _add(counts, name, n_of[number], n_of[number] - again_of[number], shared_of[number])


def _may_repeat(ids: _Words) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The rows whose id is met twice, and a few others: those whose id begins with the same bits as one that is."""
    in_order = np.sort(ids)
    repeated = in_order[1:][~_changes(in_order)[1:]]
    marks = np.zeros(1 << _MARK_BITS, np.bool_)
    marks[repeated >> (64 - _MARK_BITS)] = True
    return np.flatnonzero(marks[ids >> (64 - _MARK_BITS)])


def _grouped(
    ids: _Words, sources: _Numbers, n_sources: int
) -> tuple[_Numbers, _Numbers, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Pairs by id and source: the rank of the id, the source, and whether the pair is met for the first time.

    Two sorts of plain numbers: numpy takes several times as long for one of pairs.
    """
    order = np.argsort(ids)
    group = np.cumsum(_changes(ids[order])) - 1
    both = group * n_sources + sources[order]
    both.sort()
    group, source = np.divmod(both, n_sources or 1)
    return group, source, _changes(both)


def _add(counts: dict[str, Distinct], name: str, n: int, distinct: int, shared: int) -> None:
    total = counts.setdefault(name, Distinct())
    total.n += int(n)
    total.distinct += int(distinct)
    total.shared += int(shared)


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


def _changes(values: _Words | _Numbers) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where a sorted column has a value for the first time."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return first
