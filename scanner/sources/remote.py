"""Parquet files that are read by ranges, as a rule over HTTP: footer once, then the column chunks, fetched ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Final, Protocol, Self

import pyarrow as pa

from scanner.errors import SourceError
from scanner.sources.answers import Remote
from scanner.sources.files import Opener, Reading
from scanner.sources.prefetch import CONNECTIONS, Prefetch
from scanner.sources.ranges import HEAD_BYTES, blocks_of

TAIL_BYTES: Final = 64 << 10
"""Read from a file's end at first, in the hope that the footer fits; what is more of it are column bytes, and kept.

Arrow reads as much; a footer takes some 250 bytes a row group.
"""

KEPT_BYTES: Final = 64 << 20
"""Tails that are kept from planning to reading; those of later files are read again."""

MOST_FOOTER_BYTES: Final = 256 << 20
"""A footer that claims to be larger is refused: a million row groups fit."""

OPENED_AT_ONCE: Final = 16
"""Tails that are read at a time while planning: they cost a round trip or two each, and next to no bandwidth."""

_MOST_SEEN: Final = 64
"""Looks of a file that are kept: as many as columns are read, and what chunks of a few bytes leave behind."""

_MAGIC: Final = (b"PAR1", b"PARE")


class Ranges(Protocol):
    """Who fetches bytes: :class:`scanner.sources.http.Http`, or fsspec for what is not HTTP."""

    note: Callable[[str], None]
    """Told of each wait in a line; called from any thread."""
    credentials: str | None
    """See :class:`scanner.sources.files.Files`."""

    def range(self, file: Remote, start: int, end: int) -> bytearray:
        """Bytes ``start .. end`` (not included) of a file. Called from many threads. Raises SourceError."""


class RemoteFiles:
    """Files read by ranges, by name; see :class:`scanner.sources.files.Files`."""

    def __init__(
        self, http: Ranges, files: Mapping[str, Remote], revision: str | None, *, connections: int = CONNECTIONS
    ) -> None:
        self.names = sorted(files)
        self.revision = revision
        self.opened_at_once = OPENED_AT_ONCE
        self._connections = connections
        self._http = http
        self._files = files
        self._tails: dict[str, bytes] = {}
        self._kept_bytes = 0

    @property
    def credentials(self) -> str | None:
        """See :class:`scanner.sources.files.Files`."""
        return self._http.credentials

    @credentials.setter
    def credentials(self, lent: str | None) -> None:
        self._http.credentials = lent

    def identity(self, name: str) -> tuple[int, str]:
        """Size in bytes, and the LFS sha256 or git id as it was listed."""
        file = self._files[name]
        return file.size_bytes, file.etag

    def open(self, name: str) -> pa.PythonFile:
        """An open file that fetches what is read. Raises SourceError where its footer cannot be had."""
        return pa.PythonFile(_RangeFile(self._files[name].size_bytes, self._tail(name), self._reader(name)), "r")

    def only(self, names: Sequence[str]) -> Self:
        """See :class:`scanner.sources.files.Files`. Footers that are kept go along."""
        some = copy(self)
        tails = {name: self._tails[name] for name in names if name in self._tails}
        files = {name: self._files[name] for name in names}
        vars(some).update(names=list(names), _files=files, _tails=tails, _kept_bytes=sum(map(len, tails.values())))
        return some

    @contextmanager
    def reading(self, planned: Iterator[Reading], tell: Callable[[str], None]) -> Iterator[Opener]:
        """Open files that are fetched ahead, several Blocks at a time."""
        blocks = ((each.name, blocks_of(each.layout, each.units, self._tail_start(each.name))) for each in planned)
        prefetch = Prefetch(self._fetch, blocks, connections=self._connections, tell=tell)
        noted_before, self._http.note = self._http.note, prefetch.note

        def opener(name: str) -> pa.PythonFile:
            def read(start: int, end: int) -> memoryview:
                return prefetch.read(name, start, end)

            size_bytes = self._files[name].size_bytes
            return pa.PythonFile(_RangeFile(size_bytes, self._tail(name), read, lambda: prefetch.forget(name)), "r")

        try:
            yield opener
        finally:
            self._http.note = noted_before
            prefetch.close()

    def _fetch(self, name: str, start: int, end: int) -> bytearray:
        return self._http.range(self._files[name], start, end)

    def _reader(self, name: str) -> Callable[[int, int], memoryview]:
        return lambda start, end: memoryview(self._fetch(name, start, end))

    def _tail_start(self, name: str) -> int:
        tail = self._tails.get(name)
        return self._files[name].size_bytes - (len(tail) if tail is not None else 0)

    def _tail(self, name: str) -> bytes:
        """The end of a file, with its whole footer. Called from several threads, for one file at a time."""
        kept = self._tails.get(name)
        if kept is not None:
            return kept
        size = self._files[name].size_bytes
        start = max(0, size - TAIL_BYTES)
        tail = bytes(self._fetch(name, start, size)) if size else b""
        footer = _footer_bytes(tail)
        if footer > MOST_FOOTER_BYTES:
            raise SourceError(f"{name} has a footer of {footer:,} bytes, which no sound file has")
        if len(tail) < min(footer, size):
            tail = bytes(self._fetch(name, size - min(footer, size), start)) + tail
        if self._kept_bytes + len(tail) <= KEPT_BYTES:
            self._kept_bytes += len(tail)
            self._tails[name] = tail
        return tail


def _footer_bytes(tail: bytes) -> int:
    """Bytes from the start of the footer to the end of the file; 0 where this is no Parquet file."""
    return int.from_bytes(tail[-8:-4], "little") + 8 if tail[-4:] in _MAGIC else 0


class _RangeFile:
    """What :class:`pyarrow.PythonFile` wants of a file, over a function that reads bytes ``start .. end``."""

    closed = False

    def __init__(
        self,
        size_bytes: int,
        tail: bytes,
        read: Callable[[int, int], memoryview],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._size = size_bytes
        self._tail = memoryview(tail)
        self._tail_start = size_bytes - len(tail)
        self._read = read
        self._close = close
        self._at = 0
        self._seen: dict[int, memoryview] = {}
        """What was looked at, by its start, and is going to be read: no byte is fetched twice."""

    def read(self, n_bytes: int = -1) -> memoryview:
        """The next bytes. Called once for each MiB or so: Arrow buffers.

        A read of :data:`HEAD_BYTES` or less is a look at what is going to be read, and so is one that begins within it.
        """
        start = self._at
        end = self._size if n_bytes < 0 else min(start + n_bytes, self._size)
        self._at = end
        if start >= self._tail_start:
            return self._between(start, end)
        seen = self._seen.pop(start, None)
        if seen is not None:
            if end - start <= HEAD_BYTES:
                self._seen[start] = seen = self._joined(seen, start, max(end, start + len(seen)))
            elif len(seen) > end - start:
                self._seen[end] = seen[end - start :]
            return self._joined(seen[: end - start], start, end)
        for at, seen in self._seen.items():
            if at < start < at + len(seen):
                self._seen[at] = self._joined(seen, at, max(end, at + len(seen)))
                return self._seen[at][start - at : end - at]
        part = self._between(start, end)
        if end - start <= HEAD_BYTES:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            part = self._seen[start] = memoryview(bytes(part))  # a copy: the Block that it is of can be let go
        return part

    def _joined(self, seen: memoryview, start: int, end: int) -> memoryview:
        """Bytes ``start .. end``, the first of them ``seen``."""
        if len(seen) == end - start:
            return seen
        return memoryview(b"".join((seen, self._between(start + len(seen), end))))

    def _between(self, start: int, end: int) -> memoryview:
        if start >= end:
            return memoryview(b"")
        if start >= self._tail_start:
            return self._tail[start - self._tail_start : end - self._tail_start]
        if end <= self._tail_start:
            return self._read(start, end)
        return memoryview(b"".join((self._read(start, self._tail_start), self._tail[: end - self._tail_start])))

    def seek(self, offset: int, whence: int = 0) -> int:
        """As files do."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """As files do."""
        return self._at

    def close(self) -> None:
        """Let go of what was fetched."""
        if not self.closed:
            self.closed = True
            self._close()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """No."""
        return False
