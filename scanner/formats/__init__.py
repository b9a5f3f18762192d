"""One file per format. A codec turns compressed bytes into bytes; a container turns bytes into members.

A codec has two doors: :meth:`Codec.inflate_into` for the many small, sound rows (one call, into a reused arena) and
:meth:`Codec.stream` for everything else, which is where each flaw is named. A container is walked into a
:class:`Sink`, which decides what it wants to read. Neither raises for what is in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from scanner.faults import FaultKind
from scanner.model import Buffer, CodecName, Fault, Member


class RowStopped(Exception):
    """A limit was hit: raised by a :class:`Sink` (or a walker's own limit) to end the row, caught by the probe."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


class Sink(Protocol):
    """Where walkers put what they find, in archive order. Any call may raise :class:`RowStopped`.

    Per member either one ``whole`` (its content lies in the buffer at hand: the hot path) or ``begin``, any number of
    ``piece`` and one ``end``; both ways must lead to the same result. ``end`` is left out where the content breaks off.
    Buffers are borrowed: they are valid during the call only.
    """

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        """A member whose content is ``buffer[start:end]`` (``start == end`` for members without content)."""

    def begin(self, member: Member) -> bool:
        """A member whose content follows in pieces. False: the content is not wanted, a zip need not inflate it."""

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        """The next piece of the content of the member begun last: ``buffer[start:end]``."""

    def end(self) -> None:
        """The content of the member begun last is complete."""

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        """Something is wrong or odd; the walk goes on."""

    def spend(self, n_bytes: int) -> None:
        """``n_bytes`` more came out of a decompressor of this row. Raises at the output or time limit."""


class Report(Protocol):
    """The part of a Sink that codecs need."""

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        """As :meth:`Sink.fault`; ``offset`` counts in the compressed blob."""


class Codec(Protocol):
    """One compression format. Stateless and shared; safe to call from one thread at a time."""

    name: CodecName

    def matches(self, head: bytes) -> bool:
        """Whether a blob whose first 32 bytes (or fewer) are ``head`` is of this codec."""

    def inflate_into(self, data: memoryview, arena: bytearray) -> int | None:
        """Inflate a blob that is exactly one sound stream to the start of ``arena``; the number of bytes written.

        None for anything else (it does not fit, a flaw, several members, trailing data): call :meth:`stream`, which
        says what it is.
        """

    def stream(self, data: memoryview, report: Report, chunk_bytes: int) -> Iterator[bytes]:
        """Everything that can be decoded, in pieces of at most ``chunk_bytes``, in constant memory.

        Flaws are reported, never raised: what was decoded before one has already been yielded.
        """
