"""Walking a zip in tests, and making zips that ``zipfile`` would not write."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import NamedTuple

from tar_walks import Recorder, Walk

from scanner.formats import RowStopped
from scanner.formats.zip import walk_zip
from scanner.model import Fault, Member
from scanner.options import Limits


class ZipRecorder(Recorder):
    """Also counts what came out of decompressors. A ``begin`` may be the last word on a member."""

    def __init__(self, *, wanted: bool = True, output_bytes: int = 0) -> None:
        super().__init__(wanted=wanted)
        self.spent_bytes = 0
        self.output_bytes = output_bytes

    def begin(self, member: Member) -> bool:
        self._pieces = None
        return super().begin(member)

    def whole(self, member: Member, buffer: bytes | bytearray | memoryview, start: int, end: int) -> None:
        self._pieces = None
        super().whole(member, buffer, start, end)

    def spend(self, n_bytes: int) -> None:
        self.spent_bytes += n_bytes
        if self.output_bytes and self.spent_bytes > self.output_bytes:
            raise RowStopped(Fault("limit:output"))


class ZipWalk(NamedTuple):
    """A walk, and the bytes that were inflated for it."""

    walk: Walk
    spent_bytes: int


def walk_of(data: bytes, limits: Limits | None = None, *, wanted: bool = True, output_bytes: int = 0) -> ZipWalk:
    """Walk ``data`` as a read-only view."""
    recorder = ZipRecorder(wanted=wanted, output_bytes=output_bytes)
    try:
        walk_zip(memoryview(data), recorder, limits or Limits())
    except RowStopped as stop:
        recorder.faults.append(stop.fault)
    return ZipWalk(Walk(recorder.members, recorder.contents, recorder.faults), recorder.spent_bytes)


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """What ``zipfile`` writes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


class Made(NamedTuple):
    """One entry by hand. None leaves a field at what is true."""

    name: bytes = b"a.txt"
    content: bytes = b"content of a.txt"
    method: int = 8
    flags: int = 0
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    offset: int | None = None
    system: int = 3
    mode: int = 0o100644
    extra: bytes = b""
    local_name: bytes | None = None
    local_method: int | None = None
    local_sizes: tuple[int, int, int] | None = None
    """CRC, packed and full size in the local header."""
    local_extra: bytes = b""
    descriptor: bytes = b""
    hidden: bool = False
    """Not in the directory."""


def made(*entries: Made, gap: bytes = b"", tail: bytes = b"", n_entries: int | None = None) -> bytes:
    """An archive of ``entries``, with ``gap`` before each, and ``tail`` between directory and end record."""
    out, directory, n = bytearray(), bytearray(), 0
    for e in entries:
        out += gap
        packed = e.packed if e.packed is not None else _packed(e)
        size = len(e.content) if e.size is None else e.size
        crc = zlib.crc32(e.content) if e.crc is None else e.crc
        local = e.local_sizes or (crc, len(packed), size)
        name = e.name if e.local_name is None else e.local_name
        method = e.method if e.local_method is None else e.local_method
        offset = len(out) if e.offset is None else e.offset
        out += struct.pack("<4s5H3L2H", b"PK\3\4", 20, e.flags, method, 0, 33, *local, len(name), len(e.local_extra))
        out += name + e.local_extra + packed + e.descriptor
        if e.hidden:
            continue
        n += 1
        directory += struct.pack(
            "<4s4B4H3L5H2L",
            *(b"PK\1\2", 20, e.system, 20, 0, e.flags, e.method, 0, 33, crc, len(packed), size),
            *(len(e.name), len(e.extra), 0, 0, 0, e.mode << 16, offset),
        )
        directory += e.name + e.extra
    n = n if n_entries is None else n_entries
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n, n, len(directory), len(out), 0)
    return bytes(out + directory + tail + end)


def _packed(entry: Made) -> bytes:
    if entry.method != 8:
        return entry.content
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(entry.content) + deflater.flush()


def quoted_bomb(n_files: int, kernel_bytes: int) -> bytes:
    """Fifield's quoted overlap: each entry's DEFLATE stream quotes the next header in a stored block, then goes on.

    All entries end in one kernel, which a reader without an overlap check inflates once for each of them.
    """
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    kernel = deflater.compress(bytes(kernel_bytes)) + deflater.flush()
    content, packed, parts = bytes(kernel_bytes), kernel, [kernel]
    made_entries: list[tuple[bytes, int, int, int]] = []
    for index in reversed(range(n_files)):
        name = b"%04d" % index
        crc, size = zlib.crc32(content), len(content)
        header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0) + name
        made_entries.append((name, crc, len(packed), size))
        quote = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) if index else b""
        parts.insert(0, quote + header)
        if index:
            content = header + content
            packed = quote + header + packed
    body = b"".join(parts)
    directory, at = bytearray(), 0
    for name, crc, n_packed, size in reversed(made_entries):
        directory += struct.pack(
            "<4s4B4H3L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 8, 0, 33, crc, n_packed, size, 4, 0, 0, 0, 0, 0, at
        )
        directory += name
        at += 34 + 5
    return body + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n_files, n_files, len(directory), len(body), 0)
