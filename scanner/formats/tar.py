"""Tar: V7, ustar, GNU, PAX, star and Solaris, walked as the bytes come.

What Python's ``tarfile`` lists is listed here under the same name, kind and size, and so is what libarchive lists where
``tarfile`` gives up (hard links with a body, malformed owners or times). The walk ends at the first zero block, as in
both. It also ends at the first header whose checksum fails: libarchive then tries every following block, which would
list the members of a tar *inside* the task as the task's own, and nobody who unpacks with ``tarfile`` would get them.

Nothing is allocated that a header merely claims; PAX and long-name headers are held up to ``Limits.header_bytes``;
every step consumes input, so no input makes it loop. Format: see :mod:`scanner.formats.tar_header`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from scanner.faults import FaultKind
from scanner.formats import RowStopped, Sink
from scanner.formats.tar_header import BLOCK, SIZE_LIMIT, ZERO_BLOCK, Header, checksum_holds, parse, text
from scanner.formats.tar_ordinary import SEEN, walk_ordinary
from scanner.formats.tar_pax import Globals, Overrides, parse_records, resolve
from scanner.formats.tar_sparse import MapReader, SparseMap, read_old_extension, read_old_header, read_pax
from scanner.model import Buffer, Fault, Member
from scanner.options import Limits

Raw: TypeAlias = bytes | bytearray
_State: TypeAlias = "Callable[[TarWalker, Raw, int, int], int]"

_EXTENDED: Final = frozenset((b"x", b"g", b"X", b"L", b"K"))
_ZEROS: Final = memoryview(bytes(1 << 14))


_BEGINNINGS_KEPT = 256
_SOUND_BEGINNINGS: set[bytes] = set()
"""First blocks whose checksum holds: rows with PAX headers nearly all begin with the same one, and a sum costs 3 µs."""


def looks_like_tar(head: Buffer) -> bool:
    """Whether ``head``, the first 512 bytes or more of something, begins a tar: a sound header, or zeros (empty tar).

    The checksum decides, not the word ``ustar``: V7 archives lack it. Fewer than 512 bytes are no tar to anyone.
    """
    block = bytes(head[:BLOCK])
    if len(block) < BLOCK:
        return False
    if block in _SOUND_BEGINNINGS:
        return True
    if block == ZERO_BLOCK:
        return not bytes(head[BLOCK : 2 * BLOCK]).strip(b"\0")
    if not checksum_holds(block):
        return False
    if len(_SOUND_BEGINNINGS) >= _BEGINNINGS_KEPT:
        _SOUND_BEGINNINGS.clear()
    _SOUND_BEGINNINGS.add(block)
    return True


class TarWalker:
    """Incremental push parser: feed it the raw tar in parts of any size, then close it.

    What reaches the sink does not depend on how the input was cut, except that a member whose content lies in one part
    goes to ``whole`` and any other to ``begin``, ``piece`` and ``end``. Members that are not files have no content
    here. Sparse members give their stored segments, one after the other, without the holes.

    Args:
        sink: Gets the members and faults. What it raises passes through.
        limits: Only ``header_bytes`` is read: a PAX or long-name header that claims more raises ``RowStopped``, since
            without it the next member's name and size, and with them the rest of the archive, would be guesses.
    """

    _total = 0
    """Bytes fed so far."""
    _base = 0
    """Archive offset of index 0 of the buffer at hand; may be negative."""
    _over: Overrides | None = None
    """What the extended headers met since the last member say of the next."""
    _globals: Globals | None = None
    """What the global PAX headers met so far say of every member."""
    _extended: tuple[Header, bytes, int] | None = None
    """The extended header whose body is being collected: it, its block and its offset."""
    _link_bytes = 0
    """Size stated by a hard link just listed: whether that many bytes follow shows in the next block."""
    _member: Member | None = None
    """The member whose content is next, until it is complete."""
    _begun = False
    _wanted = True
    _left = 0
    """Bytes of the content, or of what is skipped, that are still to come."""
    _padding = 0
    _segments: SparseMap | None = None
    _map: MapReader | None = None
    _end_offset = -1

    def __init__(self, sink: Sink, limits: Limits) -> None:
        self._sink = sink
        self._header_limit = limits.header_bytes
        self._state: _State = TarWalker._headers  # a plain function: a bound method would make each walker a cycle
        self._held = bytearray()  # the beginning of a block or extended header that is not complete yet

    @property
    def sparse(self) -> SparseMap | None:
        """During the calls that give the sink a member and its content: where that lies in a sparse one, else None."""
        return self._segments

    @property
    def finished(self) -> bool:
        """Whether the end-of-archive marker was seen."""
        return self._end_offset >= 0

    def feed(self, buffer: Raw, start: int, end: int) -> None:
        """Take the next part of the raw tar, ``buffer[start:end]``, of any size; borrowed during the call.

        Raises:
            RowStopped: A limit was hit, here or in the sink; the walker is of no further use.
        """
        self._base = self._total - start
        self._total += end - start
        at = start
        while at < end:
            at = self._state(self, buffer, at, end)

    def close(self) -> None:
        """Say that the input has ended. Reports a truncation, or that the end marker is missing."""
        state = self._state
        if state is TarWalker._after_end:
            if self._total < self._end_offset + 2 * BLOCK:
                self._sink.fault("missing-end-marker", offset=self._end_offset, detail="one zero block instead of two")
        elif state is TarWalker._headers:
            if self._over is not None or not self._total or self._held.strip(b"\0"):
                self._truncated("inside a header")
            else:
                self._sink.fault("missing-end-marker", offset=self._total)
        elif state is TarWalker._extended_body:
            self._truncated("inside an extended header")
        elif state is TarWalker._skip:
            if self._left:
                self._truncated("inside a body or its padding")
        elif self._member is not None:
            if not self._begun:
                self._sink.begin(self._member)
            self._truncated("inside a body", self._member.name)
        self._state = TarWalker._ignore

    def _truncated(self, detail: str, member: str | None = None) -> None:
        self._sink.fault("tar-truncated", member=member, offset=self._total, detail=detail)

    # States: each takes (buffer, at, end) with at < end, consumes something, and returns the new position.

    def _headers(self, buffer: Raw, at: int, end: int) -> int:
        if not self._held and self._over is None and self._globals is None and not self._link_bytes:
            at = walk_ordinary(self._sink.whole, self._base, buffer, at, end)
        block, at = self._take(BLOCK, buffer, at, end)
        if block is not None:
            self._header(block, self._base + at - BLOCK)
        return at

    def _extended_body(self, buffer: Raw, at: int, end: int) -> int:
        assert self._extended is not None
        header, block, offset = self._extended
        body, at = self._take(_padded(header.size_bytes), buffer, at, end)
        if body is not None:
            self._extend(header, body, offset)
            SEEN.learn_mtime_header(header, block, body)
            self._state = TarWalker._headers
        return at

    def _sparse_extension(self, buffer: Raw, at: int, end: int) -> int:
        block, at = self._take(BLOCK, buffer, at, end)
        if block is not None:
            assert self._segments is not None
            if not read_old_extension(block, self._segments):
                self._begin_content()
        return at

    def _sparse_map(self, buffer: Raw, at: int, end: int) -> int:
        assert self._map is not None
        assert self._segments is not None
        block, at = self._take(BLOCK, buffer, at, end)
        if block is not None:
            self._left -= BLOCK
            goes_on = self._map.read(block)
            if goes_on and self._left < BLOCK:
                self._segments.flaw, goes_on = "the map before the data is cut off", False
            if goes_on and 0 < self._header_limit < self._map.size_bytes:  # the next header is known: no need to stop
                self._sink.fault("limit:header", offset=self._base + at, detail="a sparse map")
                goes_on = False
            if not goes_on:
                self._begin_content()
        return at

    def _content(self, buffer: Raw, at: int, end: int) -> int:
        assert self._member is not None
        stop = min(end, at + self._left)
        complete = stop - at == self._left
        if complete and not self._begun:
            self._sink.whole(self._member, buffer, at, stop)
        else:
            if not self._begun:
                self._begun, self._wanted = True, self._sink.begin(self._member)
            if self._wanted:
                self._sink.piece(buffer, at, stop)
            if complete:
                self._sink.end()
        self._left -= stop - at
        if complete:
            self._member = self._segments = None
            self._skip_next(self._padding)
        return stop

    def _skip(self, buffer: Raw, at: int, end: int) -> int:  # noqa: ARG002  # a state
        stop = min(end, at + self._left)
        self._left -= stop - at
        if not self._left:
            self._state = TarWalker._headers
        return stop

    def _after_end(self, buffer: Raw, at: int, end: int) -> int:
        while at < end:
            n = min(len(_ZEROS), end - at)
            if not buffer.startswith(_ZEROS[:n], at):
                offset = self._base + at + n - len(buffer[at : at + n].lstrip(b"\0"))
                self._sink.fault("trailing-data", offset=offset)
                self._state = TarWalker._ignore
                break
            at += n
        return end

    def _ignore(self, buffer: Raw, at: int, end: int) -> int:  # noqa: ARG002  # a state
        return end

    # Steps between states.

    def _take(self, n_bytes: int, buffer: Raw, at: int, end: int) -> tuple[bytes | None, int]:
        """The next ``n_bytes`` once they are complete, else None with what there is held."""
        held = self._held
        stop = min(end, at + n_bytes - len(held))
        if not held and stop - at == n_bytes:
            return bytes(buffer[at:stop]), stop
        held += memoryview(buffer)[at:stop]
        if len(held) < n_bytes:
            return None, stop
        self._held = bytearray()
        return bytes(held), stop

    def _skip_next(self, n_bytes: int) -> None:
        self._left = n_bytes
        self._state = TarWalker._skip if n_bytes else TarWalker._headers

    def _header(self, block: bytes, offset: int) -> None:
        """Take a block that should be a header. May run for every member of an odd archive."""
        link_bytes, self._link_bytes = self._link_bytes, 0
        if block == ZERO_BLOCK:
            self._end(offset)
            return
        header = parse(block)
        if header is None and link_bytes:
            self._skip_next(_padded(link_bytes) - BLOCK)
        elif header is None:
            self._stop("tar-bad-header", offset, "the checksum does not hold")
        elif header.flag in _EXTENDED:
            self._begin_extended(header, block, offset)
        else:
            over, self._over = self._over or Overrides(), None
            self._begin_member(header, block, over, offset if over.offset is None else over.offset)

    def _end(self, offset: int) -> None:
        if self._over is not None:
            self._sink.fault("tar-bad-header", offset=self._over.offset, detail="an extended header without a member")
        self._end_offset = offset
        self._state = TarWalker._after_end

    def _stop(self, kind: FaultKind, offset: int, detail: str) -> None:
        self._sink.fault(kind, offset=offset, detail=detail)
        self._state = TarWalker._ignore

    def _begin_extended(self, header: Header, block: bytes, offset: int) -> None:
        if not header.sound or not 0 <= header.size_bytes <= SIZE_LIMIT:
            self._stop("tar-bad-number", offset, "size of an extended header")
            return
        if 0 < self._header_limit < header.size_bytes:
            raise RowStopped(Fault("limit:header", offset=offset, detail=f"{header.size_bytes} bytes"))
        self._extended = header, block, offset
        if header.size_bytes:
            self._state = TarWalker._extended_body
        else:
            self._extend(header, b"", offset)

    def _extend(self, header: Header, body: bytes, offset: int) -> None:
        if header.flag == b"g":
            pairs, flaw = parse_records(body, header.size_bytes)
            self._globals = self._globals or Globals()
            flaw = self._globals.add_pax(pairs) or flaw
        else:
            over = self._over = self._over or Overrides()
            if over.offset is None:
                over.offset = offset
            flaw = None
            if header.flag == b"L":
                over.add_long_name(text(body))
            elif header.flag == b"K":
                over.add_long_link(text(body))
            else:
                pairs, flaw = parse_records(body, header.size_bytes)
                over.add_pax(pairs)
        if flaw:
            self._sink.fault("tar-bad-pax", offset=offset, detail=flaw)

    def _begin_member(self, header: Header, block: bytes, over: Overrides, offset: int) -> None:
        SEEN.learn_tail(header, block)
        member, size, flaw = resolve(header, over, self._globals or Globals(), offset)
        if flaw:
            self._sink.fault("tar-bad-number", member=member.name, offset=offset, detail=flaw)
        if member.kind not in ("file", "other"):
            self._sink.whole(member, b"", 0, 0)
            self._link_bytes = max(size, 0) if member.kind == "hardlink" else 0
            self._state = TarWalker._headers
            return
        if not 0 <= size <= SIZE_LIMIT:
            member.size_bytes = 0
            self._sink.begin(member)
            self._stop("tar-bad-number", offset, f"a size of {size} bytes")
            return
        if member.kind == "other":
            self._sink.whole(member, b"", 0, 0)
            self._skip_next(_padded(size))
            return
        self._member, self._begun = member, False
        self._left, self._padding = size, -size % BLOCK
        self._map = None
        if header.flag == b"S":
            self._segments = SparseMap()
            if read_old_header(block, self._segments):
                self._state = TarWalker._sparse_extension
                return
        elif over.sparse:
            self._segments = SparseMap()
            if read_pax(over.sparse, self._segments) and size >= BLOCK:
                self._map = MapReader(self._segments)
                self._state = TarWalker._sparse_map
                return
        self._begin_content()

    def _begin_content(self) -> None:
        """Go on to the content of the member at hand, its header and sparse map complete."""
        member, segments = self._member, self._segments
        assert member is not None
        if segments is not None:
            segments.flaw = segments.verdict(self._left)
            if segments.expanded_bytes is not None:
                member.size_bytes = segments.expanded_bytes
            self._sink.fault("sparse-member", member=member.name, offset=member.offset)
            if segments.flaw:
                self._sink.fault("tar-bad-sparse", member=member.name, offset=member.offset, detail=segments.flaw)
        if self._left:
            self._state = TarWalker._content
        else:
            self._sink.whole(member, b"", 0, 0)
            self._member = self._segments = None
            self._state = TarWalker._headers


def _padded(size_bytes: int) -> int:
    return size_bytes + -size_bytes % BLOCK
