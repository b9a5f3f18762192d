"""The tables of finished Runs put into a longer one row group by row group, without decoding them.

``scan --shard`` ends its row groups where those of the whole plan end. So all but the first and the last of a part are
the ones that the merged Run has, byte for byte. They are taken as they are, once the shards of all their rows were seen
to be sound. Rows in between are encoded anew from the shards, and so are all where none can be taken: of a part that
another version made or that is not complete, or whose tables are not those that its ``run.json`` names by digest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext, suppress
from types import TracebackType
from typing import Final, Self

from scanner.assembly import Outputs
from scanner.rowgroups import EncodedTable, RowGroup
from scanner.shards import Shard
from scanner.storage import TABLES, Folder, digest_of

SHARDS_HELD: Final = 2_048
"""Shards that wait for a row group to be taken: 12 kB each at least. Where they are so small that more would have to
wait, all rows are encoded."""


class Splice:
    """The rows of one part on their way into ``outputs``: :meth:`add` its shards in plan order.

    ``digests`` are those of the tables in ``folder``, the part's Run; empty where no row group can be taken.
    """

    def __init__(self, outputs: Outputs, folder: Folder, digests: dict[str, str]) -> None:
        self._outputs = outputs
        self._files = ExitStack()
        self._waiting: deque[_Rows] = deque()
        """Rows of shards that the next row group may hold, and what comes after them."""
        self._n_waiting = 0
        try:
            self._groups = [self._open(folder, name, digests[name]) for name in TABLES] if digests else []
        except (OSError, ValueError, KeyError):  # nothing is lost: all of it is in the shards
            self._groups = []

    def _open(self, folder: Folder, name: str, digest: str) -> Iterator[RowGroup]:
        """The row groups of a table."""
        path = self._files.enter_context(folder.fetched(name))
        if digest_of(path) != digest:
            raise ValueError(f"{path} is not what was written")
        return iter(self._files.enter_context(closing(EncodedTable(path))))

    def add(self, shard: Shard) -> None:
        """Take the next shard."""
        self._outputs.count(shard)
        rows = _Rows(shard)
        self._waiting.append(rows)
        self._n_waiting += rows.end
        while self._groups and self._place_group():
            pass
        if len(self._waiting) > SHARDS_HELD:
            self.take_no_more()
        if not self._groups:
            self._write(self._n_waiting)

    def _place_group(self) -> bool:
        """Whether all rows of the next row group were there, and found their place."""
        lacking_rows = self._outputs.lacking_rows
        if lacking_rows > self._n_waiting:
            return False
        try:
            records, members = (next(groups, None) for groups in self._groups)
        except ValueError:
            return self.take_no_more()
        if records is None or members is None or not records.n_rows == members.n_rows == lacking_rows:
            return self.take_no_more()
        if self._outputs.is_between:
            self._outputs.take(records, members)
            self._drop(lacking_rows)
        else:  # the first of the part, which is the end of one
            self._write(lacking_rows)
        return True

    def take_no_more(self) -> bool:
        """Encode all rows that follow: those of the tables stand elsewhere, or some of them have no sound shard."""
        self._groups = []
        return False

    def _write(self, n_rows: int) -> None:
        for rows, start in self._leave(n_rows):
            self._outputs.write(rows.records, rows.members, start, rows.start - start)

    def _drop(self, n_rows: int) -> None:
        for _ in self._leave(n_rows):
            pass

    def _leave(self, n_rows: int) -> Iterator[tuple[_Rows, int]]:
        """The first of the rows that wait, by shard, and where they began: they end where the others begin now."""
        self._n_waiting -= n_rows
        while n_rows:
            rows = self._waiting[0]
            start = rows.start
            rows.start = min(rows.end, start + n_rows)
            n_rows -= rows.start - start
            if rows.start == rows.end:
                self._waiting.popleft()
            yield rows, start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files, nullcontext() if kind is None else suppress(Exception):  # the first error is the one to tell
            if kind is None:
                self._write(self._n_waiting)
            self._outputs.settle()  # before the files are closed


class _Rows:
    """Those of a shard that wait: ``start .. end`` of its records."""

    def __init__(self, shard: Shard) -> None:
        self.records, self.members = shard.records, shard.members
        self.start = 0
        self.end = shard.n_records
