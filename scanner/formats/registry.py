"""The only list of formats. Their order is the order in which they are tried: the most frequent first."""

from __future__ import annotations

from typing import Final, NamedTuple

from scanner.formats import Codec, bzip2, gzip, lz4, xz, zip_directory, zstd
from scanner.model import CodecName, FormatName

CODECS: Final[tuple[Codec, ...]] = (gzip.GZIP, zstd.ZSTD, xz.XZ, bzip2.BZIP2, lz4.LZ4)
"""Every codec, in the order it is tried. Their magics exclude one another."""


class Format(NamedTuple):
    """One format that a row, or what comes out of its codec, may have."""

    name: CodecName | FormatName
    magic: tuple[bytes, ...]
    """What it begins with (at ``magic_offset``); empty where the whole content decides."""
    spec: str
    magic_offset: int = 0


FORMATS: Final[tuple[Format, ...]] = (
    Format("gzip", (gzip.MAGIC,), "https://www.rfc-editor.org/rfc/rfc1952"),
    Format("zstd", (zstd.MAGIC,), "https://www.rfc-editor.org/rfc/rfc8878"),
    Format("xz", (xz.MAGIC,), "https://tukaani.org/xz/xz-file-format.txt"),
    Format("bzip2", (bzip2.MAGIC,), "https://sourceware.org/bzip2/"),
    Format("lz4", (lz4.MAGIC, lz4.LEGACY_MAGIC), "https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md"),
    Format(
        "zip",
        (zip_directory.ENTRY_MAGIC, zip_directory.END_MAGIC),
        "https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT",
    ),
    Format("tar", (b"ustar",), "https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html", 257),
    Format("json", (), "https://www.rfc-editor.org/rfc/rfc8259"),
    Format("jsonl", (), "https://jsonlines.org"),
    Format("text", (), "https://www.rfc-editor.org/rfc/rfc3629"),
    Format("binary", (), ""),
    Format("empty", (), ""),
)
"""Codecs, then containers, then what content alone decides, each in the order it is tried."""
