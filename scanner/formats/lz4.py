"""LZ4 frames (LZ4 Frame Format 1.6.4, https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), and legacy ones.

Limitations: dictionaries are ``codec-unsupported``. A legacy frame's blocks are whole in memory, 8 MiB each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import lz4.block
import lz4.frame

from scanner.faults import FaultKind
from scanner.formats import Report
from scanner.formats.streams import Stream, cut, pour
from scanner.formats.zstd import behind_skippable, skip
from scanner.model import CodecName

MAGIC: Final = b"\x04\x22\x4d\x18"
LEGACY_MAGIC: Final = b"\x02\x21\x4c\x18"
_MAGICS: Final = (MAGIC, LEGACY_MAGIC)
_DICTIONARY_ID: Final = 0x01
_LEGACY_BLOCK_BYTES: Final = 8 << 20
_LEGACY_BOUND: Final = _LEGACY_BLOCK_BYTES + _LEGACY_BLOCK_BYTES // 255 + 16
"""LZ4_compressBound: a legacy block length above it is the magic of the next frame."""


class Lz4:
    """The codec."""

    name: CodecName = "lz4"

    def matches(self, head: bytes) -> bool:
        """A frame, also behind skippable ones as far as ``head`` reaches."""
        return head.startswith(_MAGICS, behind_skippable(head, 0))

    def inflate_into(self, data: memoryview, arena: bytearray) -> int | None:
        """See :meth:`scanner.formats.Codec.inflate_into`."""
        return pour(self.stream, data, arena)

    def stream(self, data: memoryview, report: Report, chunk_bytes: int) -> Iterator[bytes]:
        """See :meth:`scanner.formats.Codec.stream`. Skippable frames are skipped and not counted as members."""
        return cut(_frames(data, report), chunk_bytes)


def _frames(data: memoryview, report: Report) -> Iterator[bytes]:
    at, n_frames = (yield from skip(data, 0)), 0
    while at < len(data):
        magic = bytes(data[at : at + 4])
        if magic not in _MAGICS:
            report.fault("trailing-data", offset=at, detail=f"{len(data) - at} bytes")
            return
        n_frames += 1
        if n_frames == 2:
            report.fault("several-codec-members", offset=at)
        if magic == MAGIC and len(data) > at + 4 and data[at + 4] & _DICTIONARY_ID:
            report.fault("codec-unsupported", offset=at + 4, detail="needs a dictionary")
            return
        frame: Stream | _LegacyFrame = (
            Stream(data, at, lz4.frame.LZ4FrameDecompressor, RuntimeError)
            if magic == MAGIC
            else _LegacyFrame(data, at + 4)
        )
        yield from frame
        if frame.flaw is not None:
            checksum = frame.detail is not None and "hecksum_invalid" in frame.detail
            report.fault("codec-checksum" if checksum else frame.flaw, offset=frame.at, detail=frame.detail)
            return
        at = yield from skip(data, frame.at)
    if at > len(data):
        report.fault("codec-truncated", offset=len(data), detail="in a skippable frame")


class _LegacyFrame:
    """The blocks of a legacy frame (``lz4 -l``): a length and a block each, up to the end or the next magic."""

    def __init__(self, data: memoryview, start: int) -> None:
        self.at = start
        self.flaw: FaultKind | None = None
        self.detail: str | None = None
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        data = self._data
        while self.at < len(data):
            size = int.from_bytes(data[self.at : self.at + 4], "little")
            if size > _LEGACY_BOUND:
                return
            block = data[self.at + 4 : self.at + 4 + size]
            if len(data) - self.at < 4 or len(block) < size:
                self.flaw, self.at = "codec-truncated", len(data)
                return
            try:
                yield lz4.block.decompress(block, uncompressed_size=_LEGACY_BLOCK_BYTES)
            except lz4.block.LZ4BlockError as error:
                self.flaw, self.detail = "codec-corrupt", str(error)
                return
            self.at += 4 + size


LZ4: Final = Lz4()
"""LZ4 frames, magic ``04 22 4d 18``; legacy ``02 21 4c 18``."""
