"""One 512-byte tar header: its checksum, its numbers, its fields.

Dialects are told apart only where a field means different things: V7, ustar (POSIX.1-1988), GNU tar, star and Solaris
share the first 257 bytes. Sources: POSIX.1-2017 *pax*, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format";
libarchive's tar(5). What Python's ``tarfile`` and libarchive accept is accepted here.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from scanner.model import MemberKind

BLOCK: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK)
SIZE_LIMIT: Final = (1 << 63) - 1
"""Larger sizes are nonsense: no file system holds them, and the record's int64 columns could not either."""

_FIELDS: Final = struct.Struct("100s8s16x12s12x8sc100s8s80x155s12x")
_GNU_MAGIC: Final = b"ustar  \0"
_HIGH_BYTES: Final = bytes(range(128, 256))

KINDS: Final[dict[bytes, MemberKind]] = {
    b"0": "file",
    b"\0": "file",  # V7; a trailing slash makes it a directory
    b"7": "file",  # contiguous
    b"S": "file",  # old GNU sparse
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "dir",
    b"6": "fifo",
}
"""Kind by type flag; any other flag is ``other`` and has a body, as POSIX asks of readers and ``tarfile`` does."""


class Header(NamedTuple):
    """The fields of one header block that a listing needs."""

    name: str
    """Prefix and name joined, trailing slashes kept."""
    flag: bytes
    """Type flag, one byte."""
    size_bytes: int
    """As stated, even negative."""
    mode: int
    """Permission bits, at most 0o7777."""
    link: str
    sound: bool
    """False where the size is no number; ``size_bytes`` is then its longest octal beginning."""


def text(field: bytes) -> str:
    """A field up to its first NUL; bytes that are not UTF-8 become surrogate escapes, as in ``tarfile``."""
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def number(field: bytes) -> int | None:
    """A numeric field: octal between blanks up to the first NUL, or base-256 (GNU); None where it is neither.

    ``tarfile`` knows base-256 only by a first byte 0x80 or 0xff; star and libarchive use all of that byte but its top
    bit, two's complement, which is the same for those two and is what is done here.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return None


def octal_beginning(field: bytes) -> int:
    """The octal digits that ``field`` begins with after blanks, else 0: what libarchive makes of a malformed number."""
    digits = field.lstrip(b" \t")
    return int(digits[: len(digits) - len(digits.lstrip(b"01234567"))] or b"0", 8)


def checksum_holds(block: bytes) -> bool:
    """Whether the stated checksum is the sum of the bytes, the checksum's own taken as blanks.

    Both sums are accepted, of unsigned bytes (POSIX) and of signed ones (old Sun and NeXT). A blank checksum never
    holds: eight blanks alone sum to 256.
    """
    field = block[148:156]
    stated = number(field)
    if stated is None:
        stated = octal_beginning(field)
    if stated < 256 and block.isascii():  # text, mostly: the blanks alone sum to more
        return False
    rest = block[:148] + block[156:]
    unsigned = 256 + sum(rest)
    if stated == unsigned:
        return True
    return stated == unsigned - 256 * (len(rest) - len(rest.translate(None, _HIGH_BYTES)))


def _holds_times(prefix_field: bytes) -> bool:
    """Whether a GNU header keeps atime and ctime where ustar keeps the prefix, as incremental backups do.

    ``tarfile`` joins the times to the name, libarchive ignores the field. Go before 1.8 wrote a prefix under GNU's
    magic; as Go since then, a field that cannot be two times is taken for a prefix.
    """
    return number(prefix_field[:12]) is not None and number(prefix_field[12:24]) is not None


def parse(block: bytes) -> Header | None:
    """The header in ``block`` (512 bytes, not all zero); None where its checksum does not hold."""
    if not checksum_holds(block):
        return None
    name_field, mode_field, size_field, _, flag, link_field, magic, prefix_field = _FIELDS.unpack(block)
    name = text(name_field)
    if prefix_field[0] and flag not in b"LKS" and not (magic == _GNU_MAGIC and _holds_times(prefix_field)):
        name = f"{text(prefix_field)}/{name}"
    mode = number(mode_field)
    if mode is None:
        mode = octal_beginning(mode_field)
    size = number(size_field)
    sound = size is not None
    if size is None:
        size = octal_beginning(size_field)
    return Header(name, flag, size, mode & 0o7777, text(link_field), sound)
