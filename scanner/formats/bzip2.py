"""bzip2: no RFC; the format is what ``bzip2(1)`` reads (https://sourceware.org/bzip2/, "bzip2-format.md" of J. Tsai).

Limitations: libbz2 reports a wrong checksum and broken data alike, so both are ``codec-corrupt``, and a block's
checksum is tested together with its last byte, which is lost when it is wrong.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from typing import Final

from scanner.formats import Report
from scanner.formats.streams import Stream, cut, pour
from scanner.model import CodecName

MAGIC: Final = b"BZh"
_BLOCK, _END = b"1AY&SY", b"\x17rE8P\x90"


class Bzip2:
    """The codec."""

    name: CodecName = "bzip2"

    def matches(self, head: bytes) -> bool:
        """``BZh``, a level and the first byte of a block or of the end: three letters alone may begin a text."""
        return head.startswith(MAGIC) and b"1" <= head[3:4] <= b"9" and head[4:5] in {b"", _BLOCK[:1], _END[:1]}

    def inflate_into(self, data: memoryview, arena: bytearray) -> int | None:
        """See :meth:`scanner.formats.Codec.inflate_into`."""
        return pour(self.stream, data, arena)

    def stream(self, data: memoryview, report: Report, chunk_bytes: int) -> Iterator[bytes]:
        """See :meth:`scanner.formats.Codec.stream`."""
        return cut(self._streams(data, report), chunk_bytes)

    def _streams(self, data: memoryview, report: Report) -> Iterator[bytes]:
        at, n_streams = 0, 0
        while True:
            n_streams += 1
            if n_streams == 2:
                report.fault("several-codec-members", offset=at)
            stream = Stream(data, at, bz2.BZ2Decompressor, (OSError, ValueError))
            yield from stream
            at = stream.at
            if stream.flaw is not None:
                report.fault(stream.flaw, offset=at, detail=stream.detail)
                return
            if at == len(data):
                return
            if not self.matches(bytes(data[at : at + 5])):  # bzip2(1) warns and ignores, Python ignores
                report.fault("trailing-data", offset=at, detail=f"{len(data) - at} bytes")
                return


BZIP2: Final = Bzip2()
"""bzip2, magic ``BZh``."""
