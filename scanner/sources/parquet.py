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
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scanner.batch import Batch
from scanner.errors import ColumnError, NoMatchError, SourceError
from scanner.model import Unit
from scanner.sources import InputFile, Plan, Unreadable
from scanner.sources.arrow import Columns, Piece, check_columns, to_batches
from scanner.sources.files import Files, Opener, Reading
from scanner.sources.ranges import Layout, groups_of, layout_of
from scanner.sources.units import UNIT_ROWS, select, units_of

_PIECE_BYTES: Final = 1 << 20
"""Blob bytes that are decoded from Parquet at a time."""

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
            layout = self._footer(name)
        except ColumnError:
            raise
        except (OSError, ValueError, pa.ArrowException, SourceError) as error:
            known = self._known.get(name)
            if known is None or (known.size_bytes, known.identity) != (size, identity):
                known = InputFile(name, None, size, identity)
            return known, None, _first_line(error)
        blob_bytes = layout.raw_bytes(self._columns.blob)
        return InputFile(name, layout.n_rows, size, identity, len(layout.group_ends), blob_bytes), layout, ""

    def _footer(self, name: str) -> Layout:
        with self._open(name, self._files.open) as parquet:
            meta = parquet.metadata
            check_columns(parquet.schema_arrow, self._columns, name)
            layout = layout_of(meta, self._columns)
        if layout.n_rows != meta.num_rows or meta.num_rows < 0:
            raise SourceError(f"{name} has a footer that contradicts itself on the number of rows")
        return layout

    def _open(self, name: str, opener: Opener) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(opener(name), pre_buffer=False, buffer_size=_BUFFER_BYTES)
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
                    with self._open(name, opener) as parquet:
                        for unit, pieces in _pieces_of(parquet, self._columns, self._layouts[name], units):
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
        with self._files.reading(iter([everything]), self.tell) as opener, self._open(file, opener) as parquet:
            try:
                for batch in parquet.iter_batches(columns=[self._columns.path], use_threads=False):
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


def _pieces_of(
    parquet: pq.ParquetFile, columns: Columns, layout: Layout, units: Sequence[Unit]
) -> Iterator[tuple[Unit, Iterator[Piece]]]:
    """Each Unit with its rows, decoded in pieces. One pass: use a Unit's pieces before asking on."""
    reader = _RowReader(parquet, columns, layout, units)
    for unit in units:
        if unit.picks is None:
            yield unit, reader.rows(unit.first_row, unit.n_rows)
        else:
            yield unit, chain.from_iterable(reader.rows(row, 1) for row in unit.picks)


class _RowReader:
    """Ascending row ranges of one file, from one decoder as far as wanted row groups follow one another.

    Rows between two ranges of a row group are decoded and dropped; row groups that no range touches are not read.
    """

    def __init__(self, parquet: pq.ParquetFile, columns: Columns, layout: Layout, units: Sequence[Unit]) -> None:
        self._parquet = parquet
        self._columns = columns
        self._group_ends = layout.group_ends
        self._wanted = groups_of(layout, units)
        bytes_a_row = layout.raw_bytes(columns.blob) / max(layout.n_rows, 1)
        self._piece_rows = max(1, min(UNIT_ROWS, int(_PIECE_BYTES / max(bytes_a_row, 1))))
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: Piece | None = None
        self._next_row = -1
        """Row that the next decoded batch starts with; -1 before the first."""
        self._end_row = -1
        """Row after the last one that the running decoder comes to."""

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
            batch = next(self._batches, None)
            if batch is None:
                raise SourceError(f"row {row:,} is missing though the footer counts it; the file is damaged")
            held = Piece(self._next_row, batch.column(self._columns.path), batch.column(self._columns.blob))
            self._next_row += batch.num_rows
        self._held = held
        return held

    def _seek(self, row: int) -> None:
        """Start a decoder at the row group of ``row``, unless the running one gets there."""
        if self._next_row <= row < self._end_row:
            return
        group = after = int(np.searchsorted(self._group_ends, row, side="right"))
        while after in self._wanted:
            after += 1
        groups = range(group, after)
        self._next_row = int(self._group_ends[group - 1]) if group else 0
        self._end_row = int(self._group_ends[after - 1]) if after else 0
        self._batches = self._parquet.iter_batches(
            batch_size=self._piece_rows,
            row_groups=list(groups),
            columns=[self._columns.path, self._columns.blob],
            use_threads=False,
        )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
