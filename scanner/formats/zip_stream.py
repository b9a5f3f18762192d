"""A zip without a readable central directory, listed by its local headers, as ``bsdtar`` does with a stream.

What stands only in the directory (Unix modes, so symlinks) is not known here: everything is a file or a directory.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from scanner.faults import FaultKind
from scanner.formats import Sink
from scanner.formats.zip_content import (
    DEFLATED,
    METHOD_NAMES,
    STORED,
    LastWord,
    can_unpack,
    deflate_stream,
    pour,
    unpack,
)
from scanner.formats.zip_directory import MAX_SIZE_BYTES, decode_name, extra_fields, find_entry
from scanner.model import Buffer, Member

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_DESCRIPTOR: Final = struct.Struct("<4s3L")
_DESCRIPTOR_MAGIC: Final = b"PK\x07\x08"
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_MAX32: Final = 0xFFFFFFFF
_ZIP64: Final = 0x0001

_find_record: Final = re.compile(rb"PK(?:\x07\x08|\x03\x04|\x01\x02)").search


class _Local(NamedTuple):
    """One local header."""

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    header: int
    content: int


def walk_local_headers(data: memoryview, sink: Sink) -> None:
    """List each entry that has a local header, in archive order. Where one breaks off, the next is searched for.

    ``size_bytes`` of a Member whose size stands behind its content is filled in before its ``end``.
    """
    at = 0
    while (found := find_entry(data, at)) is not None:
        local = _read_local(data, found.start())
        if local is None:
            sink.fault("zip-truncated", offset=found.start(), detail="in a local header")
            return
        at = min(max(_walk_entry(data, local, sink), local.content), len(data))  # sizes may say anything


def _read_local(data: memoryview, at: int) -> _Local | None:
    if len(data) - at < _LOCAL.size:
        return None
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(data, at)
    name_at = at + _LOCAL.size
    extra_at = name_at + name_size
    content = extra_at + extra_size
    if content > len(data):
        return None
    for kind, value in extra_fields(bytes(data[extra_at:content]))[0]:
        if kind == _ZIP64 and len(value) >= 16:  # both sizes are there in a local header (4.5.3)
            wide_size, wide_packed = struct.unpack_from("<2Q", value)
            size = wide_size if size == _MAX32 else size
            packed = wide_packed if packed == _MAX32 else packed
    name = decode_name(bytes(data[name_at:extra_at]), flags)
    return _Local(name, flags, method, crc, packed, min(size, MAX_SIZE_BYTES), at, content)


def _walk_entry(data: memoryview, local: _Local, sink: Sink) -> int:
    """List one entry; the offset behind its content."""
    behind = local.content + local.packed_bytes
    if local.name.endswith("/"):
        sink.whole(Member(local.name, "dir", 0, 0o755, "", local.header), b"", 0, 0)
        return behind
    member = Member(local.name, "file", local.size_bytes, 0o644, "", local.header)
    open_ended = bool(local.flags & _SIZES_FOLLOW) and not local.packed_bytes
    if not (open_ended or local.packed_bytes or local.size_bytes):
        sink.whole(member, b"", 0, 0)
        return behind
    wanted = sink.begin(member)
    if local.flags & _ENCRYPTED or not can_unpack(local.method):
        kind: FaultKind = "zip-encrypted" if local.flags & _ENCRYPTED else "zip-unsupported-method"
        sink.fault(kind, member=local.name, offset=local.header, detail=METHOD_NAMES.get(local.method))
        return behind
    if open_ended and local.method == DEFLATED:
        return _unpack_open_ended(data, local, member, sink, wanted=wanted)
    if open_ended:
        size = _stored_bytes(data, local.content) if local.method == STORED else None
        if size is None:
            sink.fault("zip-bad-entry", member=local.name, offset=local.header, detail="its size stands nowhere")
            return behind
        member.size_bytes = size
        crc = _DESCRIPTOR.unpack_from(data, local.content + size)[1]
        local = local._replace(packed_bytes=size, size_bytes=size, crc=crc)
        behind = local.content + size
    if wanted:
        _unpack(data, local, sink)
    return behind


def _unpack(data: memoryview, local: _Local, sink: Sink) -> None:
    """Read the content of an entry whose sizes are known."""
    packed = data[local.content : local.content + local.packed_bytes]
    said = LastWord()
    poured = pour(unpack(local.method, packed, said), sink, local.size_bytes, spend=local.method != STORED)
    if poured.n_bytes == local.size_bytes:
        sink.end()
    flaw = poured.flaw(local.size_bytes, local.crc, said)
    if len(packed) < local.packed_bytes:
        sink.fault("zip-truncated", member=local.name, offset=len(data))
    elif flaw is not None:
        sink.fault(flaw[0], member=local.name, offset=local.header, detail=flaw[1])


def _unpack_open_ended(data: memoryview, local: _Local, member: Member, sink: Sink, *, wanted: bool) -> int:
    """Read deflated content that ends where DEFLATE ends; sizes and checksum follow it, with a magic or without."""
    stream = deflate_stream(data, local.content)
    poured = pour(iter(stream), sink if wanted else _Spending(sink), None, spend=True)
    if stream.flaw is not None:
        kind: FaultKind = "zip-truncated" if stream.flaw == "codec-truncated" else "zip-bad-data"
        sink.fault(kind, member=local.name, offset=stream.at, detail=stream.detail)
        return stream.at
    member.size_bytes = poured.n_bytes
    if wanted:
        sink.end()
    behind = bytes(data[stream.at : stream.at + _DESCRIPTOR.size])
    stated = behind[4:8] if behind.startswith(_DESCRIPTOR_MAGIC) else behind[:4]
    if int.from_bytes(stated, "little") != poured.crc:
        sink.fault("zip-bad-data", member=local.name, offset=stream.at, detail="CRC-32")
    return stream.at


def _stored_bytes(data: memoryview, content: int) -> int | None:
    """Size of stored content that ends at a descriptor which says so, before the next header.

    The first record is the only candidate: to try them all would be quadratic in an archive made of headers.
    """
    found = _find_record(data, content)
    if found is None or found.group() != _DESCRIPTOR_MAGIC or len(data) - found.start() < _DESCRIPTOR.size:
        return None
    _, _, packed, size = _DESCRIPTOR.unpack_from(data, found.start())
    length = found.start() - content
    return length if packed == size == length & _MAX32 else None


class _Spending:
    """Where content goes that is not wanted but has to be inflated, because only that tells where it ends."""

    def __init__(self, sink: Sink) -> None:
        self.spend = sink.spend

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        """Nobody wants it."""
