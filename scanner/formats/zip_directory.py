"""The central directory of a zip: its end records, where it really is, and its entries (APPNOTE.TXT 6.3.10, 4.3).

Follows Python's ``zipfile`` where that is lenient: the end record is the last one in the final 64 KiB, the directory
is right before it whatever offset is stated, and all offsets move by the difference.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from zlib_ng import zlib_ng

from scanner.formats import RowStopped, Sink
from scanner.model import Fault
from scanner.options import Limits

ENTRY_MAGIC: Final = b"PK\x03\x04"
DIRECTORY_MAGIC: Final = b"PK\x01\x02"
END_MAGIC: Final = b"PK\x05\x06"
SPLIT_MAGICS: Final = (b"PK\x07\x08", b"PK00")
"""What may stand before the first entry of an archive that was, or might have been, split (4.4.1.4)."""

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_DIRECTORY_ENTRY: Final = struct.Struct("<4s4B4H3L5H2L")
_LOCATOR_MAGIC, _END64_MAGIC = b"PK\x06\x07", b"PK\x06\x06"
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_MAX16, _MAX32, _MAX64 = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_UTF8_NAME: Final = 0x800

MAX_SIZE_BYTES: Final = (1 << 63) - 1
"""A forged size over this is listed as this: what records hold is signed."""


class Directory(NamedTuple):
    """Where a zip's directory is and what its end records say."""

    start: int
    size_bytes: int
    n_entries: int
    shift: int
    """To be added to each stated offset: the length of what was put before the archive."""
    end: int
    """Offset behind the end record and its comment."""
    comment: bytes
    flaw: str | None
    """What is inconsistent, in words."""


class Entry(NamedTuple):
    """One entry as the directory has it."""

    name: str
    raw_name: bytes
    system: int
    """What made it: 3 is Unix (4.4.2)."""
    flags: int
    method: int
    crc: int
    packed_bytes: int
    """Size of the content in the archive."""
    size_bytes: int
    mode: int
    """Unix mode with type; 0 when there is none."""
    offset: int
    """Of its local header, as stated."""


def find_directory(data: memoryview) -> Directory | None:
    """The directory of the zip that ends ``data``; None when there is no end record."""
    base = max(len(data) - _MAX16 - _END.size - 1, 0)
    tail = bytes(data[base:])
    at = len(tail) - _END.size
    if at < 0 or not (tail.startswith(END_MAGIC, at) and tail.endswith(b"\0\0")):
        at = tail.rfind(END_MAGIC)
        if at < 0 or len(tail) - at < _END.size:
            return None
    _, _, _, _, n_entries, size, offset, comment_size = _END.unpack_from(tail, at)
    comment = tail[at + _END.size : at + _END.size + comment_size]
    end = base + at + _END.size + len(comment)
    behind, flaw = base + at, None
    if len(comment) < comment_size:
        flaw = "the comment is cut off"
    wide = _wide_end(data, base + at)
    if wide is not None:
        behind, stated = wide
        narrow = zip(stated, (n_entries, size, offset), (_MAX16, _MAX32, _MAX32), strict=True)
        if any(short not in (long, top) for long, short, top in narrow):
            flaw = "the two end records disagree"
        n_entries, size, offset = stated
    start = behind - size
    if not _is_start(data, start, size) and _is_start(data, offset, size):
        # the size is wrong, or something stands behind the directory: read from where it says, as far as it goes
        start, size, flaw = offset, behind - offset, "its size does not lead back to its offset"
    return Directory(start, size, n_entries, start - offset, end, comment, flaw)


def _wide_end(data: memoryview, end_at: int) -> tuple[int, tuple[int, int, int]] | None:
    """Offset and (entries, size, offset) of the ZIP64 end record that belongs to the end record at ``end_at``.

    It is looked for where ``zipfile`` does, right before its locator, and only then where the locator says: the stated
    offset knows nothing of a prefix, and parsers that prefer it can be shown another directory (CVE-2025-8291).
    """
    locator_at = end_at - _LOCATOR.size
    if locator_at < 0:
        return None
    magic, _, stated, _ = _LOCATOR.unpack_from(data, locator_at)
    if magic != _LOCATOR_MAGIC:
        return None
    for at in (locator_at - _END64.size, stated):
        if 0 <= at <= locator_at - _END64.size and bytes(data[at : at + 4]) == _END64_MAGIC:
            *_, n_entries, size, offset = _END64.unpack_from(data, at)
            return at, (n_entries, size, offset)
    return None


def _is_start(data: memoryview, start: int, size: int) -> bool:
    return 0 <= start <= len(data) and (not size or bytes(data[start : start + 4]) == DIRECTORY_MAGIC)


def has_directory(data: memoryview) -> bool:
    """Whether ``data`` ends with an end record that leads to a directory of at least one entry.

    Where it leads to none, an end record that is the very end of data in which headers of both kinds stand is that of a
    damaged archive, whose entries libarchive lists.
    """
    found = find_directory(data)
    if found is None or not found.size_bytes:
        return False
    if _is_start(data, found.start, found.size_bytes):
        return True
    is_end = found.end == len(data) and found.n_entries > 0
    return is_end and find_entry(data) is not None and _find_directory_entry(data) is not None


def read_entries(data: memoryview, found: Directory, sink: Sink, limits: Limits) -> Iterator[Entry]:
    """The entries in directory order, up to the first that is broken (which is reported).

    Raises:
        RowStopped: an entry is larger than ``limits.header_bytes``.
    """
    at, stop, n = found.start, found.start + found.size_bytes, 0
    if at < 0 or stop > len(data):
        sink.fault("zip-bad-directory", offset=max(at, 0), detail="it does not fit in the archive")
        return
    while at < stop:
        if stop - at < _DIRECTORY_ENTRY.size or bytes(data[at : at + 4]) != DIRECTORY_MAGIC:
            sink.fault("zip-bad-directory", offset=at, detail=f"no entry where the {n + 1}. should be")
            return
        fields = _DIRECTORY_ENTRY.unpack_from(data, at)
        name_size, extra_size, comment_size = fields[12:15]
        size = _DIRECTORY_ENTRY.size + name_size + extra_size + comment_size
        if limits.header_bytes and size > limits.header_bytes:
            raise RowStopped(Fault("limit:header", offset=at, detail=f"a directory entry of {size:,} bytes"))
        if size > stop - at:
            sink.fault("zip-bad-directory", offset=at, detail="the last entry is cut off")
            return
        name_at = at + _DIRECTORY_ENTRY.size
        extra_at = name_at + name_size
        yield _entry(fields, bytes(data[name_at:extra_at]), bytes(data[extra_at : extra_at + extra_size]), at, sink)
        at += size
        n += 1
    if n & _MAX16 != found.n_entries & _MAX16:  # archives of over 65,535 entries without ZIP64 exist
        sink.fault("zip-bad-directory", offset=found.start, detail=f"{n} entries, stated are {found.n_entries}")


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes, at: int, sink: Sink) -> Entry:
    _, _, system, _, _, flags, method, _, _, crc, packed, size, *_, attributes, offset = fields
    name = decode_name(raw_name, flags)
    wide: list[int] = []
    extras, whole = extra_fields(extra)
    if not whole:
        sink.fault("zip-bad-directory", member=name, offset=at, detail="an extra field is cut off")
    for kind, value in extras:
        if kind == _ZIP64 and not wide:
            wide = [number for (number,) in struct.iter_unpack("<Q", value[: len(value) & ~7])]
            try:
                if size in (_MAX32, _MAX64):
                    size = wide.pop(0)
                if packed == _MAX32:
                    packed = wide.pop(0)
                if offset == _MAX32:
                    offset = wide.pop(0)
            except IndexError:
                sink.fault("zip-bad-directory", member=name, offset=at, detail="ZIP64 sizes are missing")
        elif kind == _UNICODE_PATH:
            name = _unicode_path(value, raw_name) or name
    mode = attributes >> 16 if system in _UNIX_SYSTEMS else 0
    return Entry(name, raw_name, system, flags, method, crc, packed, min(size, MAX_SIZE_BYTES), mode, offset)


_UNIX_SYSTEMS: Final = (3, 19)
"""Unix and OS X: the systems whose entries carry a mode in the upper half of the external attributes."""


def decode_name(raw_name: bytes, flags: int) -> str:
    """A name as ``zipfile`` decodes it (UTF-8 if flagged, else code page 437; it ends at a NUL).

    What is flagged as UTF-8 and is none stands as surrogate escapes, where ``zipfile`` raises.
    """
    name = raw_name.decode("utf-8", "surrogateescape") if flags & _UTF8_NAME else raw_name.decode("cp437")
    return name.partition("\0")[0]


def _unicode_path(value: bytes, raw_name: bytes) -> str | None:
    """The name in an Info-ZIP Unicode Path field (4.6.9), if it is about ``raw_name``.

    libarchive and ``zipfile`` from Python 3.13 on use it, earlier ones do not.
    """
    if len(value) < 6 or value[0] != 1 or int.from_bytes(value[1:5], "little") != zlib_ng.crc32(raw_name):
        return None
    try:
        return value[5:].decode("utf-8").partition("\0")[0] or None
    except UnicodeDecodeError:
        return None


def extra_fields(extra: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """(id, value) of each extra field (4.5.1) up to one that is cut off, and whether all are whole.

    One to three bytes behind the last are padding, to ``zipfile`` too; Android writes some.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if at + 4 + size > len(extra):
            return found, False
        found.append((kind, extra[at + 4 : at + 4 + size]))
        at += 4 + size
    return found, True


_find_directory_entry: Final = re.compile(re.escape(DIRECTORY_MAGIC)).search
find_entry: Final = re.compile(re.escape(ENTRY_MAGIC)).search
"""The next thing that looks like a local header; searches views without copying them."""
