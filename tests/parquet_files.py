"""Small Parquet datasets for tests, made on the spot."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def tar_gz(files: dict[str, bytes]) -> bytes:
    """A gzip tar of ``files``, the same bytes every time."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def task(number: int, *, size: int = 100) -> bytes:
    """A little task that differs with ``number``."""
    return tar_gz({"instruction.md": b"Do it %d times.\n" % number, "tests/test.sh": b"true\n", "data": bytes(size)})


def write_rows(
    path: Path,
    blobs: Sequence[bytes | None],
    *,
    row_group_size: int = 1000,
    prefix: str = "task",
    compression: str = "snappy",
) -> Path:
    """A Parquet file of ``blobs`` with made-up paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "path": pa.array([f"{prefix}-{i:04d}" for i in range(len(blobs))], pa.string()),
            "task_binary": pa.array(list(blobs), pa.binary()),
        }
    )
    pq.write_table(table, path, row_group_size=row_group_size, compression=compression)
    return path


def make_dataset(root: Path, sources: dict[str, int], *, row_group_size: int = 32) -> Path:
    """``root/<source>/tasks.parquet`` for each source, with so many rows."""
    number = 0
    for source, n_rows in sources.items():
        blobs = [task(number + i) for i in range(n_rows)]
        write_rows(root / source / "tasks.parquet", blobs, row_group_size=row_group_size, prefix=source.split("__")[-1])
        number += n_rows
    return root
