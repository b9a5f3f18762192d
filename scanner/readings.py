"""Readings of consecutive rows as columns: what records, members and statistics of a batch are made of.

Most of what a row says, rows of its template say alike, in one :class:`scanner.model.Common`: what depends on that is
worked out once for all rows that share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from scanner.model import Blob, Census, Common, Reading, Record, printable, source_of


class Readings:
    """Rows in order: who each is, and what it says. All sequences are of one length."""

    def __init__(
        self,
        sources: Sequence[str],
        paths: Sequence[str],
        files: Sequence[str],
        rows: Sequence[int],
        readings: Sequence[Reading],
    ) -> None:
        self.sources = sources
        self.paths = paths
        self.files = files
        self.rows = rows
        fields = Reading.__struct_fields__
        columns: list[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, readings), strict=True))
        self._columns = dict(zip(fields, columns or [()] * len(fields), strict=True))
        self._columns |= {"source": sources, "path": paths, "file": files, "row": rows}
        self.commons: Sequence[Common] = self._columns["common"]
        self._distinct = list(dict.fromkeys(self.commons))

    @classmethod
    def of_blobs(cls, blobs: Sequence[Blob], readings: Sequence[Reading]) -> Readings:
        """The readings of these blobs, which are of one file. Runs once a batch; keeps no view."""
        file = blobs[0].file if blobs else ""
        paths: Sequence[str] = [blob.path for blob in blobs]
        if not "".join(paths).isascii():
            paths = list(map(printable, paths))
        by_file = source_of(file, "")
        sources = [by_file] * len(paths) if by_file else [source_of(file, path) for path in paths]
        return cls(sources, paths, [file] * len(paths), [blob.row for blob in blobs], readings)

    @classmethod
    def of(cls, records: Sequence[Record], censuses: Sequence[Census] | None = None) -> Readings:
        """The same from Records that are at hand, and what they add to the counters."""
        counted = [Census()] * len(records) if censuses is None else censuses
        return cls(
            [record.source for record in records],
            [record.path for record in records],
            [record.file for record in records],
            [record.row for record in records],
            [Reading.of(record, census) for record, census in zip(records, counted, strict=True)],
        )

    def column(self, name: str) -> Sequence[Any]:
        """The values of a record column, or of another field of Reading or Common, one a row."""
        own = self._columns.get(name)
        if own is not None:
            return own
        values = [getattr(common, name) for common in self._distinct]
        if values and values.count(values[0]) == len(values):  # half of them, mostly
            return values[:1] * len(self.commons)
        return list(map(attrgetter(name), self.commons))

    def runs(self) -> Iterator[tuple[str, slice]]:
        """Each source with the rows that follow one another in it."""
        sources = self.sources
        start, n = 0, len(sources)
        if n and sources.count(sources[0]) == n:  # nearly always
            yield sources[0], slice(0, n)
            return
        for at in range(1, n + 1):
            if at == n or sources[at] != sources[start]:
                yield sources[start], slice(start, at)
                start = at

    def counted(self, rows: slice) -> Counter[Common]:
        """How many of these rows share each Common, in order of appearance."""
        return Counter(self.commons[rows])
