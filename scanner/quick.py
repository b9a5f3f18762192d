"""The door to ``quick.c``: a row that is ordinary in one call, from its blob to its content id.

Where it stops earlier, :class:`scanner.ordinary.Ordinary` goes on from there with what it has. Where nothing was
compiled, or libdeflate cannot be called, there is none, and rows are read step by step.
"""

from __future__ import annotations

import ctypes
import struct
import weakref
from collections.abc import Iterable
from typing import Final

import msgspec

from scanner import compiled
from scanner.compiled import Borrowed, KeptNumbers, Numbers, address, address_of_function, room
from scanner.formats.gzip import LIBDEFLATE
from scanner.formats.tar_quick import QuickWalker, Walked
from scanner.twins import BLOB_BYTES, MET_BITS, Twins

ASIDE, MET, UNSOUND, INFLATED, WALKED, READ = range(6)
"""How far a call got. The row is no gzip, or one with a flag that libdeflate skips; its id was met before, and it may
be a copy; it is not sound, or too large; it is inflated, and no ordinary tar; it is one of a template that was not
noted; all is known that there is to say."""

_PAIRS_BYTES: Final = 64 << 10
_PLAN_BYTES: Final = 4 << 10
"""For the mean template."""

_PLAN_ENTRY: Final = struct.Struct("=ii")
_ANSWER: Final = struct.Struct("=6q32s")


class QuickRow(msgspec.Struct, gc=False):
    """A row that a call was made for. Made once a row."""

    outcome: int
    blob_id: str
    raw_size: int = 0
    """From :data:`INFLATED` on, else 0."""
    walked: Walked | None = None
    """At :data:`WALKED`: with its members. Of a row that is :data:`READ`, :meth:`QuickReader.walked` tells."""
    template: int = 0
    """The number that :meth:`QuickReader.note` gave; 0 where there is none."""
    content_id: str | None = None
    """Where the template is known; so the following."""
    n_files: int = 0
    largest: int = -1
    """Which file is the first of the largest; -1 where there is none."""
    largest_bytes: int = -1


class _Reader(ctypes.Structure):
    """``Reader`` of ``quick.c``."""

    _fields_ = (
        ("walk", ctypes.c_void_p),
        ("inflate", ctypes.c_void_p),
        ("tables", ctypes.c_void_p),
        ("room", ctypes.c_int64),
        ("high_ratio", ctypes.c_int64),
        ("met", ctypes.c_void_p),
        ("met_bits", ctypes.c_int64),
        ("most_noted", ctypes.c_int64),
        ("templates", Numbers),
        ("plans", ctypes.c_void_p),
        ("plans_end", ctypes.c_void_p),
        ("plans_room", ctypes.c_int64),
        ("pairs", ctypes.c_void_p),
        ("pairs_room", ctypes.c_int64),
        ("answer", ctypes.c_int64 * 6),
        ("ids", ctypes.c_uint8 * 32),
    )


class QuickReader:
    """Reads rows into the arena of a walker, again and again. Not for two threads at a time."""

    def __init__(
        self, library: ctypes.CDLL, walker: QuickWalker, twins: Twins, room_bytes: int, high_ratio: int, templates: int
    ) -> None:
        """``room_bytes``: of the arena; larger rows are not read. ``templates``: how many are remembered.

        Raise OSError or AttributeError where ``library``, or that of libdeflate or xxHash, is not what is called here.
        """
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self._walker = walker
        self._inflate = library.scanner_inflate_row
        self._inflate.argtypes = (pointer, pointer, size)
        self._read = library.scanner_read_row
        self._read.argtypes = (pointer, pointer, size, ctypes.c_int)
        self._note = library.scanner_note_template
        self._note.argtypes = (pointer, ctypes.c_char_p, size, ctypes.c_int64, ctypes.c_char_p, size)
        inflate = address_of_function(LIBDEFLATE, "libdeflate_gzip_decompress_ex")
        self._plans, self._plans_end = room(_PLAN_BYTES * templates), bytearray(8 * (templates + 1))
        self._pairs = bytearray(_PAIRS_BYTES)
        self._met = memoryview(twins.met)  # which keeps its place and size meanwhile
        given = walker.at, inflate, self._tables(), room_bytes, high_ratio
        self._reader = _Reader(*given, address(twins.met), MET_BITS, BLOB_BYTES)
        self._templates = KeptNumbers(self._reader.templates, templates, 512 * templates)
        self._reader.plans, self._reader.plans_end = address(self._plans), address(self._plans_end)
        self._reader.plans_room = len(self._plans)
        self._reader.pairs, self._reader.pairs_room = address(self._pairs), len(self._pairs)
        self._at = ctypes.addressof(self._reader)
        self._answer = memoryview(self._reader).cast("B")[_Reader.answer.offset :]
        self._borrowed = Borrowed()

    def _tables(self) -> int:
        """What libdeflate works with, for as long as this lives."""
        allocate_at = address_of_function(LIBDEFLATE, "libdeflate_alloc_decompressor")
        free_at = address_of_function(LIBDEFLATE, "libdeflate_free_decompressor")
        tables: int | None = ctypes.CFUNCTYPE(ctypes.c_void_p)(allocate_at or 0)()
        if not tables:
            raise OSError("no memory for libdeflate")
        weakref.finalize(self, ctypes.CFUNCTYPE(None, ctypes.c_void_p)(free_at or 0), tables)
        return tables

    def inflate(self, data: memoryview) -> int:
        """Inflate alone: :data:`ASIDE`, :data:`UNSOUND` or :data:`INFLATED`. For the rows whose inflating is timed."""
        borrowed = self._borrowed
        Borrowed.borrow(data, borrowed.at, 0)
        try:
            outcome: int = self._inflate(self._at, borrowed.buffer.buf, len(data))
        finally:
            Borrowed.give_back(borrowed.at)
        return outcome

    def __call__(self, data: memoryview, inflated: int = ASIDE) -> QuickRow:
        """Read a row, as far as it is ordinary. Runs once a row; 8 µs beside inflating, most of it hashes.

        ``inflated``: what :meth:`inflate` said of it right before, where that was asked.
        """
        borrowed = self._borrowed
        Borrowed.borrow(data, borrowed.at, 0)
        try:
            outcome: int = self._read(self._at, borrowed.buffer.buf, len(data), inflated)
        finally:
            Borrowed.give_back(borrowed.at)
        raw_size, template, n_members, n_files, largest, largest_bytes, ids = _ANSWER.unpack_from(self._answer)
        hexadecimal = ids.hex()
        if outcome == READ:
            answer = hexadecimal[:32], raw_size, None, template, hexadecimal[32:], n_files, largest, largest_bytes
            return QuickRow(outcome, *answer)
        if outcome == WALKED:
            walked = self._walker.walked(self._walker.members(n_members), n_files, largest, largest_bytes)
            return QuickRow(outcome, hexadecimal[:32], raw_size, walked)
        return QuickRow(outcome, hexadecimal[:32], raw_size if outcome == INFLATED else 0)

    def walked(self, row: QuickRow) -> Walked:
        """What else is said of the row that was :data:`READ` last. Nobody asks where its gist is known."""
        return self._walker.walked(b"", row.n_files, row.largest, row.largest_bytes)

    def note(self, members: bytes, keys: Iterable[tuple[int, bytes]]) -> int:
        """The number of a template from now on: one more than the last one, or 0 where there is no room.

        ``keys``: each file of these members, and its key, in the order of the keys.
        """
        listed = list(keys)
        plan = b"".join([_PLAN_ENTRY.pack(file, len(key)) + key for file, key in listed])
        number: int = self._note(self._at, members, len(members), len(listed), plan, len(plan))
        return number

    def start_over(self) -> None:
        """Forget all templates: numbers mean others from now on."""
        self._templates.start_over()


def quick_reader(
    walker: QuickWalker, twins: Twins, *, room_bytes: int, high_ratio: int, templates: int
) -> QuickReader | None:
    """The reader of this walker's arena; None where it cannot be used. See :class:`QuickReader`."""
    library = compiled.library()
    try:
        return None if library is None else QuickReader(library, walker, twins, room_bytes, high_ratio, templates)
    except (OSError, AttributeError):
        return None
