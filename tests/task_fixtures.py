"""Tasks as tables of files, and the ways they reach the rules: unpacked on disk, and as members of an archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from scanner.model import MemberKind
from scanner.tasks import TaskFile, wants

REAL = Path(__file__).resolve().parent.parent.parent / "shared" / "corpora" / "real"

TOML = '[task]\nname = "org/task"\n\n[environment]\ncpus = 1\n'
"""The smallest task.toml that names its task."""


class Link(NamedTuple):
    """A symbolic link."""

    target: str


Files: TypeAlias = Mapping[str, str | bytes | Link | None]
"""Content by path; None is a directory."""


def task(changes: Files | None = None, *, toml: str | bytes | None = TOML, without: Sequence[str] = ()) -> Files:
    """A task that Harbor loads, changed: ``changes`` are added or replace, ``without`` are left out."""
    files: dict[str, str | bytes | Link | None] = {
        "instruction.md": "Do it.\n",
        "environment/Dockerfile": "FROM debian:12\n",
        "tests/test.sh": "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n",
        "solution/solve.sh": "#!/bin/sh\ntrue\n",
    }
    if toml is not None:
        files["task.toml"] = toml
    files.update(changes or {})
    return {path: content for path, content in files.items() if path not in without}


def as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def members_of(files: Files, prefix: str = "") -> list[TaskFile]:
    """The files as a walker would hand them over: views, and only of what is wanted."""
    return [_member(prefix + path, content) for path, content in files.items()]


def _member(name: str, content: str | bytes | Link | None) -> TaskFile:
    if content is None:
        return TaskFile(name + "/", "dir", 0, None)
    if isinstance(content, Link):
        return TaskFile(name, "symlink", 0, None, content.target)
    data = as_bytes(content)
    return TaskFile(name, "file", len(data), memoryview(data) if wants(name) else None)


def write(files: Files, root: Path) -> None:
    """The files on disk below ``root``, in order."""
    root.mkdir(parents=True)
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            target.mkdir(exist_ok=True)
        elif isinstance(content, Link):
            target.symlink_to(content.target)
        else:
            target.write_bytes(as_bytes(content))


def tar_members(blob: bytes) -> list[TaskFile]:
    """The members of a (compressed) tar of files and directories, by the standard library."""
    kinds: dict[bytes, MemberKind] = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "dir"}
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        return [
            TaskFile(
                info.name,
                kinds[info.type],
                info.size,
                memoryview(archive.extractfile(info).read())  # type: ignore[union-attr] # files have content
                if info.isreg() and wants(info.name)
                else None,
            )
            for info in archive
        ]


def real_blobs() -> Iterator[tuple[str, bytes]]:
    """Name and blob of every row of the real corpus; skips the test where it is not at hand."""
    parquet = pytest.importorskip("pyarrow.parquet")
    paths = sorted(REAL.glob("*/tasks.parquet"))
    if not paths:
        pytest.skip("the corpus of real tasks is not beside the project")
    for path in paths:
        table = parquet.read_table(path)
        for name, blob in zip(table["path"].to_pylist(), table["task_binary"].to_pylist(), strict=True):
            yield f"{path.parent.name}/{name}", blob
