"""Compressed streams in tests: one reference encoder per codec, and a run that writes down all a codec says."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
from collections.abc import Callable
from typing import NamedTuple

import lz4.block
import lz4.frame
import zstandard

from scanner.faults import FaultKind
from scanner.formats import Codec
from scanner.formats.registry import CODECS
from scanner.model import Fault

CHUNKS = (1, 7, 511, 65_536)
BY_NAME: dict[str, Codec] = {codec.name: codec for codec in CODECS}

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda raw: gzip.compress(raw, mtime=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "lz4": lambda raw: lz4.frame.compress(raw, content_checksum=True, block_checksum=True),
}
"""What each codec's own reference writes. A listed codec without an entry here fails a test."""

RAW = random.Random(1).randbytes(2000) * 4 + b"task" * 40_000 + random.Random(2).randbytes(900)
"""167 kB that is repetitive, random and long enough for several pieces, blocks and chunks."""


class Heard(NamedTuple):
    """What one stream gave."""

    out: bytes
    faults: list[Fault]

    @property
    def kinds(self) -> list[FaultKind]:
        return [fault.kind for fault in self.faults]


class Ear:
    """A Report that keeps everything."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        self.faults.append(Fault(kind, member, offset, detail))


def hear(codec: str, data: bytes, chunk_bytes: int = 65_536) -> Heard:
    """Stream ``data`` from a read-only view; each piece is checked against ``chunk_bytes``."""
    ear, out = Ear(), bytearray()
    for piece in BY_NAME[codec].stream(memoryview(data), ear, chunk_bytes):
        assert len(piece) <= chunk_bytes
        out += piece
    return Heard(bytes(out), ear.faults)


def gzip_member(raw: bytes, flags: int = 0, extra: bytes = b"", method: int = 8) -> bytes:
    """A gzip member with ``flags`` and the optional header parts in ``extra``."""
    whole = gzip.compress(raw, mtime=0)
    return whole[:2] + bytes([method, flags]) + whole[4:10] + extra + whole[10:]


def skippable(content: bytes) -> bytes:
    """A skippable frame of zstd and LZ4."""
    return struct.pack("<2L", 0x184D2A5A, len(content)) + content


def lz4_legacy(raw: bytes) -> bytes:
    """What ``lz4 -l`` writes."""
    blocks = (lz4.block.compress(raw[at : at + (8 << 20)], store_size=False) for at in range(0, len(raw), 8 << 20))
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<L", len(block)) + block for block in blocks)


def flipped(data: bytes, at: int) -> bytes:
    """``data`` with the lowest bit at ``at`` flipped."""
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)
