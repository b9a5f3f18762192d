"""xz (The .xz File Format 1.2.1, https://tukaani.org/xz/xz-file-format.txt), through liblzma.

Limitations: bare ``.lzma`` has no magic worth the name and is not recognised. liblzma reports a wrong checksum and
broken data alike: both are ``codec-corrupt``. A stream that needs over 128 MiB (``xz -9`` needs 65) is refused.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from typing import Final

from scanner.formats import Report
from scanner.formats.streams import MEMORY_BYTES, Stream, cut, pour
from scanner.model import CodecName

MAGIC: Final = b"\xfd7zXZ\0"
_UNSUPPORTED: Final = ("Memory usage limit exceeded", "Invalid or unsupported options", "Unsupported integrity check")
"""What Python's ``lzma`` says of streams that are sound but beyond what is supported."""


def _decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_BYTES)


class Xz:
    """The codec."""

    name: CodecName = "xz"

    def matches(self, head: bytes) -> bool:
        """Six bytes, made not to occur in text."""
        return head.startswith(MAGIC)

    def inflate_into(self, data: memoryview, arena: bytearray) -> int | None:
        """See :meth:`scanner.formats.Codec.inflate_into`."""
        return pour(self.stream, data, arena)

    def stream(self, data: memoryview, report: Report, chunk_bytes: int) -> Iterator[bytes]:
        """See :meth:`scanner.formats.Codec.stream`. Zeros behind a stream are padding, in multiples of four."""
        return cut(_streams(data, report), chunk_bytes)


def _streams(data: memoryview, report: Report) -> Iterator[bytes]:
    at, n_streams = 0, 0
    while True:
        n_streams += 1
        if n_streams == 2:
            report.fault("several-codec-members", offset=at)
        stream = Stream(data, at, _decoder, (lzma.LZMAError, MemoryError, EOFError))
        yield from stream
        at = stream.at
        if stream.flaw is not None:
            unsupported = stream.detail is not None and stream.detail.startswith(_UNSUPPORTED)
            report.fault("codec-unsupported" if unsupported else stream.flaw, offset=at, detail=stream.detail)
            return
        while bytes(data[at : at + 4]) == b"\0\0\0\0":
            at += 4
        if at == len(data):
            return
        if bytes(data[at : at + 6]) != MAGIC:
            report.fault("trailing-data", offset=at, detail=f"{len(data) - at} bytes")
            return


XZ: Final = Xz()
"""xz, magic ``fd 37 7a 58 5a 00``, The .xz File Format."""
