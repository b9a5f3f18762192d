"""Parquet files of one dataset, read by row ranges. Planning reads footers alone.

``iter_batches`` with one thread, no pre-buffering and a 1 MiB buffer reads a 400 MB row group in about 60 MB, and many
small row groups as if they were one (docs/design.md has the figures).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scanner.batch import Batch
from scanner.errors import ColumnError, NoMatchError, SourceError
from scanner.model import Unit
from scanner.sources import InputFile, Plan, Unreadable
from scanner.sources.arrow import Columns, Piece, check_columns, to_batches
from scanner.sources.files import Files, Opener, Reading
from scanner.sources.ranges import HEAD_BYTES, Layout, first_page, groups_of, layout_of, longest_value
from scanner.sources.units import UNIT_ROWS, is_plausible, select, units_of

_PIECE_BYTES: Final = 1 << 20
"""Blob bytes that are decoded from Parquet at a time."""

_EXPANDED_BYTES: Final = 64 << 20
"""What a column of a piece may take if each of its rows is the longest value of a dictionary."""

_MEASURED_BYTES: Final = 64 << 20
"""A larger dictionary is not decompressed to find its longest value: it might be all of it."""

_MEASURED_VALUES: Final = 1 << 17
"""Nor is one of more values, which take 20 ms to look at: paths of a MiB together are fewer."""

_CODECS: Final = {"SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd", "LZ4": "lz4_raw"}
"""Names of a footer, and what Arrow calls them otherwise."""

_PATH_ROWS: Final = 1 << 16
"""Rows that are decoded at a time where paths alone are read."""

_BUFFER_BYTES: Final = 1 << 20
"""Read buffer of a column chunk."""


class ParquetSource:
    """Rows of Parquet files: plans from footers, reads row ranges with one decoder a file, in order."""

    open_ended = False

    def __init__(
        self,
        location: str,
        files: Files,
        *,
        columns: Columns,
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 0,
        file_filter: re.Pattern[str] | None = None,
        known: Mapping[str, InputFile] | None = None,
    ) -> None:
        self.location = location
        self._files = files
        self._columns = columns
        self._limit = limit
        self._sample = sample
        self._seed = seed
        self._file_filter = file_filter
        self._known = known or {}
        """Files as an earlier plan has them: taken where a footer cannot be read now, and the bytes are the same."""
        self._layouts: dict[str, Layout] = {}
        self.tell: Callable[[str], None] = _nobody
        """Told, while reading, what a person should know meanwhile, in a line."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the files, from the listing alone."""
        return [name for name in self._files.names if self._may_match(name)]

    def plan(self) -> Plan:
        """Read every footer once.

        Raises SourceError where none can be read (or one, where a sample is drawn from all rows), ColumnError naming
        the first file without the columns, NoMatchError.
        """
        plan = Plan([], [], 0, self._files.revision)
        with ThreadPoolExecutor(self._files.opened_at_once) as pool:
            try:
                for measured in pool.map(self._measure, self.names):
                    self._add(plan, *measured)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not plan.inputs:
            pattern = self._file_filter.pattern if self._file_filter is not None else ""
            raise NoMatchError(f"no source in {self.location} matches --source-filter {pattern!r}")
        if not self._layouts:
            others = f" (and none of the {len(plan.inputs) - 1:,} others can be read)" if len(plan.inputs) > 1 else ""
            raise SourceError(next(iter(plan.unreadable.values())) + others)
        self._select(plan)
        return plan

    def _add(self, plan: Plan, measured: InputFile, layout: Layout | None, reason: str) -> None:
        if layout is not None:
            self._layouts[measured.file] = layout
        else:
            plan.unreadable[measured.file] = reason
        plan.inputs.append(measured)
        blob_bytes = measured.blob_bytes or 0
        plan.units += units_of(measured.file, measured.rows or 0, blob_bytes, len(plan.units))
        plan.compressed_bytes = (plan.compressed_bytes or 0) + blob_bytes

    def _select(self, plan: Plan) -> None:
        """Leave of ``plan`` what the sample or the limit takes, as far as that can be told without uncounted files."""
        first = next(iter(plan.uncounted), None)
        if first is not None and self._sample is not None:
            raise SourceError(f"a sample is drawn from the rows of all files, and {plan.unreadable[first]}")
        if first is not None and self._limit is not None:
            order = {each.file: at for at, each in enumerate(plan.inputs)}
            before = [unit for unit in plan.units if order[unit.file] < order[first]]
            if sum(unit.n_rows for unit in before) < self._limit:
                plan.units = before
                plan.unreadable[first] += "; the limit counts rows in order, so no later file is read"
            else:
                plan.unreadable = {file: why for file, why in plan.unreadable.items() if file not in plan.uncounted}
        plan.units = select(plan.units, sample=self._sample, seed=self._seed, limit=self._limit)

    def _may_match(self, name: str) -> bool:
        """Whether the source filter can match rows of a file: its directory tells, where it has one."""
        directory = source_directory(name)
        return self._file_filter is None or not directory or bool(self._file_filter.search(directory))

    def _measure(self, name: str) -> tuple[InputFile, Layout | None, str]:
        """A file as its footer has it; where that cannot be read, as it is known, without a layout and with why."""
        size, identity = None, ""
        try:
            size, identity = self._files.identity(name)
            layout = self._footer(name, size)
        except ColumnError:
            raise
        except (OSError, ValueError, pa.ArrowException, SourceError) as error:
            known = self._known.get(name)
            if known is None or (known.size_bytes, known.identity) != (size, identity):
                known = InputFile(name, None, size, identity)
            return known, None, _first_line(error)
        blob_bytes = layout.raw_bytes(self._columns.blob)
        return InputFile(name, layout.n_rows, size, identity, len(layout.group_ends), blob_bytes), layout, ""

    def _footer(self, name: str, size_bytes: int) -> Layout:
        with self._open(name, self._files.open) as parquet:
            meta = parquet.metadata
            check_columns(parquet.schema_arrow, self._columns, name)
            layout = layout_of(meta, self._columns)
        if layout.n_rows != meta.num_rows or meta.num_rows < 0:
            raise SourceError(f"{name} has a footer that contradicts itself on the number of rows")
        if not is_plausible(layout.n_rows, size_bytes):
            raise SourceError(f"{name} has a footer that claims {layout.n_rows:,} rows in {size_bytes:,} bytes")
        return layout

    def _open(self, name: str, opener: Opener) -> pq.ParquetFile:
        return self._open_both(name, opener)[0]

    def _open_both(self, name: str, opener: Opener) -> tuple[pq.ParquetFile, Any]:
        """The decoder, and the file that it reads from."""
        try:
            file = opener(name)
            return pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES), file
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{name} is not a readable Parquet file ({_first_line(error)})") from error

    def read(self, plan: Plan, wanted: Container[int], unreadable: Unreadable) -> Iterator[Batch]:
        """See :class:`scanner.sources.Source`. A file that changed since the plan was made is not read."""
        identities = {each.file: each.identity for each in plan.inputs}
        by_file = list(_by_file([unit for unit in plan.units if unit.index in wanted]))
        planned = (Reading(name, self._layouts[name], units) for name, units in by_file)
        with self._files.reading(planned, self.tell) as opener:
            for name, units in by_file:
                at = units[0].index
                try:
                    self._check_unchanged(name, identities[name])
                    parquet, file = self._open_both(name, opener)
                    with parquet:
                        rows = _RowReader(parquet, file, self._columns, self._layouts[name], units)
                        for unit, pieces in _pieces_of(rows, units):
                            at = unit.index
                            batches = to_batches(unit.index, name, pieces)
                            yield from _checked(batches, partial(self._check_unchanged, name, identities[name]))
                except (OSError, pa.ArrowException, SourceError) as error:
                    unreadable(name, at, _first_line(error))

    @property
    def credentials(self) -> str | None:
        """See :class:`scanner.sources.files.Files`."""
        return self._files.credentials

    @credentials.setter
    def credentials(self, lent: str | None) -> None:
        self._files.credentials = lent

    def only(self, files: Sequence[str]) -> ParquetSource:
        """The same with these files alone, planned already: what it takes to read them elsewhere, and no more."""
        some = copy(self)
        layouts = {name: self._layouts[name] for name in files}
        vars(some).update(_files=self._files.only(files), _layouts=layouts, _known={}, tell=_nobody)
        return some

    def group_of(self, file: str, row: int) -> int:
        """Number of the row group that holds a row."""
        return int(np.searchsorted(self._layouts[file].group_ends, row, side="right"))

    def paths(self, file: str) -> Iterator[pa.Array]:
        """The path column of ``file`` alone, in order, chunk by chunk: no blob is read. Raises SourceError."""
        layout = self._layouts[file].only(self._columns.path)
        everything = Reading(file, layout, [Unit(0, file, 0, layout.n_rows)])
        with self._files.reading(iter([everything]), self.tell) as opener:
            parquet, opened = self._open_both(file, opener)
            try:
                with parquet:
                    batches = _Batches(parquet, opened, layout, [self._columns.path], _PATH_ROWS)
                    batches.start(range(len(layout.group_ends)))
                    while (batch := batches.next()) is not None:
                        yield batch.column(0)
            except (OSError, pa.ArrowException) as error:
                raise SourceError(f"{file} cannot be read ({_first_line(error)})") from error

    def _check_unchanged(self, name: str, identity: str) -> None:
        if self._files.identity(name)[1] != identity:
            raise SourceError(f"{name} changed while it was being scanned; run the same command again")


def _checked(batches: Iterator[Batch], check: Callable[[], None]) -> Iterator[Batch]:
    """``batches``, ``check`` called before the last: what it raises for a Unit keeps that from ever being whole."""
    held: Batch | None = None
    for batch in batches:
        if held is not None:
            yield held
        held = batch
    check()
    if held is not None:
        yield held


def _nobody(_: str) -> None:
    """Who is told where nobody listens; a function of the module, so that sources can be pickled."""


def source_directory(file: str) -> str:
    """The source a file belongs to by its directory (a last ``data`` left out); empty where it has none."""
    directory = file.rpartition("/")[0]
    return "" if directory == "data" else directory.removesuffix("/data")


def _by_file(units: Sequence[Unit]) -> Iterator[tuple[str, list[Unit]]]:
    start = 0
    for at in range(1, len(units) + 1):
        if at == len(units) or units[at].file != units[start].file:
            yield units[start].file, list(units[start:at])
            start = at


def _pieces_of(reader: _RowReader, units: Sequence[Unit]) -> Iterator[tuple[Unit, Iterator[Piece]]]:
    """Each Unit with its rows, decoded in pieces. One pass: use a Unit's pieces before asking on."""
    for unit in units:
        if unit.picks is None:
            yield unit, reader.rows(unit.first_row, unit.n_rows)
        else:
            yield unit, chain.from_iterable(reader.rows(row, 1) for row in unit.picks)


class _Batches:
    """Decoded rows of consecutive row groups, batch by batch; a batch has fewer rows where each may expand.

    A row of a dictionary is a number of few bits, or of none at all where rows are equal, and decoded it is as large as
    the value. No footer says how large that is, so the header of a chunk's first page is read before its first row.
    What is not looked at: pages that share prefixes (DELTA_BYTE_ARRAY), and a dictionary behind a chunk's first page.
    """

    def __init__(
        self, parquet: pq.ParquetFile, file: Any, layout: Layout, columns: Sequence[str], most_rows: int
    ) -> None:
        self._parquet = parquet
        self._file = file
        self._layout = layout
        self._columns = list(columns)
        self._most_rows = most_rows
        self._known: dict[int, int] = {}
        """Row groups that were looked at, with what is allowed there."""
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self.next_row = -1
        """Row that the next batch starts with; -1 before the first."""
        self.end_row = -1
        """Row after the last one that the running decoder comes to."""

    def start(self, groups: range) -> None:
        """Go on with these row groups."""
        ends = self._layout.group_ends
        self.next_row = int(ends[groups.start - 1]) if groups.start else 0
        self.end_row = int(ends[groups.stop - 1]) if groups.stop else 0
        self._batches = self._parquet.iter_batches(
            batch_size=self._n_rows(), row_groups=list(groups), columns=self._columns, use_threads=False
        )

    def next(self) -> pa.RecordBatch | None:
        """The next batch; None behind the last."""
        self._parquet.reader.set_batch_size(self._n_rows())  # asked for anew by each next()
        batch = next(self._batches, None)
        if batch is not None:
            self.next_row += batch.num_rows
        return batch

    def _n_rows(self) -> int:
        """Rows of the next batch, which may reach over several row groups."""
        ends, n_rows, at = self._layout.group_ends, self._most_rows, self.next_row
        group = int(np.searchsorted(ends, at, side="right"))
        while at < min(self.next_row + n_rows, self.end_row):
            if ends[group] > at:  # of an empty one there is no page
                n_rows = min(n_rows, max(self._allowed(group), at - self.next_row))
            at = int(ends[group])
            group += 1
        return n_rows

    def _allowed(self, group: int) -> int:
        """Rows of a row group that may be decoded at a time."""
        allowed = self._known.get(group)
        if allowed is None:
            leaves = range(len(self._layout.leaves))
            longest = max((self._longest(group, leaf) for leaf in leaves), default=0)
            allowed = max(1, min(self._most_rows, _EXPANDED_BYTES // max(longest, 1)))
            self._known[group] = allowed
        return allowed

    def _longest(self, group: int, leaf: int) -> int:
        """Bytes that no value in the dictionary of a chunk exceeds; 0 without one."""
        start = int(self._layout.starts[group, leaf])
        try:
            dictionary = first_page(self._file.read_at(HEAD_BYTES, start))
        except ValueError:
            return _EXPANDED_BYTES  # a row at a time: the decoder knows better, or fails
        if dictionary is None:
            return 0
        is_large = max(dictionary[1:3]) > _MEASURED_BYTES or dictionary.n_values > _MEASURED_VALUES
        if is_large or dictionary.raw_bytes * self._most_rows <= _EXPANDED_BYTES:
            return dictionary.raw_bytes
        chunk = self._parquet.metadata.row_group(group).column(int(self._layout.numbers[leaf]))
        if chunk.physical_type != "BYTE_ARRAY":
            return dictionary.raw_bytes // max(dictionary.n_values, 1)
        try:
            page = self._file.read_at(dictionary.compressed_bytes, start + dictionary.header_bytes)
            if chunk.compression in _CODECS:
                page = pa.decompress(page, dictionary.raw_bytes, _CODECS[chunk.compression])
        except (OSError, pa.ArrowException):
            return dictionary.raw_bytes
        return longest_value(page, dictionary.n_values)


class _RowReader:
    """Ascending row ranges of one file, from one decoder as far as wanted row groups follow one another.

    Rows between two ranges of a row group are decoded and dropped; row groups that no range touches are not read.
    """

    def __init__(
        self, parquet: pq.ParquetFile, file: Any, columns: Columns, layout: Layout, units: Sequence[Unit]
    ) -> None:
        self._columns = columns
        self._group_ends = layout.group_ends
        self._wanted = groups_of(layout, units)
        bytes_a_row = layout.decoded_bytes(columns.blob) / max(layout.n_rows, 1)
        piece_rows = max(1, min(UNIT_ROWS, int(_PIECE_BYTES / max(bytes_a_row, 1))))
        self._batches = _Batches(parquet, file, layout, [columns.path, columns.blob], piece_rows)
        self._held: Piece | None = None

    def rows(self, first: int, n: int) -> Iterator[Piece]:
        end = first + n
        while first < end:
            piece = self._piece_at(first)
            at = first - piece.first_row
            take = min(end - first, len(piece.blobs) - at)
            yield Piece(first, piece.paths.slice(at, take), piece.blobs.slice(at, take))
            first += take

    def _piece_at(self, row: int) -> Piece:
        """The decoded piece that holds ``row``."""
        held = self._held
        while held is None or row >= held.first_row + len(held.blobs):
            self._seek(row)
            first_row = self._batches.next_row
            batch = self._batches.next()
            if batch is None:
                raise SourceError(f"row {row:,} is missing though the footer counts it; the file is damaged")
            held = Piece(first_row, batch.column(self._columns.path), batch.column(self._columns.blob))
        self._held = held
        return held

    def _seek(self, row: int) -> None:
        """Start a decoder at the row group of ``row``, unless the running one gets there."""
        if self._batches.next_row <= row < self._batches.end_row:
            return
        group = after = int(np.searchsorted(self._group_ends, row, side="right"))
        while after in self._wanted:
            after += 1
        self._batches.start(range(group, after))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
