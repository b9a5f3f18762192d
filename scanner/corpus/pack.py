"""Archives as the dataset's converters wrote them: two flavours of tar, zip, and the codecs around them.

The standard library's ``tarfile`` takes 40 µs a member to write; these writers take 2 and give the same bytes for what
they support (a test compares), because names repeat and only sizes, times and checksums change.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import deflate
import lz4.frame
import zstandard

from scanner.model import CodecName

BLOCK: Final = 512
RECORD: Final = 10_240
"""Python's ``tarfile`` (and GNU tar) pad an archive to twenty blocks."""
GZIP_LEVEL: Final = 6

Tree: TypeAlias = Mapping[str, bytes]
"""The files of one task: name (``/`` between parts) to content. Directories are implied."""


def tar_header(
    name: bytes,
    size: int = 0,
    *,
    kind: bytes = b"0",
    mode: int = 0o644,
    mtime: int = 0,
    link: bytes = b"",
    owner: bytes = b"",
    size_field: bytes | None = None,
    magic: bytes = b"ustar\x0000",
    tail: bytes = b"",
) -> bytes:
    """One 512-byte header block (POSIX.1-2017 pax, "ustar Interchange Format"), its checksum right.

    ``size_field`` (12 bytes) and ``tail`` (all from offset 329, where the device numbers stand) override what would be
    written there: that is how the hostile rows are made.
    """
    block = struct.pack(
        "100s8s8s8s12s12s8ss100s8s32s32s183s",
        name,
        b"%07o" % mode,
        b"0000000",
        b"0000000",
        b"%011o" % size if size_field is None else size_field,
        b"%011o" % mtime,
        b" " * 8,
        kind,
        link,
        magic,
        owner,
        owner,
        tail,
    )
    return signed(block)


def signed(block: bytes) -> bytes:
    """A header block with its checksum field computed: the sum of all bytes, that field taken as eight spaces."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data: bytes, to: int = BLOCK) -> bytes:
    """``data`` with zeros up to the next multiple of ``to`` bytes."""
    return data + bytes(-len(data) % to)


def pax_record(key: str, value: str) -> bytes:
    """One PAX record: length, space, key, ``=``, value, newline. The length counts itself."""
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return b"%d%s" % (length, body)


@lru_cache(maxsize=8192)
def _frame(name: bytes, mode: int, kind: bytes, owner: bytes) -> tuple[bytes, bytes, int]:
    """What stands before the size and after the checksum in a header of this name, and the sum of both (bytes)."""
    block = tar_header(name[:100], kind=kind, mode=mode, owner=owner)
    before, after = block[:124], block[156:]
    return before, after, sum(before) + sum(after) + 8 * 32


def _header(name: bytes, size: int, mtime: int, mode: int, kind: bytes, owner: bytes) -> bytes:
    """As :func:`tar_header`, from the memo. Runs once or twice a member, so it refuses to sum whole blocks."""
    before, after, total = _frame(name, mode, kind, owner)
    numbers = b"%011o\0%011o\0" % (size, mtime)
    return b"%s%s%06o\0 %s" % (before, numbers, total + sum(numbers), after)


def _mode(name: str) -> int:
    return 0o755 if name.endswith(".sh") else 0o644


def _with_directories(tree: Tree) -> Iterator[str]:
    """Names in the order of ``TarFile.add``: sorted per level, each directory (with ``/``) before what is in it."""
    names = set(tree)
    for name in tree:
        at = name.find("/")
        while at >= 0:
            names.add(name[: at + 1])
            at = name.find("/", at + 1)
    return iter(sorted(names, key=lambda name: name.split("/")))


def pax_tar(tree: Tree, first_mtime: float, spread: Callable[[], float]) -> tuple[bytes, int]:
    """Flavour (a): a PAX ``x`` header with a float mtime before every member, directories explicit, padded to 10,240.

    Args:
        tree: the files.
        first_mtime: seconds since the epoch of the first member.
        spread: called per member for the seconds (0 to 1) that pass before it is written.

    Returns:
        The archive and its number of members. As ``TarFile`` writes it with ``format=PAX_FORMAT`` for files of root.
    """
    parts: list[bytes] = []
    mtime = first_mtime
    count = 0
    for name in _with_directories(tree):
        data = tree.get(name, b"")
        stamp = round(mtime, 6)
        record = pax_record("mtime", repr(stamp))
        if len(name) > 100 or not name.isascii():
            record = pax_record("path", name) + record
        is_dir = name.endswith("/")
        parts += (
            _header(b"././@PaxHeader", len(record), 0, 0, b"x", b""),
            record,
            bytes(-len(record) % BLOCK),
            _header(
                name.encode("ascii", "replace"),
                len(data),
                round(stamp),  # as tarfile rounds it; the PAX record has the rest
                0o755 if is_dir else _mode(name),
                b"5" if is_dir else b"0",
                b"root",
            ),
            data,
            bytes(-len(data) % BLOCK),
        )
        mtime += spread()
        count += 1
    parts.append(bytes(2 * BLOCK))
    return padded(b"".join(parts), RECORD), count


def plain_tar(tree: Tree) -> tuple[bytes, int]:
    """Flavour (b): ustar, sorted, files only, mtime 0, two zero blocks at the end and no padding after them.

    Names that ustar cannot hold (over 100 bytes, or not ASCII) get a GNU long name before them, as GNU tar does.
    """
    parts: list[bytes] = []
    for name in sorted(tree):
        data = tree[name]
        if len(name.encode()) > 100:
            long = name.encode() + b"\0"
            parts += (tar_header(b"././@LongLink", len(long), kind=b"L", mode=0), padded(long))
        parts += (_header(name.encode(), len(data), 0, _mode(name), b"0", b""), data, bytes(-len(data) % BLOCK))
    parts.append(bytes(2 * BLOCK))
    return b"".join(parts), len(tree)


def gzip_blob(raw: bytes, mtime: int = 0, name: str = "") -> bytes:
    """``raw`` as one gzip member (RFC 1952), headed as Python's ``gzip`` heads it, with ``name`` as FNAME if given."""
    body: bytes = bytes(deflate.gzip_compress(raw, GZIP_LEVEL))
    head = struct.pack("<4sIBB", b"\x1f\x8b\x08\x08" if name else b"\x1f\x8b\x08\x00", mtime, 2, 255)
    return b"".join((head, name.encode() + b"\0" if name else b"", body[10:]))


def zip_blob(tree: Tree, *, stored: bool = False) -> tuple[bytes, int]:
    """A zip of the files with the date of 1 January 2025, so that the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, data in tree.items():
            info = zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0))
            info.external_attr = _mode(name) << 16
            archive.writestr(info, data, None if stored else zipfile.ZIP_DEFLATED)
    return out.getvalue(), len(tree)


COMPRESSORS: Final[dict[CodecName, Callable[[bytes], bytes]]] = {
    "none": bytes,
    "gzip": gzip_blob,
    "zstd": lambda raw: zstandard.ZstdCompressor(level=3).compress(raw),
    "bzip2": bz2.compress,
    "xz": lambda raw: lzma.compress(raw, preset=1),
    "lz4": lambda raw: bytes(lz4.frame.compress(raw)),
}
"""One way to write each codec."""
