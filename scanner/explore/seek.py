"""Single rows of a source: by number, by file and row, by path. Reads footers and one row group, not what lies before.

A row's number counts through the files in plan order, as the records of a full scan do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterator, Sequence
from difflib import get_close_matches
from itertools import accumulate
from typing import Final, NamedTuple, NoReturn, Protocol, runtime_checkable

import pyarrow as pa

from scanner.batch import Batch
from scanner.errors import NoMatchError, SourceError, UsageError
from scanner.model import Blob, Unit, printable
from scanner.sources import Plan, Source, Unreadable

LISTED: Final = 8
"""Row numbers that an error lists."""

_COMPARED: Final = 2_000
"""Paths with the same beginning that are compared with one that is not there: the comparison is quadratic."""


@runtime_checkable
class Seekable(Protocol):
    """A :class:`scanner.sources.Source` whose rows can be read in any order."""

    location: str

    def plan(self) -> Plan:
        """As in Source."""

    def read(self, plan: Plan, wanted: Container[int], unreadable: Unreadable) -> Iterator[Batch]:
        """As in Source."""

    def paths(self, file: str) -> Iterator[pa.Array]:
        """The path column of one file alone, in order, chunk by chunk."""


class Place(NamedTuple):
    """Where a row lies; what a record says of it."""

    file: str
    row: int
    """0-based within the file."""


class Rows:
    """The rows of ``source``, which is planned at once (listings and footers) and must know how many there are."""

    def __init__(self, source: Source) -> None:
        if not isinstance(source, Seekable):
            raise UsageError(f"{source.location} is a stream: its rows come in order only; scan it, or give files")
        self.location = source.location
        self.plan = source.plan().whole()
        self._source = source
        self.files = [each.file for each in self.plan.inputs]
        self._ends = list(accumulate(each.rows or 0 for each in self.plan.inputs))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def place_of(self, number: int) -> Place:
        """Where row ``number`` lies. Raises NoMatchError where there is none."""
        if not 0 <= number < len(self):
            raise NoMatchError(f"{self.location} has no row {number:,}: it has {len(self):,} rows, from 0")
        at = bisect_right(self._ends, number)
        return Place(self.files[at], number - self._first(at))

    def number_of(self, place: Place) -> int:
        """The number of the row at ``place``. Raises NoMatchError, with the files that come near."""
        if place.file not in self.files:
            near = get_close_matches(place.file, self.files)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {len(self.files):,} files"
            raise NoMatchError(f"{self.location} has no file {place.file!r}; {hint}")
        at = self.files.index(place.file)
        n_rows = self._ends[at] - self._first(at)
        if not 0 <= place.row < n_rows:
            raise NoMatchError(f"{place.file} has no row {place.row:,}: it has {n_rows:,} rows, from 0")
        return self._first(at) + place.row

    def numbers_in(self, file: str) -> range:
        """The numbers of the rows of one file."""
        at = self.files.index(file)
        return range(self._first(at), self._ends[at])

    def paths_in(self, file: str) -> Iterator[str]:
        """The paths of one file's rows, in order, from the path column alone; empty where there is none."""
        for paths in self._source.paths(file):
            column = paths.dictionary_decode() if pa.types.is_dictionary(paths.type) else paths
            for path in column.cast(pa.large_binary()).to_pylist():  # hostile ones are not UTF-8
                yield str(path or b"", "utf-8", "surrogateescape")

    def numbers_of(self, path: str) -> list[int]:
        """The numbers of all rows called ``path``, from the path column alone. NoMatchError tells what comes near."""
        import pyarrow.compute as pc  # noqa: PLC0415 - a thirtieth of a second that looking by number does not pay

        found: list[int] = []
        near: list[str] = []
        far: list[str] = []
        for at, file in enumerate(self.files):
            number = self._first(at)
            for paths in self._source.paths(file):
                column = paths.dictionary_decode() if pa.types.is_dictionary(paths.type) else paths
                found += [number + i for i in pc.indices_nonzero(pc.equal(column, path)).to_pylist()]
                number += len(column)
                if not found:
                    near += _some(
                        column, pc.or_(pc.match_substring(column, path), pc.starts_with(column, path[:-1])), near
                    )
                    far += _some(column, pc.starts_with(column, path.rpartition("-")[0] or path[:4]), far)
        if not found:
            raise NoMatchError(f"{self.location} has no path {printable(path)!r}; {self._hint(path, near + far)}")
        return found

    def one(self, path: str) -> int:
        """The number of the row called ``path``. Raises NoMatchError, or UsageError where several rows are."""
        numbers = self.numbers_of(path)
        if len(numbers) > 1:
            listed = ", ".join(map(str, numbers[:LISTED])) + (", …" if len(numbers) > LISTED else "")
            raise UsageError(f"{len(numbers):,} rows are called {printable(path)!r}: name one of {listed} with --row")
        return numbers[0]

    def blob(self, number: int) -> Blob:
        """Row ``number``; its bytes stay valid."""
        return next(self.blobs([number]))

    def blobs(self, numbers: Sequence[int]) -> Iterator[Blob]:
        """The rows of these numbers (ascending), each file opened once."""
        units = [Unit(i, *self.place_of(number), 1) for i, number in enumerate(numbers)]
        return self._read(Plan(self.plan.inputs, units))

    def __iter__(self) -> Iterator[Blob]:
        """Every row in plan order."""
        return self._read(self.plan)

    def batches(self, units: range) -> Iterator[Batch]:
        """The rows of these Units of the plan, in order, as Batches that can be iterated and stay valid."""
        return map(_kept, self.borrowed(units))

    def borrowed(self, units: range) -> Iterator[Batch]:
        """The same over the source's own buffers: a Batch is for packing, before the next is asked for."""
        return self._source.read(self.plan, units, _unreadable)

    def _read(self, plan: Plan) -> Iterator[Blob]:
        for batch in self._source.read(plan, range(len(plan.units)), _unreadable):
            yield from _kept(batch)

    def _first(self, at: int) -> int:
        return self._ends[at - 1] if at else 0

    def _hint(self, path: str, near: list[str]) -> str:
        unlike = [each for each in dict.fromkeys(near) if path in each][:3]
        matches = get_close_matches(path, dict.fromkeys(near)) or unlike
        if matches:
            return f"did you mean {' or '.join(map(printable, matches))}?"
        return f"none of its {len(self):,} rows comes near"


def _some(column: pa.Array, chosen: pa.Array, held: list[str]) -> list[str]:
    """The chosen paths, as far as there is room beside those that are held."""
    room = _COMPARED - len(held)
    return column.filter(chosen).slice(0, room).to_pylist() if room else []


def _kept(batch: Batch) -> Batch:
    return Batch.unpack(batch.pack())  # the one copy: a source's buffers live until the next batch is asked for


def _unreadable(file: str, unit: int, reason: str) -> NoReturn:  # noqa: ARG001 - as Unreadable
    raise SourceError(f"{file} cannot be read: {reason}")
