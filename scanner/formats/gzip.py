"""gzip (RFC 1952): what nearly every row is compressed with.

Sound rows go through libdeflate, which inflates a whole member in one call straight into the caller's arena; anything
else goes through :meth:`Gzip.stream`, which reads header and trailer itself (and so can tell a wrong checksum from
broken data, and give what was decoded before either) and leaves only raw DEFLATE to zlib-ng.

Limitations: none known. Where ``gzip(1)`` and Python differ the lenient one is followed, and the oddity is reported.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from collections.abc import Iterator
from typing import Final, Protocol

from zlib_ng import zlib_ng

from scanner.compiled import Borrowed
from scanner.formats import Report
from scanner.formats.streams import Stream, cut
from scanner.model import Buffer, CodecName

MAGIC: Final = b"\x1f\x8b"
LIBDEFLATE: Final = "deflate._deflate"
"""The extension module that exports it."""

_DEFLATED: Final = 8
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT, _RESERVED = 2, 4, 8, 16, 0xE0
_TRAILER: Final = struct.Struct("<II")

ZlibError: type[Exception] = zlib_ng.error  # type: ignore[assignment] # its stub types the class as an instance
"""What zlib-ng raises."""


class InflateInto(Protocol):
    """The signature of :meth:`scanner.formats.Codec.inflate_into`."""

    def __call__(self, data: memoryview, arena: bytearray) -> int | None: ...  # noqa: D102


def libdeflate_inflate(library_path: str) -> InflateInto:
    """``inflate_into`` by the libdeflate that ``library_path`` exports.

    Runs once for a row that is not read in one call (:mod:`scanner.quick`). libdeflate holds no state between calls
    but its tables. The lock of Python is given back meanwhile, so each call under way has tables of its
    own: as many as there ever were threads at a time, allocated in the process that uses them.

    Raises:
        OSError: the library cannot be loaded.
        AttributeError: it does not export libdeflate's symbols.
    """
    library = ctypes.CDLL(library_path)
    allocate, inflate = library.libdeflate_alloc_decompressor, library.libdeflate_gzip_decompress_ex
    allocate.restype = ctypes.c_void_p
    allocate.argtypes = ()
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    inflate.restype = ctypes.c_int
    inflate.argtypes = (pointer, pointer, size, pointer, size, pointer, pointer)
    address_of_arena = ctypes.PYFUNCTYPE(pointer, ctypes.py_object)(("PyByteArray_AsString", ctypes.pythonapi))
    borrow, give_back = Borrowed.borrow, Borrowed.give_back
    idle: list[tuple[int, Borrowed, ctypes.c_size_t, int, ctypes.c_size_t, int]] = []

    def inflate_into(data: memoryview, arena: bytearray) -> int | None:
        try:
            own = idle.pop()
        except IndexError:
            tables = allocate()
            if not tables:
                return None
            consumed, written = ctypes.c_size_t(), ctypes.c_size_t()
            own = tables, Borrowed(), consumed, ctypes.addressof(consumed), written, ctypes.addressof(written)
        tables, source, consumed, consumed_at, written, written_at = own
        borrow(data, source.at, 0)
        try:
            status = inflate(
                tables, source.buffer.buf, len(data), address_of_arena(arena), len(arena), consumed_at, written_at
            )
        finally:
            give_back(source.at)
        sound = status == 0 and consumed.value == len(data) and not data[3] & _FHCRC  # which libdeflate skips unread
        size = written.value
        idle.append(own)
        return size if sound else None

    return inflate_into


def zlib_ng_inflate(data: memoryview, arena: bytearray) -> int | None:
    """``inflate_into`` by zlib-ng: one copy more, and about a quarter slower. For builds without the symbols."""
    decoder = zlib_ng.decompressobj(wbits=31)
    try:
        out = decoder.decompress(data, len(arena) + 1)
    except ZlibError:
        return None
    if not decoder.eof or decoder.unused_data or len(out) > len(arena):
        return None
    memoryview(arena)[: len(out)] = out
    return len(out)


def fastest_inflate(module: str = LIBDEFLATE) -> InflateInto:
    """The fastest way there is: libdeflate where the extension module of that name exports it, else zlib-ng.

    The ``deflate`` wheel is linked statically and happens to export libdeflate's own symbols; nobody promised that.
    """
    try:
        spec = importlib.util.find_spec(module)
        return libdeflate_inflate(spec.origin) if spec is not None and spec.origin else zlib_ng_inflate
    except (ImportError, OSError, AttributeError):
        return zlib_ng_inflate


class Inflater:
    """Raw DEFLATE through zlib-ng, as a :class:`scanner.formats.streams.Decoder`."""

    def __init__(self) -> None:
        self._zlib = zlib_ng.decompressobj(wbits=-15)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """The last block's end was reached."""
        return bool(self._zlib.eof)

    @property
    def unused_data(self) -> bytes:
        """Input behind the last block."""
        return bytes(self._zlib.unused_data)

    def decompress(self, data: Buffer, max_length: int) -> bytes:
        """At most ``max_length`` bytes more. ``data`` is empty unless ``needs_input``."""
        out: bytes = self._zlib.decompress(self._zlib.unconsumed_tail or data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(out) < max_length
        return out


class Gzip:
    """The codec."""

    name: CodecName = "gzip"

    def __init__(self, inflate: InflateInto) -> None:
        self.inflate_into = inflate
        """See :meth:`scanner.formats.Codec.inflate_into`. Once a row, so the function itself stands here."""

    def matches(self, head: bytes) -> bool:
        """Two bytes are the whole magic; an unknown method is then reported, not taken for something else."""
        return head.startswith(MAGIC)

    def stream(self, data: memoryview, report: Report, chunk_bytes: int) -> Iterator[bytes]:
        """See :meth:`scanner.formats.Codec.stream`. Zeros behind a member are padding, as for ``gzip(1)``."""
        return cut(_members(data, report), chunk_bytes)


def _members(data: memoryview, report: Report) -> Iterator[bytes]:
    at, n_members = 0, 0
    while True:
        start = at
        at = _skip_header(data, at, report)
        if at < 0:
            return
        crc = size_bytes = 0
        stream = Stream(data, at, Inflater, ZlibError)
        for piece in stream:
            crc = zlib_ng.crc32(piece, crc)
            size_bytes += len(piece)
            yield piece
        n_members += 1
        if n_members == 2:
            report.fault("several-codec-members", offset=start)
        at = stream.at
        if stream.flaw is not None:
            report.fault(stream.flaw, offset=at, detail=stream.detail)
            return
        if not _check_trailer(data, at, crc, size_bytes, report):
            return
        at = _skip_padding(data, at + _TRAILER.size)
        if at == len(data):
            return
        if bytes(data[at : at + 2]) != MAGIC:
            report.fault("trailing-data", offset=at, detail=f"{len(data) - at} bytes")
            return


def _skip_header(data: memoryview, start: int, report: Report) -> int:
    """Offset of the compressed data of the member at ``start``; -1 when it cannot be read, and that was reported."""
    if len(data) - start < 10:
        report.fault("codec-truncated", offset=start, detail="in the header")
        return -1
    method, flags = data[start + 2], data[start + 3]
    if method != _DEFLATED:
        report.fault("codec-unsupported", offset=start + 2, detail=f"compression method {method}")
        return -1
    if flags & _RESERVED:  # zlib and gzip(1) refuse, Python reads on
        report.fault("codec-unsupported", offset=start + 3, detail=f"reserved header flags {flags & _RESERVED:#x}")
    at = start + 10
    if flags & _FEXTRA:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (_FNAME, _FCOMMENT):
        if flags & flag:
            at = _behind_zero(data, at)
    if flags & _FHCRC:
        if at + 2 <= len(data):  # Python and zlib-ng's own gzip mode differ: the first does not check
            stated = int.from_bytes(data[at : at + 2], "little")
            if stated != zlib_ng.crc32(data[start:at]) & 0xFFFF:
                report.fault("codec-checksum", offset=at, detail="CRC-16 of the header")
        at += 2
    if at > len(data):
        report.fault("codec-truncated", offset=len(data), detail="in the header")
        return -1
    return at


def _behind_zero(data: memoryview, at: int) -> int:
    """Offset behind the next zero byte from ``at``; beyond the end of ``data`` when there is none."""
    step = 1024
    while at < len(data):
        found = bytes(data[at : at + step]).find(0)
        if found >= 0:
            return at + found + 1
        at += step
    return len(data) + 1


def _check_trailer(data: memoryview, at: int, crc: int, size_bytes: int, report: Report) -> bool:
    """Whether there is a trailer at ``at``; says when it contradicts what came out."""
    if len(data) - at < _TRAILER.size:
        report.fault("codec-truncated", offset=len(data), detail="in the trailer")
        return False
    stated_crc, stated_size = _TRAILER.unpack_from(data, at)
    if stated_crc != crc:
        report.fault("codec-checksum", offset=at, detail=f"CRC-32 is {crc:08x}, stated is {stated_crc:08x}")
    if stated_size != size_bytes & 0xFFFFFFFF:
        report.fault("codec-checksum", offset=at + 4, detail=f"size is {size_bytes}, stated is {stated_size}")
    return True


def _skip_padding(data: memoryview, at: int) -> int:
    """Offset of the first byte from ``at`` that is not zero."""
    step = 4096
    while at < len(data):
        window = bytes(data[at : at + step])
        rest = window.lstrip(b"\0")
        if rest:
            return at + len(window) - len(rest)
        at += len(window)
    return at


GZIP: Final = Gzip(fastest_inflate())
"""gzip, magic ``1f 8b``, RFC 1952."""
