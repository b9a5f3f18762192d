"""Sparse members: where the stored segments lie in the expanded file.

Four forms of one map: old GNU (in the header and extension blocks), and GNU's PAX forms 0.0 (pairs of records), 0.1
(one record) and 1.0 (decimal lines before the data). Source: GNU tar manual, "Storing Sparse Files". Segments are
checked as they come, and the first :data:`SEGMENTS_KEPT` are kept: a map of any length costs no more memory.
"""

from __future__ import annotations

from array import array
from typing import Final

from scanner.formats.tar_header import SIZE_LIMIT, number
from scanner.formats.tar_pax import Pairs, decimal

SEGMENTS_KEPT: Final = 1 << 16
"""Segments that are kept of a map, in 16 bytes each; a member with more is listed, but not expanded."""

_ENTRY: Final = 24
_MAP_NUMBER_DIGITS: Final = 20


class SparseMap:
    """Checks the segments of one sparse member as they are named: ascending, apart, and as many bytes as stored."""

    __slots__ = ("end", "expanded_bytes", "flaw", "kept", "n_segments", "stored_bytes")

    def __init__(self) -> None:
        self.n_segments = 0
        self.kept = array("q")
        """Offset and size of each of the first :data:`SEGMENTS_KEPT` segments, flat."""
        self.end = 0
        """Where the last segment ends in the expanded file."""
        self.stored_bytes = 0
        """Sum of the segments."""
        self.expanded_bytes: int | None = None
        """Size of the expanded file as stated."""
        self.flaw: str | None = None
        """What is wrong with the map; once the content begins, all of it is known."""

    def add(self, offset: int | None, size_bytes: int | None) -> None:
        """Take the next segment; None stands for a malformed number."""
        if offset is None or size_bytes is None or offset < self.end or not 0 <= size_bytes <= SIZE_LIMIT - offset:
            self.flaw = self.flaw or "segments are malformed or overlap"
            return
        self.end = offset + size_bytes
        self.stored_bytes += size_bytes
        self.n_segments += 1
        if self.n_segments <= SEGMENTS_KEPT:
            self.kept.extend((offset, size_bytes))

    def state_expanded(self, size_bytes: int | None) -> None:
        """Take the stated size of the expanded file; None or out of range: it is not stated, which is a flaw."""
        if size_bytes is None or not 0 <= size_bytes <= SIZE_LIMIT:
            self.flaw = self.flaw or "the expanded size is no number"
        else:
            self.expanded_bytes = size_bytes

    def verdict(self, stored_bytes: int) -> str | None:
        """What is wrong with the map of a member with ``stored_bytes`` of content in the archive; None: nothing."""
        if self.flaw:
            return self.flaw
        if self.stored_bytes != stored_bytes:
            return f"segments of {self.stored_bytes} bytes, {stored_bytes} are stored"
        if self.expanded_bytes is not None and self.end > self.expanded_bytes:
            return "segments lie past the expanded size"
        return None


def read_old_header(block: bytes, segments: SparseMap) -> bool:
    """Take the up to four segments and the expanded size of an ``S`` header; whether extension blocks follow."""
    _add_entries(block, 386, 4, segments)
    segments.state_expanded(number(block[483:495]))
    return block[482] != 0


def read_old_extension(block: bytes, segments: SparseMap) -> bool:
    """Take the up to 21 segments of an extension block; whether another follows."""
    _add_entries(block, 0, 21, segments)
    return block[504] != 0


def _add_entries(block: bytes, at: int, count: int, segments: SparseMap) -> None:
    for entry in range(at, at + count * _ENTRY, _ENTRY):
        if not block[entry]:  # as libarchive: an empty offset ends the list
            return
        segments.add(number(block[entry : entry + 12]), number(block[entry + 12 : entry + 24]))


def read_pax(records: Pairs, segments: SparseMap) -> bool:
    """Take the ``GNU.sparse.*`` records of a member; whether the map itself stands before the data (form 1.0)."""
    last = dict(records)
    if b"realsize" in last or b"size" in last:
        segments.state_expanded(decimal(last.get(b"realsize", last.get(b"size", b""))))
    if b"map" in last:
        numbers = [decimal(value) for value in last[b"map"].split(b",")] if last[b"map"] else []
        offsets, sizes = numbers[::2], numbers[1::2]
    elif last.get(b"major") == b"1" and last.get(b"minor") == b"0":
        return True
    else:
        offsets = [decimal(value) for key, value in records if key == b"offset"]
        sizes = [decimal(value) for key, value in records if key == b"numbytes"]
    if len(offsets) != len(sizes):
        segments.flaw = "an offset without a size"
    for offset, size in zip(offsets, sizes, strict=False):
        segments.add(offset, size)
    return False


class MapReader:
    """Reads the map of form 1.0 block by block: the number of segments, then offset and size of each, a line each."""

    __slots__ = ("_left", "_offset", "_rest", "_segments", "size_bytes")

    def __init__(self, segments: SparseMap) -> None:
        self.size_bytes = 0
        """Bytes of the map read so far."""
        self._segments = segments
        self._left: int | None = None
        self._offset: int | None = None
        self._rest = b""

    def read(self, block: bytes) -> bool:
        """Take the next 512 bytes; whether the map goes on in the next block. A flaw ends it."""
        self.size_bytes += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            if line.startswith(b"#"):  # a comment, to libarchive
                continue
            value = decimal(line)
            if value is None:
                return self._spoil()
            if self._left is None:
                self._left = 2 * value
            elif self._left % 2 == 0:
                self._offset = value
                self._left -= 1
            else:
                self._segments.add(self._offset, value)
                self._left -= 1
            if self._left == 0:
                return False
        return True if len(self._rest) <= _MAP_NUMBER_DIGITS else self._spoil()

    def _spoil(self) -> bool:
        self._segments.flaw = self._segments.flaw or "the map before the data is malformed"
        return False
