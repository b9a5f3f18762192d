"""What ``datasets`` can stream: its own objects, and splits and configurations of any dataset it can load.

Batches come as Arrow tables, never as Python rows. A split that is made of Parquet files is not streamed by
``datasets``, which reads one file after the other in one thread, but planned and read like any others of ours: only
which files it is made of is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from huggingface_hub.errors import HfHubHTTPError

from scanner.batch import Batch
from scanner.errors import SourceError, UsageError
from scanner.model import Unit
from scanner.options import Selection
from scanner.sources import InputFile, Plan, Unreadable
from scanner.sources.answers import refusal
from scanner.sources.arrow import Columns, Piece, check_columns, to_batches
from scanner.sources.files import Files, LocalFiles, is_selected
from scanner.sources.http import hold_to_timeouts
from scanner.sources.hub import open_hub, place_of
from scanner.sources.units import UNIT_BYTES, UNIT_ROWS

_BATCH_ROWS: Final = 64
"""Rows that ``datasets`` hands over at a time: what it holds is this many, however large they are."""

_ADDRESS: Final = re.compile(r"\b(?:https?|hf|s3|gs)://\S+")
_ON_THE_HUB: Final = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)@(?P<commit>[^/]+)/(?P<name>.+)")

_FAILURES: Final = (OSError, ValueError, RuntimeError, pa.ArrowException)
"""What ``datasets`` raises where it cannot read; HTTP errors are OSErrors too."""


class StreamSource:
    """The rows of a ``datasets`` object (iterable or not), as they come.

    How many they are is known at the end, so that such a scan starts over when it was interrupted.
    """

    open_ended = True

    def __init__(
        self,
        dataset: Any,
        *,
        columns: Columns,
        location: str = "dataset",
        revision: str | None = None,
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 0,  # noqa: ARG002 - of a sample, which cannot be drawn
    ) -> None:
        if sample is not None:
            raise UsageError("a sample is drawn from a known number of rows; use limit, or a split of Parquet files")
        self.location = location
        self._dataset = dataset
        self._columns = columns
        self._revision = revision
        self._limit = limit
        split = getattr(dataset, "split", None)
        self._file = re.sub("/+", "__", location.strip("/")) + (f":{split}" if split is not None else "")

    def plan(self) -> Plan:
        """See :class:`scanner.sources.Source`: one input, no Unit yet. Raises ColumnError where features are known."""
        features = self._dataset.features
        if features is not None:
            check_columns(features.arrow_schema, self._columns, self.location)
        fingerprint = getattr(self._dataset, "_fingerprint", None)
        return Plan([InputFile(self._file, None, None, str(fingerprint or "stream"))], [], revision=self._revision)

    def read(self, plan: Plan, wanted: Container[int], unreadable: Unreadable) -> Iterator[Batch]:
        """See :class:`scanner.sources.Source`. A stream that breaks is told to ``unreadable``: its rest is missing."""
        first = 0
        units = self._units()
        while True:
            try:
                tables = next(units, None)
            except _FAILURES as error:
                unreadable(self._file, len(plan.units), _in_words(error))
                return
            if tables is None:
                return
            n_rows = sum(table.num_rows for table in tables)
            unit = Unit(len(plan.units), self._file, first, n_rows)
            plan.units.append(unit)
            if unit.index in wanted:
                yield from to_batches(unit.index, unit.file, self._pieces(first, tables))
            first += n_rows

    def _units(self) -> Iterator[list[pa.Table]]:
        """Tables of one Unit each: the same ones each time, as they are cut by rows and bytes alone."""
        held: list[pa.Table] = []
        held_rows = held_bytes = 0
        for table in self._tables():
            held.append(table)
            held_rows += table.num_rows
            held_bytes += table.column(self._columns.blob).nbytes
            if held_rows >= UNIT_ROWS or held_bytes >= UNIT_BYTES:
                yield held
                held, held_rows, held_bytes = [], 0, 0
        if held:
            yield held

    def _tables(self) -> Iterator[pa.Table]:
        left = self._limit
        for table in self._dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS):
            hold_to_timeouts()
            check_columns(table.schema, self._columns, self.location)
            part = table if left is None else table.slice(0, left)
            if part.num_rows:
                yield part.select([self._columns.path, self._columns.blob])
            if left is not None:
                left -= part.num_rows
                if not left:
                    return

    def _pieces(self, row: int, tables: list[pa.Table]) -> Iterator[Piece]:
        for table in tables:
            for batch in table.to_batches():
                yield Piece(row, batch.column(0), batch.column(1))
                row += batch.num_rows


def open_object(dataset: Any, selection: Selection, columns: Columns) -> StreamSource:
    """A Source over an object of ``datasets``; of a dictionary of splits, over the one that is asked for (or is alone).

    Raises UsageError where that is not clear.
    """
    if isinstance(dataset, dict):
        dataset = dataset[_split_of(selection.split, list(dataset), "the dataset")]
    name = getattr(dataset.info, "dataset_name", None) or "dataset"
    return StreamSource(
        dataset,
        columns=columns,
        location=name,
        limit=selection.limit,
        sample=selection.sample,
        seed=selection.seed,
    )


def open_split(
    location: str,
    selection: Selection,
    columns: Columns,
    pinned: str | None,
    *,
    download: bool,
    tell: Callable[[str], None] = lambda _: None,
) -> Files | StreamSource:
    """A split (or configuration) of whatever ``datasets`` can load: its files where they are Parquet, else a stream.

    ``download`` and ``tell`` are as for :func:`scanner.sources.hub.open_hub`.

    Raises UsageError for a split or configuration that is not there, SourceError where it cannot be loaded.
    """
    from datasets import load_dataset_builder  # noqa: PLC0415 - half a second that only such scans pay
    from datasets.packaged_modules.parquet.parquet import Parquet  # noqa: PLC0415

    place = None if Path(location).exists() else place_of(location)
    path, revision = location, None
    if place is not None:
        if place.glob:
            raise UsageError(f"--split and --config choose files themselves; leave {place.glob} out of SOURCE")
        path, revision = place.repo, pinned or selection.revision or place.revision
    hold_to_timeouts()
    try:
        builder = load_dataset_builder(path, name=selection.config, revision=revision)
        splits = [str(split) for split in builder.config.data_files or builder.info.splits or ()]
        split = _split_of(selection.split, splits, location)
        if isinstance(builder, Parquet):
            paths = [str(file) for file in builder.config.data_files[split]]
            files = _files_of(location, paths, selection, download=download, tell=tell)
            if files is not None:
                return files
        dataset = builder.as_streaming_dataset(split=split)
    except _FAILURES as error:
        raise SourceError(f"{location} cannot be loaded: {_in_words(error)}") from error
    return StreamSource(
        dataset,
        columns=columns,
        location=location,
        revision=builder.hash if place is not None else None,
        limit=selection.limit,
        sample=selection.sample,
        seed=selection.seed,
    )


def _split_of(asked: str | None, there: list[str], location: str) -> str:
    names = ", ".join(there) or "none"
    if asked is None:
        if len(there) != 1:
            raise UsageError(f"{location} has several splits ({names}); name one with --split")
        return there[0]
    if asked not in there:
        raise UsageError(f"{location} has no split {asked!r}; there are: {names}")
    return asked


def _files_of(
    location: str, paths: list[str], selection: Selection, *, download: bool, tell: Callable[[str], None]
) -> Files | None:
    """The Parquet files of a split, where all are of one repository or of one local folder."""
    on_hub = [_ON_THE_HUB.fullmatch(path) for path in paths]
    repos = {(found["repo"], found["commit"]) for found in on_hub if found}
    if len(repos) == 1 and all(on_hub):
        ((repo, commit),) = repos
        place = place_of(repo)
        assert place is not None
        only = {found["name"] for found in on_hub if found}
        return open_hub(
            place,
            pinned=commit,
            include=selection.include,
            exclude=selection.exclude,
            only=only,
            download=download,
            tell=tell,
        )
    if any("://" in path for path in paths):
        return None
    folder = Path(location).resolve()
    root = folder if folder.is_dir() else Path(os.path.commonpath([Path(path).parent for path in paths]))
    names = sorted(Path(path).relative_to(root).as_posix() for path in paths)
    return LocalFiles(root, [name for name in names if is_selected(name, selection.include, selection.exclude)])


def _in_words(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return refusal(error.response.status_code, error.response.headers.get("X-Error-Code", ""))
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return _ADDRESS.sub("…", line)
