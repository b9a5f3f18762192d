"""Hostile and odd compressed streams around a sound task (RFC 1952 gzip, RFC 8878 zstd, bzip2, xz, LZ4 frames)."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from typing import Final

import deflate
import lz4.frame
import zstandard

from scanner.corpus.hostile_tar import END, TASK, Case, member
from scanner.corpus.pack import COMPRESSORS, gzip_blob

RAW: Final = TASK + END
BOMB_BYTES: Final = 64 << 20


def cases() -> Iterator[Case]:
    """Every case of this module."""
    yield from _gzip_broken()
    yield from _gzip_odd()
    yield from _other_codecs()
    yield from _bombs()


def _gzip_broken() -> Iterator[Case]:
    blob = gzip_blob(RAW)
    yield Case("gzip-truncated-in-header", blob[:6], "codec-truncated")
    yield Case("gzip-truncated-in-name", gzip_blob(RAW, name="task.tar")[:15], "codec-truncated")
    yield Case("gzip-truncated-in-body", blob[: len(blob) // 2], "codec-truncated")
    yield Case("gzip-truncated-in-checksum", blob[:-5], "codec-truncated")
    yield Case("gzip-wrong-crc", blob[:-8] + b"\0\0\0\0" + blob[-4:], "codec-checksum")
    yield Case("gzip-wrong-size", blob[:-4] + b"\1\0\0\0", "codec-checksum")
    half = len(blob) // 2
    yield Case("gzip-corrupt-in-body", blob[:half] + b"\xff" * 8 + blob[half + 8 :])
    yield Case("gzip-corrupt-at-start", blob[:10] + b"\xff" * 8 + blob[18:], "codec-corrupt")
    yield Case("gzip-reserved-flags", blob[:3] + b"\xe0" + blob[4:])
    yield Case("gzip-unknown-method", blob[:2] + b"\x07" + blob[3:], "codec-unsupported")
    yield Case("gzip-header-only", blob[:10], "codec-truncated")


def _gzip_odd() -> Iterator[Case]:
    blob = gzip_blob(RAW)
    two = gzip_blob(RAW[:1000]) + gzip_blob(RAW[1000:])
    yield Case("gzip-several-members", two, "several-codec-members")
    yield Case("gzip-5000-empty-members", gzip_blob(b"") * 5000 + blob, "several-codec-members")
    yield Case("gzip-second-member-truncated", two[:-20], "codec-truncated")
    yield Case("gzip-trailing-garbage", blob + b"trailing garbage", "trailing-data")
    yield Case("gzip-trailing-zeros", blob + bytes(512))
    extra = struct.pack("<4sIBBH", b"\x1f\x8b\x08\x1f", 0, 0, 3, 6) + b"AB\x02\x00xy" + b"task.tar\0a comment\0"
    checked = extra[:3] + b"\x1f" + extra[4:]
    yield Case("gzip-all-header-fields", checked + struct.pack("<H", zlib.crc32(checked) & 0xFFFF) + blob[10:])
    yield Case("gzip-stored-blocks", _stored(RAW))
    yield Case("gzip-in-gzip", gzip_blob(blob))
    yield Case("gzip-of-nothing", gzip_blob(b""))


def _stored(raw: bytes) -> bytes:
    body = zlib.compressobj(0, zlib.DEFLATED, -15)
    data = body.compress(raw) + body.flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + data + struct.pack("<II", zlib.crc32(raw), len(raw))


def _other_codecs() -> Iterator[Case]:
    for codec in ("zstd", "bzip2", "xz", "lz4"):
        blob = COMPRESSORS[codec](RAW)
        yield Case(f"{codec}-truncated", blob[: len(blob) * 2 // 3], "codec-truncated")
        half = len(blob) // 2
        yield Case(f"{codec}-corrupt", blob[:half] + b"\xa5" * 12 + blob[half + 12 :])
        yield Case(f"{codec}-trailing-garbage", blob + b"trailing garbage", "trailing-data")
        yield Case(
            f"{codec}-several-frames",
            COMPRESSORS[codec](RAW[:1000]) + COMPRESSORS[codec](RAW[1000:]),
            "several-codec-members",
        )
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(RAW)
    yield Case("zstd-wrong-checksum", checked[:-4] + b"\0\0\0\0", "codec-checksum")
    yield Case("zstd-skippable-frame", struct.pack("<II", 0x184D2A50, 8) + b"metadata" + COMPRESSORS["zstd"](RAW))
    yield Case("zstd-window-of-1-tib", b"\x28\xb5\x2f\xfd\x00\xf0" + b"\x01\x00\x00")
    yield Case("zstd-claims-8-eib", b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 63) + b"\x01\x00\x00")
    wrong = lz4.frame.compress(RAW, content_checksum=True)
    yield Case("lz4-wrong-checksum", wrong[:-4] + b"\0\0\0\0", "codec-checksum")
    yield Case("lz4-bad-header-checksum", wrong[:6] + bytes([wrong[6] ^ 255]) + wrong[7:])
    yield Case("lz4-legacy-frame", b"\x02\x21\x4c\x18" + struct.pack("<I", 2**31 - 1) + b"x" * 100)
    padded = lzma.compress(RAW) + bytes(8) + lzma.compress(b"")
    yield Case("xz-stream-padding", padded, "several-codec-members")
    raw_filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    yield Case("xz-no-check", lzma.compress(RAW, check=lzma.CHECK_NONE, filters=raw_filters))
    alone = lzma.compress(RAW, format=lzma.FORMAT_ALONE)
    yield Case("lzma-alone", alone)


def _bombs() -> Iterator[Case]:
    zeros = bytes(BOMB_BYTES)
    yield Case("gzip-bomb-zeros", bytes(deflate.gzip_compress(zeros, 6)), "high-ratio")
    inside = TASK + member("zeros.bin", zeros) + END
    yield Case("gzip-bomb-in-tar", gzip_blob(inside), "high-ratio")
    yield Case("gzip-bomb-twice", gzip_blob(gzip_blob(zeros)))
    del inside
    yield Case("zstd-bomb", zstandard.ZstdCompressor(level=1).compress(zeros), "high-ratio")
    yield Case("xz-bomb", lzma.compress(zeros, preset=0), "high-ratio")
    yield Case("bzip2-bomb", bz2.compress(zeros[: 16 << 20], 9), "high-ratio")
    yield Case("lz4-bomb", bytes(lz4.frame.compress(zeros[: 16 << 20])), "high-ratio")
