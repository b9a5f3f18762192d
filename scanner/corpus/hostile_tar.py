"""Hostile and odd tar archives, each with a few sound members around its flaw so that something can be read.

Sources of the kinds: POSIX.1-2017 pax; GNU tar's manual (sparse formats, long names); CVE-2019-20907 (a PAX record of
length zero), CVE-2024-6232 (backtracking on PAX headers), CVE-2025-4517 (links through links), CVE-2025-8194 (a size
below zero).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from scanner.corpus.pack import BLOCK, gzip_blob, padded, pax_record, signed, tar_header
from scanner.faults import FaultKind

GIB: Final = 1 << 30


class Case(NamedTuple):
    """One hostile row."""

    name: str
    """The flaw; the row's path."""
    blob: bytes | None
    fault: FaultKind | None = None
    """A fault that a scan has to report, where one has to be."""


def member(name: str | bytes, data: bytes = b"", **header: Any) -> bytes:
    """A header and its content; ``header`` goes to :func:`tar_header`."""
    raw = name if isinstance(name, bytes) else name.encode()
    return tar_header(raw, len(data), **header) + padded(data)


TASK: Final = b"".join(
    (
        member("environment/Dockerfile", b"FROM python:3.12-slim\nWORKDIR /app\n"),
        member("instruction.md", b"Write the number of lines of /app/input.txt to /app/output.txt.\n"),
        member(
            "task.toml", b'schema_version = "1.1"\n\n[task]\nname = "hostile/row"\n\n[verifier]\ntimeout_sec = 60.0\n'
        ),
        member("tests/test.sh", b"#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n", mode=0o755),
    )
)
"""A sound task, without the end of its archive."""
END: Final = bytes(2 * BLOCK)


def tar_of(*parts: bytes, end: bytes = END) -> bytes:
    """A gzip tar of the sound task followed by ``parts``."""
    return gzip_blob(TASK + b"".join(parts) + end)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    """A PAX header of raw records."""
    return member("././@PaxHeader", b"".join(records), kind=kind, mode=0)


def base256(value: int) -> bytes:
    """A number in GNU's binary form, which may be negative."""
    return (value & ((1 << 96) - 1) | (0x80 << 88 if value >= 0 else 0)).to_bytes(12, "big")


def cases() -> Iterator[Case]:
    """Every case of this module."""
    yield from _broken()
    yield from _numbers()
    yield from _pax_headers()
    yield from _kinds()
    yield from _names()
    yield from _pairs()
    yield from _sparse()
    yield from _ends()


def _broken() -> Iterator[Case]:
    body = member("data.txt", b"x" * 5000)
    yield Case("tar-truncated-in-header", gzip_blob(TASK + body[:300]), "tar-truncated")
    yield Case("tar-truncated-in-body", gzip_blob(TASK + body[:2000]), "tar-truncated")
    yield Case("tar-truncated-in-pax", gzip_blob(TASK + pax(pax_record("path", "p" * 900))[:700]), "tar-truncated")
    bad = bytearray(member("data.txt", b"content"))
    bad[150] ^= 1
    yield Case("tar-bad-checksum", tar_of(bytes(bad), member("after.txt", b"after")), "tar-bad-header")
    yield Case("tar-bad-checksum-first", gzip_blob(bytes(bad) + TASK + END))
    yield Case("tar-garbage-between", tar_of(b"\xa5" * BLOCK, member("after.txt", b"after")), "tar-bad-header")
    yield Case("tar-signed-checksum", tar_of(_signed_sum("naïve.txt".encode("latin-1"))))


def _signed_sum(name: bytes) -> bytes:
    """A header whose checksum sums signed bytes, as historic tars did; readers accept both."""
    block = tar_header(name)
    total = sum(block[:148]) + 8 * 32 + sum(block[156:]) - 256 * sum(byte > 127 for byte in block)
    return block[:148] + b"%06o\0 " % total + block[156:]


def _numbers() -> Iterator[Case]:
    def sized(field: bytes) -> bytes:
        return tar_of(tar_header(b"data.txt", size_field=field), member("after.txt", b"after"))

    yield Case("tar-negative-base256-size", sized(base256(-512)), "tar-bad-number")
    yield Case(
        "tar-negative-base256-size-first",
        gzip_blob(tar_header(b"a", size_field=base256(-1024)) + bytes(1536)),
        "tar-bad-number",
    )
    yield Case("tar-huge-base256-size", sized(base256(1 << 62)), "tar-truncated")
    yield Case("tar-base256-size", tar_of(tar_header(b"data.txt", size_field=base256(3)) + padded(b"abc")))
    yield Case("tar-octal-garbage-size", sized(b"0000zz00000\0"), "tar-bad-number")
    yield Case("tar-minus-octal-size", sized(b"-0000001000\0"), "tar-bad-number")
    yield Case("tar-size-of-8-gib", sized(b"77777777777\0"), "tar-truncated")
    yield Case("tar-blank-numbers", tar_of(signed(tar_header(b"data.txt")[:100] + b" " * 48 + tar_header(b"x")[148:])))
    huge_time = signed(tar_header(b"data.txt")[:136] + base256(1 << 80) + tar_header(b"x")[148:])
    yield Case("tar-mtime-out-of-range", tar_of(huge_time))


def _pax_headers() -> Iterator[Case]:
    last = member("data.txt", b"data")
    for name, body in (
        ("zero-length", b"0 path=x\n"),
        ("negative-length", b"-8 path=x\n"),
        ("length-too-long", b"99 path=x\n"),
        ("length-too-short", b"5 path=x\n"),
        ("length-of-20-digits", b"99999999999999999999 path=x\n"),
        ("no-newline", b"9 path=xy"),
        ("no-equals", b"7 path\n"),
        ("no-number", b"path=x\n"),
    ):
        yield Case(f"tar-pax-{name}", tar_of(pax(body), last), "tar-bad-pax")
    yield Case("tar-pax-digits-only", tar_of(pax(b"1" * 200_000), last), "tar-bad-pax")
    yield Case("tar-pax-claims-8-gib", gzip_blob(TASK + tar_header(b"pax", 8 * GIB - 1, kind=b"x")), "limit:header")
    yield Case("tar-longname-claims-8-gib", gzip_blob(TASK + tar_header(b"l", 8 * GIB - 1, kind=b"L")), "limit:header")
    yield Case("tar-longname-of-2-mib", tar_of(member("l", b"n" * (2 << 20), kind=b"L"), last), "limit:header")
    yield Case("tar-pax-path-of-20000", tar_of(pax(pax_record("path", "d/" * 10_000 + "x")), last))
    yield Case("tar-pax-nul-in-path", tar_of(pax(pax_record("path", "safe.txt\0../../evil")), last))
    yield Case("tar-pax-empty-path", tar_of(pax(pax_record("path", "")), last))
    yield Case("tar-pax-size-override", tar_of(pax(pax_record("size", "1024")), tar_header(b"data.txt") + b"d" * 1024))
    yield Case("tar-pax-negative-size", tar_of(pax(pax_record("size", "-512")), last), "tar-bad-number")
    yield Case("tar-pax-size-not-a-number", tar_of(pax(pax_record("size", "1e3")), last))
    yield Case("tar-pax-mtime-nan", tar_of(pax(pax_record("mtime", "nan")), last))
    yield Case("tar-pax-mtime-1e400", tar_of(pax(pax_record("mtime", "1" + "0" * 400)), last))
    yield Case(
        "tar-pax-global-path", tar_of(pax(pax_record("path", "all-the-same"), kind=b"g"), last, member("b", b"b"))
    )
    yield Case("tar-pax-without-member", tar_of(pax(pax_record("path", "never"))))
    yield Case("tar-pax-twice", tar_of(pax(pax_record("path", "first")), pax(pax_record("path", "second")), last))
    yield Case("tar-longname", tar_of(member("././@LongLink", b"long/" * 60 + b"x\0", kind=b"L"), last))
    yield Case("tar-hdrcharset-binary", tar_of(pax(pax_record("hdrcharset", "BINARY"), b"11 path=\xff\xfe\n"), last))


def _kinds() -> Iterator[Case]:
    def link(kind: bytes, name: str, target: str) -> bytes:
        return member(name, kind=kind, link=target.encode())

    yield Case("tar-symlink", tar_of(link(b"2", "tests/link.md", "../instruction.md")))
    yield Case("tar-hardlink", tar_of(link(b"1", "copy.md", "instruction.md")))
    yield Case("tar-symlink-absolute", tar_of(link(b"2", "passwd", "/etc/passwd")), "link-escape")
    yield Case("tar-symlink-escapes", tar_of(link(b"2", "tests/up", "../../../etc/shadow")), "link-escape")
    yield Case("tar-hardlink-escapes", tar_of(link(b"1", "hosts", "../../etc/hosts")), "link-escape")
    yield Case("tar-symlink-loop", tar_of(link(b"2", "a", "b"), link(b"2", "b", "a")))
    through = (link(b"2", "out", "/tmp"), member("out/evil.txt", b"written outside"))  # noqa: S108 - the attack itself
    yield Case("tar-write-through-symlink", tar_of(*through), "link-escape")
    yield Case("tar-character-device", tar_of(member("null", kind=b"3", tail=b"0000001\x000000003\0")), "special-file")
    yield Case("tar-block-device", tar_of(member("sda", kind=b"4", tail=b"0000010\x000000000\0")), "special-file")
    yield Case("tar-fifo", tar_of(member("pipe", kind=b"6")), "special-file")
    yield Case(
        "tar-unknown-kind", tar_of(member("odd", b"content", kind=b"Z"), member("after.txt", b"after")), "special-file"
    )
    yield Case("tar-contiguous-kind", tar_of(member("contiguous", b"content", kind=b"7")))
    yield Case("tar-setuid", tar_of(member("su", b"\x7fELF", mode=0o4755)), "setuid")
    yield Case("tar-sticky-directory", tar_of(member("tmp/", kind=b"5", mode=0o1777)))
    yield Case("tar-directory-with-size", tar_of(tar_header(b"dir/", 512, kind=b"5"), member("dir/a", b"a")))


def _names() -> Iterator[Case]:
    for label, name in (
        ("absolute", "/etc/cron.d/evil"),
        ("dotdot", "../../outside.txt"),
        ("dotdot-inside", "tests/../../outside.txt"),
        ("not-normalised", "tests//./a.txt"),
    ):
        yield Case(f"tar-name-{label}", tar_of(member(name, b"x")), "unsafe-name")
    for label, name in (
        ("backslashes", "..\\..\\windows.ini"),
        ("drive", "C:\\windows.ini"),
        ("reserved-on-windows", "tests/aux.py"),
        ("terminal-escapes", "tests/\x1b[2J\x1b]0;owned\x07\x1b[31mred.py"),
        ("bidi", "tests/\u202egpj.exe\u202c.py"),
        ("html", "tests/<script>alert(1)</script>.py"),
        ("newline", "tests/a\nstatus: ok\n.py"),
        ("formula", "tests/=cmd|' /C calc'!A0.csv"),
        ("zero-width", "tests/te\u200bst.sh"),
    ):
        yield Case(f"tar-name-{label}", tar_of(member(name, b"x")))
    yield Case("tar-name-empty", tar_of(member("", b"x")))
    yield Case("tar-name-dot", tar_of(member("./", kind=b"5")))
    yield Case("tar-name-latin1", tar_of(member("r\xe9sum\xe9.txt".encode("latin-1"), b"x")), "non-utf8-name")
    yield Case("tar-name-gbk", tar_of(member("测试.txt".encode("gbk"), b"x")), "non-utf8-name")
    yield Case("tar-name-surrogate", tar_of(member(b"lone-\xed\xa0\x80.txt", b"x")), "non-utf8-name")
    yield Case("tar-name-ustar-prefix", tar_of(member("f.txt", b"x", tail=bytes(16) + b"prefix/" * 20 + b"end")))


def _pairs() -> Iterator[Case]:
    yield Case("tar-duplicate-names", tar_of(member("a.txt", b"one"), member("a.txt", b"two")), "duplicate-name")
    test = member("tests/test.sh", b"exit 0\n")
    yield Case("tar-duplicate-test-entry", tar_of(test), "duplicate-name")
    yield Case("tar-case-collision", tar_of(member("Tests/Test.sh", b"exit 0\n")), "case-collision")
    composed = (member("caf\u00e9.txt", b"1"), member("cafe\u0301.txt", b"2"))
    yield Case("tar-unicode-collision", tar_of(*composed))
    yield Case("tar-file-as-directory", tar_of(member("a", b"file"), member("a/b", b"inside")))
    yield Case("tar-20000-members", tar_of(*(member(f"many/{i}") for i in range(20_000))))


def _sparse() -> Iterator[Case]:
    def old(pairs: list[tuple[int, int]], size: int, *, extended: bool = False) -> bytes:
        table = b"".join(b"%011o\0%011o\0" % pair for pair in pairs).ljust(96, b"\0")
        tail = bytes(57) + table + bytes([extended]) + b"%011o\0" % size
        return tar_header(b"sparse", sum(length for _, length in pairs), kind=b"S", magic=b"ustar  \0", tail=tail)

    ten = b"0123456789"
    yield Case("tar-sparse-gnu", tar_of(old([(1000, 10), (5000, 0)], 5000), padded(ten)), "sparse-member")
    block = struct.pack("504s8s", b"%011o\0%011o\0" % (4000, 10), b"")
    extended = old([(1000, 0), (2000, 0), (3000, 0), (3500, 0)], 5000, extended=True)
    grown = signed(extended[:124] + b"%011o\0" % 10 + extended[136:])
    yield Case("tar-sparse-gnu-extended", tar_of(grown, block, padded(ten)), "sparse-member")
    yield Case(
        "tar-sparse-gnu-overlapping", tar_of(old([(1000, 10), (500, 10)], 5000), padded(ten * 2)), "tar-bad-sparse"
    )
    yield Case(
        "tar-sparse-of-1-tib", tar_of(_with_base256_real_size(old([(0, 10)], 0), 1 << 40), padded(ten)), "sparse-member"
    )
    zero = [pax_record("GNU.sparse.size", "5000"), pax_record("GNU.sparse.numblocks", "1")]
    zero += [pax_record("GNU.sparse.offset", "1000"), pax_record("GNU.sparse.numbytes", "10")]
    yield Case("tar-sparse-pax-0.0", tar_of(pax(*zero), member("sparse", ten)), "sparse-member")
    one = [pax_record("GNU.sparse.size", "5000"), pax_record("GNU.sparse.numblocks", "1")]
    one += [pax_record("GNU.sparse.map", "1000,10"), pax_record("GNU.sparse.name", "sparse")]
    yield Case("tar-sparse-pax-0.1", tar_of(pax(*one), member("GNUSparseFile.0/sparse", ten)), "sparse-member")
    head = [pax_record("GNU.sparse.major", "1"), pax_record("GNU.sparse.minor", "0")]
    head += [pax_record("GNU.sparse.name", "sparse"), pax_record("GNU.sparse.realsize", "5000")]
    good = padded(b"1\n1000\n10\n") + ten
    yield Case("tar-sparse-pax-1.0", tar_of(pax(*head), member("GNUSparseFile.0/sparse", good)), "sparse-member")
    bad = padded(b"99999999999\n0\n") + ten
    yield Case(
        "tar-sparse-pax-1.0-bomb-map", tar_of(pax(*head), member("GNUSparseFile.0/sparse", bad)), "tar-bad-sparse"
    )
    one[2] = pax_record("GNU.sparse.map", "1000,10,x")
    yield Case("tar-sparse-pax-0.1-bad-map", tar_of(pax(*one), member("sparse", ten)), "tar-bad-sparse")


def _with_base256_real_size(block: bytes, size: int) -> bytes:
    return signed(block[:483] + base256(size) + block[495:])


def _ends() -> Iterator[Case]:
    yield Case("tar-missing-end-marker", tar_of(end=b""), "missing-end-marker")
    yield Case("tar-single-zero-block", tar_of(end=bytes(BLOCK)))
    yield Case("tar-trailing-data", tar_of(end=END + b"more bytes than an archive has" * 30), "trailing-data")
    yield Case("tar-second-archive-after-end", tar_of(END, member("hidden.txt", b"second archive")), "trailing-data")
    yield Case("tar-end-marker-only", gzip_blob(bytes(10_240)))
    yield Case("tar-v7", gzip_blob(b"".join(_v7(name, b"old") for name in (b"a.txt", b"b.txt")) + END))


def _v7(name: bytes, data: bytes) -> bytes:
    """A member as of 1979: no magic, no owners' names."""
    return signed(tar_header(name, len(data))[:257] + bytes(255)) + padded(data)
