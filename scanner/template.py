"""What is learnt of names: rows with the same members in the same order share it, nearly all of a source, often.

Learnt once for each list of members (60 to 100 µs), looked up once a row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import compress, count
from operator import attrgetter
from typing import Any, Final, NamedTuple

from xxhash import xxh3_128_hexdigest

from scanner import tasks
from scanner.collector import OPENABLE
from scanner.formats.tar_header import number
from scanner.model import Common, Fault, Meaning, MemberKind
from scanner.names import Lie, collisions_of, facts_of, findings_of, is_telling
from scanner.options import Limits

_TYPE_LISTS: Final = 64
_IS_WANTED: Final = attrgetter("wanted")


class Alike(NamedTuple):
    """Rows of one template and codec whose files have the same content types."""

    types: tuple[str, ...]
    lies: tuple[Lie, ...]
    faults: tuple[Fault, ...]
    """What names and content types are a cause for."""
    commons: dict[tuple[Any, ...], Common]
    """What was met of them, by what they mean."""


@lru_cache(64)
def is_plain_mode(field: bytes) -> bool:
    """Whether a mode is a number, without set-user bits and the like."""
    mode = number(field)
    return mode is not None and mode >= 0 and not mode & 0o7000


class Template:
    """What rows share that have the same names: nearly all of a source, often."""

    def __init__(self, listed: list[tuple[str, MemberKind]], limits: Limits, *, has_plain_modes: bool) -> None:
        names, kinds = zip(*listed, strict=True) if listed else ((), ())
        facts = [facts_of(name) for name in names]
        self.ordinary = (
            has_plain_modes
            and not any(each.notes for each in facts)  # so each name is printable, too
            and "file" in kinds
            and not collisions_of(names)
            and (not limits.members or len(listed) <= limits.members)
        )
        if not self.ordinary:
            return
        self._opens = limits.depth > 0
        self._facts = [each for each, kind in zip(facts, kinds, strict=True) if kind == "file"]
        self.file_names = tuple([name for name, kind in listed if kind == "file"])
        # Directories last, so that what is said of files is said of the first members: names come once, and then the
        # order of directories means nothing.
        self._known = tasks.KnownNames(*zip(*sorted(listed, key=lambda member: member[1] == "dir"), strict=True))
        n_files = len(self.file_names)
        self.counts = len(listed), n_files, len(listed) - n_files, 0
        self.no_contents: list[memoryview | None] = [None] * n_files
        self.wanted = list(compress(zip(count(), count(0, 2), count(1, 2)), map(_IS_WANTED, self._facts)))
        """Files that the rules read, and where their spans begin and end."""
        self.digests = struct.Struct("16s" * n_files).unpack
        keys = [each.key for each in self._facts]
        self._keys, self._order = keys, sorted(range(n_files), key=keys.__getitem__)
        self._alike: dict[tuple[str, tuple[str, ...]], Alike | None] = {}
        self.looks = b""
        """Of :class:`scanner.tasks.Gists`; empty where such rows have no gist."""
        self.instruction = 0
        self.jsons: Sequence[int] = ()
        self.settled: dict[tuple[str, bytes], Alike] = {}
        """Rows whose content types the walker settles all, by codec and what it says of them."""

    def look_by(self, number: int) -> None:
        """Give such rows a gist, where they have one, that no other template has."""
        looks, instruction = self._known.gist_looks, self._known.instruction
        if looks is not None and instruction is not None:
            self.looks, self.instruction = tasks.Gists.pack(number, looks), instruction
            self.jsons = self._known.jsons

    def alike(self, codec: str, types: tuple[str, ...], said: bytes) -> Alike | None:
        """The rows of this codec whose files have these content types; None where one of them is to be opened."""
        key = codec, types
        if key not in self._alike:
            is_odd = self._opens and not OPENABLE.isdisjoint(types)
            alike = None if is_odd else self._typed(types)
            if alike is not None and alike.faults:
                return alike  # seldom, and too large to be remembered
            if len(self._alike) >= _TYPE_LISTS:
                self.forget()
            self._alike[key] = alike
        alike = self._alike[key]
        if alike is not None and all(said):
            self.settled[codec, said] = alike
        return alike

    def _typed(self, types: tuple[str, ...]) -> Alike:
        """What follows from names and content types."""
        lies: list[Lie] = []
        faults: list[Fault] = []
        for name, facts, type_ in zip(self.file_names, self._facts, types, strict=True):
            if is_telling(facts, type_):
                found = findings_of(name, facts, type_)
                lies += found.lies
                faults += found.faults
        return Alike(types, tuple(lies), tuple(faults), {})

    def forget(self) -> None:
        """Let go of what rows had in common."""
        if self.ordinary:
            self._alike.clear()
            self.settled.clear()

    def keys_in_order(self) -> Iterator[tuple[int, bytes]]:
        """Each file and its key as the content id takes them: names are distinct, so digests do not decide."""
        return ((file, self._keys[file]) for file in self._order)

    def content_id(self, digests: Sequence[bytes]) -> str:
        """See :class:`scanner.model.Record`. For a row that was not read in one call."""
        return xxh3_128_hexdigest(b"".join([key + digests[file] for file, key in self.keys_in_order()]))

    def meaning(self, contents: Sequence[memoryview | None], digests: Sequence[bytes]) -> Meaning:
        """What the rules say of files with this content."""
        return self._known.meaning(contents, digests)
