"""What is in one blob, for those who want the content itself: poured into a sink, or listed and read on demand.

The probe goes the same way (sniff, inflate, walk) and keeps only what a Record says; here the bytes are the point. Both
list the same members, whatever the blob: a test compares them over every hostile row.

::

    blob ── codec ──> raw bytes ── tar, zip ──> members: whole, or begin / piece / end
                              └── neither ────> content: the pieces as they are
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from scanner.content import content_type
from scanner.errors import SourceError
from scanner.faults import FaultKind
from scanner.formats import Codec, RowStopped, Sink
from scanner.formats.tar import TarWalker
from scanner.formats.tar_expand import expanding_walker
from scanner.formats.text import TextSniffer, classify
from scanner.formats.zip import walk_zip
from scanner.model import Buffer, CodecName, Fault, FormatName, Member, printable
from scanner.options import CHUNK_BYTES, INTERPRET_BYTES, MAGIC_BYTES, SMALL_BYTES, Limits
from scanner.sniff import HEAD_BYTES, codec_of, container_of, has_zip_tail

ZIP_BUFFER_BYTES: Final = 64 << 20
"""A zip inside a codec is read up to this size: its directory stands at the end, so it has to be whole in memory."""

_CONTAINER_BYTES: Final = 1024
"""Two tar blocks: what a container is judged by."""

_CLOCK_EVERY: Final = 256

_Place: TypeAlias = tuple[Buffer, int, int]
"""Content that lies in memory: ``buffer[start:end]``."""


class Outlet(Sink, Protocol):
    """Where a blob is poured: a :class:`scanner.formats.Sink` that also takes blobs that are no archive."""

    def content(self, piece: Buffer) -> None:
        """The next piece of the raw bytes of a blob that is no archive. Borrowed: valid during the call."""


class Pouring:
    """One walk over one blob. ``codec``, ``format`` and ``raw_bytes`` tell what is known so far, even if it stopped.

    Args:
        data: The blob.
        outlet: Gets members or content, and the faults.
        limits: Bounds on the row; the outlet keeps those on output, members and time.
        arena: A small row is inflated into it, whole; a row that does not fit streams through.
        expand: Sparse members come as they are once unpacked, not as they are stored.
    """

    def __init__(
        self, data: memoryview, outlet: Outlet, limits: Limits, arena: bytearray, *, expand: bool = False
    ) -> None:
        self.codec: CodecName = "none"
        self.format: FormatName | None = None
        self.raw_bytes = 0
        self._data = data
        self._outlet = outlet
        self._limits = limits
        self._arena = arena
        self._expand = expand

    def run(self) -> None:
        """Pour everything. Raises RowStopped at a limit, and whatever the outlet raises."""
        data = self._data
        codec = codec_of(bytes(data[:HEAD_BYTES]))
        if codec is None:
            self._plain(data)
            return
        self.codec = codec.name
        size = codec.inflate_into(data, self._arena)
        if size is None or 0 < self._limits.output_bytes < size:
            self._stream(self._counted(codec.stream(data, self._outlet, CHUNK_BYTES)))
        else:
            self.raw_bytes = size
            self._outlet.spend(size)
            self._whole(size)

    def _plain(self, data: memoryview) -> None:
        if container_of(data[:_CONTAINER_BYTES]) == "zip":
            self.raw_bytes = len(data)
            self._zip(data)
        elif len(data) <= len(self._arena):
            self.raw_bytes = len(data)
            memoryview(self._arena)[: len(data)] = data  # walkers search in place, which views cannot
            self._whole(len(data))
        else:
            pieces = (bytes(data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES))
            self._stream(self._counted(pieces))

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.raw_bytes += len(piece)
            self._outlet.spend(len(piece))
            yield piece

    def _whole(self, size: int) -> None:
        container = container_of(self._arena, size)
        if container == "tar":
            self._tar([self._arena], size)
        else:
            self._buffer(memoryview(self._arena)[:size], is_zip=container == "zip")

    def _stream(self, pieces: Iterator[bytes]) -> None:
        head = b""
        while len(head) < _CONTAINER_BYTES:
            piece = next(pieces, None)
            if piece is None:
                break
            head += piece
        container = container_of(head)
        if container == "tar":
            self._tar(_chain(head, pieces))
        else:
            self._hold(_chain(head, pieces), is_zip=container == "zip")

    def _hold(self, pieces: Iterator[bytes], *, is_zip: bool) -> None:
        """A stream that is no tar: kept whole as far as that is allowed, beyond that only told text from binary."""
        most = ZIP_BUFFER_BYTES if is_zip else INTERPRET_BYTES
        kept = bytearray()
        for piece in pieces:
            kept += piece
            if len(kept) > most:
                break
        else:
            self._buffer(memoryview(kept), is_zip=is_zip)
            return
        sniffer = TextSniffer()
        for piece in _chain(kept, pieces):
            sniffer.feed(piece)
            if not is_zip:
                self._outlet.content(piece)
        self.format = "zip" if is_zip else sniffer.close()
        self._outlet.fault("limit:buffer", detail=f"{self.format} of more than {most:,} bytes")

    def _buffer(self, raw: memoryview, *, is_zip: bool) -> None:
        if is_zip or has_zip_tail(raw):
            self._zip(raw)
            return
        self.format = classify(raw)
        self._outlet.content(raw)

    def _zip(self, raw: memoryview) -> None:
        self.format = "zip"
        walk_zip(raw, self._outlet, self._limits)

    def _tar(self, pieces: Iterable[Buffer], size: int | None = None) -> None:
        self.format = "tar"
        walker = (expanding_walker if self._expand else TarWalker)(self._outlet, self._limits)
        for piece in pieces:
            assert not isinstance(piece, memoryview)
            walker.feed(piece, 0, len(piece) if size is None else size)
        walker.close()


class Budget:
    """The limits of one row as a sink keeps them, and the faults it was told of."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadline = time.process_time() + limits.seconds if limits.seconds else None
        self._spent_bytes = 0
        self.n_members = 0
        self.faults: list[Fault] = []

    def spend(self, n_bytes: int) -> None:
        """See :class:`scanner.formats.Sink`."""
        self._spent_bytes += n_bytes
        if 0 < self._limits.output_bytes < self._spent_bytes:
            raise RowStopped(Fault("limit:output", detail=f"more than {self._limits.output_bytes:,} bytes came out"))
        self._check_clock()

    def take(self) -> None:
        """One more member."""
        if 0 < self._limits.members <= self.n_members:
            raise RowStopped(Fault("limit:members", detail=f"more than {self._limits.members:,}"))
        self.n_members += 1
        if not self.n_members % _CLOCK_EVERY:
            self._check_clock()

    def _check_clock(self) -> None:
        if self._deadline is not None and time.process_time() > self._deadline:
            raise RowStopped(Fault("limit:time", detail=f"more than {self._limits.seconds:g} s of processor time"))

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        """See :class:`scanner.formats.Sink`."""
        self.faults.append(Fault(kind, member, offset, detail))


class _Listing(Budget):
    """Keeps the members, and where in memory their content lies; copies none of it."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.members: list[Member] = []
        self.places: list[_Place | None] = []

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        self.take()
        self.members.append(member)
        # A piece of a stream (bytes) is gone after the call; the arena and a zip's own bytes stay.
        self.places.append((buffer, start, end) if type(buffer) is not bytes or start == end else None)

    def begin(self, member: Member) -> bool:
        self.take()
        self.members.append(member)
        self.places.append(None)
        return False

    def piece(self, buffer: Buffer, start: int, end: int) -> None: ...

    def end(self) -> None: ...

    def content(self, piece: Buffer) -> None: ...


class _Found(Exception):
    """Ends a walk: what was asked for is complete."""


class _Reading(Budget):
    """Keeps the content of one member, by its number."""

    def __init__(self, limits: Limits, number: int) -> None:
        super().__init__(limits)
        self.data = bytearray()
        self._number = number
        self._is_open = False

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:  # noqa: ARG002 - a Sink
        self.take()
        if self.n_members > self._number:
            self.data += memoryview(buffer)[start:end]
            raise _Found

    def begin(self, member: Member) -> bool:  # noqa: ARG002 - a Sink
        self.take()
        self._is_open = self.n_members > self._number
        return self._is_open

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        if self._is_open:
            self.data += memoryview(buffer)[start:end]

    def end(self) -> None:
        if self._is_open:
            raise _Found

    def content(self, piece: Buffer) -> None: ...


class _Raw(Budget):
    """Keeps the raw bytes of a blob that is no archive."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.data = bytearray()

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None: ...

    def begin(self, member: Member) -> bool:  # noqa: ARG002 - a Sink
        return False

    def piece(self, buffer: Buffer, start: int, end: int) -> None: ...

    def end(self) -> None: ...

    def content(self, piece: Buffer) -> None:
        self.data += piece


class _Typing(Budget):
    """Tells what each member is by its first bytes; None for what is no file or could not be read."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.types: list[str | None] = []
        self._head = bytearray()

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        self.take()
        self.types.append(content_type(buffer, start, end) if member.kind == "file" else None)

    def begin(self, member: Member) -> bool:
        self.take()
        self.types.append(None)
        self._head = bytearray()
        return member.kind == "file"

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        if len(self._head) < MAGIC_BYTES:
            self._head += memoryview(buffer)[start : min(end, start + MAGIC_BYTES)]
            self.types[-1] = content_type(self._head)

    def end(self) -> None: ...

    def content(self, piece: Buffer) -> None: ...


class Contents:
    """The members of one blob, listed at once, and their content on demand.

    Listing inflates a small row whole and copies nothing out of it; a large one streams through and is streamed again
    for each member that is read. Entries of a zip are inflated when they are read.

    Args:
        data: The blob; borrowed for the lifetime of this object.
        limits: Bounds on the row: what lies beyond one is not listed.
        arena: Reused for the raw bytes of small rows, which then live until the next use; None makes one that fits.
    """

    def __init__(self, data: memoryview, limits: Limits, arena: bytearray | None = None) -> None:
        self._data = data
        self._limits = limits
        listing = _Listing(limits)
        pouring = Pouring(data, listing, limits, _room(data) if arena is None else arena)
        try:
            pouring.run()
        except RowStopped as stop:
            listing.faults.append(stop.fault)
        self.codec, self.format, self.raw_bytes = pouring.codec, pouring.format, pouring.raw_bytes
        self.members = listing.members
        self.faults = listing.faults
        self._places = listing.places

    def read(self, number: int) -> memoryview:
        """The whole content of member ``number`` (a file, by its place in ``members``); of small rows, a view.

        A sparse file is read expanded, as it is once unpacked.

        Raises:
            SourceError: The content cannot be read whole: damaged, encrypted, over a limit.
        """
        member, place = self.members[number], self._places[number]
        if place is not None and place[2] - place[1] == member.size_bytes:
            buffer, start, end = place
            return memoryview(buffer)[start:end]
        data = self._search(number)
        if len(data) != member.size_bytes:
            raise SourceError(
                f"{printable(member.name)} is stored as {len(data):,} bytes but states {member.size_bytes:,}: "
                "it is damaged, or sparse and cannot be expanded; `scanner show` tells which"
            )
        return data

    def _search(self, number: int) -> memoryview:
        reading = _Reading(self._limits, number)
        why = "its content ends early"
        try:
            Pouring(self._data, reading, self._limits, bytearray(1), expand=True).run()
        except _Found:
            return memoryview(reading.data)
        except RowStopped as stop:
            why = f"{stop.fault.kind}: {stop.fault.detail}"
        name = self.members[number].name
        mine = next((fault for fault in reading.faults if fault.member == name), None)
        if mine is not None:
            why = mine.kind if mine.detail is None else f"{mine.kind}: {mine.detail}"
        raise SourceError(f"{printable(name)} cannot be read whole ({why}); scan the row to see all its faults")

    def types(self) -> list[str | None]:
        """The content type of each member by its first bytes (:mod:`scanner.content`), None where it has none.

        Walks the blob once more, and inflates all of it.
        """
        typing = _Typing(self._limits)
        with suppress(RowStopped):
            Pouring(self._data, typing, self._limits, bytearray(1)).run()
        return typing.types + [None] * (len(self.members) - len(typing.types))

    def head(self, n_bytes: int) -> bytes:
        """The first ``n_bytes`` that come out of the outer codec."""
        codec = codec_of(bytes(self._data[:HEAD_BYTES]))
        if codec is None:
            return bytes(self._data[:n_bytes])
        head = b""
        for piece in codec.stream(self._data, Budget(self._limits), CHUNK_BYTES):
            head += piece
            if len(head) >= n_bytes:
                break
        return head[:n_bytes]

    def raw(self) -> bytes:
        """What came out of the outer codec, for blobs that are no archive. Damage cuts it short; limits raise.

        Raises:
            SourceError: More bytes came out than ``limits.output_bytes`` allows.
        """
        keeping = _Raw(self._limits)
        try:
            Pouring(self._data, keeping, self._limits, bytearray(1)).run()
        except RowStopped as stop:
            raise SourceError(f"the blob cannot be read whole ({stop.fault.kind}: {stop.fault.detail})") from None
        return bytes(keeping.data)


def _room(data: memoryview) -> bytearray:
    """An arena for one row. A gzip states its size at its end; a lie only makes the row stream."""
    codec: Codec | None = codec_of(bytes(data[:HEAD_BYTES]))
    if codec is None:
        return bytearray(min(len(data), SMALL_BYTES) or 1)
    if codec.name == "gzip":
        return bytearray(max(min(int.from_bytes(data[-4:], "little"), SMALL_BYTES), 1))
    return bytearray(SMALL_BYTES)


def _chain(head: Buffer, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield bytes(head)
    yield from rest
