"""Zstandard (RFC 8878), through libzstd, frame by frame and block by block.

The frame's blocks are cut here and handed over one at a time: one block is at most 128 KiB of output, so memory is
bounded by the window whatever the ratio, and what came before a broken block or a wrong checksum is never lost.

Limitations: dictionaries and windows over 128 MiB (as for ``zstd -d``) are ``codec-unsupported``; frames without
magic are not recognised.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from typing import Final

import zstandard

from scanner.formats import Report
from scanner.formats.streams import MEMORY_BYTES, cut, pour
from scanner.model import CodecName

MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SINGLE_SEGMENT, _CHECKSUM, _DICTIONARY = 0x20, 0x04, 0x03
_CONTENT_SIZE_BYTES: Final = (0, 2, 4, 8)
_DICTIONARY_ID_BYTES: Final = (0, 1, 2, 4)
_RLE: Final = 1
_SKIPPABLE: Final = struct.Struct("<II")
_SKIPPABLE_MAGIC: Final = 0x184D2A50
"""Of the first one; there are sixteen in a row."""

LOOK_FRAMES: Final = 4_096
"""Skippable frames that are walked between two looks at the clock: about a millisecond."""


def behind_skippable(data: memoryview | bytes, at: int, most_frames: int = LOOK_FRAMES) -> int:
    """Offset behind the skippable frames at ``at`` (RFC 8878 3.1.2; LZ4 has the same); may lie beyond the end.

    Stops behind ``most_frames`` of them: see :func:`skip`.
    """
    last = len(data) - _SKIPPABLE.size
    for _ in range(most_frames):
        if at > last:
            break
        magic, size = _SKIPPABLE.unpack_from(data, at)
        if magic & ~0xF != _SKIPPABLE_MAGIC:
            break
        at += _SKIPPABLE.size + size
    return at


def skip(data: memoryview, at: int) -> Generator[bytes, None, int]:
    """Returns the offset behind all skippable frames at ``at``; an empty piece for every :data:`LOOK_FRAMES` of them.

    A blob may hold millions, of eight bytes each: its consumer looks at the clock with each piece.
    """
    while (behind := behind_skippable(data, at)) != at:
        at = behind
        yield b""
    return at


class Zstd:
    """The codec."""

    name: CodecName = "zstd"

    def matches(self, head: bytes) -> bool:
        """A frame, also behind skippable ones (``pzstd`` begins with one) as far as ``head`` reaches."""
        return head.startswith(MAGIC, behind_skippable(head, 0))

    def inflate_into(self, data: memoryview, arena: bytearray) -> int | None:
        """See :meth:`scanner.formats.Codec.inflate_into`."""
        return pour(self.stream, data, arena)

    def stream(self, data: memoryview, report: Report, chunk_bytes: int) -> Iterator[bytes]:
        """See :meth:`scanner.formats.Codec.stream`. Skippable frames are skipped and not counted as members."""
        return cut(_frames(data, report), chunk_bytes)


def _frames(data: memoryview, report: Report) -> Iterator[bytes]:
    at, n_frames = (yield from skip(data, 0)), 0
    while at < len(data):
        if bytes(data[at : at + 4]) != MAGIC:
            report.fault("trailing-data", offset=at, detail=f"{len(data) - at} bytes")
            return
        n_frames += 1
        if n_frames == 2:
            report.fault("several-codec-members", offset=at)
        frame = _Frame(data, at, report)
        yield from frame
        if not frame.complete:
            return
        at = yield from skip(data, frame.at)
    if at > len(data):
        report.fault("codec-truncated", offset=len(data), detail="in a skippable frame")


class _Frame:
    """The pieces of one frame; afterwards, whether it was read to its end, and where that is."""

    def __init__(self, data: memoryview, at: int, report: Report) -> None:
        self.at = at
        self.complete = False
        self._data = data
        self._report = report

    def __iter__(self) -> Iterator[bytes]:
        """The content of each block as it comes; an empty piece for a block without any."""
        data, at = self._data, self.at
        descriptor = data[at + 4] if at + 4 < len(data) else 0
        header_size = 5 + _header_rest(descriptor)
        if len(data) - at < header_size:
            self._report.fault("codec-truncated", offset=len(data), detail="in a frame header")
            return
        if not self._supported(data[at : at + header_size], descriptor):
            return
        decoder = zstandard.ZstdDecompressor(max_window_size=MEMORY_BYTES).decompressobj()
        try:
            yield decoder.decompress(data[at : at + header_size])
            self.at += header_size
            last = False
            while not last:
                head = int.from_bytes(data[self.at : self.at + 3], "little")
                last = bool(head & 1)
                size = 3 + (1 if head >> 1 & 3 == _RLE else head >> 3)
                block = data[self.at : self.at + size]
                yield decoder.decompress(block)
                if len(block) < size:
                    self._report.fault("codec-truncated", offset=len(data))
                    return
                self.at += size
            if descriptor & _CHECKSUM:
                self._finish(decoder)
            else:
                self.complete = True
        except zstandard.ZstdError as error:
            self._report.fault("codec-corrupt", offset=self.at, detail=_said(error))

    def _supported(self, header: memoryview, descriptor: int) -> bool:
        try:
            frame = zstandard.get_frame_parameters(header)
        except zstandard.ZstdError as error:
            self._report.fault("codec-unsupported", offset=self.at + 4, detail=_said(error))
            return False
        if descriptor & _DICTIONARY and frame.dict_id:
            why = f"needs dictionary {frame.dict_id}"
        elif frame.window_size > MEMORY_BYTES:
            why = f"window of {frame.window_size} bytes, the limit is {MEMORY_BYTES}"
        else:
            return True
        self._report.fault("codec-unsupported", offset=self.at + 4, detail=why)
        return False

    def _finish(self, decoder: zstandard.ZstdDecompressionObj) -> None:
        checksum = self._data[self.at : self.at + 4]
        try:
            decoder.decompress(checksum)
        except zstandard.ZstdError as error:
            self._report.fault("codec-checksum", offset=self.at, detail=_said(error))
        if len(checksum) < 4:
            self._report.fault("codec-truncated", offset=len(self._data), detail="in the checksum")
            return
        self.at += 4
        self.complete = True


def _header_rest(descriptor: int) -> int:
    """Bytes of the frame header behind its descriptor (RFC 8878 3.1.1.1)."""
    single = bool(descriptor & _SINGLE_SEGMENT)
    content_size = _CONTENT_SIZE_BYTES[descriptor >> 6] or single
    return (not single) + _DICTIONARY_ID_BYTES[descriptor & _DICTIONARY] + content_size


def _said(error: Exception) -> str:
    return str(error).removeprefix("zstd decompressor error: ").removeprefix("zstd decompress error: ")


ZSTD: Final = Zstd()
"""Zstandard, magic ``28 b5 2f fd``, RFC 8878."""
