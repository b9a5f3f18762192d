"""Walking a tar in tests: a sink that writes everything down, whichever way it came."""

from __future__ import annotations

from typing import NamedTuple

from scanner.faults import FAULTS, FaultKind
from scanner.formats import RowStopped
from scanner.formats.tar import TarWalker
from scanner.model import Buffer, Fault, Member
from scanner.options import Limits


class Walk(NamedTuple):
    """All that a walk reported."""

    members: list[Member]
    contents: list[bytes | None]
    """Of each member; None where it broke off."""
    faults: list[Fault]

    @property
    def listing(self) -> list[tuple[str, str, int]]:
        return [(member.name, member.kind, member.size_bytes) for member in self.members]

    @property
    def kinds(self) -> list[FaultKind]:
        return [fault.kind for fault in self.faults]

    @property
    def damage(self) -> list[FaultKind]:
        return [kind for kind in self.kinds if FAULTS[kind].severity == "damage"]


class Recorder:
    """Keeps members, contents and faults; checks that calls come in an order the Sink protocol allows."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.members: list[Member] = []
        self.contents: list[bytes | None] = []
        self.faults: list[Fault] = []
        self._pieces: list[bytes] | None = None
        self._wanted = wanted

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        assert self._pieces is None
        assert 0 <= start <= end <= len(buffer)
        self.members.append(member)
        self.contents.append(bytes(buffer[start:end]))

    def begin(self, member: Member) -> bool:
        assert self._pieces is None
        self.members.append(member)
        self.contents.append(None)
        self._pieces = []
        return self._wanted

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        assert self._pieces is not None
        assert self._wanted
        assert 0 <= start < end <= len(buffer)
        self._pieces.append(bytes(buffer[start:end]))

    def end(self) -> None:
        assert self._pieces is not None
        self.contents[-1] = b"".join(self._pieces)
        self._pieces = None

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        self.faults.append(Fault(kind, member, offset, detail))

    def spend(self, n_bytes: int) -> None:
        raise AssertionError("a tar is not compressed")


def walk(raw: bytes, chunk_bytes: int = 0, limits: Limits | None = None) -> Walk:
    """Walk ``raw`` in parts of ``chunk_bytes`` (0: whole), each inside a larger buffer of junk, as an arena has it."""
    recorder = Recorder()
    walker = TarWalker(recorder, limits or Limits())
    step = chunk_bytes or max(len(raw), 1)
    try:
        for at in range(0, len(raw), step):
            part = raw[at : at + step]
            arena = bytearray(b"././@PaxHeader" * 2 + part + b"\0junk" * 400)
            walker.feed(arena, 28, 28 + len(part))
        walker.close()
    except RowStopped as stop:
        recorder.faults.append(stop.fault)
    return Walk(recorder.members, recorder.contents, recorder.faults)
