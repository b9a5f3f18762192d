"""The table of signatures: which bytes, where, make a file of which content type.

A row matches where ``signature`` stands at ``offset`` and ``check`` (where there is one) accepts the window. Rows are
tried in order, the first that matches wins, so a longer or stricter signature stands before a shorter one. Short
signatures (two or three letters that a text may begin with) always have a check. Sources: the formats' own
specifications as named in the rows' groups, and for the rest the `magic` database of file(1).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

Check = Callable[[bytes], object]
"""Takes the window, says (by truth) whether the row applies. Must bear a window of any length from 1."""


class Magic(NamedTuple):
    """One row of :data:`CONTENT_TYPES`."""

    type: str
    signature: bytes
    offset: int = 0
    """Bytes from the file's start. Formats with an offset hold a NUL in the window, so text never pays for them.
    Signatures at 0 have two bytes or more, as they are looked up by these."""
    check: Check | None = None


def _at(offset: int, *literals: bytes) -> Check:
    return lambda window: window.startswith(literals, offset)


def _has(pattern: bytes) -> Check:
    return re.compile(pattern, re.DOTALL).match


def _is_pe(window: bytes) -> bool:
    """PE: the field at 60 points to ``PE``, NUL, NUL; where that lies beyond the window, an aligned offset will do."""
    at = int.from_bytes(window[60:64], "little")
    return window.startswith(b"PE\0\0", at) or (len(window) <= at < 0x10000 and at % 8 == 0 and len(window) >= 64)


def _is_class(window: bytes) -> bool:
    """Java class files and fat Mach-O share 0xCAFEBABE: major versions begin at 45, no fat file has 45 processors."""
    return int.from_bytes(window[4:8], "big") >= 45


def _is_pyc(window: bytes) -> bool:
    """CPython 3: a number from 3000 up, CR LF, then flags (PEP 552) or the time; CPython 2.7: 62211, CR LF, time."""
    number = int.from_bytes(window[:2], "little")
    return len(window) >= 12 and (number == 62211 or (3000 <= number < 4000 and window[4] < 4))


def _is_lzma(window: bytes) -> bool:
    """LZMA "alone": property byte 5D, a power of two as dictionary, and an unknown or a plausible size."""
    dictionary = int.from_bytes(window[1:5], "little")
    size = window[5:13]
    return dictionary.bit_count() == 1 and dictionary >= 4096 and (size == b"\xff" * 8 or size[5:] == b"\0\0\0")


def _is_sfnt(window: bytes) -> bool:
    """TrueType: 1 to 63 tables, and a search range that is 16 times the largest power of two in it."""
    n_tables, search_range = int.from_bytes(window[4:6], "big"), int.from_bytes(window[6:8], "big")
    return 0 < n_tables < 64 and search_range == 16 << (n_tables.bit_length() - 1)


def _is_mpeg(window: bytes) -> bool:
    """An MPEG audio frame with a bit rate and a sampling rate that are neither free nor reserved."""
    return len(window) > 3 and 0x10 <= window[2] < 0xF0 and window[2] & 0x0C != 0x0C


def _is_adts(window: bytes) -> bool:
    """An ADTS frame of AAC-LC (profile 1), with one of the 13 sampling rates."""
    return len(window) > 6 and window[2] >> 6 == 1 and window[2] >> 2 & 0x0F < 13


_is_netpbm = _has(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*\d+\s")

_is_pickle = _has(rb"..(?:[\x28-\x7d\x80-\x8f].|\x95.{6}\0\0)")
"""After the protocol an opcode of `pickletools` and more, or (from 4 on) a frame of less than 2**48 bytes."""


def _is_zlib(window: bytes) -> bool:
    """A zlib header whose check bits are right (RFC 1950), then a deflate block of a type that exists."""
    return len(window) > 2 and int.from_bytes(window[:2], "big") % 31 == 0 and window[2] & 6 != 6


def _is_safetensors(window: bytes) -> bool:
    """Eight bytes of header length (at most 100 MB by the specification), then a JSON object."""
    return 2 <= int.from_bytes(window[:8], "little") <= 100_000_000


def _is_old_tar(window: bytes) -> bool:
    """A header without ``ustar`` (Unix V7): known by its checksum alone, as tar(1) and file(1) do."""
    field = window[148:156].strip(b" \0")
    if len(window) < 512 or not window[0] or not field.isdigit() or field.strip(b"01234567"):
        return False
    return sum(window[:148]) + 8 * 0x20 + sum(window[156:512]) == int(field, 8)


CONTENT_TYPES: tuple[Magic, ...] = (
    # git-LFS specification; the second is the spelling of its first releases
    Magic("pointer/git-lfs", b"version https://git-lfs.github.com/spec/"),
    Magic("pointer/git-lfs", b"version https://hawser.github.com/spec/"),
    # keys: RFC 7468, RFC 9580 (OpenPGP armour), PKCS#12 dumps of openssl, PuTTY
    Magic("key/private", b"-----BEGIN ", check=_has(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    Magic("key/private", b"PuTTY-User-Key-File-"),
    Magic("key/private", b"Bag Attributes", check=_has(rb".*?\n-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    Magic("key/private", b"\n-----BEGIN ", check=_has(rb"\n-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    Magic("key/certificate", b"-----BEGIN CERTIFICATE"),
    Magic("key/certificate", b"-----BEGIN TRUSTED CERTIFICATE"),
    Magic("key/public", b"-----BEGIN ", check=_has(rb"-----BEGIN (?:[A-Z0-9]+ )*PUBLIC KEY(?: BLOCK)?-----")),
    # archives: APPNOTE 4.3.7 (zip), POSIX.1-2017 pax (tar, cpio), RAR 5.0, 7zFormat.txt, deb(5), LSB (rpm)
    Magic("archive/zip", b"PK\x03\x04"),
    Magic("archive/zip", b"PK\x05\x06"),
    Magic("archive/zip", b"PK\x07\x08"),
    Magic("archive/tar", b"ustar", 257),
    Magic("archive/tar", b"", 148, _is_old_tar),
    Magic("archive/rar", b"Rar!\x1a\x07"),
    Magic("archive/7z", b"7z\xbc\xaf\x27\x1c"),
    Magic("archive/deb", b"!<arch>\ndebian"),
    Magic("archive/ar", b"!<arch>\n"),
    Magic("archive/rpm", b"\xed\xab\xee\xdb"),
    Magic("archive/cpio", b"07070", check=_has(rb"07070[127][0-9A-Fa-f]{70}")),
    Magic("archive/cab", b"MSCF\0\0\0\0"),
    Magic("archive/arj", b"\x60\xea", check=lambda w: 30 <= int.from_bytes(w[2:4], "little") <= 2600),
    Magic("archive/squashfs", b"hsqs"),
    # codecs: RFC 1952 (gzip), RFC 8878 (zstd; 22 to 27 are releases before 0.8), RFC 1950 (zlib), lz4_Frame_format
    Magic("codec/gzip", b"\x1f\x8b\x08"),
    Magic("codec/bzip2", b"BZh", check=_has(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    Magic("codec/xz", b"\xfd7zXZ\0"),
    *(Magic("codec/zstd", bytes((first,)) + b"\xb5\x2f\xfd") for first in range(0x22, 0x29)),
    Magic("codec/lz4", b"\x04\x22\x4d\x18"),
    Magic("codec/lz4", b"\x02\x21\x4c\x18"),
    Magic("codec/lzma", b"\x5d\0\0", check=_is_lzma),
    Magic("codec/compress", b"\x1f\x9d"),
    Magic("codec/snappy", b"\xff\x06\0\0sNaPpY"),
    *(Magic("codec/zlib", b"x" + level, check=_is_zlib) for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
    # images
    Magic("image/png", b"\x89PNG\r\n\x1a\n"),
    Magic("image/jpeg", b"\xff\xd8\xff"),
    Magic("image/gif", b"GIF87a"),
    Magic("image/gif", b"GIF89a"),
    Magic("image/webp", b"RIFF", check=_at(8, b"WEBP")),
    Magic("image/bmp", b"BM", check=_has(rb"BM....\0\0\0\0.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0")),
    Magic("image/tiff", b"II*\0"),
    Magic("image/tiff", b"II+\0"),
    Magic("image/tiff", b"MM\0*"),
    Magic("image/ico", b"\0\0\1\0", check=_has(rb"....[\x01-\x40]\0..[\x00-\x10]\0")),
    Magic("image/psd", b"8BPS\0"),
    Magic("image/jpeg2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
    Magic("image/exr", b"\x76\x2f\x31\x01"),
    Magic("image/heif", b"ftyp", 4, _at(8, b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc")),
    Magic("image/avif", b"ftyp", 4, _at(8, b"avif", b"avis")),
    *(Magic("image/netpbm", b"P%d" % kind, check=_is_netpbm) for kind in range(1, 7)),
    Magic("image/svg", b"<svg"),
    Magic("image/svg", b"<?xml ", check=lambda w: b"<svg" in w),
    # audio
    Magic("audio/wav", b"RIFF", check=_at(8, b"WAVE")),
    Magic("audio/flac", b"fLaC"),
    Magic("audio/mpeg", b"ID3", check=_has(rb"ID3[\x02-\x04]")),
    *(Magic("audio/mpeg", b"\xff" + bytes((sync,)), check=_is_mpeg) for sync in (0xE3, 0xE2, 0xF3, 0xF2, 0xFB, 0xFA)),
    *(Magic("audio/aac", b"\xff" + bytes((sync,)), check=_is_adts) for sync in (0xF0, 0xF1, 0xF8, 0xF9)),
    Magic("audio/mp4", b"ftypM4A", 4),
    Magic("audio/midi", b"MThd\0\0\0\x06"),
    Magic("audio/aiff", b"FORM", check=_at(8, b"AIFF", b"AIFC")),
    Magic("audio/amr", b"#!AMR"),
    # video: ISO/IEC 14496-12 (mp4), RFC 8794 (EBML), RFC 3533 (Ogg)
    Magic("video/ogg", b"OggS", check=_at(28, b"\x80theora")),
    Magic("audio/ogg", b"OggS\0"),
    Magic("video/quicktime", b"ftypqt  ", 4),
    Magic("video/mp4", b"ftyp", 4),
    Magic("video/quicktime", b"moov", 4),
    Magic("video/avi", b"RIFF", check=_at(8, b"AVI ")),
    Magic("video/webm", b"\x1a\x45\xdf\xa3", check=lambda w: b"webm" in w),
    Magic("video/matroska", b"\x1a\x45\xdf\xa3"),
    Magic("video/flv", b"FLV\x01"),
    Magic("video/mpeg", b"\0\0\1\xba"),
    Magic("video/mpeg", b"\0\0\1\xb3"),
    Magic("video/mpeg-ts", b"G", 188, lambda w: w[0:377:188] == b"GGG"),
    Magic("video/asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    # documents
    Magic("document/pdf", b"%PDF-"),
    Magic("document/postscript", b"%!PS"),
    Magic("document/rtf", b"{\\rtf1"),
    Magic("document/ole", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    Magic("document/djvu", b"AT&TFORM"),
    # executables
    Magic("executable/elf", b"\x7fELF"),
    Magic("executable/pe", b"MZ", check=_is_pe),
    *(Magic("executable/mach-o", word) for word in (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")),
    *(Magic("executable/mach-o", word) for word in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf")),
    Magic("executable/java-class", b"\xca\xfe\xba\xbe", check=_is_class),
    Magic("executable/mach-o", b"\xca\xfe\xba\xbe"),
    Magic("executable/wasm", b"\0asm"),
    Magic("executable/dex", b"dex\n0"),
    Magic("executable/pyc", b"\r\n", 2, _is_pyc),
    Magic("executable/lua", b"\x1bLua"),
    Magic("executable/llvm", b"BC\xc0\xde"),
    # databases
    Magic("database/sqlite", b"SQLite format 3\0"),
    Magic("database/lmdb", b"\xde\xc0\xef\xbe", 16),
    Magic("database/duckdb", b"DUCK", 8),
    *(Magic("database/bdb", word, 12) for word in (b"\x61\x15\x06\0", b"\x62\x31\x05\0", b"\0\x06\x15\x61")),
    *(Magic("database/gdbm", word) for word in (b"\xce\x9a\x57\x13", b"\xcf\x9a\x57\x13", b"\x13\x57\x9a\xce")),
    Magic("database/access", b"\0\1\0\0Standard "),
    Magic("database/redis", b"REDIS00"),
    # columns, arrays, models
    Magic("data/parquet", b"PAR1"),
    Magic("data/arrow", b"ARROW1\0\0"),
    Magic("data/feather", b"FEA1"),
    Magic("data/orc", b"ORC", check=lambda w: not w.isascii()),
    Magic("data/avro", b"Obj\x01"),
    Magic("data/hdf5", b"\x89HDF\r\n\x1a\n"),
    Magic("data/netcdf", b"CDF", check=_has(rb"CDF[\x01\x02\x05]")),
    Magic("data/npy", b"\x93NUMPY"),
    Magic("data/matlab", b"MATLAB 5.0 MAT-file"),
    Magic("data/fits", b"SIMPLE  =    "),
    Magic("data/rdata", b"RD", check=_has(rb"RD[AXB][23]\n")),
    Magic("data/stata", b"<stata_dta>"),
    Magic("data/gguf", b"GGUF"),
    Magic("data/safetensors", b'{"', 8, _is_safetensors),
    Magic("data/tflite", b"TFL3", 4),
    # pickles: `pickletools`; protocols 2 to 5 say so, of 0 and 1 only those that begin as containers do
    *(Magic("data/pickle", b"\x80" + bytes((protocol,)), check=_is_pickle) for protocol in range(2, 6)),
    Magic("data/pickle", b"(lp", check=_has(rb"\(lp\d+\n")),
    Magic("data/pickle", b"(dp", check=_has(rb"\(dp\d+\n")),
    Magic("data/pickle", b"ccopy_reg\n_reconstructor\n"),
    Magic("data/pickle", b"cnumpy", check=_has(rb"cnumpy[\w.]*\n_reconstruct\n")),
    # others that tasks carry
    Magic("data/pcap", b"\xd4\xc3\xb2\xa1"),
    Magic("data/pcap", b"\xa1\xb2\xc3\xd4"),
    Magic("data/pcap", b"\n\r\r\n", check=lambda w: 0 in w),
    Magic("data/java-object", b"\xac\xed\0\x05"),
    Magic("data/plist", b"bplist00"),
    Magic("data/git-pack", b"PACK\0\0\0"),
    Magic("data/git-index", b"DIRC\0\0\0"),
    Magic("data/gettext", b"\xde\x12\x04\x95"),
    Magic("data/gettext", b"\x95\x04\x12\xde"),
    Magic("data/timezone", b"TZif"),
    Magic("data/blender", b"BLENDER"),
    Magic("data/gltf", b"glTF", check=lambda w: 0 in w),
    # fonts: OpenType 1.9, WOFF 1.0 and 2.0
    Magic("font/ttf", b"\0\1\0\0", check=_is_sfnt),
    Magic("font/ttf", b"true\0", check=_is_sfnt),
    Magic("font/otf", b"OTTO\0"),
    Magic("font/ttc", b"ttcf\0"),
    Magic("font/woff", b"wOFF"),
    Magic("font/woff2", b"wOF2"),
    # text that names itself; BOMs: the Unicode Standard, 23.8 (UTF-32 first: its mark begins as that of UTF-16)
    Magic("script/other", b"#!", check=_has(rb"#![ \t]*[/\w]")),
    *(Magic("text/html", word, check=_has(rb"(?i:<!doctype html|<html[\s>])")) for word in (b"<!", b"<h", b"<H")),
    Magic("text/xml", b"<?xml "),
    Magic("text/utf-32", b"\xff\xfe\0\0"),
    Magic("text/utf-32", b"\0\0\xfe\xff"),
    Magic("text/utf-16", b"\xff\xfe"),
    Magic("text/utf-16", b"\xfe\xff"),
)
"""Every signature, in the order of truth."""
