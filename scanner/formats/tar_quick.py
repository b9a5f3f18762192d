"""The door to ``tar_quick.c``: ordinary tar archives in a tenth of the time that Python takes for them.

Where that was not compiled, or xxHash does not export what it calls, :func:`quick_walker` says so with None, and the
caller walks with :class:`scanner.formats.tar.TarWalker`, which says the same.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from scanner import compiled
from scanner.compiled import KeptNumbers, Numbers, address, address_of_function
from scanner.formats.tar_header import BLOCK

UNSETTLED, TEXT, EMPTY, FIRST_LINES = range(4)
"""What :attr:`Walked.types` holds for a file: somebody must look, text in UTF-8, no bytes; and from the last
one on, begins with the first, the second ... of the lines that were given."""

HEAD_BYTES: Final = 128
MOST_HEADS: Final = 4096
MOST_LINE_BYTES: Final = 31
_LINE: Final = struct.Struct("B31s")
_ANSWER: Final = struct.Struct("4q")


class Signatures(NamedTuple):
    """What decides whether the first bytes of a file settle its content type."""

    starts: dict[bytes, bytes]
    """By the first two bytes of every file that a signature may match: what all such begin with. At most 255."""
    lines: Sequence[bytes]
    """First lines that settle it, at most 252, each of at most :data:`MOST_LINE_BYTES` bytes with its line end."""
    window_bytes: int
    """How much of a file is looked at."""


class Walked(msgspec.Struct, gc=False):
    """An ordinary archive: its members in order. One a row: a Struct is made in a third of a NamedTuple's time."""

    members: bytes
    """int32 per member: twice the number of its head (see :meth:`QuickWalker.head`), plus one for a directory. Equal
    numbers are equal names, modes and kinds, until :meth:`QuickWalker.start_over`. Empty where who asked knows them."""
    types: bytes
    """Per file: :data:`UNSETTLED` and so on."""
    digests: bytes
    """Per file, 16 bytes each: ``xxh3_128_digest`` of its content."""
    spans: list[int]
    """Per file: where its content begins in the arena, and where it ends."""
    largest: int
    """Which file is the first of the largest; -1 where there is none."""
    largest_bytes: int


class _Walk(ctypes.Structure):
    """``Walk`` of ``tar_quick.c``."""

    _fields_ = (
        ("arena", ctypes.c_void_p),
        ("hash", ctypes.c_void_p),
        ("signatures", ctypes.c_void_p),
        ("starts", ctypes.c_void_p),
        ("lines", ctypes.c_void_p),
        ("n_lines", ctypes.c_int64),
        ("window", ctypes.c_int64),
        ("heads", Numbers),
        ("members", ctypes.c_void_p),
        ("spans", ctypes.c_void_p),
        ("digests", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
        ("answer", ctypes.c_int64 * 4),
    )


class QuickWalker:
    """Walks what lies in one arena, again and again. Not for two threads at a time."""

    def __init__(self, library: ctypes.CDLL, arena: bytearray, signatures: Signatures) -> None:
        """Raise OSError or AttributeError where ``library`` or that of xxHash is not what is called here."""
        self._walk = library.scanner_walk_tar
        self._walk.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        blocks = len(arena) // BLOCK
        pairs = {pair: start[:MOST_LINE_BYTES] for pair, start in signatures.starts.items() if pair}
        numbers, starts, lines = _numbers(pairs), _lines([b"", *pairs.values()]), _lines(signatures.lines)
        members, spans, digests, types = (bytearray(size * blocks) for size in (4, 8, 16, 1))
        hash_at = address_of_function("xxhash._xxhash", "XXH3_128bits")
        given = address(arena), hash_at, address(numbers), address(starts), address(lines)
        sizes = len(signatures.lines), signatures.window_bytes
        self._said = _Walk(*given, *sizes, Numbers(), *map(address, (members, spans, digests, types)))
        self._heads = KeptNumbers(self._said.heads, MOST_HEADS, MOST_HEADS * HEAD_BYTES)
        self.at = ctypes.addressof(self._said)
        """Of what ``quick.c`` walks with, too."""
        self._answer = memoryview(self._said).cast("B")[_Walk.answer.offset :]
        self._members, self.spans = memoryview(members), memoryview(spans).cast("i")
        """Those of the last walk, as :attr:`Walked.spans`, and what others left behind it."""
        self._digests, self._types = memoryview(digests), memoryview(types)
        self.arena = memoryview(arena)
        """What is walked; it cannot change its size meanwhile."""
        self._kept = numbers, starts, lines  # as their addresses are given away

    def __call__(self, end: int) -> Walked | None:
        """The members of the archive in the first ``end`` bytes of the arena; None where it is not ordinary.

        Raises ValueError where the arena is shorter than that.

        Runs once a row; 5 µs for 20 headers, most of it the hashes.
        """
        if not 0 <= end <= len(self.arena):
            raise ValueError(f"{end} bytes of an arena of {len(self.arena)}")
        if not self._walk(self.at, end):
            return None
        n_members, *files = _ANSWER.unpack_from(self._answer)
        return self.walked(self.members(n_members), *files)

    def walked(self, members: bytes, n_files: int, largest: int, largest_bytes: int) -> Walked:
        """What the last walk said, with these ``members``. Once a row."""
        return Walked(
            members,
            self._types[:n_files].tobytes(),
            self.digests(n_files),
            self.spans[: 2 * n_files].tolist(),
            largest,
            largest_bytes,
        )

    def digests(self, n_files: int) -> bytes:
        """Those of the last walk: see :attr:`Walked.digests`."""
        return self._digests[: 16 * n_files].tobytes()

    def members(self, n_members: int) -> bytes:
        """Those of the last walk: see :attr:`Walked.members`."""
        return self._members[: 4 * n_members].tobytes()

    def head(self, number: int) -> bytes:
        """Name, mode and owner as a header states them, and the first 4 of 11 digits of the size, which are 0."""
        return bytes(self._heads.bytes[HEAD_BYTES * (number - 1) : HEAD_BYTES * number])

    def is_full(self) -> bool:
        """Whether a head that is new would not be remembered, so that its archive is not ordinary."""
        return self._heads.is_full()

    def start_over(self) -> None:
        """Forget all heads: numbers mean others from now on."""
        self._heads.start_over()


def quick_walker(arena: bytearray, signatures: Signatures) -> QuickWalker | None:
    """The walker of this arena, at least a block, which keeps its size from now on; None where it cannot be used."""
    library = compiled.library()
    try:
        return None if library is None else QuickWalker(library, arena, signatures)
    except (OSError, AttributeError):
        return None


def _lines(lines: Iterable[bytes]) -> bytearray:
    return bytearray(b"".join(_LINE.pack(len(line), line) for line in lines))


def _numbers(pairs: Iterable[bytes]) -> bytearray:
    """By two bytes, as a word: 0, or for the first of ``pairs`` 1, for the second 2 ..."""
    numbers = bytearray(1 << 16)
    for number, pair in enumerate(pairs, 1):
        numbers[int.from_bytes(pair, sys.byteorder)] = number
    return numbers
