"""Hostile and odd zip archives (PKWARE APPNOTE 6.3.10), written field by field: no library writes what these hold.

Sources of the kinds: CVE-2024-0450 (overlapping and quoted-overlap entries), CVE-2025-8291 (ZIP64 locator), D. Fifield,
"A better zip bomb" (WOOT 2019).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from scanner.corpus.hostile_tar import Case
from scanner.corpus.pack import zip_blob

FILES: Final = {
    "instruction.md": b"Write the number of lines of /app/input.txt to /app/output.txt.\n",
    "tests/test.sh": b"#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n",
    "task.toml": b'[task]\nname = "hostile/zip"\n',
}


class Entry(NamedTuple):
    """One entry as it is to stand in the archive; None fields are computed from the data."""

    name: bytes
    data: bytes = b"content of the entry\n"
    method: int = 8
    flags: int = 0
    crc: int | None = None
    stored_size: int | None = None
    size: int | None = None
    local_name: bytes | None = None
    offset: int | None = None
    """Where the directory says that the entry begins."""
    mode: int = 0o100644
    descriptor: bool = False
    """Sizes stand after the data, not in the local header."""

    def packed(self) -> bytes:
        """The data as it is stored."""
        if self.method != 8:
            return self.data
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return deflater.compress(self.data) + deflater.flush()

    def numbers(self) -> tuple[int, int, int]:
        """What the directory states: CRC, stored size, size."""
        return (
            zlib.crc32(self.data) if self.crc is None else self.crc,
            len(self.packed()) if self.stored_size is None else self.stored_size,
            len(self.data) if self.size is None else self.size,
        )

    def local(self) -> bytes:
        """Local header, name and data (APPNOTE 4.3.7)."""
        name = self.name if self.local_name is None else self.local_name
        flags = self.flags | (8 if self.descriptor else 0)
        numbers = (0, 0, 0) if self.descriptor else self.numbers()
        head = struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, self.method, 0, 0x5A21, *numbers, len(name), 0)
        tail = struct.pack("<4s3I", b"PK\7\10", *self.numbers()) if self.descriptor else b""
        return head + name + self.packed() + tail

    def central(self, offset: int) -> bytes:
        """Directory header (4.3.12)."""
        at = offset if self.offset is None else self.offset
        flags = self.flags | (8 if self.descriptor else 0)
        fields = (b"PK\1\2", 0x0314, 20, flags, self.method, 0, 0x5A21, *self.numbers(), len(self.name), 0, 0, 0, 0)
        return struct.pack("<4s6H3I5H2I", *fields, self.mode << 16, at) + self.name


def archive(
    *entries: Entry,
    hidden: bytes = b"",
    between: bytes = b"",
    count: int | None = None,
    directory_offset: int | None = None,
    comment: bytes = b"",
) -> bytes:
    """A zip of ``entries``; ``hidden`` stands before the directory, ``between`` after it; the rest is its end."""
    body, directory = b"", b""
    for entry in entries:
        directory += entry.central(len(body))
        body += entry.local()
    body += hidden
    n = len(entries) if count is None else count
    at = len(body) if directory_offset is None else directory_offset
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, n & 0xFFFF, n & 0xFFFF, len(directory), at, len(comment))
    return body + directory + between + end + comment


SOUND: Final = tuple(Entry(name.encode(), data) for name, data in FILES.items())


def cases() -> Iterator[Case]:
    """Every case of this module."""
    yield from _entries()
    yield from _directories()
    yield from _overlaps()
    yield from _bombs()


def _entries() -> Iterator[Case]:
    yield Case("zip-encrypted", archive(*SOUND, Entry(b"secret.txt", flags=1)), "zip-encrypted")
    yield Case("zip-aes-encrypted", archive(*SOUND, Entry(b"secret.txt", method=99, flags=1)), "zip-encrypted")
    yield Case("zip-unknown-method", archive(*SOUND, Entry(b"odd.txt", method=97)), "zip-unsupported-method")
    yield Case("zip-wrong-crc", archive(*SOUND, Entry(b"a.json", b'{"a": 1}\n', crc=1)), "zip-bad-data")
    yield Case("zip-claims-4-gib", archive(*SOUND, Entry(b"a.json", b"{}", size=0xFFFFFFF0)), "zip-bad-data")
    yield Case("zip-stored-size-past-end", archive(*SOUND, Entry(b"a.json", b"{}", stored_size=1 << 30)))
    yield Case("zip-names-differ", archive(*SOUND, Entry(b"safe.txt", local_name=b"evil.txt")), "zip-bad-entry")
    yield Case("zip-offset-past-end", archive(*SOUND, Entry(b"a.txt", offset=1 << 30)), "zip-bad-entry")
    yield Case("zip-offset-into-data", archive(*SOUND, Entry(b"a.txt", offset=7)), "zip-bad-entry")
    broken = Entry(b"a.json", b'{"a": 1}\n')
    corrupt = archive(*SOUND, broken).replace(broken.packed(), b"\xff" * len(broken.packed()))
    yield Case("zip-corrupt-data", corrupt, "zip-bad-data")
    yield Case("zip-data-descriptors", archive(*(entry._replace(descriptor=True) for entry in SOUND)))
    yield Case("zip-symlink", archive(*SOUND, Entry(b"passwd", b"/etc/passwd", method=0, mode=0o120777)), "link-escape")
    yield Case("zip-name-absolute", archive(*SOUND, Entry(b"/etc/evil")), "unsafe-name")
    yield Case("zip-name-dotdot", archive(*SOUND, Entry(b"../../evil")), "unsafe-name")
    yield Case("zip-name-nul", archive(*SOUND, Entry(b"safe.txt\0.exe")))
    yield Case("zip-name-not-utf8", archive(*SOUND, Entry(b"\xff\xfe.txt", flags=0x800)), "non-utf8-name")
    yield Case("zip-name-cp437", archive(*SOUND, Entry(b"r\x82sum\x82.txt")))
    yield Case("zip-name-terminal-escapes", archive(*SOUND, Entry(b"\x1b[2J\x1b[31m.txt")))
    yield Case("zip-duplicate-names", archive(*SOUND, Entry(b"a.txt", b"1"), Entry(b"a.txt", b"2")), "duplicate-name")
    yield Case("zip-case-collision", archive(*SOUND, Entry(b"Task.toml")), "case-collision")
    yield Case("zip-2000-entries", archive(*(Entry(b"many/%d" % i, b"", method=0) for i in range(2000))))


def _directories() -> Iterator[Case]:
    sound = archive(*SOUND)
    yield Case("zip-empty", archive())
    yield Case("zip-prefix", b"#!/usr/bin/env python3\n" * 40 + sound, "archive-prefix")
    yield Case("zip-comment", archive(*SOUND, comment=b"a comment"), "archive-comment")
    yield Case("zip-comment-with-end-record", archive(*SOUND, comment=b"PK\5\6" + bytes(18) + b"tail"))
    yield Case("zip-trailing-data", sound + b"trailing data", "trailing-data")
    yield Case("zip-hidden-entry", archive(*SOUND, hidden=Entry(b"hidden.txt").local()), "hidden-entry")
    yield Case("zip-truncated-in-data", sound[:60], "zip-truncated")
    yield Case("zip-truncated-in-directory", sound[:-60], "zip-truncated")
    yield Case("zip-count-too-large", archive(*SOUND, count=9), "zip-bad-directory")
    yield Case("zip-count-too-small", archive(*SOUND, count=1), "zip-bad-directory")
    yield Case("zip-directory-past-end", archive(*SOUND, directory_offset=1 << 30))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 1 << 62, 1)
    yield Case("zip-zip64-locator-forged", archive(*SOUND, between=locator))
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1 << 63, 1 << 63, 1 << 63, 0)
    at = len(sound) - 22
    forged = record + struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    yield Case("zip-zip64-claims-2-63-entries", archive(*SOUND, between=forged, count=0xFFFF), "zip-bad-directory")
    yield Case("zip-stored", zip_blob(FILES, stored=True)[0])


def _overlaps() -> Iterator[Case]:
    kernel = Entry(b"0", b"\0" * 100_000)
    copies = [Entry(b"%d" % i, kernel.data, local_name=b"0", offset=0) for i in range(1, 40)]
    body = kernel.local()
    directory = b"".join(entry.central(0) for entry in (kernel, *copies))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 40, 40, len(directory), len(body), 0)
    yield Case("zip-overlap-full", body + directory + end, "zip-overlap")
    yield Case("zip-overlap-quoted", _quoted(30), "zip-overlap")


def _quoted(count: int) -> bytes:
    """Fifield's construction: each entry's data quotes the local headers after it in stored DEFLATE blocks."""
    kernel = b"\0" * 200_000
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflater.compress(kernel) + deflater.flush()
    body, whole, crc, entries = packed, kernel, zlib.crc32(kernel), []
    head = b""
    for number in range(count - 1, -1, -1):
        name = b"%02d" % number
        if head:  # quote the header that follows
            body = struct.pack("<BHH", 0, len(head), len(head) ^ 0xFFFF) + head + body
            whole = head + whole
            crc = zlib.crc32(whole)
        entries.append((name, crc, len(body), len(whole)))
        head = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0x5A21, crc, len(body), len(whole), 2, 0) + name
    blob = head + body
    directory, at = b"", 0
    for name, crc_of, stored, size in reversed(entries):
        fields = (b"PK\1\2", 0x0314, 20, 0, 8, 0, 0x5A21, crc_of, stored, size, 2, 0, 0, 0, 0, 0o100644 << 16, at)
        directory += struct.pack("<4s6H3I5H2I", *fields) + name
        at += 32 + 5
    return blob + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(blob), 0)


def _bombs() -> Iterator[Case]:
    yield Case("zip-bomb", zip_blob({"zeros.bin": bytes(64 << 20)})[0])
    level = bytes(1 << 20)
    for _ in range(3):
        level = zip_blob({f"{i}.zip": level for i in range(10)})[0]
    yield Case("zip-bomb-nested", level)
