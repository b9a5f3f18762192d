"""Sparse members as they are once they are unpacked: their holes are filled with zeros on the way to a sink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scanner.faults import FaultKind
from scanner.formats import Sink
from scanner.formats.tar import TarWalker
from scanner.formats.tar_sparse import SEGMENTS_KEPT, SparseMap
from scanner.model import Buffer, Member
from scanner.options import Limits

_ZEROS: Final = bytes(1 << 16)


def expanding_walker(sink: Sink, limits: Limits) -> TarWalker:
    """A TarWalker whose sparse members reach ``sink`` expanded, in pieces; zeros count as output of the row.

    A member that cannot be expanded comes as it is stored, so with another size than its ``size_bytes``, and a fault
    says why: its map contradicts itself, has more than :data:`SEGMENTS_KEPT` segments, does not state what it expands
    to, or that is over ``limits.output_bytes``.
    """
    filler = _Filler(sink, limits)
    filler.walker = TarWalker(filler, limits)
    return filler.walker


class _Filler:
    """The Sink between the walker and the real one. ``whole`` runs for every member: ordinary ones pass at once."""

    walker: TarWalker

    def __init__(self, sink: Sink, limits: Limits) -> None:
        self._sink = sink
        self._output_limit = limits.output_bytes
        self.fault = sink.fault
        self.spend = sink.spend
        self._runs: Iterator[tuple[int, int]] | None = None
        """What is still to come of a member that is being expanded: bytes of a hole, then of data. None: of others."""
        self._data_left = 0
        self._is_wanted = False

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        segments = self.walker.sparse
        if segments is None or not self._can_expand(member, segments):
            self._sink.whole(member, buffer, start, end)
            return
        self._begin(member, segments)
        if self._is_wanted:
            self.piece(buffer, start, end)
        self.end()

    def begin(self, member: Member) -> bool:
        segments = self.walker.sparse
        if segments is not None and self._can_expand(member, segments):
            self._begin(member, segments)
        else:
            self._runs = None
            self._is_wanted = self._sink.begin(member)
        return self._is_wanted

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        if self._runs is None:
            self._sink.piece(buffer, start, end)
            return
        while start < end:
            if not self._data_left:
                hole_bytes, self._data_left = next(self._runs)
                self._fill(hole_bytes)
            stop = min(end, start + self._data_left)
            self._sink.piece(buffer, start, stop)
            self._data_left -= stop - start
            start = stop

    def end(self) -> None:
        if self._runs is not None and self._is_wanted:
            for hole_bytes, _ in self._runs:
                self._fill(hole_bytes)
        self._runs = None
        self._sink.end()

    def _begin(self, member: Member, segments: SparseMap) -> None:
        self._runs, self._data_left = _runs_of(segments), 0
        self._is_wanted = self._sink.begin(member)

    def _fill(self, n_bytes: int) -> None:
        while n_bytes:
            n = min(n_bytes, len(_ZEROS))
            self._sink.spend(n)
            self._sink.piece(_ZEROS, 0, n)
            n_bytes -= n

    def _can_expand(self, member: Member, segments: SparseMap) -> bool:
        if segments.expanded_bytes is None or segments.flaw is not None:
            return False
        why: tuple[FaultKind, str] | None = None
        if segments.n_segments > SEGMENTS_KEPT:
            why = "limit:header", f"a sparse map of {segments.n_segments:,} segments"
        elif 0 < self._output_limit < segments.expanded_bytes:
            why = "limit:output", f"expands to {segments.expanded_bytes:,} bytes"
        if why is not None:
            self.fault(why[0], member=member.name, offset=member.offset, detail=why[1])
        return why is None


def _runs_of(segments: SparseMap) -> Iterator[tuple[int, int]]:
    """Each hole and the data after it; the last pair is the hole at the end. Segments without data join holes."""
    assert segments.expanded_bytes is not None
    at = 0
    for offset, size_bytes in zip(segments.kept[::2], segments.kept[1::2], strict=True):
        if size_bytes:
            yield offset - at, size_bytes
            at = offset + size_bytes
    yield segments.expanded_bytes - at, 0
