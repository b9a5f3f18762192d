"""The seeded corpora that everything here is measured on: one Parquet file each, made once, kept under ``out/bench``.

``pax`` is the dataset's main flavour (a PAX header before each member), ``plain`` the same tasks as plain ustar,
``large`` rows of 0.2 to 12 MiB, of which the largest are streamed, and ``real`` the real tasks next to the project.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from scanner.corpus import pack, sources
from scanner.corpus.writer import FilePlan, made_files, write_file
from scanner.manifest import usable_cores
from scanner.options import Options
from scanner.sources.opening import open_source

ROOT: Final = Path(__file__).parent.parent
HOME: Final = ROOT / "out" / "bench"
REAL: Final = ROOT.parent / "shared" / "corpora" / "real"
SEED: Final = 7
GROUP_ROWS: Final = 25_000


class Corpus:
    """A folder of Parquet files, and the same rows in memory in both shapes that peers want."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    @cached_property
    def files(self) -> list[str]:
        """Its Parquet files."""
        return sorted(map(str, self.folder.rglob("*.parquet")))

    @cached_property
    def packed(self) -> list[bytearray]:
        """All rows as packed Batches: what a worker gets."""
        source = open_source(self.folder, Options())
        plan = source.plan()
        return [batch.pack() for batch in source.read(plan, {unit.index for unit in plan.units}, _unreadable)]

    @cached_property
    def n_rows(self) -> int:
        """Rows, by the footers."""
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    def rows(self, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        """(path, blob) of the first rows, as anybody would read them with pyarrow."""
        for file in self.files:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=256, columns=["path", "task_binary"]):
                    for path, blob in zip(*batch.to_pydict().values(), strict=True):
                        if limit is not None:
                            if limit == 0:
                                return
                            limit -= 1
                        yield path, blob


def corpus(name: str, rows: int) -> Corpus:
    """The corpus of that name with so many rows (``real`` has its own number); made where it is not there yet."""
    if name == "real":
        return Corpus(name, REAL)
    folder = HOME / f"{name}-{rows}-{SEED}"
    if not (folder / "made").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _MAKERS[name](folder, rows)
        (folder / "made").touch()
    return Corpus(name, folder)


def names() -> list[str]:
    """The corpora that can be measured here."""
    return [*_MAKERS, *(["real"] if REAL.is_dir() else [])]


def _look_alike(packing: sources.Packing) -> Any:
    profile = sources.MAIN._replace(packings=(packing,))

    def make(folder: Path, rows: int) -> None:
        plans = [
            FilePlan(profile, f"tasks-{first:07d}.parquet", first, min(GROUP_ROWS, rows - first))
            for first in range(0, rows, GROUP_ROWS)
        ]
        for plan, chunks in made_files(plans, SEED, usable_cores()):
            write_file(folder / plan.name, plan, chunks)

    return make


def _large(folder: Path, rows: int) -> None:
    rng = Random(SEED)
    words = [bytes(rng.choices(b"etaoinshrdlu \n", k=rng.randrange(3, 90))) for _ in range(4_000)]
    schema = pa.schema([("path", pa.string()), ("task_binary", pa.binary())])
    with pq.ParquetWriter(folder / "tasks.parquet", schema) as writer:
        for row in range(rows):
            blob = _large_blob(rng, words)
            writer.write_table(pa.table({"path": [f"large-{row:05d}"], "task_binary": [blob]}, schema=schema))


def _large_blob(rng: Random, words: list[bytes]) -> bytes:
    """A task with a data file of 0.2 to 12 MiB: text that deflates to a third, and a binary that does not at all."""
    size = int(200_000 * 60 ** rng.random())
    files: dict[str, bytes] = {
        "instruction.md": b"Find the line that occurs once.\n",
        "task.toml": b'version = "1.0"\n[verifier]\ntimeout_sec = 60\n',
        "environment/Dockerfile": b"FROM python:3.12-slim\nCOPY . /app\n",
        "environment/data.txt": b"".join(rng.choices(words, k=size // 45)),
        "environment/weights.bin": rng.randbytes(size // 20),
        "tests/test.sh": b"#!/bin/sh\npytest /tests\n",
    }
    raw, _ = pack.pax_tar(files, sources.EPOCH + rng.random(), rng.random)
    return pack.gzip_blob(raw, sources.EPOCH)


def _unreadable(file: str, unit: int, reason: str) -> None:
    raise RuntimeError(f"{file}, unit {unit}: {reason}")


_MAKERS: Final = {"pax": _look_alike(sources.pax), "plain": _look_alike(sources.plain), "large": _large}
