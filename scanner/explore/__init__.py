"""Random access for a person: show, sample, find, export, slice. :class:`Explorer` is the door, a file a story.

``seek`` gets at single rows, ``sampling`` draws them, ``where`` reads expressions, ``find`` looks for rows in a Run and
``search`` by scanning, ``export`` unpacks them, ``table`` cuts records to an analysis table and ``notebook`` to that of
the notebook, ``preview`` chooses what of a task is worth showing, and ``text``, ``html`` and ``document`` show it.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import accumulate, groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from scanner.errors import UsageError
from scanner.explore.sampling import spread_sample
from scanner.explore.seek import Place, Rows
from scanner.model import Blob, source_of
from scanner.options import Limits, Options, Selection, globs
from scanner.probe import Probe
from scanner.readings import Readings
from scanner.sources.arrow import Columns
from scanner.sources.opening import open_source
from scanner.sources.parquet import source_directory
from scanner.task import Task

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from scanner.explore.export import Exported
    from scanner.explore.find import Hit
    from scanner.run import Run


class Explorer:
    """Looks into single tasks of a dataset without scanning it.

    >>> ex = Explorer("corpus")  # doctest: +SKIP
    >>> len(ex), ex[0], ex.sample(3)  # doctest: +SKIP

    Args:
        source: A Parquet file, a folder of them, a glob, a dataset on the Hub (``ORG/NAME`` or
            ``hf://datasets/ORG/NAME[@revision][/glob]``), or an Arrow table.
        split: What ``datasets.load_dataset`` calls a split; None takes every file.
        config: Likewise, a configuration.
        revision: Branch, tag or commit of a dataset on the Hub.
        include: Globs on file paths; files that match one are read.
        exclude: Likewise; files that match one are left out. ``deprecated/**`` is, unless an include names it.
        source_filter: Regular expression that is searched for in each row's source.
        columns: Names of the two columns.
        limits: Bounds on one row.
        download: Mirror files on the Hub into its cache first, and read them there.

    Raises:
        UsageError: The source can only be read in order, as streams are.
        ScannerError: The source cannot be read; see :mod:`scanner.errors`.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | pa.Table,
        *,
        split: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        source_filter: str | None = None,
        columns: Columns | None = None,
        limits: Limits | None = None,
        download: bool = False,
    ) -> None:
        names = columns or Columns()
        selection = Selection(
            split=split,
            config=config,
            revision=revision,
            include=globs(include),
            exclude=globs(exclude),
            source_filter=source_filter,
        )
        options = Options(selection=selection, path_column=names.path, blob_column=names.blob, download=download)
        self.limits = limits or Limits()
        self.rows = Rows(open_source(source, options))
        self._filter = _pattern(source_filter)
        self._probe = Probe(self.limits)

    # -- single rows --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Rows there are, by the footers."""
        return len(self.rows)

    def __getitem__(self, number: int) -> Task:
        """Task number ``number``, counted through all files; negative ones count from the end."""
        return self.open(number + len(self) if number < 0 else number)

    def open(self, row: int = 0, *, file: str | None = None, path: str | None = None) -> Task:
        """One task: by its number, by file and row within the file (as records have them), or by its path.

        Raises:
            NoMatchError: There is no such row; the message names what comes near.
            UsageError: Several rows have the path; the message lists their numbers.
        """
        if path is not None:
            number = self.rows.one(path)
        else:
            number = row if file is None else self.rows.number_of(Place(file, row))
        return self._task(self.rows.blob(number))

    def sample(self, n: int = 5, *, seed: int = 0) -> list[Task]:
        """``n`` tasks drawn by ``seed``, spread over the sources: the same ones on every machine.

        Raises UsageError where ``n`` is negative.
        """
        return [self._task(blob) for blob in self.rows.blobs(self._sample_numbers(n, seed))]

    def sample_hits(self, n: int, *, seed: int = 0) -> Iterator[Hit]:
        """The same rows as :meth:`sample`, with their numbers and records, as they are read."""
        from scanner.explore.find import Hit  # noqa: PLC0415 - polars is not loaded to show a task

        numbers = self._sample_numbers(n, seed)
        for number, blob in zip(numbers, self.rows.blobs(numbers), strict=True):
            yield Hit(number, self._probe(blob)[0], blob)

    def find(self, where: str, *, run: Run | None = None, workers: int | None = None) -> Generator[Hit, None, None]:
        """Rows for which a SQL expression over the record columns holds, in plan order, as they are found.

        Args:
            where: The expression, such as ``"layout = 'harbor' AND NOT harbor_loadable"``; the list ``fault_kinds``
                may be used beside the columns of ``records.parquet``.
            run: A Run of this source, whose records are looked in, as far as they are of rows that this explorer has;
                without one rows are scanned, as far as the iterator is asked to go.
            workers: Processes that scan once the first rows, which this one scans, did not give enough; by default
                one for each core this process may use, 0 for none. The hits are the same. Close the iterator (or drop
                it) to end them.

        Raises:
            UsageError: The expression is wrong; the message names the columns that come near. Or the Run is of
                another source.
            SourceError: A file has changed since the Run was made.
        """
        if run is not None:
            from scanner.explore.find import find_in_run  # noqa: PLC0415 - as above

            return self._of_these(find_in_run(run, where), run)
        from scanner.explore.search import find_by_scanning  # noqa: PLC0415 - as above

        pattern = self._filter.pattern if self._filter is not None else None
        return find_by_scanning(self.rows, where, self.limits, source_filter=pattern, workers=workers)

    def _of_these(self, hits: Generator[Hit, None, None], run: Run) -> Generator[Hit, None, None]:
        from scanner.explore.find import check_unchanged  # noqa: PLC0415 - as above

        check_unchanged(run, self.rows.plan.inputs)
        files = {each.file for each in self.rows.plan.inputs}
        with closing(hits):
            for hit in hits:
                record = hit.record
                if record.file in files and (self._filter is None or self._filter.search(record.source)):
                    yield hit._replace(number=self.rows.number_of(Place(record.file, record.row)))

    def _sample_numbers(self, n: int, seed: int) -> list[int]:
        if n < 0:
            raise UsageError(f"{n} rows cannot be drawn")
        inputs = self.rows.plan.inputs
        numbers = [self._numbers_in(each.file) for each in inputs]
        sources = [source_directory(each.file) or each.file for each in inputs]
        by_source = groupby(zip(sources, numbers, strict=True), key=itemgetter(0))
        drawn = spread_sample([sum(len(some) for _, some in files) for _, files in by_source], n, seed)
        ends = list(accumulate(map(len, numbers)))
        return [numbers[at][i - ends[at]] for i in drawn for at in (bisect_right(ends, i),)]

    def _numbers_in(self, file: str) -> Sequence[int]:
        """Numbers of the rows of a file whose source the filter lets pass; by their paths, where those tell it."""
        numbers = self.rows.numbers_in(file)
        if self._filter is None or source_directory(file):  # a directory that does not match is not in the plan
            return numbers
        wanted, paths = self._filter.search, self.rows.paths_in(file)
        return [number for number, path in zip(numbers, paths, strict=True) if wanted(source_of(file, path))]

    # -- many rows ----------------------------------------------------------------------------------------------------

    def iter(self, limit: int | None = None, source_filter: str | None = None) -> Iterator[Task]:
        """Tasks in plan order, at most ``limit``, of sources that match ``source_filter``; read as they are taken.

        Raises UsageError where ``limit`` is negative.
        """
        if limit is not None and limit < 0:
            raise UsageError(f"limit is {limit}; give 0 or more, or leave it out")
        wanted = [each for each in (self._filter, _pattern(source_filter)) if each is not None]
        blobs = (blob for blob in self.rows if all(each.search(source_of(blob.file, blob.path)) for each in wanted))
        return (self._task(blob) for blob in islice(blobs, limit))

    def __iter__(self) -> Iterator[Task]:
        return self.iter()

    def summary(self, limit: int | None = None, source_filter: str | None = None) -> pl.DataFrame:
        """A row a source, by number of tasks: see :meth:`scanner.Run.summary`. Scans in this process, row by row."""
        from scanner.report.frames import summary_of  # noqa: PLC0415 - polars is not loaded to show a task
        from scanner.stats import Stats  # noqa: PLC0415 - as above

        stats = Stats()
        for task in self.iter(limit, source_filter):
            stats.add(Readings.of_blobs([task.blob], [self._probe.read(task.blob)]))
        return summary_of(stats.sources)

    @staticmethod
    def has_verifier(task: Task) -> bool:
        """The notebook's heuristic, as :attr:`Task.has_verifier`."""
        return task.has_verifier

    # -- for a person -------------------------------------------------------------------------------------------------

    def show(self, row: int = 0, **which: Any) -> None:
        """Print one task; ``row``, ``file`` and ``path`` as for :meth:`open`."""
        self.open(row, **which).show()

    def export(self, directory: str | os.PathLike[str], n: int | None = None, **options: Any) -> list[Exported]:
        """Unpack the first ``n`` tasks into folders; see :func:`scanner.explore.export.export`."""
        from scanner.explore.export import export  # noqa: PLC0415 - for those who export

        return list(export((task.blob for task in self.iter(n)), directory, limits=self.limits, **options))

    def _repr_html_(self) -> str:
        """The files and how many rows they have, as a notebook shows it."""
        from scanner.explore.html import explorer_html  # noqa: PLC0415 - for those who look

        return explorer_html(self)

    def __repr__(self) -> str:
        return f"<Explorer of {self.rows.location}: {len(self):,} rows in {len(self.rows.files):,} files>"

    def _task(self, blob: Blob) -> Task:
        return Task(blob, limits=self.limits, probe=self._probe)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text is not None else None
    except re.error as error:
        raise UsageError(f"source_filter {text!r} is not a regular expression ({error})") from error
