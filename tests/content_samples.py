"""A small sample or more of every content type: made by the real library where it is at hand, else bare bytes."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import lzma
import pickle
import plistlib
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Iterator

import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import zstandard


def zip_of(*names: str, mimetype: bytes = b"", compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name in names:
            archive.writestr(name, b"content of " + name.encode())
    return out.getvalue()


def tar_of(name: str = "a.txt", tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def v7_tar(name: bytes = b"a.txt") -> bytes:
    """A header of Unix V7: no ``ustar``, nothing behind the link name."""
    fields = [name.ljust(100, b"\0"), b"0000644\0", b"0000000\0" * 2, b"00000000000\0" * 2, b" " * 8]
    header = bytearray(b"".join(fields).ljust(512, b"\0"))
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def _wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8)
    return out.getvalue()


def _sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (x)")
        image = database.serialize()
    database.close()
    return image


def _columns() -> Iterator[tuple[str, bytes]]:
    table = pa.table({"x": [1, 2, 3]})
    parquet, arrow, orc = (io.BytesIO() for _ in range(3))
    pa.parquet.write_table(table, parquet)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    pa.orc.write_table(table, orc)
    yield "data/parquet", parquet.getvalue()
    yield "data/arrow", arrow.getvalue()
    yield "data/orc", orc.getvalue()


def _arrays() -> Iterator[tuple[str, bytes]]:
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(3))
    np.savez(npz, weights=np.arange(3))
    yield "data/npy", npy.getvalue()
    yield "data/npz", npz.getvalue()


def _made() -> Iterator[tuple[str, bytes]]:
    yield "archive/zip", zip_of("a.txt", "b/c.txt")
    yield "archive/zip", zip_of()
    yield "archive/zip", zip_of("inner.zip", "mimetype")
    yield "archive/zip", zip_of("a.txt", mimetype=b"application/x-unheard-of")
    yield "document/docx", zip_of("[Content_Types].xml", "_rels/.rels", "word/document.xml")
    yield "document/xlsx", zip_of("[Content_Types].xml", "xl/workbook.xml", compression=zipfile.ZIP_DEFLATED)
    yield "document/pptx", zip_of("_rels/.rels", "ppt/presentation.xml")
    yield "document/ooxml", zip_of("[Content_Types].xml")
    yield "document/odt", zip_of("content.xml", mimetype=b"application/vnd.oasis.opendocument.text")
    yield "document/ods", zip_of("content.xml", mimetype=b"application/vnd.oasis.opendocument.spreadsheet")
    yield "document/odp", zip_of("content.xml", mimetype=b"application/vnd.oasis.opendocument.presentation")
    yield "document/odf", zip_of("content.xml")
    yield "document/epub", zip_of("META-INF/container.xml", mimetype=b"application/epub+zip")
    yield "document/epub", zip_of("META-INF/container.xml")
    yield "document/hwpx", zip_of("version.xml", mimetype=b"application/hwp+zip")
    yield "archive/jar", zip_of("META-INF/MANIFEST.MF", "A.class")
    yield "archive/apk", zip_of("META-INF/MANIFEST.MF", "AndroidManifest.xml")
    yield "archive/nupkg", zip_of("_rels/.rels", "pack.nuspec")
    yield "archive/wheel", zip_of("p/__init__.py", "p-1.dist-info/METADATA")
    yield "data/torch", zip_of("model/data.pkl", "model/version")
    yield "archive/tar", tar_of()
    yield "archive/tar", tar_of("PAR1")
    yield "archive/tar", tar_of("version https")
    yield "archive/tar", tar_of("a" * 120, tarfile.PAX_FORMAT)
    yield "archive/tar", tar_of("a" * 120, tarfile.GNU_FORMAT)
    yield "archive/tar", v7_tar()
    yield "codec/gzip", gzip.compress(b"x")
    yield "codec/bzip2", bz2.compress(b"x")
    yield "codec/bzip2", bz2.compress(b"")
    yield "codec/xz", lzma.compress(b"x")
    yield "codec/lzma", lzma.compress(b"x", lzma.FORMAT_ALONE)
    yield "codec/zstd", zstandard.compress(b"x")
    yield "codec/lz4", lz4.frame.compress(b"x")
    for level in (1, 5, 6, 9):
        yield "codec/zlib", zlib.compress(b"some text " * 9, level)
    yield "database/sqlite", _sqlite()
    yield "audio/wav", _wav()
    yield "data/plist", plistlib.dumps({"a": 1}, fmt=plistlib.FMT_BINARY)
    yield "executable/pyc", importlib.util.MAGIC_NUMBER + bytes(12) + b"\xe3"
    yield "executable/pyc", b"\x03\xf3\r\n\x12\x34\x56\x5f\x63\0\0\0\0"
    for protocol in range(2, 6):
        for value in ({"a": 1}, [1, 2], "x" * 300, None, np.arange(3)):
            yield "data/pickle", pickle.dumps(value, protocol)
    for value in ({"a": 1}, [1, 2], np.arange(3)):
        yield "data/pickle", pickle.dumps(value, 0)
    yield from _columns()
    yield from _arrays()


def _written() -> Iterator[tuple[str, bytes]]:
    ftyp = b"\0\0\0\x18ftyp%b\0\0\0\0mp42"
    yield "archive/rar", b"Rar!\x1a\x07\x01\0"
    yield "archive/7z", b"7z\xbc\xaf\x27\x1c\0\x04"
    yield "archive/deb", b"!<arch>\ndebian-binary   1410122664  0     0     100644  4         `\n2.0\n"
    yield "archive/ar", b"!<arch>\n/               0           0     0     0       4         `\n\0\0\0\0"
    yield "archive/rpm", b"\xed\xab\xee\xdb\x03\0"
    yield "archive/cpio", b"070701" + b"0" * 104 + b"a\0"
    yield "archive/cab", b"MSCF\0\0\0\0\x2c"
    yield "archive/arj", b"\x60\xea\x32\0\x22\x0b\x01\x02"
    yield "archive/squashfs", b"hsqs\x07\0\0\0"
    yield "codec/compress", b"\x1f\x9d\x90a"
    yield "codec/snappy", b"\xff\x06\0\0sNaPpY"
    yield "image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    yield "image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"
    yield "image/gif", b"GIF89a\x01\0\x01\0"
    yield "image/gif", b"GIF87a\x01\0\x01\0"
    yield "image/webp", b"RIFF\x1a\0\0\0WEBPVP8L"
    yield "image/bmp", b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0"
    yield "image/tiff", b"II*\0\x08\0\0\0"
    yield "image/tiff", b"MM\0*\0\0\0\x08"
    yield "image/tiff", b"II+\0\x08\0\0\0"
    yield "image/ico", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0"
    yield "image/psd", b"8BPS\0\x01\0\0"
    yield "image/jpeg2000", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 "
    yield "image/exr", b"\x76\x2f\x31\x01\x02\0\0\0"
    yield "image/heif", ftyp % b"heic"
    yield "image/avif", ftyp % b"avif"
    yield "image/netpbm", b"P6\n# made by hand\n2 2\n255\n\0\0\0"
    yield "image/netpbm", b"P1 2 2 0 1 1 0\n"
    yield "image/svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "image/svg", b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="1"/>'
    yield "audio/flac", b"fLaC\0\0\0\x22"
    yield "audio/mpeg", b"ID3\x04\0\0\0\0\0\x23TSSE"
    yield "audio/mpeg", b"\xff\xfb\x90\x64\0\0"
    yield "audio/aac", b"\xff\xf1\x50\x80\x02\x1f\xfc"
    yield "audio/mp4", ftyp % b"M4A "
    yield "audio/midi", b"MThd\0\0\0\x06\0\x01"
    yield "audio/aiff", b"FORM\0\0\0\x2eAIFFCOMM"
    yield "audio/amr", b"#!AMR\n\x3c\x08"
    yield "audio/ogg", b"OggS\0\x02" + bytes(22) + b"\x01vorbis"
    yield "video/ogg", b"OggS\0\x02" + bytes(22) + b"\x80theora"
    yield "video/mp4", ftyp % b"isom"
    yield "video/quicktime", ftyp % b"qt  "
    yield "video/quicktime", b"\0\0\x02\x1cmoov\0\0\0\x6cmvhd"
    yield "video/avi", b"RIFF\x1a\0\0\0AVI LIST"
    yield "video/webm", b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm"
    yield "video/matroska", b"\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska"
    yield "video/flv", b"FLV\x01\x05\0\0\0\x09"
    yield "video/mpeg", b"\0\0\1\xba\x44"
    yield "video/mpeg", b"\0\0\1\xb3\x14"
    yield "video/mpeg-ts", (b"G@\0\x10" + bytes(184)) * 3
    yield "video/asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"
    yield "document/pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    yield "document/postscript", b"%!PS-Adobe-3.0\n"
    yield "document/rtf", b"{\\rtf1\\ansi hello}"
    yield "document/ole", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    yield "document/djvu", b"AT&TFORM\0\0\0\x2aDJVU"
    yield "executable/elf", b"\x7fELF\x02\x01\x01\0"
    yield "executable/pe", b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0"
    yield "executable/pe", b"MZ".ljust(60, b"\0") + struct.pack("<I", 2048) + bytes(1100)
    yield "executable/mach-o", b"\xcf\xfa\xed\xfe\x07\0\0\x01"
    yield "executable/mach-o", b"\xfe\xed\xfa\xce\0\0\0\x12"
    yield "executable/mach-o", b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07"
    yield "executable/java-class", b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d"
    yield "executable/wasm", b"\0asm\x01\0\0\0"
    yield "executable/dex", b"dex\n035\0"
    yield "executable/lua", b"\x1bLua\x53\0\x19\x93"
    yield "executable/llvm", b"BC\xc0\xde\x35\x14"
    yield "database/lmdb", bytes(16) + b"\xde\xc0\xef\xbe\1\0\0\0"
    yield "database/duckdb", b"\x9a\x12\x7f\xc3\x01\x02\x03\x04DUCK\x40\0\0\0"
    yield "database/bdb", bytes(12) + b"\x61\x15\x06\0\x09\0\0\0"
    yield "database/gdbm", b"\xcf\x9a\x57\x13\0\x10\0\0"
    yield "database/access", b"\0\1\0\0Standard Jet DB\0"
    yield "database/redis", b"REDIS0009\xfa\x09redis-ver"
    yield "data/feather", b"FEA1\0\0\0\0"
    yield "data/avro", b"Obj\x01\x04\x14avro.codec"
    yield "data/hdf5", b"\x89HDF\r\n\x1a\n\0\0\0\0"
    yield "data/netcdf", b"CDF\x01\0\0\0\0"
    yield "data/matlab", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\x01IM"
    yield "data/fits", b"SIMPLE  =                    T / conforms"
    yield "data/rdata", b"RDX3\nX\n\0\0\0\x03"
    yield "data/stata", b"<stata_dta><header><release>118</release>"
    yield "data/gguf", b"GGUF\x03\0\0\0"
    yield "data/safetensors", struct.pack("<Q", 60) + b'{"__metadata__":{"format":"pt"}}'
    yield "data/tflite", b"\x1c\0\0\0TFL3\x14\0"
    yield "data/pcap", b"\xd4\xc3\xb2\xa1\x02\0\x04\0"
    yield "data/pcap", b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a"
    yield "data/java-object", b"\xac\xed\0\x05sr\0\x11"
    yield "data/git-pack", b"PACK\0\0\0\x02\0\0\0\x01"
    yield "data/git-index", b"DIRC\0\0\0\x02\0\0\0\x01"
    yield "data/gettext", b"\xde\x12\x04\x95\0\0\0\0"
    yield "data/timezone", b"TZif2\0\0\0"
    yield "data/blender", b"BLENDER-v293REND"
    yield "data/gltf", b"glTF\x02\0\0\0"
    yield "font/ttf", b"\0\1\0\0\0\x0c\0\x80\0\x03\0\x40"
    yield "font/otf", b"OTTO\0\x0b\0\x80"
    yield "font/ttc", b"ttcf\0\x02\0\0"
    yield "font/woff", b"wOFF\0\1\0\0"
    yield "font/woff2", b"wOF2\0\1\0\0"


def _readable() -> Iterator[tuple[str, bytes]]:
    pem = b"-----BEGIN %b-----\nMIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6\n-----END %b-----\n"
    pointer = b"version https://%b/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    yield "empty", b""
    yield "pointer/git-lfs", pointer % b"git-lfs.github.com"
    yield "pointer/git-lfs", pointer % b"hawser.github.com"
    for label in (
        b"PRIVATE KEY",
        b"RSA PRIVATE KEY",
        b"EC PRIVATE KEY",
        b"OPENSSH PRIVATE KEY",
        b"PGP PRIVATE KEY BLOCK",
    ):
        yield "key/private", pem % (label, label)
    yield "key/private", b"\n" + pem % (b"ENCRYPTED PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")
    yield "key/private", b"Bag Attributes\n    friendlyName: a\n" + pem % (b"PRIVATE KEY", b"PRIVATE KEY")
    yield "key/private", b"PuTTY-User-Key-File-3: ssh-ed25519\n"
    for label in (b"PUBLIC KEY", b"RSA PUBLIC KEY", b"PGP PUBLIC KEY BLOCK"):
        yield "key/public", pem % (label, label)
    for label in (b"CERTIFICATE", b"CERTIFICATE REQUEST", b"TRUSTED CERTIFICATE"):
        yield "key/certificate", pem % (label, label)
    yield "script/shell", b"#!/bin/bash\nset -e\n"
    yield "script/shell", b"#! /bin/sh"
    yield "script/shell", b"#!/usr/bin/env -S bash -e\r\n"
    yield "script/python", b"#!/usr/bin/env python3\n"
    yield "script/python", b"#!/opt/venv/bin/python3.11 -u\n"
    yield "script/python", b"#!/usr/bin/env -S uv run --script\n"
    yield "script/node", b"#!/usr/bin/env NODE_ENV=test node\n"
    yield "script/perl", b"#!/usr/bin/perl -w\n"
    yield "script/ruby", b"#!/usr/bin/env ruby\n"
    yield "script/php", b"#!/usr/bin/php\n"
    yield "script/lua", b"#!/usr/bin/lua5.4\n"
    yield "script/r", b"#!/usr/bin/env Rscript\n"
    yield "script/awk", b"#!/usr/bin/awk -f\n"
    yield "script/tcl", b"#!/usr/bin/expect\n"
    yield "script/make", b"#!/usr/bin/make -f\n"
    yield "script/other", b"#!/usr/local/bin/guile -s\n"
    yield "script/other", b"#!/usr/bin/env\n"
    yield "text/html", b"<!DOCTYPE html>\n<title>x</title>"
    yield "text/html", b"<html lang=en>"
    yield "text/xml", b'<?xml version="1.0"?>\n<project/>'
    yield "text/utf-16", "pandas".encode("utf-16")
    yield "text/utf-16", b"\xfe\xff" + "numpy".encode("utf-16-be")
    yield "text/utf-32", "pandas".encode("utf-32")
    yield "text/utf-32", b"\0\0\xfe\xff" + "numpy".encode("utf-32-be")
    yield "text/8-bit", "d\xe9j\xe0 vu".encode("latin-1")
    yield "text/8-bit", "\u6f22\u5b57".encode("shift-jis")
    # text that begins as a signature does
    for text in (
        b"x",
        b"#",
        b"# Title\n",
        b"#![allow(unused)]\n",
        b"BM is a format",
        b"PK and more",
        b"MZ was a man\n",
        b"P1 first\n",
    ):
        yield "text/utf-8", text
    for text in (
        b"GIF is an image",
        b"RIFF raff",
        b"ORC and elf",
        b"ID3 tags",
        b"BZh is bzip2",
        b"{\\r",
        b"-----BEGIN x",
        b"(lambda: 1)",
    ):
        yield "text/utf-8", text
    yield "text/utf-8", b"version https://example.org\n"
    yield "text/utf-8", b"import copy_reg\n"
    yield "text/utf-8", b"\xef\xbb\xbfwith a mark"
    yield "text/utf-8", "caf\xe9 \u6f22\u5b57 \U0001f600 \ufffd".encode()
    yield "text/utf-8", b"\x1b[31mred\x1b[0m \x07\x08\n"
    yield "binary", b"plain\0text"
    yield "binary", b"\x8b\x99\x01\x02"
    yield "binary", "caf\xe9\0".encode()
    yield "binary", b"\xca\xfe\x01"
    for sound in (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", gzip.compress(b"x" * 99), b"\xff\xd8\xff\xe0\0\x10JFIF\0"):
        yield "binary/damaged", sound.decode("utf-8", "replace").encode()


SAMPLES: tuple[tuple[str, bytes], ...] = (*_made(), *_written(), *_readable())
"""(content type, bytes) pairs."""
