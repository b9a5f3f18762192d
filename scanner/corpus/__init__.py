"""The embedded sample: a seeded look-alike of TaskTrove, so that everything can be tried, tested and measured offline.

Same seed and rows, same bytes, for any number of workers (with the same versions of pyarrow and of the compressors).
What it imitates, and how closely, is a table of profiles in :mod:`scanner.corpus.sources`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from itertools import chain, groupby
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from scanner.corpus.hostile import hostile_cases
from scanner.corpus.sources import RETIRED, SOURCES, Profile
from scanner.corpus.writer import Chunk, files_of, made_files, shares, write_file
from scanner.errors import OutputError, UsageError
from scanner.interrupts import Interrupts

__all__ = ["CorpusInfo", "SourceInfo", "hostile_cases", "make_corpus"]

MARKER: Final = "corpus.json"
"""Written first, so that an interrupted corpus is known for what it is and can be made again."""
HOSTILE: Final = Profile("hostile__rows", 0, "hostile", ())
MAX_SEED: Final = (1 << 63) - 1


class SourceInfo(msgspec.Struct, frozen=True):
    """What was written for one source."""

    name: str
    """Its directory, as the records' ``source`` column has it."""
    n_files: int
    n_rows: int
    blob_bytes: int
    raw_bytes: int
    """After the outer codec; 0 for the hostile rows, where it is no fact."""
    n_members: int
    file_bytes: int


class CorpusInfo(msgspec.Struct, frozen=True):
    """What :func:`make_corpus` wrote."""

    directory: str
    seed: int
    n_rows: int
    """Rows of the live sources, as asked for. Retired and hostile rows come on top."""
    sources: list[SourceInfo]


def make_corpus(
    directory: str | os.PathLike[str],
    *,
    rows: int = 20_000,
    seed: int = 0,
    hostile: bool = False,
    workers: int | None = None,
    on_source: Callable[[SourceInfo], None] | None = None,
) -> CorpusInfo:
    """Write a look-alike of the dataset of ``rows`` rows.

    Args:
        directory: where to; must not exist, be empty, or hold an earlier corpus (whose files are then replaced).
        rows: rows of the live sources, at least 1. 5 % retired rows come on top, under ``deprecated/``.
        seed: 0 to 2**63 - 1.
        hostile: add the source ``hostile__rows`` with one row for each of :func:`hostile_cases`.
        workers: processes that make rows; None for one a core. The bytes written do not depend on it.
        on_source: called with each source once it is written.

    Returns:
        What was written, per source.

    Raises:
        UsageError: ``rows``, ``seed`` or ``workers`` out of range.
        OutputError: ``directory`` holds something else, or cannot be written.
        EngineError: a worker was killed.
    """
    if rows < 1:
        raise UsageError(f"A corpus has at least one row, not {rows:,}.")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"A seed is 0 to {MAX_SEED}, not {seed}.")
    if workers is not None and workers < 1:
        raise UsageError(f"At least one worker makes rows, not {workers}.")
    root = Path(directory)
    counts = [*zip(SOURCES, shares(rows), strict=True), (RETIRED, -(-rows * RETIRED.share // 1000))]
    plans = [plan for profile, count in counts for plan in files_of(profile, count)]
    cases = hostile_cases() if hostile else []
    last = [(plan, [_hostile_chunk(cases)]) for plan in files_of(HOSTILE, len(cases))]
    _claim(root, [plan.name for plan in (*plans, *(plan for plan, _ in last))], {"rows": rows, "seed": seed})
    sources: list[SourceInfo] = []
    with (
        Interrupts() as interrupts,
        interrupts.held(),  # until a chunk is waited for: nothing is half written, and the workers end in order
        closing(made_files(plans, seed, workers or _cores(), interrupts)) as made,
    ):
        for name, files in groupby(chain(made, last), key=lambda file: file[0].profile.directory):
            written = [(plan.n_rows, *write_file(root / plan.name, plan, chunks)) for plan, chunks in files]
            sources.append(SourceInfo(name, len(written), *map(sum, zip(*written, strict=True))))
            if on_source is not None:
                on_source(sources[-1])
        interrupts.check()
    return CorpusInfo(str(root), seed, rows, sources)


def _hostile_chunk(cases: list[tuple[str, bytes | None]]) -> Chunk:
    return Chunk([name for name, _ in cases], [blob for _, blob in cases], 0, 0)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _claim(root: Path, names: list[str], arguments: dict[str, int]) -> None:
    """Make ``root`` ours: remove the files of an earlier corpus, refuse anything else, leave the marker."""
    marker = root / MARKER
    try:
        root.mkdir(parents=True, exist_ok=True)
        if marker.exists():
            for name in _marked(marker):
                for path in (root / name, root / f"{name}.part"):
                    path.unlink(missing_ok=True)
        elif any(root.iterdir()):
            raise OutputError(f"{root} is not empty and holds no earlier corpus: name another folder.")
        marker.write_bytes(msgspec.json.format(msgspec.json.encode({**arguments, "files": names}), indent=1))
    except OSError as error:
        raise OutputError(f"Cannot write a corpus into {root}: {error.strerror or error}.") from error


def _marked(marker: Path) -> list[str]:
    """The files that an earlier corpus consists of. A marker may be forged: nothing outside is touched."""

    class Marker(msgspec.Struct):
        files: list[str]

    try:
        names = msgspec.json.decode(marker.read_bytes(), type=Marker).files
    except msgspec.DecodeError as error:
        raise OutputError(f"{marker} is not the marker of a corpus: name another folder.") from error
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.suffix != ".parquet":
            raise OutputError(f"{marker} lists {name!r}, which no corpus has: name another folder.")
    return names
