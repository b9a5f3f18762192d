"""Rows to Parquet files: chunks of rows are made by workers in any order and written in theirs, so bytes never differ.

Memory: a few chunks (2 MB each) for each worker, and one row group: at most 250 MB for the sources that are written as
a single one, whatever the number of rows.
"""

from __future__ import annotations

import base64
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import pairwise
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from scanner.corpus.sources import REPAIRED_GROUP_ROWS, SINGLE_GROUP_ROWS, SOURCES, Packed, Profile, row_of
from scanner.errors import EngineError, OutputError
from scanner.interrupts import Interrupts, sigint_blocked

CHUNK_ROWS: Final = 512
"""A multiple of the small row groups, so that these never straddle two chunks."""
_IN_PROCESS_ROWS: Final = 1500
"""Below this, starting workers costs more than it saves."""


class FilePlan(NamedTuple):
    """One Parquet file to write: rows ``first_row .. first_row + n_rows`` of a source."""

    profile: Profile
    name: str
    """Relative to the corpus, with ``/``."""
    first_row: int
    n_rows: int


class Chunk(NamedTuple):
    """Consecutive rows of one source, made; the sums are of all of them."""

    paths: list[str]
    blobs: list[bytes | None]
    raw_bytes: int
    n_members: int


def shares(rows: int) -> list[int]:
    """Rows of each live source: in proportion by largest remainder, each at least one where ``rows`` suffices."""
    least = 1 if rows >= len(SOURCES) else 0
    free = rows - least * len(SOURCES)
    total = sum(profile.share for profile in SOURCES)
    counts = [least + free * profile.share // total for profile in SOURCES]
    by_remainder = sorted(range(len(SOURCES)), key=lambda i: (-(free * SOURCES[i].share % total), i))
    for i in by_remainder[: rows - sum(counts)]:
        counts[i] += 1
    return counts


def files_of(profile: Profile, rows: int) -> Iterator[FilePlan]:
    """The files of a source of ``rows`` rows; none for none."""
    if not rows:
        return
    least = 1 if profile.repaired else -(-rows // SINGLE_GROUP_ROWS)
    parts = min(rows, max(profile.parts, least))
    if parts <= 1 and not profile.parts:
        yield FilePlan(profile, f"{profile.directory}/tasks.parquet", 0, rows)
        return
    cuts = [rows * part // parts for part in range(parts + 1)]
    for part, (start, end) in enumerate(pairwise(cuts)):
        name = f"{profile.directory}/data/train-{part:05d}-of-{parts:05d}.parquet"
        yield FilePlan(profile, name, start, end - start)


def make_chunk(seed: int, profile: Profile, first: int, end: int) -> Chunk:
    """Rows ``first .. end`` of a source. Runs in a worker."""
    rows: list[Packed] = [row_of(profile, seed, row) for row in range(first, end)]
    return Chunk(
        [row.path for row in rows],
        [row.blob for row in rows],
        sum(row.raw_bytes for row in rows),
        sum(row.n_members for row in rows),
    )


def made_files(
    plans: Iterable[FilePlan], seed: int, workers: int, interrupts: Interrupts | None = None
) -> Generator[tuple[FilePlan, Iterator[Chunk]], None, None]:
    """Each plan with its chunks, in order. A file's chunks must be taken before the next file is asked for.

    Close it (``contextlib.closing``) where it is left early: it holds the workers. A Ctrl-C that ``interrupts`` holds
    is raised between two chunks, or while one is waited for.
    """
    interrupts = interrupts or Interrupts()
    todo = [
        (plan, [(first, min(first + CHUNK_ROWS, end)) for first in range(plan.first_row, end, CHUNK_ROWS)])
        for plan in plans
        for end in (plan.first_row + plan.n_rows,)
    ]
    jobs = (partial(make_chunk, seed, plan.profile, *span) for plan, spans in todo for span in spans)
    n_rows = sum(plan.n_rows for plan, _ in todo)
    is_small = workers == 1 or n_rows < _IN_PROCESS_ROWS
    with closing(_in_process(jobs, interrupts) if is_small else _in_workers(jobs, workers, interrupts)) as made:
        for plan, spans in todo:
            yield plan, (next(made) for _ in spans)


def _in_process(jobs: Iterator[Callable[[], Chunk]], interrupts: Interrupts) -> Generator[Chunk, None, None]:
    for job in jobs:
        interrupts.check()
        yield job()


def _in_workers(
    jobs: Iterator[Callable[[], Chunk]], workers: int, interrupts: Interrupts
) -> Generator[Chunk, None, None]:
    """The result of each job, in order; at most two jobs a worker are under way or waiting to be taken."""
    waiting: deque[Future[Chunk]] = deque()
    with _pool(workers) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > 2 * workers:
                    yield _result(waiting.popleft(), interrupts)
            while waiting:
                yield _result(waiting.popleft(), interrupts)
        except BrokenProcessPool as error:
            raise EngineError(
                "A worker that made rows was killed: free some memory or ask for fewer workers."
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _result(future: Future[Chunk], interrupts: Interrupts) -> Chunk:
    with interrupts.released():
        return future.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are born with SIGINT blocked: Ctrl-C, which the terminal sends to all, is the parent's."""
    context = get_context("forkserver" if os.name == "posix" else "spawn")
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        resource_tracker.ensure_running()
        with sigint_blocked():
            pool.submit(os.getpid)  # starts them all
        yield pool


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends: a pool's worker would wait for ever otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def write_file(target: Path, plan: FilePlan, chunks: Iterable[Chunk]) -> tuple[int, int, int, int]:
    """Write one file, to ``*.part`` first, then renamed.

    Returns:
        Of its rows the sums of blob bytes, raw bytes and members; and the size of the file.

    Raises:
        OutputError: where it cannot be written.
    """
    profile = plan.profile
    part = target.with_name(f"{target.name}.part")
    sums = [0, 0, 0]
    single: list[pa.Table] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        codec = "zstd" if profile.repaired else "snappy"
        with pq.ParquetWriter(part, _schema(profile), compression=codec) as writer:
            for chunk in chunks:
                table = _table(profile, chunk)
                if profile.repaired:
                    writer.write_table(table, row_group_size=REPAIRED_GROUP_ROWS)
                else:
                    single.append(table)
                sums[0] += sum(len(blob) for blob in chunk.blobs if blob is not None)
                sums[1] += chunk.raw_bytes
                sums[2] += chunk.n_members
            if single:
                writer.write_table(pa.concat_tables(single), row_group_size=plan.n_rows)
        size = part.stat().st_size
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink()  # on a full disk the space matters
        raise OutputError(f"Cannot write {target}: {error.strerror or error}.") from error
    return sums[0], sums[1], sums[2], size


def _schema(profile: Profile) -> pa.Schema:
    blob = {"binary": pa.binary(), "large_binary": pa.large_binary(), "base64": pa.string()}[profile.column]
    fields = [("path", pa.string()), ("task_binary", blob)]
    if profile.extra_columns:
        fields = [("language", pa.string()), *fields, ("n_bytes", pa.int64())]
    return pa.schema(fields)


def _table(profile: Profile, chunk: Chunk) -> pa.Table:
    blobs: list[bytes | None] | list[str | None] = chunk.blobs
    if profile.column == "base64":
        blobs = [None if blob is None else base64.b64encode(blob).decode() for blob in chunk.blobs]
    columns: list[object] = [chunk.paths, blobs]
    if profile.extra_columns:
        columns = [["python"] * len(blobs), *columns, [len(blob or "") for blob in blobs]]
    schema = _schema(profile)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
