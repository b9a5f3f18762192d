"""What the probe keeps of one row while walkers call it: counts, hashes, content types, and the files rules ask for.

Hot: a method here runs for every member of every row, so there are no per-member objects beyond the Member, no
formatting, and every question about a name alone is answered from a bounded memo.
"""

from __future__ import annotations

import math
import posixpath
import sys
import time
from collections.abc import Iterator
from typing import Final

from xxhash import xxh3_128, xxh3_128_digest

from scanner.content import content_type
from scanner.faults import FAULTS, FaultKind
from scanner.formats import RowStopped
from scanner.model import Buffer, Fault, Member, printable
from scanner.names import FACTS, MEMO_CHARS, Lie, NameFacts, collisions_of, facts_of, findings_of, is_telling, remember
from scanner.options import INTERPRET_BYTES, MAGIC_BYTES, Limits

FAULTS_KEPT: Final = 8
"""Faults of one kind that a Record lists; further ones say nothing new."""

DETAIL_CHARS: Final = 300
"""A longer name or detail in a fault is cut here."""

HELD_BYTES: Final = 32 << 20
"""Content of one row that is in memory at a time: files for the rules, and archives that wait to be opened."""

OPENABLE: Final = frozenset(f"archive/{name}" for name in ("zip", "tar", "wheel", "jar", "apk", "nupkg")) | frozenset(
    f"codec/{name}" for name in ("gzip", "bzip2", "xz", "zstd", "lz4")
)
"""Content types that are opened with ``--depth``. Documents that happen to be zips stay closed."""

NAMES_BYTES: Final = 32 << 20
"""Memory of the long names and link targets of one row (above :data:`scanner.names.MEMO_CHARS`), together. A header may
carry a name of a mebibyte, and a row a hundred thousand headers."""

_MEMO_MEMBERS: Final = 64
_ORDINARY: Final = ("file", "dir")
_CLOCK_EVERY: Final = 256


class Collector:
    """The :class:`scanner.formats.Sink` of one row. ``prefix`` and ``level`` are set for nested archives."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._cpu_start = time.process_time()
        self._wall_deadline = time.monotonic() + (limits.seconds or math.inf)
        self.members: list[Member] = []
        self.names: list[str] = []
        """Names of files, in order; ``types`` goes with them."""
        self.types: list[str] = []
        self.pairs: list[bytes] = []
        """Per file of the outer archive: name, NUL, digest of the content. Sorted and hashed: the content id."""
        self.digests: list[bytes] = []
        """Digest of the content of each file of the outer archive; ``names`` begins with their names."""
        self.read: list[Member] = []
        """The members of the outer archive that were read to their end; the next two go with it."""
        self.contents: list[Buffer | None] = []
        """The content of files that the rules ask for."""
        self.content_digests: list[bytes | None] = []
        self.lies: list[Lie] = []
        self.nested: list[tuple[str, Buffer]] = []
        """Archives found inside, to be opened once the outer one is done, by :meth:`take_nested`."""
        self.faults: list[Fault] = []
        self.damaged = False
        self.prefix = ""
        self.level = 0
        self.spent_bytes = 0
        self._kinds: dict[FaultKind, int] = {}
        self._most_members = limits.members or sys.maxsize
        self._buffer: Buffer = b""
        self._view = memoryview(self._buffer)
        self._member: Member | None = None
        self._facts = _NO_FACTS
        self._long_bytes = 0
        self._held_bytes = 0
        self._hash: xxh3_128 | None = None
        self._head = b""
        self._kept: bytearray | None = None

    # -- Sink ---------------------------------------------------------------------------------------------------------

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        """See :class:`scanner.formats.Sink`. Once per member of nearly every row."""
        facts = self._take(member)
        if member.kind != "file":
            self._hand_over(member, None, None)
            return
        if buffer is not self._buffer:
            self._buffer, self._view = buffer, memoryview(buffer)
        content = self._view[start:end]
        digest = xxh3_128_digest(content)
        type_ = _TYPES.get(digest)
        if type_ is None:
            type_ = remember(_TYPES, digest, content_type(content))
        kept: Buffer | None = content
        if type(buffer) is bytes:  # a piece of a stream: a slice would keep all of it alive
            kept = bytes(content) if facts.wanted or type_ in OPENABLE else None
        self._file(facts, member, type_, digest, kept)

    def begin(self, member: Member) -> bool:
        """See :class:`scanner.formats.Sink`. Every file is wanted: its content is part of the content id."""
        self._facts = self._take(member)
        self._member = member
        if member.kind != "file":
            self._hand_over(member, None, None)
            return False
        self._hash = xxh3_128()
        self._head = b""
        wanted = self._facts.wanted and not self.level and member.size_bytes <= INTERPRET_BYTES
        self._kept = bytearray() if wanted or self.level < self.limits.depth else None
        return True

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        """See :class:`scanner.formats.Sink`."""
        if self._hash is None:
            return
        view = memoryview(buffer)[start:end]
        self._hash.update(view)
        if len(self._head) < MAGIC_BYTES:
            self._head += bytes(view[: MAGIC_BYTES - len(self._head)])
        if self._kept is not None:
            self._kept += view
            if len(self._kept) > HELD_BYTES:  # whatever was announced
                self._kept = None

    def end(self) -> None:
        """See :class:`scanner.formats.Sink`."""
        member, hasher = self._member, self._hash
        if member is None or hasher is None:
            return
        self._hash = self._member = None
        kept, self._kept = self._kept, None
        self._file(self._facts, member, content_type(self._head), hasher.digest(), kept)

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        """See :class:`scanner.formats.Sink`."""
        if FAULTS[kind].severity == "damage":
            self.damaged = True
        seen = self._kinds.get(kind, 0)
        self._kinds[kind] = seen + 1
        if seen < FAULTS_KEPT:
            self.faults.append(Fault(kind, _cut(member), offset, _cut(detail)))

    def spend(self, n_bytes: int) -> None:
        """See :class:`scanner.formats.Sink`."""
        self.spent_bytes += n_bytes
        if self.limits.output_bytes and self.spent_bytes > self.limits.output_bytes:
            raise RowStopped(Fault("limit:output", detail=f"more than {self.limits.output_bytes:,} bytes came out"))
        self.check_clock()

    def stopped(self, stop: RowStopped) -> None:
        """Record the limit that ended the row."""
        fault = stop.fault
        self.fault(fault.kind, member=fault.member, offset=fault.offset, detail=fault.detail)

    # -- inside -------------------------------------------------------------------------------------------------------

    def check_clock(self) -> None:
        """Raise RowStopped once the row has taken its processor time.

        Asking for processor time is a system call, so it is asked for only when as much time has passed on the wall.
        """
        if time.monotonic() > self._wall_deadline and time.process_time() - self._cpu_start > self.limits.seconds:
            raise RowStopped(Fault("limit:time", detail=f"more than {self.limits.seconds:g} s of processor time"))

    def _take(self, member: Member) -> NameFacts:
        """Count a member, note what is odd about its header. Once per member."""
        members = self.members
        n = len(members)
        if n >= self._most_members:
            raise RowStopped(Fault("limit:members", offset=member.offset, detail=f"more than {self.limits.members:,}"))
        members.append(member)
        if n % _CLOCK_EVERY == _CLOCK_EVERY - 1:
            self.check_clock()
        name = member.name
        facts = FACTS.get(name)
        if facts is None:
            facts = self._learn(member)
        for note in facts.notes:
            self.fault(note, member=name, offset=member.offset)
        if member.mode & 0o7000:
            self.fault("setuid", member=name, offset=member.offset, detail=f"mode {member.mode & 0o7777:04o}")
        if member.kind not in _ORDINARY:
            self._note_special(member)
        return facts

    def _learn(self, member: Member) -> NameFacts:
        """A name that was not met lately. Long ones are not remembered, and a row may only have so many of them."""
        if len(member.name) > MEMO_CHARS:
            self._hold_name(member.name, member)
        return facts_of(member.name)

    def _hold_name(self, name: str, member: Member) -> None:
        """Count a long name or target, which the member keeps in memory to the end of the row."""
        self._long_bytes += sys.getsizeof(name)
        if self._long_bytes > NAMES_BYTES:
            detail = f"long names and targets of more than {NAMES_BYTES:,} bytes"
            raise RowStopped(Fault("limit:buffer", offset=member.offset, detail=detail))

    def _note_special(self, member: Member) -> None:
        if member.kind in ("symlink", "hardlink"):
            if len(member.link) > MEMO_CHARS:
                self._hold_name(member.link, member)
            if _escapes(member):
                self.fault("link-escape", member=member.name, offset=member.offset, detail=f"-> {member.link}")
        else:
            self.fault("special-file", member=member.name, offset=member.offset, detail=member.kind)

    def _hand_over(self, member: Member, content: Buffer | None, digest: bytes | None) -> None:
        """Keep a member of the outer archive for the rules."""
        if not self.level:
            self.read.append(member)
            self.contents.append(content)
            self.content_digests.append(digest)

    def _file(self, facts: NameFacts, member: Member, type_: str, digest: bytes, content: Buffer | None) -> None:
        """Keep what is wanted of a file that was read to its end. Once per file."""
        name, size = member.name, member.size_bytes
        self.types.append(type_)
        if self.level:
            self.names.append(self.prefix + name)
        else:
            self.names.append(name)
            self.pairs.append(facts.key + digest)
            self.digests.append(digest)
            self._hand_over(member, self._held(content, size, name) if facts.wanted else None, digest)
        if type_ in OPENABLE and self.limits.depth:
            self._inside(self.prefix + name, size, content)
        if is_telling(facts, type_):
            found = findings_of(name, facts, type_)
            self.lies += found.lies
            for fault in found.faults:
                self.fault(fault.kind, member=fault.member, detail=fault.detail)

    def _held(self, content: Buffer | None, size: int, name: str, most_bytes: int = INTERPRET_BYTES) -> Buffer | None:
        """``content``, where it may be held until somebody reads it; else None, and a fault that says so."""
        if content is None or size > most_bytes:
            self.fault("limit:buffer", member=name, detail=f"not read: more than {most_bytes:,} bytes")
            return None
        if type(content) is memoryview:  # over bytes that are there anyway
            return content
        self._held_bytes += len(content)
        if self._held_bytes <= HELD_BYTES:
            return content
        self._held_bytes -= len(content)
        self.fault("limit:buffer", member=name, detail=f"not read: {HELD_BYTES:,} bytes of other files are held")
        return None

    def _inside(self, name: str, size: int, content: Buffer | None) -> None:
        """An archive in the archive: keep it to be opened next, where that is not deeper than was asked for."""
        if self.level >= self.limits.depth:
            self.fault("limit:depth", member=name)
            return
        own = bytes(content) if type(content) is memoryview else content
        data = self._held(own, size, name, HELD_BYTES)
        if data is not None:
            self.nested.append((name, data))

    def let_go(self) -> None:
        """The files for the rules were read: only archives that wait are held from now on."""
        self.read, self.contents, self.content_digests = [], [], []
        self._held_bytes = sum(len(data) for _, data in self.nested)

    def take_nested(self) -> Iterator[tuple[str, Buffer]]:
        """The archives that wait, each held until the next is asked for."""
        waiting, self.nested = self.nested[::-1], []
        while waiting:
            name, data = waiting.pop()
            yield name, data
            self._held_bytes -= len(data)

    def note_collisions(self) -> None:
        """Note names that occur twice, and names that differ only in case. Once a row, after the walk."""
        names = tuple([member.name for member in self.members])
        if len(names) > _MEMO_MEMBERS:
            collisions = collisions_of(names)
        else:
            found = _COLLISIONS.get(names)
            collisions = remember(_COLLISIONS, names, collisions_of(names)) if found is None else found
        for kind, name in collisions:
            self.fault(kind, member=name)


_NO_FACTS: Final = NameFacts((), wanted=False, promised=None, key=b"")

_COLLISIONS: dict[tuple[str, ...], tuple[tuple[FaultKind, str], ...]] = {}
"""By all names of a row: rows made from one template have the same."""

_TYPES: dict[bytes, str] = {}
"""Content type by digest of the content: the same files come again and again."""


def _escapes(member: Member) -> bool:
    """Whether a link leads out of the folder the archive would be unpacked in."""
    target = member.link
    if not target or target.startswith("/"):
        return bool(target)
    base = posixpath.dirname(member.name) if member.kind == "symlink" else ""
    whole = posixpath.normpath(posixpath.join(base, target))
    return whole == ".." or whole.startswith(("../", "/"))


def _cut(text: str | None) -> str | None:
    if text is None:
        return None
    text = printable(text)
    return text if len(text) <= DETAIL_CHARS else text[:DETAIL_CHARS] + "…"
