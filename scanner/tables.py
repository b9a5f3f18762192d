"""Tables on disk as they grow: Parquet files written in plan order, whose bytes depend on their rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from scanner.rowgroups import RowGroup, join_footers

ROW_GROUP_ROWS: Final = 16_384
"""Rows of a row group: a fixed number, so that a file does not depend on how it was made."""


PIECES_HELD: Final = 256
"""Tables that wait, each with its own columns, before they become one: 20 kB of a row by itself, 0.5 of many."""


class _Piece(NamedTuple):
    """Rows of a row group: ``n_rows`` of what ``load`` returns."""

    load: Callable[[], pa.Table]
    start: int
    n_rows: int


class TableWriter:
    """Writes a Parquet file from tables in plan order, to a temporary name that :meth:`close` renames.

    The bytes depend on the rows and their order alone: row groups have a fixed size however the tables come. One is
    encoded in a thread while the next is put together in another (Arrow holds no lock meanwhile), so an error may come
    with a later call.
    ``dictionary`` names the columns whose values repeat, in up to ``dictionary_bytes`` a row group, and ``statistics``
    those that are worth skipping row groups by. With ``store_schema`` readers get the types of Arrow back.
    ``tap`` is called with the rows of each row group, in one chunk, in the latter thread; ``tapped`` are the columns
    that it looks at.
    A file that is a part of a longer one, from row ``first_row`` on, has its row groups end where those of that one do:
    so it can :meth:`take` them.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        dictionary: Sequence[str],
        statistics: Sequence[str] = (),
        dictionary_bytes: int = 1 << 20,
        store_schema: bool = True,
        tap: Callable[[pa.Table], None] | None = None,
        tapped: Sequence[str] = (),
        first_row: int = 0,
    ) -> None:
        self._path = path
        self._tap = tap
        self._tapped = tapped
        self._lacking_rows = ROW_GROUP_ROWS - first_row % ROW_GROUP_ROWS
        """Rows that the row group lacks which is put together now."""
        self._order: list[bytes | None] = []
        """The row groups so far: None, or the part of the footer of one that was taken."""
        self._n_rows = 0
        self._temporary = path.with_name(path.name + ".part")
        self._pending: list[_Piece] = []
        self._n_joined = 0
        """The first of those are of several tables."""
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scanner-encode")
        self._joining: Future[Any] | None = None
        self._encoding: Future[None] | None = None
        self._failure: BaseException | None = None
        self._is_sealed = False
        self._file = pa.OSFile(str(self._temporary), "wb")
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(dictionary),
            write_statistics=list(statistics),
            dictionary_pagesize_limit=dictionary_bytes,
            store_schema=store_schema,
        )

    @property
    def lacking_rows(self) -> int:
        """Rows until the next row group begins; those of a whole one where it does here."""
        return self._lacking_rows

    @property
    def is_between(self) -> bool:
        """Whether a whole row group begins here."""
        return self._lacking_rows == ROW_GROUP_ROWS

    def write(self, table: pa.Table) -> None:
        """Append the rows of ``table``. Raises what a thread ran into, and the same with every later call."""
        self.write_from(lambda: table, table.num_rows)

    def write_from(self, load: Callable[[], pa.Table], n_rows: int, start: int = 0) -> None:
        """Append ``n_rows`` of what ``load`` returns, from row ``start`` on. Raises as :meth:`write` does.

        It is called in the thread that puts row groups together, once for each row group that the rows are in.
        """
        self._check()
        end = start + n_rows
        while start < end:
            n_rows = min(end - start, self._lacking_rows)
            self._pending.append(_Piece(load, start, n_rows))
            self._lacking_rows -= n_rows
            start += n_rows
            if not self._lacking_rows:
                self._flush()
            elif len(self._pending) - self._n_joined == PIECES_HELD:
                self._join_ahead()

    def _join_ahead(self) -> None:
        pieces = self._pending[self._n_joined :]
        joined = self._submit(_joined, pieces)
        self._pending[self._n_joined :] = [_Piece(joined.result, 0, sum(piece.n_rows for piece in pieces))]
        self._n_joined += 1

    def _flush(self) -> None:
        pieces, self._pending, self._n_joined = self._pending, [], 0
        self._lacking_rows = ROW_GROUP_ROWS
        self._submit(self._join, pieces)

    def take(self, group: RowGroup) -> None:
        """Append a row group of a file that was written like this one, as it is. Raises as :meth:`write` does.

        Raises ValueError where no whole row group begins here, or would not end where this one does.
        """
        self._check()
        if not self.is_between or group.n_rows != self._lacking_rows:
            raise ValueError("not where a row group is")
        self._lacking_rows = ROW_GROUP_ROWS
        self._submit(self._take, group)

    def settle(self) -> None:
        """Wait until the row groups that were taken have been read. Raises as :meth:`write` does."""
        self._settle(self._joining)

    def _submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self._settle(self._joining)
        self._joining = self._threads.submit(work, *arguments)
        return self._joining

    def _join(self, pieces: Sequence[_Piece]) -> None:
        rows = _joined(pieces)
        if self._tap is not None:
            self._tap(rows)
        self._settle(self._encoding)
        self._encoding = self._threads.submit(self._encode, rows)

    def _encode(self, rows: pa.Table) -> None:
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self._note(None, rows.num_rows)

    def _take(self, group: RowGroup) -> None:
        if self._tap is not None:
            self._tap(group.decoded(self._tapped))
        encoded = group.encoded()
        self._settle(self._encoding)
        self._encoding = self._threads.submit(self._copy, encoded, group)

    def _copy(self, encoded: bytes, group: RowGroup) -> None:
        footer = group.footer_at(self._file.tell())
        self._file.write(encoded)
        self._note(footer, group.n_rows)

    def _note(self, footer: bytes | None, n_rows: int) -> None:
        self._order.append(footer)
        self._n_rows += n_rows

    def _settle(self, work: Future[Any] | None) -> None:
        """Wait for it. What has failed once has left rows out: nothing that comes later makes the file whole."""
        try:
            if work is not None:
                work.result()
        except BaseException as error:
            self._failure = self._failure or error
            raise

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def seal(self) -> None:
        """Write what is left, so that :meth:`close` has nothing to do but to put the file in place."""
        self._check()
        if self._is_sealed:
            return
        if self._pending:
            self._flush()
        self._settle(self._joining)
        self._settle(self._encoding)
        self._threads.shutdown()
        self._writer.close()
        self._file.close()
        if any(self._order):
            with self._temporary.open("r+b") as file:
                join_footers(file, self._order, self._n_rows)
        self._is_sealed = True

    def close(self) -> None:
        """Put the file in place, whole. Raises what writing it ran into; then nothing is left of it."""
        try:
            self.seal()
            self._temporary.replace(self._path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave no file behind."""
        self._failure = self._failure or ValueError("the file was given up")
        if self._joining is not None:
            wait([self._joining])  # joining a row group begins to encode it
        self._threads.shutdown()
        with suppress(OSError, pa.ArrowException):  # where the disk is full it cannot be closed in order
            self._writer.close()
        with suppress(OSError, pa.ArrowException):
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def _joined(pieces: Sequence[_Piece]) -> pa.Table:
    """The rows of all, in one chunk."""
    return pa.concat_tables([load().slice(start, n_rows) for load, start, n_rows in pieces]).combine_chunks()
