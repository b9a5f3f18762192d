"""Where a Run lies: a folder on a local disk, or behind an fsspec URL (``s3://``, ``gs://``, ``hf://buckets/…``).

In both a file is there whole or not at all. On a disk it is written to a temporary name and renamed. An object store
needs no rename, and has none: an object appears when its put (or the completion of its multipart upload) succeeds.
What a killed process left under a temporary name is removed by :meth:`Folder.sweep` alone: to look deletes nothing, as
the folder may be somebody else's.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

from xxhash import xxh3_128

from scanner.errors import OutputError, UsageError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import polars as pl

PUTS: Final = 8
"""Objects on their way to a store at a time: one put takes tens of milliseconds, whatever its size."""

PENDING: Final = 4 * PUTS
"""Objects that wait or are on their way; then the next :meth:`Folder.write` waits too."""

_PART: Final = ".part"

_FIRST: Final = "run.json"
"""Written before all else: a folder that has nothing but its temporary file is one that a Run was to be made in."""

TABLES: Final = ("records.parquet", "members.parquet")

OUTPUTS: Final = (_FIRST, "stats.json", *TABLES)

_TORN_SHARD: Final = re.compile(r"shards/\d{4,}/\d{7,}(\.msgpack)?\.part")
"""Temporary names of shards, from the Run on: numbers, as nobody names files of his own there."""


class Folder(Protocol):
    """A folder of named files; names are relative, with ``/``. What fails raises OSError."""

    location: str
    """As a person writes it: a path or a URL."""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError where there is none."""

    def write(self, name: str, data: bytes | bytearray) -> None:
        """Put a file in place, whole or not at all; from any thread. A store may still be at it: see :meth:`flush`."""

    def link(self, name: str, origin: Folder) -> bool:
        """Have the file of that name in ``origin`` here too, at no cost; False where that cannot be."""

    def reserved(self) -> AbstractContextManager[None]:
        """Keep others from reserving it, where that can be. Raises BlockingIOError where one of them has."""

    def flush(self) -> None:
        """Wait until everything written is in place; raises what went wrong meanwhile."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def names(self, under: str = "") -> Iterator[str]:
        """Names of all files below a folder (of this one, the whole), in no order; nothing is changed.

        Not named is what a killed write surely left: temporary files of shards, and that of ``run.json``.
        """

    def sweep(self) -> None:
        """Remove the temporary files that a killed scan left, and no others. For a folder known to hold a Run alone."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no error."""

    def remove_all(self, under: str) -> None:
        """Remove a folder with all that is in it."""

    def stage(self, name: str) -> Path:
        """A local path to write a large file to, which :meth:`publish` then puts in place."""

    def publish(self, name: str) -> None:
        """Put a staged file in place."""

    def fetched(self, name: str) -> AbstractContextManager[Path]:
        """A large file as one on a local disk, as long as the context lasts. It is not to be changed."""

    def scan_parquet(self, name: str) -> pl.LazyFrame:
        """A Parquet file as a polars LazyFrame; nothing is read yet."""


def open_folder(location: str | os.PathLike[str]) -> Folder:
    """The folder that a path or a URL means; nothing is made or looked up. Raises UsageError for an unknown kind."""
    text = os.fspath(location)
    if is_url(text):
        return UrlFolder(text)
    return LocalFolder(Path(text.removeprefix("file://")))


@contextmanager
def alone_in(folder: Folder, option: str) -> Iterator[None]:
    """Keep other scans and merges out of a folder; ``option`` names another one.

    Raises OutputError where one is at it, or where the folder cannot be made.
    """
    with ExitStack() as reserved:
        try:
            reserved.enter_context(folder.reserved())
        except OSError as error:
            why = error.strerror or error
            raise OutputError(f"cannot write to {folder.location}: {why}; choose another {option}") from error
        yield


def is_same_place(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether both name one folder, however they are written."""
    first, second = os.fspath(one), os.fspath(other)
    if is_url(first) or is_url(second):
        return first.rstrip("/") == second.rstrip("/")
    first, second = (os.path.realpath(each.removeprefix("file://")) for each in (first, second))
    return first == second


def is_url(location: str) -> bool:
    """Whether a location is one that fsspec opens (``file://`` is a path by another name)."""
    return "://" in location and not location.startswith("file://")


def open_url(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path within it. Listings are not cached: others write there too."""
    import fsspec.core  # noqa: PLC0415 - with its file systems a second that local Runs do not pay

    try:
        fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:  # ValueError: a protocol nobody knows
        raise UsageError(f"{url} cannot be opened: {error}") from error
    return fs, root.rstrip("/")


def digest_of(path: Path) -> str:
    """The xxh3-128 of a file, in hex."""
    digest = xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder; none where the system or the file system has none."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(errno.EAGAIN, "another scan is writing to it") from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


class LocalFolder:
    """A folder on a local (or mounted) file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.location = str(path)

    def read(self, name: str) -> bytes:
        """See :class:`Folder`. Hot in a merge, once a shard: so no buffer, and no path taken apart."""
        with open(f"{self.location}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()

    def write(self, name: str, data: bytes | bytearray) -> None:
        """See :class:`Folder`. No fsync: a killed process loses nothing."""
        path = self.path / name
        temporary = path.with_name(path.name + _PART)
        try:
            self._put(temporary, data)
        except OSError:
            with suppress(OSError):  # a full disk needs the space
                temporary.unlink(missing_ok=True)
            raise
        temporary.replace(path)

    def _put(self, path: Path, data: bytes | bytearray) -> None:
        try:
            path.write_bytes(data)
        except FileNotFoundError:  # the folder: made when it is needed, as asking each time would cost as much again
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def link(self, name: str, origin: Folder) -> bool:
        """See :class:`Folder`. Safe, as files are replaced and never written to again."""
        if not isinstance(origin, LocalFolder):
            return False
        path = self.path / name
        try:
            try:
                os.link(origin.path / name, path)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(origin.path / name, path)
        except OSError:  # another disk, or one without links
            return False
        return True

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """See :class:`Folder`: a lock on the folder itself, of which nothing stays when its holder dies."""
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(self.path):
                yield
        finally:
            if is_new:
                with suppress(OSError):  # nothing came of it
                    self.path.rmdir()

    def flush(self) -> None:
        """Nothing waits here."""

    def exists(self, name: str) -> bool:
        """See :class:`Folder`."""
        return (self.path / name).exists()

    def names(self, under: str = "") -> Iterator[str]:
        """See :class:`Folder`."""
        for name in self._walk(under):
            if name != _FIRST + _PART and not _TORN_SHARD.fullmatch(name):
                yield name

    def sweep(self) -> None:
        """See :class:`Folder`."""
        self.remove(name + _PART for name in OUTPUTS)
        self.remove(name for name in self._walk("shards") if _TORN_SHARD.fullmatch(name))

    def _walk(self, under: str) -> Iterator[str]:
        """Names of all files below a folder, temporary ones too."""
        for folder, _, files in os.walk(self.path / under):
            for file in files:
                yield Path(folder, file).relative_to(self.path).as_posix()

    def remove(self, names: Iterable[str]) -> None:
        """See :class:`Folder`."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def remove_all(self, under: str) -> None:
        """See :class:`Folder`."""
        shutil.rmtree(self.path / under, ignore_errors=True)

    def stage(self, name: str) -> Path:
        """See :class:`Folder`: the very place, since who writes a large file here renames it himself."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / name

    def publish(self, name: str) -> None:
        """It is there already."""

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """See :class:`Folder`: the file itself."""
        yield self.path / name

    def scan_parquet(self, name: str) -> pl.LazyFrame:
        """See :class:`Folder`."""
        import polars as pl  # noqa: PLC0415 - half a second that only readers of records pay

        return pl.scan_parquet(self.path / name)


class UrlFolder:
    """A prefix in an object store (or any other file system of fsspec)."""

    def __init__(self, url: str) -> None:
        self.location = url.rstrip("/")
        self._fs, self._root = open_url(url)
        self._puts = ThreadPoolExecutor(PUTS, thread_name_prefix="scanner-put")
        self._pending: dict[str, Future[None]] = {}
        self._writing = Lock()
        self._staged: Path | None = None

    def read(self, name: str) -> bytes:
        """See :class:`Folder`."""
        self._wait(name)
        data: bytes = self._call("cat_file", self._path(name))
        return data

    def write(self, name: str, data: bytes | bytearray) -> None:
        """See :class:`Folder`. Raises what an earlier write ran into, too."""
        with self._writing:
            self._wait(name)
            while len(self._pending) >= PENDING:
                self._wait(next(iter(self._pending)))
            self._pending[name] = self._puts.submit(self._call, "pipe_file", self._path(name), bytes(data))

    def link(self, name: str, origin: Folder) -> bool:  # noqa: ARG002 - stores have no links
        """See :class:`Folder`."""
        return False

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Stores have no locks."""
        yield

    def flush(self) -> None:
        """See :class:`Folder`."""
        for name in list(self._pending):
            self._wait(name)

    def _wait(self, name: str) -> None:
        put = self._pending.pop(name, None)
        if put is not None:
            put.result()

    def exists(self, name: str) -> bool:
        """See :class:`Folder`."""
        self._wait(name)
        return bool(self._call("exists", self._path(name)))

    def names(self, under: str = "") -> Iterator[str]:
        """See :class:`Folder`."""
        self.flush()
        for path in self._call("find", self._path(under)):
            yield path.removeprefix(self._root).lstrip("/")

    def sweep(self) -> None:
        """Nothing is left of an object that was not put to its end."""

    def remove(self, names: Iterable[str]) -> None:
        """See :class:`Folder`."""
        there = [self._path(name) for name in names if self.exists(name)]
        if there:
            self._call("rm", there)

    def remove_all(self, under: str) -> None:
        """See :class:`Folder`."""
        there = [self._path(name) for name in self.names(under)]
        if there:
            self._call("rm", there)

    def stage(self, name: str) -> Path:
        """See :class:`Folder`: in a temporary folder that goes with this object."""
        if self._staged is None:
            self._staged = Path(tempfile.mkdtemp(prefix="scanner-"))
            weakref.finalize(self, shutil.rmtree, self._staged, ignore_errors=True)
        return self._staged / name

    def publish(self, name: str) -> None:
        """See :class:`Folder`: one put, in parts where it is large."""
        local = self.stage(name)
        self._call("put_file", str(local), self._path(name))
        local.unlink()

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """See :class:`Folder`: a copy."""
        self._wait(name)
        with tempfile.TemporaryDirectory(prefix="scanner-") as folder:
            local = Path(folder, Path(name).name)
            self._call("get_file", self._path(name), str(local))
            yield local

    def scan_parquet(self, name: str) -> pl.LazyFrame:
        """See :class:`Folder`. Through pyarrow, so that what fsspec is told of endpoints and keys holds here too."""
        import polars as pl  # noqa: PLC0415 - as above
        import pyarrow.dataset as ds  # noqa: PLC0415 - as above

        return pl.scan_pyarrow_dataset(ds.dataset(self._path(name), filesystem=self._fs, format="parquet"))

    def _call(self, method: str, *arguments: Any) -> Any:
        """A method of the file system; whatever its client library raises comes as an OSError."""
        try:
            return getattr(self._fs, method)(*arguments)
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"{type(error).__name__}: {error}") from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root
