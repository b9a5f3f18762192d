"""Tables on disk as they grow: Parquet files written in plan order, whose bytes depend on their rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS: Final = 16_384
"""Rows of a row group: a fixed number, so that a file does not depend on how it was made."""


class TableWriter:
    """Writes a Parquet file from tables in plan order, to a temporary name that :meth:`close` renames.

    The bytes depend on the rows and their order alone: row groups have a fixed size however the tables come. One is
    encoded in a thread while the next is put together in another (Arrow holds no lock meanwhile), so an error may come
    with a later call.
    ``dictionary`` names the columns whose values repeat, in up to ``dictionary_bytes`` a row group, and ``statistics``
    those that are worth skipping row groups by. With ``store_schema`` readers get the types of Arrow back.
    ``tap`` is called with the rows of each row group, in one chunk, in the latter thread.
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
    ) -> None:
        self._path = path
        self._tap = tap
        self._temporary = path.with_name(path.name + ".part")
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="scanner-encode")
        self._joining: Future[None] | None = None
        self._encoding: Future[None] | None = None
        self._failure: BaseException | None = None
        self._is_sealed = False
        self._writer = pq.ParquetWriter(
            self._temporary,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(dictionary),
            write_statistics=list(statistics),
            dictionary_pagesize_limit=dictionary_bytes,
            store_schema=store_schema,
        )

    def write(self, table: pa.Table) -> None:
        """Append the rows of ``table``. Raises what a thread ran into, and the same with every later call."""
        self._check()
        self._pending.append(table)
        self._pending_rows += table.num_rows
        if self._pending_rows >= ROW_GROUP_ROWS:
            self._flush(final=False)

    def _flush(self, *, final: bool) -> None:
        table = pa.concat_tables(self._pending)
        at = 0
        while table.num_rows - at >= ROW_GROUP_ROWS or (final and at < table.num_rows):
            part = table.slice(at, ROW_GROUP_ROWS)
            self._settle(self._joining)
            self._joining = self._threads.submit(self._join, part)
            at += part.num_rows
        self._pending = [table.slice(at)]
        self._pending_rows = table.num_rows - at

    def _join(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        if self._tap is not None:
            self._tap(rows)
        self._settle(self._encoding)
        self._encoding = self._threads.submit(self._writer.write_table, rows, row_group_size=ROW_GROUP_ROWS)

    def _settle(self, work: Future[None] | None) -> None:
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
            self._flush(final=True)
        self._settle(self._joining)
        self._settle(self._encoding)
        self._threads.shutdown()
        self._writer.close()
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
