"""Rows of a few MiB at most that inflate to a GiB, each in its own way: what the memory of a worker is measured on."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import zstandard
from zlib_ng import zlib_ng

from scanner.corpus.hostile_tar import END, TASK, member, pax
from scanner.corpus.hostile_zip import Entry, archive
from scanner.corpus.pack import padded, pax_record, tar_header

MIB: Final = 1 << 20
GIB: Final = 1 << 30


def deflated(*runs: tuple[bytes, int]) -> tuple[bytes, int, int]:
    """Raw DEFLATE of each block so many times, its CRC-32 and its size: flushed blocks may be repeated as they are."""
    packed, crc, size = bytearray(), 0, 0
    for block, times in runs:
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed += (deflater.compress(block) + deflater.flush(zlib.Z_FULL_FLUSH)) * times
        for _ in range(times):
            crc = zlib_ng.crc32(block, crc)
        size += len(block) * times
    return bytes(packed) + b"\3\0", crc, size


def gzipped(*runs: tuple[bytes, int]) -> bytes:
    """One gzip member of each block so many times."""
    packed, crc, size = deflated(*runs)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed + struct.pack("<II", crc, size & 0xFFFFFFFF)


def _file(name: bytes, size: int, block: bytes = bytes(MIB)) -> bytes:
    """A gzip tar of the sound task and one file of ``size`` bytes."""
    return gzipped((TASK + tar_header(name, size), 1), (block, size // len(block)), (END, 1))


def _members(one: Callable[[int], bytes], n: int) -> bytes:
    """A gzip tar of ``n`` members, a few hundred of them compressed at a time."""
    return gzipped(*((b"".join(one(i) for i in range(at, min(at + 500, n))), 1) for at in range(0, n, 500)), (END, 1))


def _zip_of(n: int, size: int) -> bytes:
    packed, crc, _ = deflated((bytes(MIB), size // MIB))
    entry = Entry(b"zeros.json", packed, method=8, crc=crc, size=size)

    class Ready(Entry):
        """An entry whose data is deflated already."""

        def packed(self) -> bytes:
            return self.data

    return archive(*(Ready(*entry)._replace(name=b"%d.json" % i) for i in range(n)))


def _nested(level: int) -> bytes:
    if not level:
        return gzipped((bytes(MIB), 60))
    return gzipped((b"".join(member(f"{i}.gz", _nested(level - 1)) for i in range(4)) + END, 1))


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "zeros, no archive": lambda: gzipped((b"\1" + bytes(MIB - 1), 1024)),
    "a file of zeros": lambda: _file(b"zeros.bin", GIB - MIB),
    "a JSON file of 1,000 MiB": lambda: _file(b"tests/config.json", 1000 * MIB, b"[1]," * (MIB // 4)),
    "200 JSON files of 5 MiB": lambda: gzipped((tar_header(b"a.json", 5 * MIB) + bytes(5 * MIB), 200), (END, 1)),
    "1,000 JSON files of 1 MiB": lambda: gzipped((tar_header(b"a.json", MIB) + b"1" * MIB, 1000), (END, 1)),
    "16,000 small JSON files, far apart": lambda: gzipped(
        (member("a.json", b"{}") + member("b.bin", bytes(62_000)), 16_000), (END, 1)
    ),
    "a blob of JSON": lambda: gzipped((b"[" + b"0," * (MIB // 2), 1), (b"0," * (MIB // 2), 1020)),
    "a blob of JSON of 5 MiB": lambda: gzipped((b"[" * 5 * MIB, 1)),
    "a JSON object of 470,000 keys": lambda: gzipped(
        (b"{" + b",".join(b'"%06d":0' % i for i in range(470_000)) + b"}", 1)
    ),
    "JSON lines of 400,000 keys": lambda: gzipped((b"".join(b'{"%06d":0}\n' % i for i in range(400_000)), 1)),
    "a blob of JSON lines": lambda: gzipped((b"[]\n" * 1_700_000, 1)),
    "100,000 members": lambda: _members(lambda i: member(f"d{i % 1000}/file-number-{i}.json", b"{}"), 100_000),
    "100,000 names of 500 wide characters": lambda: _members(
        lambda i: pax(pax_record("path", f"{i:06}" + "\U0001f600" * 494)) + member("x"), 100_000
    ),
    "100 names of a MiB": lambda: _members(
        lambda i: member("L", f"{i:09}".encode() * (MIB // 10) + b"\0", kind=b"L") + member("x"), 100
    ),
    "100 links to names of a MiB": lambda: _members(
        lambda i: member("K", f"{i:09}".encode() * (MIB // 10) + b"\0", kind=b"K") + member(f"{i}", kind=b"2"), 100
    ),
    "100 PAX headers of a MiB": lambda: gzipped(
        (pax(b"".join(pax_record(f"k{i}", "") for i in range(70_000))) + member("x"), 100), (END, 1)
    ),
    "100 global PAX headers of a MiB, all different": lambda: _members(
        lambda i: pax(pax_record(f"SCHILY.{i}", "x" * (MIB - 100)), kind=b"g") + member("x"), 100
    ),
    "a zip with a member of 1,000 MiB": lambda: _zip_of(1, 1000 * MIB),
    "a zip with 200 JSON files of 5 MiB": lambda: _zip_of(200, 5 * MIB),
    "a zip of 60 MiB in gzip": lambda: gzipped((b"PK\3\4" + bytes(MIB - 4), 60)),
    "nested gzip tars": lambda: _nested(3),
    "40 zips of 24 MiB in a tar": lambda: gzipped(
        (member("a.zip", archive(Entry(b"a", bytes(24 * MIB), method=0))), 40), (END, 1)
    ),
    "zstd with a window of 128 MiB": lambda: _zstd(27),
}


def _zstd(window_log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    pieces: Iterator[bytes] = (packer.compress(bytes(MIB)) for _ in range(1000))
    head = packer.compress(TASK + tar_header(b"zeros.bin", 1000 * MIB))
    return head + b"".join(pieces) + packer.compress(padded(END)) + packer.flush()
