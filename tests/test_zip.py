"""The zip walker: lists what ``zipfile`` lists, names each flaw, inflates nothing twice."""

from __future__ import annotations

import io
import lzma
import struct
import tracemalloc
import zipfile
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from zip_walks import Made, made, quoted_bomb, walk_of, zipped

from scanner.faults import FaultKind
from scanner.options import Limits

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ONE = (("a.txt", "file", 16),)
TWO = (*ONE, ("b.txt", "file", 16))
TEXT = b"content of a.txt"
B = Made(b"b.txt")
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]
DESCRIPTOR = struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(TEXT), len(RAW_DEFLATE), 16)
OPEN_ENDED = Made(flags=8, local_sizes=(0, 0, 0), descriptor=DESCRIPTOR)
STORED_DESCRIPTOR = struct.pack("<4s3L", b"PK\7\x08", zlib.crc32(TEXT), 16, 16)
WIDE = struct.pack("<2H2Q", 1, 16, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
HUGE_LZMA = b"\x09\x04\x05\x00\x5d\xff\xff\xff\xff" + bytes(20)


def _zip64(content: bytes = TEXT) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a.txt", "w", force_zip64=True) as file:
        file.write(content)
    whole = out.getvalue()
    at = whole.index(b"PK\5\6")
    _, _, _, _, n, size, offset, _ = struct.unpack_from("<4s4H2LH", whole, at)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, n, n, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return whole[:at] + wide + locator + end


def _disagreeing() -> bytes:
    whole = bytearray(_zip64())
    struct.pack_into("<2H", whole, len(whole) - 14, 7, 7)
    return bytes(whole)


def _unicode_path(name: bytes, about: bytes) -> bytes:
    value = b"\1" + struct.pack("<L", zlib.crc32(about)) + name
    return struct.pack("<2H", 0x7075, len(value)) + value


FLAWS: dict[str, tuple[bytes, tuple[tuple[str, str, int], ...], list[FaultKind]]] = {
    "sound": (made(Made(), B), TWO, []),
    "empty": (zipped(), (), []),
    "zip64": (_zip64(), ONE, []),
    "zip64-end-records-disagree": (_disagreeing(), ONE, ["zip-bad-directory"]),
    "zip64-prefix": (b"#!/bin/sh\n" + _zip64(), ONE, ["archive-prefix"]),
    "zip64-sizes-missing": (
        made(Made(size=0xFFFFFFFF, extra=struct.pack("<2H", 1, 0), local_sizes=(0, 0, 0), flags=8)),
        (("a.txt", "file", 0xFFFFFFFF),),
        ["zip-bad-directory", "zip-bad-data"],
    ),
    "directories": (made(Made(b"d/", b"", 0, mode=0o40755), Made(b"d/a")), (("d/", "dir", 0), ("d/a", "file", 16)), []),
    "directory-by-mode-alone": (made(Made(b"d", b"", 0, mode=0o40755)), (("d", "dir", 0),), []),
    "backslashes-are-no-separators": (made(Made(b"d\\", b"", 0, system=0, mode=0)), (("d\\", "file", 0),), []),
    "symlink": (made(Made(mode=0o120777)), (("a.txt", "symlink", 0),), []),
    "symlink-mode-of-dos": (made(Made(mode=0o120777, system=0)), ONE, []),
    "fifo": (made(Made(mode=0o10644)), (("a.txt", "fifo", 0),), []),
    "device": (made(Made(mode=0o20644)), (("a.txt", "device", 0),), []),
    "socket": (made(Made(mode=0o140644)), (("a.txt", "other", 0),), []),
    "name-cp437": (made(Made(b"\x91.txt")), (("æ.txt", "file", 16),), []),
    "name-utf8": (made(Made("世.txt".encode(), flags=0x800)), (("世.txt", "file", 16),), []),
    "name-flagged-but-not-utf8": (made(Made(b"\xff.txt", flags=0x800)), (("\udcff.txt", "file", 16),), []),
    "name-with-nul": (made(Made(b"a.txt\0.png")), ONE, []),
    "name-empty": (made(Made(b"")), (("", "file", 16),), []),
    "name-unicode-path": (made(Made(b"x", extra=_unicode_path(b"\xc3\xa9", b"x"))), (("é", "file", 16),), []),
    "name-unicode-path-stale": (made(Made(b"x", extra=_unicode_path(b"\xc3\xa9", b"y"))), (("x", "file", 16),), []),
    "extra-field-cut-off": (made(Made(extra=b"\1\0\xff\xff")), ONE, ["zip-bad-directory"]),
    "extra-padding": (made(Made(extra=b"\0\0\0")), ONE, []),
    "duplicate-names": (made(Made(), Made()), ONE + ONE, []),
    "prefix": (b"MZ" * 50 + made(Made(), B), TWO, ["archive-prefix"]),
    "prefix-that-offsets-know": (made(Made(), B, gap=b"gap"), TWO, ["archive-prefix"]),
    "split-marker": (b"PK00" + made(Made()), ONE, []),
    "comment": (zipped(("a.txt", TEXT), comment=b"hello"), ONE, ["archive-comment"]),
    "comment-cut-off": (zipped(("a.txt", TEXT), comment=b"hello")[:-2], ONE, ["zip-bad-directory", "archive-comment"]),
    "trailing-data": (made(Made()) + b"junk", ONE, ["trailing-data"]),
    "hidden-entry": (made(Made(), Made(b"evil", hidden=True), B), TWO, ["hidden-entry"]),
    "hidden-entry-behind-the-last": (made(Made(), Made(b"evil", hidden=True)), ONE, ["hidden-entry"]),
    "zip-behind-zip": (made(B) + made(Made()), ONE, ["archive-prefix", "hidden-entry"]),
    "same-entry-twice": (made(Made(), Made(b"b.txt", offset=0)), TWO, ["hidden-entry", "zip-overlap", "zip-bad-entry"]),
    "no-local-header": (made(Made(offset=5)), ONE, ["hidden-entry", "zip-bad-entry"]),
    "offset-beyond-the-end": (made(Made(offset=0xFFFFFF)), ONE, ["hidden-entry", "zip-bad-entry"]),
    "local-name-differs": (made(Made(local_name=b"b.txt")), ONE, ["zip-bad-entry"]),
    "local-method-differs": (made(Made(local_method=0)), ONE, ["zip-bad-entry"]),
    "local-sizes-differ": (made(Made(local_sizes=(1, 2, 3))), ONE, ["zip-bad-entry"]),
    "data-descriptor": (made(OPEN_ENDED), ONE, []),
    "wrong-crc": (made(Made(crc=1)), ONE, ["zip-bad-data"]),
    "wrong-crc-stored": (made(Made(crc=1, method=0)), ONE, ["zip-bad-data"]),
    "smaller-than-it-says": (made(Made(size=17)), (("a.txt", "file", 17),), ["zip-bad-data"]),
    "larger-than-it-says": (made(Made(size=15)), (("a.txt", "file", 15),), ["zip-bad-data"]),
    "stored-larger-than-it-says": (made(Made(size=15, method=0)), (("a.txt", "file", 15),), ["zip-bad-data"]),
    "broken-deflate": (made(Made(packed=b"\xff" * 9)), ONE, ["zip-bad-data"]),
    "deflate-cut-off": (made(Made(packed=RAW_DEFLATE[:5])), ONE, ["zip-bad-data"]),
    "encrypted": (made(Made(flags=1)), ONE, ["zip-encrypted"]),
    "encrypted-aes": (made(Made(flags=1, method=99)), ONE, ["zip-encrypted"]),
    "unknown-method": (made(Made(method=98)), ONE, ["zip-unsupported-method"]),
    "zstd": (made(Made(method=93, packed=zstandard.compress(TEXT))), ONE, []),
    "xz": (made(Made(method=95, packed=lzma.compress(TEXT))), ONE, []),
    "lzma-dictionary-of-4-gib": (made(Made(method=14, packed=HUGE_LZMA)), ONE, ["zip-unsupported-method"]),
    "lzma-no-properties": (made(Made(method=14, packed=b"\x09\x04")), ONE, ["zip-bad-data"]),
    "lzma-bad-properties": (made(Made(method=14, packed=b"\x09\x04\5\0\xff" + bytes(9))), ONE, ["zip-bad-data"]),
    "directory-says-more-entries": (made(Made(), n_entries=2), ONE, ["zip-bad-directory"]),
    "directory-empty-but-entries": (made(Made(hidden=True)), ONE, ["zip-bad-directory"]),
    "something-behind-the-directory": (made(Made(), B, tail=b"x" * 9), TWO, ["zip-bad-directory", "zip-bad-directory"]),
    "directory-cut-off": (
        made(Made(), B)[:-30] + made(Made(), B)[-22:],
        ONE,
        ["zip-bad-directory", "zip-bad-directory", "hidden-entry"],
    ),
    "no-end-record": (made(Made(), B)[:-22], TWO, ["zip-truncated"]),
    "no-end-record-open-ended": (made(OPEN_ENDED, B)[:-22], TWO, ["zip-truncated"]),
    "no-end-record-stored-open-ended": (
        made(OPEN_ENDED._replace(method=0, descriptor=STORED_DESCRIPTOR), B)[:-22],
        (TWO[0], TWO[1]),
        ["zip-truncated"],
    ),
    "no-end-record-size-nowhere": (
        made(Made(flags=8, method=0, local_sizes=(0, 0, 0)), B)[:-22],
        (("a.txt", "file", 0), TWO[1]),
        ["zip-truncated", "zip-bad-entry"],
    ),
    "no-end-record-encrypted": (made(Made(flags=1), B)[:-22], TWO, ["zip-truncated", "zip-encrypted"]),
    "no-end-record-directory": (
        made(Made(b"d/", b"", 0), B)[:-22],
        (("d/", "dir", 0), TWO[1]),
        ["zip-truncated"],
    ),
    "no-end-record-forged-sizes": (
        made(Made(local_extra=WIDE, local_sizes=(0, 0xFFFFFFFF, 0xFFFFFFFF)))[:-22],
        (("a.txt", "file", (1 << 63) - 1),),
        ["zip-truncated", "zip-truncated"],
    ),
    "cut-in-content": (made(Made(), B)[:60], (TWO[0],), ["zip-truncated", "zip-truncated"]),
    "cut-in-local-header": (made(Made(), B)[:70], (TWO[0],), ["zip-truncated", "zip-truncated"]),
    "nothing": (b"", (), ["zip-truncated"]),
    "magic-alone": (b"PK\3\4", (), ["zip-truncated", "zip-truncated"]),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_flaws(flaw: str) -> None:
    """Each archive is listed as far as there is anything to list, and its flaw is named."""
    data, members, kinds = FLAWS[flaw]
    walk = walk_of(data).walk
    assert tuple(walk.listing) == members
    assert walk.kinds == kinds


@pytest.mark.parametrize("flaw", FLAWS)
def test_at_least_what_zipfile_lists(flaw: str) -> None:
    """What ``zipfile`` lists of the same bytes, and what it reads, is what we list and read."""
    data = FLAWS[flaw][0]
    walk = walk_of(data).walk
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, UnicodeDecodeError):
        assert walk.damage or flaw == "name-flagged-but-not-utf8"
        return
    if flaw == "directory-empty-but-entries":
        assert not archive.infolist()
        return
    if flaw != "name-unicode-path":  # Python before 3.13 knows nothing of it
        assert [member.name for member in walk.members] == [info.filename for info in archive.infolist()]
    for info, member, content in zip(archive.infolist(), walk.members, walk.contents, strict=True):
        if member.kind == "file" and flaw != "same-entry-twice":
            assert member.size_bytes == info.file_size
            try:
                assert content in (archive.read(info), None)
                assert content is not None or walk.damage
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError, EOFError):
                assert walk.damage or info.compress_type in (93, 95)
            except IndexError:  # zipfile looks at the last character of an empty name
                assert not info.filename


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, 70_000, 300_000])
def test_round_trip(method: int, size: int) -> None:
    """What ``zipfile`` packs comes out, and exactly what was compressed is spent."""
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    walk, spent = walk_of(zipped(("a", content), ("b", TEXT), method=method))
    assert walk.contents == [content, TEXT]
    assert not walk.faults
    assert spent == (0 if method == zipfile.ZIP_STORED else size + len(TEXT))


@given(
    files=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
            st.binary(max_size=2000),
            st.sampled_from(METHODS),
        ),
        max_size=5,
    )
)
@settings(deadline=None, max_examples=80)
def test_any_content_round_trips(files: list[tuple[str, bytes, int]]) -> None:
    """Names, order, sizes and contents are those that were written."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index, (name, content, method) in enumerate(files):
            archive.writestr(f"{index}{name}x", content, method)
    walk = walk_of(out.getvalue()).walk
    assert walk.listing == [(f"{i}{name}x", "file", len(content)) for i, (name, content, _) in enumerate(files)]
    assert walk.contents == [content for _, content, _ in files]
    assert not walk.faults


def test_what_is_not_wanted_is_not_inflated() -> None:
    """A sink that declines content pays for none."""
    walk, spent = walk_of(zipped(("a", bytes(100_000)), ("b", bytes(100_000))), wanted=False)
    assert [member.size_bytes for member in walk.members] == [100_000, 100_000]
    assert walk.contents == [None, None]
    assert (spent, walk.faults) == (0, [])


def test_symlinks_carry_their_target() -> None:
    """The target is the content, and no more of it is read than a path may have."""
    assert walk_of(made(Made(content=b"../b", mode=0o120777))).walk.members[0].link == "../b"
    walk, spent = walk_of(made(Made(content=b"x" * (50 << 20), mode=0o120777)))
    assert walk.members[0].link == "x" * 4096
    assert spent <= 65_536


def test_modes() -> None:
    """Permission bits are those of Unix where there are some."""
    (member,) = walk_of(made(Made(mode=0o104755))).walk.members
    assert member.mode == 0o4755
    (member,) = walk_of(made(Made(mode=0o104755, system=0))).walk.members
    assert member.mode == 0o644


def test_offsets_are_those_of_local_headers() -> None:
    """``Member.offset`` leads to the local header also behind a prefix."""
    data = b"prefix" + made(Made(), B)
    for member in walk_of(data).walk.members:
        assert data[member.offset : member.offset + 4] == b"PK\3\4"


def test_quoted_overlap_bomb() -> None:
    """Fifield's bomb: 300 entries, 300 MiB to ``zipfile``, and no byte of it is inflated twice."""
    bomb = quoted_bomb(300, 1 << 20)
    assert sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(bomb)).infolist()) > 300 << 20
    walk, spent = walk_of(bomb)
    assert len(walk.members) == 300
    assert walk.kinds.count("zip-overlap") == 299
    assert spent < 1.1 * (1 << 20)


def test_output_limit() -> None:
    """A sink that stops, stops the walk within a piece; members seen so far are there."""
    walk, spent = walk_of(zipped(("a", bytes(10)), ("b", bytes(5 << 20)), ("c", b"")), output_bytes=1 << 20)
    assert [member.name for member in walk.members] == ["a", "b"]
    assert walk.kinds == ["limit:output"]
    assert spent <= (1 << 20) + 65_536


def test_header_limit() -> None:
    """A directory entry over the limit ends the row."""
    data = made(Made(b"n" * 3000))
    assert walk_of(data, Limits(header_bytes=1000)).walk.kinds == ["limit:header"]
    assert not walk_of(data, Limits(header_bytes=0)).walk.kinds


def test_member_limit_is_handed_to_the_sink() -> None:
    """No more entries are held than the limit and the one that breaks it."""
    data = zipped(*((str(i), b"") for i in range(50)))
    assert len(walk_of(data, Limits(members=10)).walk.members) == 11
    assert len(walk_of(data, Limits(members=0)).walk.members) == 50


@pytest.mark.parametrize("size", [1 << 31, 0xFFFFFFFE])
def test_nothing_is_allocated_for_a_claim(size: int) -> None:
    """A 160-byte archive that claims gigabytes costs kilobytes (``zipfile`` asks for them)."""
    data = made(Made(size=size, method=0), Made(b"b", size=size))
    tracemalloc.start()
    walk_of(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        b"PK\3\4" * 250_000,
        (b"PK\3\4" + bytes(26)) * 30_000,
        (struct.pack("<4s5H3L2H", b"PK\3\4", 20, 8, 0, 0, 33, 0, 0, 0, 1, 0) + b"x") * 30_000,
        (struct.pack("<4s5H3L2H", b"PK\3\4", 20, 8, 8, 0, 33, 0, 0, 0, 1, 0) + b"x") * 10_000,
        b"PK\5\6" * 250_000,
        b"PK\1\2" * 250_000 + made(),
    ],
    ids=["magics", "headers", "open-ended", "open-ended-deflate", "ends", "directory-magics"],
)
def test_repetitive_junk_takes_linear_time(data: bytes) -> None:
    """A megabyte made of one record does not make the walk search it again and again."""
    walk_of(data)  # quadratic would take hours; the suite's time limit is the judge


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_mutated_anywhere(data: st.DataObject) -> None:
    """Whatever the bytes are, nothing is raised, offsets lie in the archive and sizes fit a record."""
    blob = bytearray(data.draw(st.sampled_from([flaw[0] for flaw in FLAWS.values() if flaw[0]])))
    for _ in range(data.draw(st.integers(1, 5))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    walk = walk_of(bytes(blob), output_bytes=1 << 20).walk
    assert all(0 <= (fault.offset or 0) <= len(blob) for fault in walk.faults)
    assert all(0 <= member.offset <= len(blob) and 0 <= member.size_bytes < 1 << 63 for member in walk.members)
