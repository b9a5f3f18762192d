"""The loop that the codecs share: one compressed stream in, its pieces out, in constant memory.

A decoder is asked for at most :data:`PIECE_BYTES` at a time and gets at most as much input, whatever the ratio is and
whatever the stream announces. Pieces do not depend on the chunk size that a caller asked for, so neither do the
total output and the offset of a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from scanner.faults import FaultKind
from scanner.formats import Report
from scanner.model import Buffer

PIECE_BYTES: Final = 64 * 1024
"""Input and output of one call of a decoder: fits the L2 cache, and long enough to hide the call."""

FIRST_INPUT_BYTES: Final = 1024
"""Input of the first call, doubled by each: a blob of a million tiny streams is not copied a million times."""

SALVAGE_BYTES: Final = 8 << 20
"""A stream that breaks within this much output is decoded again, up to the very byte; see :meth:`Stream._salvage`."""

_SALVAGE_CALLS: Final = 16_384
"""Calls to feed the input in then: for rows of up to 64 KiB, four bytes each, so that the last byte is out before a
checksum is in. For larger ones that byte may be lost."""

_SALVAGE_STEP_BYTES: Final = 256
"""The root of a piece: as few calls to find the step that fails as to go through it."""

POURED_BYTES: Final = 1 << 20
"""Blobs up to this size are decoded in one go: a million bytes of frames without content take 30 ms."""

MEMORY_BYTES: Final = 128 << 20
"""What a stream may claim as its window: the limit of ``zstd -d``; ``xz -9`` needs 65 MiB."""


class Decoder(Protocol):
    """What ``bz2``, ``lzma`` and ``lz4.frame`` have in common."""

    @property
    def eof(self) -> bool:
        """The end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """All input was consumed and all output from it returned."""

    @property
    def unused_data(self) -> bytes | None:
        """Input behind the end of the stream; empty or None when there is none."""

    def decompress(self, data: Buffer, max_length: int) -> bytes:
        """At most ``max_length`` bytes more; input that was not consumed is kept for the next call."""


class Stream:
    """The pieces of one compressed stream; afterwards, how it ended.

    Pieces may be empty: a stream that consumes input and gives nothing still lets its consumer look at the clock.
    """

    at: int
    """While iterating, input consumed; afterwards the offset in ``data`` behind the stream, or where it broke."""
    flaw: FaultKind | None
    """None when the stream is complete, ``codec-truncated`` or ``codec-corrupt`` otherwise."""
    detail: str | None
    """What the decoder said."""

    def __init__(
        self,
        data: memoryview,
        start: int,
        make: Callable[[], Decoder],
        errors: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        self.at = self.start = start
        self.flaw = None
        self.detail = None
        self._data = data
        self._make = make
        self._errors = errors

    def __iter__(self) -> Iterator[bytes]:
        """Decode from the start. To be iterated once."""
        try:
            decoder = self._make()
        except self._errors as error:
            self.flaw, self.detail = "codec-corrupt", str(error)
            return
        data, input_bytes, produced = self._data, FIRST_INPUT_BYTES, 0
        while not decoder.eof:
            fed = data[self.at : self.at + input_bytes] if decoder.needs_input else data[:0]
            ended = decoder.needs_input and not fed
            self.at += len(fed)
            try:
                piece = decoder.decompress(fed, PIECE_BYTES)
            except self._errors as error:
                self.flaw, self.detail = "codec-corrupt", str(error)
                yield self._salvage(produced)
                return
            if ended and not piece:  # bz2 asks for input while it still holds output, so the end is only sure now
                self.flaw = "codec-truncated"
                return
            if fed:
                input_bytes = min(2 * input_bytes, PIECE_BYTES)
            produced += len(piece)
            yield piece
        self.at -= len(decoder.unused_data or b"")

    def _salvage(self, produced: int) -> bytes:
        """What the failing call decoded before it failed, and lost.

        Decoders raise instead of returning the bytes before the error, so a small archive with a wrong checksum at
        its end would be lost whole. Decode again up to ``produced`` and on in steps; then again, and byte by byte
        through the step that failed: hundreds of calls, not one a byte. Where there is more output than
        :data:`SALVAGE_BYTES` this would take too long: then the last piece is lost.
        """
        if produced > SALVAGE_BYTES:
            return b""
        input_bytes = max(4, (self.at - self.start) // _SALVAGE_CALLS)
        sure = len(self._decode_behind(produced, 0, _SALVAGE_STEP_BYTES, input_bytes))
        return self._decode_behind(produced, sure, 1, input_bytes)

    def _decode_behind(self, produced: int, sure: int, step_bytes: int, input_bytes: int) -> bytes:
        """What comes after the first ``produced`` bytes of output: ``sure`` of them at once, then in steps, to the end.

        That is an error, that of the stream or of the input, or a piece. Leaves in ``at`` how far the input was read.
        """
        data, decoder, at = self._data, self._make(), self.start
        found = bytearray()
        try:
            while not decoder.eof and len(found) < PIECE_BYTES:
                give = min(produced, PIECE_BYTES) or max(sure - len(found), 0) or step_bytes
                fed = data[at : at + input_bytes] if decoder.needs_input else data[:0]
                at += len(fed)
                piece = decoder.decompress(fed, give)
                if produced:
                    produced -= len(piece)
                else:
                    found += piece
                    self.at = at
                if at == len(data) and not piece and not fed and decoder.needs_input:
                    break
        except self._errors:
            self.at = at
        return bytes(found)


class _Ear:
    """A Report that notes whether there was anything to report."""

    heard = False

    def fault(self, *_: object, **__: object) -> None:
        self.heard = True


def pour(
    stream: Callable[[memoryview, Report, int], Iterator[bytes]], data: memoryview, arena: bytearray
) -> int | None:
    """What :meth:`scanner.formats.Codec.inflate_into` says, by the codec's own ``stream``.

    Nobody looks at the clock meanwhile, so a blob over :data:`POURED_BYTES` is left to those who do.
    """
    if len(data) > POURED_BYTES:
        return None
    ear, view, size = _Ear(), memoryview(arena), 0
    for piece in stream(data, ear, PIECE_BYTES):
        if ear.heard or size + len(piece) > len(arena):
            return None
        view[size : size + len(piece)] = piece
        size += len(piece)
    return None if ear.heard else size


def cut(pieces: Iterator[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """``pieces``, those longer than ``chunk_bytes`` cut into chunks of that size."""
    for piece in pieces:
        if len(piece) <= chunk_bytes:
            yield piece
        else:
            for start in range(0, len(piece), chunk_bytes):
                yield piece[start : start + chunk_bytes]
