"""The Parquet files that SOURCE means: what a provider of them is, the one for local files, and how globs select.

A provider knows names and identities without opening a file; :mod:`scanner.sources.hub` has those of the Hub.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa

from scanner.errors import NoMatchError, SourceError
from scanner.model import Unit
from scanner.sources.ranges import Layout

Opener = Callable[[str], Any]
"""Opens a file, by name, as something that pyarrow reads from."""


class Reading(NamedTuple):
    """What is going to be read of one file."""

    name: str
    layout: Layout
    units: Sequence[Unit]


class Files(Protocol):
    """Files of one dataset, by name relative to its root."""

    credentials: str | None
    """What lets requests in, to be lent to who reads elsewhere. No part of a pickle: those may be written to a disk."""

    @property
    def names(self) -> Sequence[str]:
        """Sorted: the order of the plan."""

    @property
    def revision(self) -> str | None:
        """Commit they are of, where there is one."""

    @property
    def opened_at_once(self) -> int:
        """Files that are opened at a time while planning; 1 for those near by."""

    def identity(self, name: str) -> tuple[int, str]:
        """Size in bytes, and a text that changes when the content does."""

    def open(self, name: str) -> Any:
        """An open file that pyarrow reads from. Raises OSError or SourceError."""

    def only(self, names: Sequence[str]) -> Files:
        """The same with these names alone. It can be pickled, and read from in another process or elsewhere."""

    def reading(self, planned: Iterator[Reading], tell: Callable[[str], None]) -> AbstractContextManager[Opener]:
        """Open files that are going to be read in this order, so that they may be fetched ahead of it.

        ``tell`` is called, while a file is being read, with what a person should know meanwhile, in a line.
        """


_RETIRED: Final = "deprecated/**"
"""Retired sources: left out unless an include (or SOURCE itself) names them."""


def is_selected(file: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether globs keep ``file`` (relative to the dataset root). Excludes win; ``*`` stops at ``/``."""
    excludes = list(exclude)
    if not any("deprecated" in pattern for pattern in include):
        excludes.append(_RETIRED)
    if any(_matches(file, pattern) for pattern in excludes):
        return False
    return not include or any(_matches(file, pattern) for pattern in include)


def _matches(file: str, pattern: str) -> bool:
    # A pattern without a slash or a wildcard names a directory, as in .gitignore: `--exclude ORG__NAME`.
    if not any(c in pattern for c in "*?[/"):
        return file == pattern or file.startswith(pattern + "/")
    return glob_pattern(pattern).fullmatch(file) is not None


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: ``**`` crosses ``/``, ``*`` and ``?`` do not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(part) or re.escape(part) for part in parts))


class LocalFiles:
    """Files on a local file system, by name relative to a root."""

    credentials: str | None = None
    revision: str | None = None
    opened_at_once = 1

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self.names = list(names)

    def open(self, name: str) -> Any:
        """An open file that pyarrow reads from."""
        return pa.OSFile(str(self.root / name))

    def identity(self, name: str) -> tuple[int, str]:
        """Size in bytes, and a text that changes when the content does. Raises SourceError for a pipe or a device."""
        status = (self.root / name).stat()
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{name} is not a regular file")
        return status.st_size, f"{status.st_size}-{status.st_mtime_ns}"

    def only(self, names: Sequence[str]) -> LocalFiles:
        """See :class:`Files`. By an absolute path: elsewhere the working directory is another."""
        some = copy(self)
        some.root, some.names = self.root.absolute(), list(names)
        return some

    def reading(
        self,
        planned: Iterator[Reading],  # noqa: ARG002 - the system reads ahead
        tell: Callable[[str], None],  # noqa: ARG002 - there is nothing to tell
    ) -> AbstractContextManager[Opener]:
        """See :class:`Files`."""
        return nullcontext(self.open)


def find_local(location: str, include: Sequence[str], exclude: Sequence[str], skip: Path | None = None) -> LocalFiles:
    """The Parquet files that a local SOURCE means: a file, a folder (``**/*.parquet``) or a glob.

    ``skip`` is a folder that is never searched (the Run being written). Raises SourceError or NoMatchError.
    """
    path = Path(location)
    if path.is_file():
        return LocalFiles(path.parent, [path.name])
    if path.is_dir():
        root, found = path, [str(p.relative_to(path)) for p in path.rglob("*.parquet") if not p.is_dir()]
    elif any(c in location for c in "*?["):
        root, pattern = _glob_root(location)
        found = [str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()] if root.is_dir() else []
        found = [name for name in found if glob_pattern(pattern).fullmatch(Path(name).as_posix())]
    else:
        raise SourceError(f"{location} does not exist; SOURCE is a Parquet file, a folder, a glob or a Hub dataset")
    names = sorted(Path(name).as_posix() for name in found)
    if skip is not None:
        names = [name for name in names if not (root / name).resolve().is_relative_to(skip.resolve())]
    if not names:
        raise SourceError(f"no Parquet file found in {location}")
    kept = [name for name in names if is_selected(name, include, exclude)]
    if not kept:
        raise NoMatchError(
            f"none of the {len(names)} Parquet files in {location} is selected; check --include and --exclude"
        )
    return LocalFiles(root, kept)


def _glob_root(location: str) -> tuple[Path, str]:
    parts = Path(location).parts
    fixed = next(i for i, part in enumerate(parts) if any(c in part for c in "*?["))
    return Path(*parts[:fixed]) if fixed else Path(), "/".join(parts[fixed:])
