"""The walker's hot path: ordinary members, wholly in the buffer, whose headers are mostly like others before them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias

from scanner.formats.tar_header import BLOCK, Header, number, octal_beginning, text
from scanner.model import Buffer, Member

_Whole: TypeAlias = Callable[[Member, Buffer, int, int], None]

_ENTRIES: Final = 1 << 14


class Seen:
    """Memos of pure functions of header bytes, shared by all walkers of a process, each of bounded size.

    Hostile input can thrash them, which costs time, but never put a wrong answer into them.
    """

    FIELDS: ClassVar = struct.Struct("124s12s12s8s356s")
    """Name, mode and owner; size; mtime; checksum; and the rest, from the type flag on."""

    __slots__ = ("checksums", "dir_tail", "file_tail", "heads", "mtime_headers", "sizes")

    def __init__(self) -> None:
        self.heads: dict[bytes, tuple[str, int, int]] = {}
        """By the first 124 bytes: name, mode, sum of the bytes."""
        self.sizes: dict[bytes, tuple[int, int]] = {}
        """By a size field: value (-1: none that the hot path takes), sum of the bytes."""
        self.checksums: dict[bytes, int] = {}
        """By a checksum field: the checksum (-1: none), less the 256 of its own blanks."""
        self.file_tail: tuple[bytes, int] = (b"", 0)
        """The last 356 bytes of the latest ordinary file's header, and their sum."""
        self.dir_tail: tuple[bytes, int] = (b"", 0)
        self.mtime_headers: dict[int, tuple[bytes, int]] = {}
        """PAX headers with an ``mtime`` alone: block and first bytes of the body, and where the newline must be.

        By the last digit of their size, the 135th byte: bodies are 20 to 29 bytes long, most often 28.
        """

    def learn_head(self, head: bytes) -> tuple[str, int, int]:
        """Remember the first 124 bytes of a header."""
        if len(self.heads) >= _ENTRIES:
            self.heads.clear()
        mode = number(head[100:108])
        if mode is None:
            mode = octal_beginning(head[100:108])
        known = self.heads[head] = (text(head[:100]), mode & 0o7777, sum(head))
        return known

    def learn_size(self, field: bytes) -> tuple[int, int]:
        """Remember a size field."""
        if len(self.sizes) >= _ENTRIES:
            self.sizes.clear()
        value = number(field)
        known = self.sizes[field] = (-1 if value is None else value, sum(field))
        return known

    def learn_checksum(self, field: bytes) -> int:
        """Remember a checksum field."""
        if len(self.checksums) >= _ENTRIES:
            self.checksums.clear()
        value = number(field)
        known = self.checksums[field] = -1 if value is None else value - 256
        return known

    def learn_tail(self, header: Header, block: bytes) -> None:
        """Remember the tail of a sound header, if it is that of an ordinary file or directory."""
        tail = block[156:]
        if header.link or block[345]:
            return
        if header.flag == b"0":
            self.file_tail = tail, sum(tail)
        elif header.flag == b"5":
            self.dir_tail = tail, sum(tail)

    def learn_mtime_header(self, header: Header, block: bytes, body: bytes) -> None:
        r"""Remember a sound PAX header whose body is one record ``NN mtime=...\n``, for bodies of that length."""
        size = header.size_bytes
        start = b"%d mtime=" % size
        if (
            header.flag == b"x"
            and block[0] == 0x2E
            and 10 <= size <= 99
            and body.startswith(start)
            and body[size - 1] == 0x0A
        ):
            self.mtime_headers[block[134]] = (block + start, BLOCK + size - 1)


SEEN: Final = Seen()
"""One for the process: rows of a source resemble one another. Walkers run one at a time in a thread."""


def walk_ordinary(whole: _Whole, base: int, buffer: bytes | bytearray, at: int, end: int) -> int:
    """Walk members that are wholly in ``buffer[at:end]`` and quite ordinary; the position of the first that is not.

    ``whole`` is the sink's method of that name, ``base`` the archive offset of the buffer's index 0.

    Runs once for each of some 15 million members, 9 a row, so it knows one shape alone: perhaps a PAX header with just
    an ``mtime`` as Python writes it, then a header of a file or directory whose last 356 bytes (type, link, magic,
    owner, prefix) were met before, sound sizes, content and padding at hand. Everything else, and every flaw, is left
    to the caller. Each memo is a pure function of the bytes it is looked up by, and the checksum is exact: the sum of
    the sums of the header's parts.
    """
    seen = SEEN
    fields_at, heads, sizes, checksums = seen.FIELDS.unpack_from, seen.heads, seen.sizes, seen.checksums
    file_tail, file_sum = seen.file_tail
    dir_tail, dir_sum = seen.dir_tail
    mtime_headers = seen.mtime_headers
    last_mtime, mtime_sum = b"", 0
    while at + BLOCK <= end:
        first = at
        if buffer[at] == 0x2E:  # they are all named ././@PaxHeader
            known = mtime_headers.get(buffer[at + 134])
            if known is not None and buffer.startswith(known[0], at):
                at += 2 * BLOCK
                if at + BLOCK > end or buffer[first + known[1]] != 0x0A:
                    return first
        head, size_field, mtime_field, checksum_field, tail = fields_at(buffer, at)
        is_file = tail == file_tail
        if not is_file and tail != dir_tail:
            return first
        name, mode, head_sum = heads.get(head) or seen.learn_head(head)
        size, size_sum = sizes.get(size_field) or seen.learn_size(size_field)
        if mtime_field != last_mtime:  # often the same for a whole task, and rarely met again in another
            last_mtime, mtime_sum = mtime_field, sum(mtime_field)
        checksum = checksums.get(checksum_field) or seen.learn_checksum(checksum_field)
        if head_sum + size_sum + mtime_sum + (file_sum if is_file else dir_sum) != checksum or size < 0:
            return first
        at += BLOCK
        if not is_file:
            whole(Member(name.rstrip("/"), "dir", 0, mode, "", base + first), buffer, at, at)
            continue
        stop = at + size
        after = stop + (-size & 511)
        if after > end:
            return first
        whole(Member(name, "file", size, mode, "", base + first), buffer, at, stop)
        at = after
    return at
