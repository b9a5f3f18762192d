"""zip (APPNOTE.TXT 6.3.10), read as ``zipfile`` reads it: by its central directory, in directory order.

Sizes, kinds and names are the directory's; a local header that says otherwise is reported. No byte of the archive is
inflated twice: entries that share bytes are listed, and only the first of them (by offset) is read. An archive without
a readable directory is listed by its local headers in :mod:`scanner.formats.zip_stream`.

Limitations: split archives and the methods that :mod:`scanner.formats.zip_content` leaves out.
"""

from __future__ import annotations

import stat
import struct
from itertools import islice
from typing import Final, NamedTuple

from zlib_ng import zlib_ng

from scanner.faults import FaultKind
from scanner.formats import Sink
from scanner.formats.zip_content import METHOD_NAMES, STORED, LastWord, can_unpack, pour, unpack
from scanner.formats.zip_directory import (
    ENTRY_MAGIC,
    SPLIT_MAGICS,
    Directory,
    Entry,
    find_directory,
    find_entry,
    read_entries,
)
from scanner.formats.zip_stream import walk_local_headers
from scanner.model import Buffer, Member, MemberKind
from scanner.options import Limits

LINK_BYTES: Final = 4096
"""A symlink's target is read up to here (PATH_MAX)."""

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_MAX32: Final = 0xFFFFFFFF

_KINDS: Final[dict[int, MemberKind]] = {
    0: "file",
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class _Place(NamedTuple):
    """Where an entry is in the archive: ``header <= content <= end``."""

    header: int
    content: int
    end: int


def walk_zip(data: Buffer, sink: Sink, limits: Limits) -> None:
    """List every entry of the zip ``data`` (the whole archive) into ``sink`` and inflate what it wants to read.

    ``Member.offset`` is that of the local header in ``data``. After a ``begin`` that returned False nothing more is
    called for that member. Content that is not readable at all (encrypted, overlapped, no local header) is a ``begin``
    without an ``end``.

    Raises:
        RowStopped: from the sink, or at ``limits.header_bytes``. Nothing else.
    """
    view = memoryview(data)
    directory = find_directory(view)
    if directory is None:
        sink.fault("zip-truncated", offset=len(view), detail="no end record")
        walk_local_headers(view, sink)
        return
    found = read_entries(view, directory, sink, limits)
    # one more than allowed, for the sink to stop at: a directory of millions is not held
    entries = list(islice(found, limits.members + 1) if limits.members else found)
    if directory.flaw is not None:
        sink.fault("zip-bad-directory", offset=max(directory.start, 0), detail=directory.flaw)
    if not entries and find_entry(view) is not None:
        if not directory.size_bytes:
            sink.fault("zip-bad-directory", offset=max(directory.start, 0), detail="it is empty, but there are entries")
        walk_local_headers(view, sink)
        return
    places = [_locate(view, entry, directory) for entry in entries]
    if directory.shift and any(p is not None and p.header == e.offset for p, e in zip(places, entries, strict=True)):
        detail = "its stated offset is not where it is, those of its entries are"  # zipfile lists them, and reads none
        sink.fault("zip-bad-directory", offset=max(directory.start, 0), detail=detail)
    shared = _overlapping(places)
    _note_surroundings(view, places, directory, sink)
    walk = _Walk(view, directory, sink)
    for index, (entry, place) in enumerate(zip(entries, places, strict=True)):
        walk.entry(entry, place, overlapped=index in shared)


def _locate(data: memoryview, entry: Entry, directory: Directory) -> _Place | None:
    """Where the entry is: at its offset moved by the prefix, or where it says; None when no local header is there."""
    for header in (entry.offset + directory.shift, entry.offset):
        if 0 <= header <= len(data) - _LOCAL.size and bytes(data[header : header + 4]) == ENTRY_MAGIC:
            *_, name_size, extra_size = _LOCAL.unpack_from(data, header)
            content = header + _LOCAL.size + name_size + extra_size
            return _Place(header, content, content + entry.packed_bytes)
    return None


def _overlapping(places: list[_Place | None]) -> set[int]:
    """Indices of the entries that begin inside one that begins before them."""
    order = sorted((place, index) for index, place in enumerate(places) if place is not None)
    shared, reached = set(), 0
    for place, index in order:
        if place.header < reached:
            shared.add(index)
        else:
            reached = place.end
    return shared


def _note_surroundings(data: memoryview, places: list[_Place | None], directory: Directory, sink: Sink) -> None:
    """Note what is no entry of the directory: before, between and after them, and the comment."""
    known = sorted(place for place in places if place is not None)
    first = 0  # where entries are stated and none is found, nothing says where the archive begins
    if known or not places:
        first = known[0].header if known else directory.start
    if first > 0 and bytes(data[: min(first, 5)]) not in SPLIT_MAGICS:
        sink.fault("archive-prefix", offset=first, detail=f"{first} bytes")
    at = 0
    for place in (*known, _Place(directory.start, directory.start, directory.start)):
        if place.header > at:
            hidden = find_entry(data, at, place.header)
            if hidden is not None:
                sink.fault("hidden-entry", offset=hidden.start())
        at = max(at, place.end)
    if directory.comment:
        text = directory.comment.decode("utf-8", "backslashreplace")
        sink.fault("archive-comment", offset=directory.end - len(directory.comment), detail=text)
    if directory.end < len(data):
        sink.fault("trailing-data", offset=directory.end, detail=f"{len(data) - directory.end} bytes")


class _Walk:
    """The walk over the entries of one archive."""

    def __init__(self, data: memoryview, directory: Directory, sink: Sink) -> None:
        self._data = data
        self._directory = directory
        self._sink = sink

    def entry(self, entry: Entry, place: _Place | None, *, overlapped: bool) -> None:
        """List one entry; read its content where it has some that is wanted and can be read."""
        sink, kind = self._sink, _kind(entry)
        stated = min(max(entry.offset + self._directory.shift, 0), len(self._data))
        offset = place.header if place is not None else stated
        mode = entry.mode & 0o7777 if entry.mode else (0o755 if kind == "dir" else 0o644)
        member = Member(entry.name, kind, entry.size_bytes if kind == "file" else 0, mode, "", offset)
        obstacle = _obstacle(entry, place, overlapped=overlapped)
        packed = b"" if obstacle or place is None else self._data[place.content : place.end]
        if kind == "symlink" and obstacle is None:
            member.link = self._target(entry, packed)
        if kind != "file" or not (entry.size_bytes or entry.packed_bytes):
            sink.whole(member, b"", 0, 0)
        elif obstacle is not None:
            sink.begin(member)
        elif place is not None and _is_plain(entry, packed):
            sink.whole(member, self._data, place.content, place.end)
            if zlib_ng.crc32(packed) != entry.crc:
                sink.fault("zip-bad-data", member=member.name, offset=offset, detail="CRC-32")
        elif sink.begin(member):
            self._unpack(entry, member, packed)
        if obstacle is not None:
            sink.fault(obstacle[0], member=member.name, offset=offset, detail=obstacle[1])
        if place is not None:
            self._compare(entry, member, place)

    def _unpack(self, entry: Entry, member: Member, packed: Buffer) -> None:
        said = LastWord()
        pieces = unpack(entry.method, memoryview(packed), said)
        poured = pour(pieces, self._sink, entry.size_bytes, spend=entry.method != STORED)
        if poured.n_bytes == entry.size_bytes:
            self._sink.end()
        flaw = poured.flaw(entry.size_bytes, entry.crc, said)
        if flaw is not None:
            self._sink.fault(flaw[0], member=member.name, offset=member.offset, detail=flaw[1])

    def _target(self, entry: Entry, packed: Buffer) -> str:
        """The target of a symlink, which is its content."""
        target = b""
        for piece in unpack(entry.method, memoryview(packed), LastWord()):
            if entry.method != STORED:
                self._sink.spend(len(piece))
            target += piece[: LINK_BYTES - len(target)]
            if len(target) == LINK_BYTES:
                break
        return target.decode("utf-8", "surrogateescape")

    def _compare(self, entry: Entry, member: Member, place: _Place) -> None:
        """Report where the local header contradicts the directory: other readers go by the local one."""
        _, _, flags, method, _, _, crc, packed, size, name_size, _ = _LOCAL.unpack_from(self._data, place.header)
        name_at = place.header + _LOCAL.size
        differs = []
        if bytes(self._data[name_at : name_at + name_size]) != entry.raw_name:
            differs.append("name")
        if method != entry.method:
            differs.append("method")
        if (flags ^ entry.flags) & _ENCRYPTED:
            differs.append("encryption")
        if not flags & _SIZES_FOLLOW and _MAX32 not in (packed, size):
            if (packed, size) != (entry.packed_bytes, entry.size_bytes):
                differs.append("size")
            if crc != entry.crc:
                differs.append("CRC-32")
        if differs:
            self._sink.fault(
                "zip-bad-entry", member=member.name, offset=place.header, detail=f"{', '.join(differs)} differ"
            )
        if place.header < self._directory.start < place.end:
            self._sink.fault(
                "zip-overlap", member=member.name, offset=place.header, detail="reaches into the directory"
            )


def _kind(entry: Entry) -> MemberKind:
    """A name that ends in ``/`` is a directory to ``zipfile`` whatever its mode; then the Unix mode decides."""
    if entry.name.endswith("/"):
        return "dir"
    return _KINDS.get(stat.S_IFMT(entry.mode), "other")


def _is_plain(entry: Entry, packed: Buffer) -> bool:
    """Whether the content lies in the archive as it is."""
    return entry.method == STORED and len(packed) == entry.packed_bytes == entry.size_bytes


def _obstacle(entry: Entry, place: _Place | None, *, overlapped: bool) -> tuple[FaultKind, str | None] | None:
    """Why the content is not read, if so."""
    if place is None:
        return "zip-bad-entry", "no local header at its offset"
    if overlapped:
        return "zip-overlap", "begins inside another entry"
    if entry.flags & _ENCRYPTED:
        return "zip-encrypted", METHOD_NAMES.get(entry.method)
    if not can_unpack(entry.method):
        return "zip-unsupported-method", METHOD_NAMES.get(entry.method, f"method {entry.method}")
    return None
