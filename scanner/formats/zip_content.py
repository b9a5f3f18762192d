"""What is inside a zip entry: the compression methods (APPNOTE.TXT 4.4.5), each in constant memory.

stored, deflate, bzip2, LZMA, Zstandard and xz are read; Deflate64, PPMd and the methods of the eighties are not.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from zlib_ng import zlib_ng

from scanner.faults import FaultKind
from scanner.formats import Report
from scanner.formats.bzip2 import BZIP2
from scanner.formats.gzip import Inflater, ZlibError
from scanner.formats.streams import MEMORY_BYTES, PIECE_BYTES, Decoder, Stream
from scanner.formats.xz import XZ
from scanner.formats.zstd import ZSTD
from scanner.model import Buffer

STORED: Final = 0
DEFLATED: Final = 8


class LastWord:
    """The Report that keeps the last damage a decoder named: what is wrong with an entry is said once, by the walker.

    Notes are dropped: several streams in one entry are nobody's concern.
    """

    def __init__(self) -> None:
        self.kind: FaultKind | None = None
        self.text = ""

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        """See :meth:`scanner.formats.Report.fault`."""
        del member, offset
        if kind.startswith("codec-"):
            self.kind, self.text = kind, detail or kind.removeprefix("codec-")


class Outlet(Protocol):
    """The part of a Sink that content flows into."""

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        """As :meth:`scanner.formats.Sink.piece`."""

    def spend(self, n_bytes: int) -> None:
        """As :meth:`scanner.formats.Sink.spend`."""


class Poured(NamedTuple):
    """What came out of one entry."""

    n_bytes: int
    crc: int
    too_much: bool
    """There was more than the stated size."""

    def flaw(self, size_bytes: int, crc: int, said: LastWord) -> tuple[FaultKind, str] | None:
        """Why it is not what was stated, if so; ``said`` is what the decoder told."""
        if self.too_much:
            return "zip-bad-data", f"more than the stated {size_bytes} bytes"
        if said.kind == "codec-unsupported":
            return "zip-unsupported-method", said.text
        if self.n_bytes < size_bytes:
            why = f": {said.text}" if said.kind is not None else ""
            return "zip-bad-data", f"{self.n_bytes} of {size_bytes} bytes{why}"
        return ("zip-bad-data", "CRC-32") if self.crc != crc else None


def pour(pieces: Iterator[bytes], outlet: Outlet, size_bytes: int | None, *, spend: bool) -> Poured:
    """Pass ``pieces`` on, up to the stated size if there is one (where ``zipfile`` stops too).

    ``spend`` where the pieces come out of a decompressor; empty ones are spent too, to look at the clock.
    """
    n_bytes = crc = 0
    for piece in pieces:
        if spend:
            outlet.spend(len(piece))
        n_new = len(piece) if size_bytes is None else min(len(piece), size_bytes - n_bytes)
        if n_new:
            crc = zlib_ng.crc32(piece if n_new == len(piece) else piece[:n_new], crc)
            outlet.piece(piece, 0, n_new)
            n_bytes += n_new
        if n_new < len(piece):
            return Poured(n_bytes, crc, too_much=True)
    return Poured(n_bytes, crc, too_much=False)


def can_unpack(method: int) -> bool:
    """Whether :func:`unpack` knows the method."""
    return method in _METHODS


def unpack(method: int, packed: memoryview, report: Report) -> Iterator[bytes]:
    """The content of an entry whose bytes in the archive are ``packed``, in pieces of at most ``PIECE_BYTES``."""
    return _METHODS[method](packed, report)


def deflate_stream(packed: memoryview, start: int = 0) -> Stream:
    """The stream at ``start``, which knows where it ended once it was read."""
    return Stream(packed, start, Inflater, ZlibError)


def _stored(packed: memoryview, report: Report) -> Iterator[bytes]:  # noqa: ARG001
    for at in range(0, len(packed), PIECE_BYTES):
        yield bytes(packed[at : at + PIECE_BYTES])


def _deflated(packed: memoryview, report: Report) -> Iterator[bytes]:
    return _read(deflate_stream(packed), report)


def _lzma(packed: memoryview, report: Report) -> Iterator[bytes]:
    """LZMA with the properties before it (5.8.8). liblzma would allocate whatever dictionary they claim."""
    size = int.from_bytes(packed[2:4], "little")
    if size != 5 or len(packed) < 9:
        report.fault("codec-corrupt", detail="LZMA properties")
        return iter(())
    properties, dictionary_bytes = packed[4], int.from_bytes(packed[5:9], "little")
    if dictionary_bytes > MEMORY_BYTES:
        report.fault("codec-unsupported", detail=f"a dictionary of {dictionary_bytes:,} bytes")
        return iter(())
    lines, lc = divmod(properties, 9)
    pb, lp = divmod(lines, 5)
    lzma1 = {"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary_bytes, 4096), "lc": lc, "lp": lp, "pb": pb}

    def make() -> Decoder:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1])

    return _read(Stream(packed, 9, make, (lzma.LZMAError, ValueError, EOFError)), report)


def _read(stream: Stream, report: Report) -> Iterator[bytes]:
    yield from stream
    if stream.flaw is not None:
        report.fault(stream.flaw, offset=stream.at, detail=stream.detail)


_METHODS: Final[dict[int, Callable[[memoryview, Report], Iterator[bytes]]]] = {
    STORED: _stored,
    DEFLATED: _deflated,
    12: lambda packed, report: BZIP2.stream(packed, report, PIECE_BYTES),
    14: _lzma,
    93: lambda packed, report: ZSTD.stream(packed, report, PIECE_BYTES),
    95: lambda packed, report: XZ.stream(packed, report, PIECE_BYTES),
}

METHOD_NAMES: Final = {9: "Deflate64", 97: "WavPack", 98: "PPMd", 99: "AES encryption"}
"""Names for the message about the unsupported ones that occur."""
