"""The tar walker: a table of dialects and flaws, and laws over them. The oracles are in test_conformance_tar."""

from __future__ import annotations

import io
import random
import tarfile
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tar_oracle import tarfile_kind
from tar_walks import Recorder, walk

from scanner.formats import RowStopped
from scanner.formats.tar import TarWalker, looks_like_tar
from scanner.formats.tar_ordinary import Seen
from scanner.options import Limits

END = bytes(1024)
USTAR = b"ustar\x0000"
GNU = b"ustar  \0"


def header(name: bytes, n_bytes: int = 0, flag: bytes = b"0", **fields: bytes) -> bytes:
    """A header block with a checksum that holds; ``fields`` override single fields as bytes."""
    block = bytearray(512)
    values = {
        "name": name,
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "mtime": b"00000000001\0",
        "size": b"%011o\0" % n_bytes,
        "flag": flag,
        "magic": USTAR,
    }
    places = {
        "name": 0, "mode": 100, "uid": 108, "size": 124, "mtime": 136, "flag": 156, "link": 157, "magic": 257,
        "prefix": 345, "sparse": 386, "extended": 482, "realsize": 483,
    }  # fmt: skip
    for field, value in (values | fields).items():
        block[places[field] : places[field] + len(value)] = value
    return sign(block)


def sign(block: bytearray | bytes, *, signed: bool = False) -> bytes:
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def file(name: bytes, content: bytes = b"", flag: bytes = b"0", **fields: bytes) -> bytes:
    return header(name, len(content), flag, **fields) + padded(content)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def pax(*pairs: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    return file(b"././@PaxHeader", b"".join(record(*pair) for pair in pairs), flag)


def long(name: bytes, flag: bytes = b"L") -> bytes:
    return file(b"././@LongLink", name + b"\0", flag, magic=GNU)


def entries(*numbers: int) -> bytes:
    return b"".join(b"%011o\0" % number for number in numbers)


class Case(NamedTuple):
    raw: bytes
    listing: list[tuple[str, str, int]]
    contents: list[bytes | None]
    faults: list[str]


def files(raw: bytes, *expected: tuple[str, bytes], faults: tuple[str, ...] = ()) -> Case:
    """A case that lists files with these contents."""
    return Case(
        raw, [(name, "file", len(content)) for name, content in expected], [c for _, c in expected], list(faults)
    )


def others(raw: bytes, *expected: tuple[str, str], faults: tuple[str, ...] = ()) -> Case:
    """A case that lists members without content."""
    return Case(raw, [(name, kind, 0) for name, kind in expected], [b""] * len(expected), list(faults))


def sparse(raw: bytes, size: int, content: bytes, *faults: str) -> Case:
    return Case(raw, [("s", "file", size)], [content], ["sparse-member", *faults])


A = file(b"a", b"one")
Z = file(b"z", b"two")
HEAD = b"GNU.sparse."
SPARSE_10 = ((HEAD + b"major", b"1"), (HEAD + b"minor", b"0"), (HEAD + b"name", b"s"), (HEAD + b"realsize", b"9000"))

SOUND = {
    "empty": files(END),
    "v7": files(file(b"a", b"x" * 600, b"\0", magic=b"") + END, ("a", b"x" * 600)),
    "v7-directory-by-slash": others(header(b"d//", 5, b"\0", magic=b"") + END, ("d", "dir")),
    "ustar-prefix": files(file(b"a", b"x", prefix=b"p/q") + END, ("p/q/a", b"x")),
    "gnu-times-are-no-prefix": files(file(b"a", magic=GNU, prefix=b"12574544345\x0012574544345\0") + END, ("a", b"")),
    "go17-prefix-under-gnu-magic": files(file(b"a", magic=GNU, prefix=b"pre") + END, ("pre/a", b"")),
    "name-without-nul": files(file(b"n" * 100, b"x") + END, ("n" * 100, b"x")),
    "name-not-utf8": files(file(b"caf\xe9", b"x") + END, ("caf\udce9", b"x")),
    "name-empty": files(file(b"") + END, ("", b"")),
    "file-keeps-its-slash": files(file(b"f/") + END, ("f/", b"")),
    "contiguous": files(file(b"a", b"x", b"7") + END, ("a", b"x")),
    "kinds": others(
        b"".join(header(b"m", 3 if flag in b"56" else 0, bytes([flag])) for flag in b"3456") + END,
        ("m", "device"),
        ("m", "device"),
        ("m", "dir"),
        ("m", "fifo"),
    ),
    "vendor-flags-have-bodies": others(
        b"".join(file(b"m", b"x" * 700, bytes([flag])) for flag in b"VMDNA") + END, *[("m", "other")] * 5
    ),
    "gnu-long-name": files(long(b"n" * 300) + file(b"n" * 100, b"x", magic=GNU) + END, ("n" * 300, b"x")),
    "gnu-long-directory": others(long(b"d/" * 99) + header(b"d", 0, b"5") + END, (("d/" * 99)[:-1], "dir")),
    "gnu-long-name-cut-at-a-slash-is-a-file": files(
        long(b"d" * 99 + b"/f") + file(b"d" * 99 + b"/", b"x", b"\0") + END, ("d" * 99 + "/f", b"x")
    ),
    "gnu-first-long-name-wins": files(long(b"first") + long(b"second") + A + END, ("first", b"one")),
    "pax-path": files(
        pax((b"mtime", b"1.5"), (b"path", b"p/\xc3\xa9")) + A + Z + END, ("p/\xe9", b"one"), ("z", b"two")
    ),
    "pax-last-record-wins": files(pax((b"path", b"p"), (b"path", b"q")) + A + END, ("q", b"one")),
    "pax-first-header-wins": files(pax((b"path", b"p")) + pax((b"path", b"q")) + A + END, ("p", b"one")),
    "pax-empty-value-deletes": files(pax((b"path", b"p"), (b"path", b"")) + A + END, ("a", b"one")),
    "pax-size": files(pax((b"size", b"3")) + header(b"a", 0) + padded(b"one") + Z + END, ("a", b"one"), ("z", b"two")),
    "pax-binary-charset": files(pax((b"hdrcharset", b"BINARY"), (b"path", b"\xe9")) + A + END, ("\udce9", b"one")),
    "pax-of-solaris": files(pax((b"path", b"p"), flag=b"X") + A + END, ("p", b"one")),
    "pax-empty": files(header(b"x", 0, b"x") + A + END, ("a", b"one")),
    "pax-global": files(
        pax((b"path", b"g"), flag=b"g") + A + pax((b"path", b"p")) + A + pax((b"path", b""), flag=b"g") + A + END,
        ("g", b"one"),
        ("p", b"one"),
        ("a", b"one"),
    ),
    "pax-global-last": files(A + pax((b"comment", b"c"), flag=b"g") + END, ("a", b"one")),
    "number-blanks": files(file(b"a", b"x", size=b"        1  \0", mode=b"   644 \0") + END, ("a", b"x")),
    "number-base-256": files(file(b"a", b"x", size=b"\x80" + b"\0" * 10 + b"\1") + END, ("a", b"x")),
    "number-empty": files(header(b"a", size=b"\0" * 12, mode=b"\0" * 8) + END, ("a", b"")),
    "owner-and-time-malformed": files(file(b"a", b"x", uid=b"zzzzzzz\0", mtime=b"-------9999\0") + END, ("a", b"x")),
    "checksum-unsigned": files(sign(header(b"\xc3\xa9", 1)) + padded(b"x") + END, ("\xe9", b"x")),
    "checksum-signed": files(sign(header(b"\xc3\xa9", 1), signed=True) + padded(b"x") + END, ("\xe9", b"x")),
    "hardlink-without-body": Case(
        A + header(b"h", 3, b"1", link=b"a") + Z + END,
        [("a", "file", 3), ("h", "hardlink", 0), ("z", "file", 3)],
        [b"one", b"", b"two"],
        [],
    ),
    "hardlink-with-body": Case(
        A + file(b"h", b"x" * 600, b"1", link=b"a") + Z + END,
        [("a", "file", 3), ("h", "hardlink", 0), ("z", "file", 3)],
        [b"one", b"", b"two"],
        [],
    ),
    "sparse-old": sparse(
        header(b"s", 5, b"S", magic=GNU, sparse=entries(512, 2, 1024, 3), realsize=entries(9000))
        + padded(b"ddeee")
        + END,
        9000,
        b"ddeee",
    ),
    "sparse-old-extended": sparse(
        header(
            b"s",
            5,
            b"S",
            magic=GNU,
            sparse=entries(512, 1, 600, 1, 700, 1, 800, 1),
            extended=b"\1",
            realsize=entries(9000),
        )
        + (entries(900, 1) + bytes(512))[:512]
        + padded(b"ddeee")
        + END,
        9000,
        b"ddeee",
    ),
    "sparse-0.0": sparse(
        pax(
            (HEAD + b"size", b"9000"),
            (HEAD + b"numblocks", b"2"),
            (HEAD + b"offset", b"10"),
            (HEAD + b"numbytes", b"2"),
            (HEAD + b"offset", b"20"),
            (HEAD + b"numbytes", b"1"),
        )
        + file(b"s", b"abc")
        + END,
        9000,
        b"abc",
    ),
    "sparse-0.1": sparse(
        pax((HEAD + b"size", b"9000"), (HEAD + b"name", b"s"), (HEAD + b"map", b"10,2,20,1"))
        + file(b"./G/s", b"abc")
        + END,
        9000,
        b"abc",
    ),
    "sparse-1.0": sparse(
        pax(*SPARSE_10, (b"path", b"./GNUSparseFile.1/s")) + file(b"t", padded(b"2\n10\n2\n20\n1\n") + b"abc") + END,
        9000,
        b"abc",
    ),
    "sparse-1.0-comments": sparse(
        pax(*SPARSE_10) + file(b"t", padded(b"#!gnu-sparse-format\n1\n0\n3\n") + b"abc") + END, 9000, b"abc"
    ),
    "sparse-all-hole": sparse(pax(*SPARSE_10) + file(b"t", padded(b"0\n")) + END, 9000, b""),
    "sparse-map-over-two-blocks": sparse(
        pax(*SPARSE_10) + file(b"t", padded(b"90\n" + b"".join(b"%09d\n1\n" % n for n in range(90))) + b"d" * 90) + END,
        9000,
        b"d" * 90,
    ),
}
"""Archives without damage: every byte of them is understood."""

ONE = ("a", b"one")
FLAWED = {
    "no-end": files(A, ONE, faults=("missing-end-marker",)),
    "lone-zero-block": files(A + bytes(512), ONE, faults=("missing-end-marker",)),
    "zeros-cut-short": files(A + bytes(100), ONE, faults=("missing-end-marker",)),
    "zeros-after-the-end": files(A + END + bytes(70_000), ONE),
    "data-after-the-end": files(A + END + bytes(70_000) + b"x", ONE, faults=("trailing-data",)),
    "tar-after-the-end": files(A + END + Z + END, ONE, faults=("trailing-data",)),
    "nothing": files(b"", faults=("tar-truncated",)),
    "cut-in-a-header": files(A + Z[:300], ONE, faults=("tar-truncated",)),
    "cut-after-a-header": Case(A + Z[:512], [("a", "file", 3), ("z", "file", 3)], [b"one", None], ["tar-truncated"]),
    "cut-in-a-body": Case(A + Z[:514], [("a", "file", 3), ("z", "file", 3)], [b"one", None], ["tar-truncated"]),
    "cut-in-the-padding": files(A + Z[:600], ONE, ("z", b"two"), faults=("tar-truncated",)),
    "cut-in-a-pax-header": files(A + pax((b"path", b"p"))[:700], ONE, faults=("tar-truncated",)),
    "cut-after-a-pax-header": files(A + pax((b"path", b"p")), ONE, faults=("tar-truncated",)),
    "cut-in-a-sparse-map": Case(pax(*SPARSE_10) + header(b"t", 2000), [("s", "file", 2000)], [None], ["tar-truncated"]),
    "pax-header-without-member": files(A + pax((b"path", b"p")) + END, ONE, faults=("tar-bad-header",)),
    "no-tar": files(b"\x7fELF" * 256, faults=("tar-bad-header",)),
    "checksum-wrong": files(A + Z[:10] + b"!" + Z[11:] + A + END, ONE, faults=("tar-bad-header",)),
    "checksum-blank": files(A + Z[:148] + b" " * 8 + Z[156:] + END, ONE, faults=("tar-bad-header",)),
    "size-negative": Case(
        A + header(b"b", size=b"\xff" * 12) + Z + END,
        [("a", "file", 3), ("b", "file", 0)],
        [b"one", None],
        ["tar-bad-number"],
    ),
    "size-beyond-int64": Case(
        header(b"b", size=b"\x80\0\0\1" + b"\0" * 8) + Z + END, [("b", "file", 0)], [None], ["tar-bad-number"]
    ),
    "size-malformed": files(file(b"a", b"x", size=b"1~~~~~~~~~~\0") + END, ("a", b"x"), faults=("tar-bad-number",)),
    "pax-size-malformed": files(pax((b"size", b"-7")) + A + END, ONE, faults=("tar-bad-number",)),
    "pax-header-size-negative": files(
        A + header(b"x", flag=b"x", size=b"\xff" * 12) + END, ONE, faults=("tar-bad-number",)
    ),
    "pax-length-zero": files(file(b"x", b"0 path=p\n", b"x") + A + END, ONE, faults=("tar-bad-pax",)),
    "pax-length-too-long": files(file(b"x", b"999999999 path=p\n", b"x") + A + END, ONE, faults=("tar-bad-pax",)),
    "pax-length-of-5000-digits": files(
        file(b"x", b"9" * 5000 + b" p=q\n", b"x") + A + END, ONE, faults=("tar-bad-pax",)
    ),
    "pax-without-newline": files(file(b"x", b"9 path=pp", b"x") + A + END, ("p", b"one"), faults=("tar-bad-pax",)),
    "pax-without-keyword": files(file(b"x", b"5 =p\n", b"x") + A + END, ONE, faults=("tar-bad-pax",)),
    "pax-claims-8-gigabytes": files(A + header(b"x", 8 << 30, b"x"), ONE, faults=("limit:header",)),
    "long-name-claims-2-megabytes": files(A + header(b"L", 2 << 20, b"L"), ONE, faults=("limit:header",)),
    "pax-global-path-too-long": files(pax((b"path", b"p" * 5000), flag=b"g") + A + END, ONE, faults=("tar-bad-pax",)),
    "sparse-overlapping": sparse(
        pax((HEAD + b"size", b"9000"), (HEAD + b"map", b"10,2,11,1")) + file(b"s", b"abc") + END,
        9000,
        b"abc",
        "tar-bad-sparse",
    ),
    "sparse-stores-less": sparse(
        pax((HEAD + b"size", b"9000"), (HEAD + b"map", b"10,2")) + file(b"s", b"abc") + END,
        9000,
        b"abc",
        "tar-bad-sparse",
    ),
    "sparse-past-its-size": sparse(
        pax((HEAD + b"size", b"9"), (HEAD + b"map", b"10,3")) + file(b"s", b"abc") + END, 9, b"abc", "tar-bad-sparse"
    ),
    "sparse-odd-map": sparse(
        pax((HEAD + b"size", b"9"), (HEAD + b"map", b"1,3,7")) + file(b"s", b"abc") + END, 9, b"abc", "tar-bad-sparse"
    ),
    "sparse-size-negative": sparse(
        pax((HEAD + b"size", b"-9"), (HEAD + b"map", b"1,3")) + file(b"s", b"abc") + END, 3, b"abc", "tar-bad-sparse"
    ),
    "sparse-map-malformed": sparse(
        pax(*SPARSE_10) + file(b"t", padded(b"zwei\n") + b"abc") + END, 9000, b"abc", "tar-bad-sparse"
    ),
    "sparse-map-endless": sparse(
        pax(*SPARSE_10) + file(b"t", padded(b"99999999\n1\n") + b"abc") + END, 9000, b"abc", "tar-bad-sparse"
    ),
}
"""Archives that are cut, odd or hostile, what is listed of them all the same, and what is said."""

CASES = SOUND | FLAWED


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    """Each named archive gives its members, their contents and its faults."""
    case = CASES[name]
    found = walk(case.raw)
    assert found.listing == case.listing
    assert found.contents == case.contents
    assert found.kinds == case.faults


@pytest.mark.parametrize("chunk_bytes", [1, 7, 511, 512, 1000, 65_536])
@pytest.mark.parametrize("name", CASES)
def test_chunks_do_not_matter(name: str, chunk_bytes: int) -> None:
    """Every archive gives the same, offsets and details included, however it is cut."""
    raw = CASES[name].raw
    if chunk_bytes < 511 and len(raw) > 1 << 16:
        raw = raw[: 1 << 13]
    assert walk(raw, chunk_bytes) == walk(raw)


@pytest.mark.parametrize("name", [name for name in CASES if len(CASES[name].raw) >= 512])
def test_looks_like_tar(name: str) -> None:
    """The first block tells a tar of any dialect from anything else."""
    assert looks_like_tar(memoryview(CASES[name].raw)[:1024]) is (name != "no-tar")


@pytest.mark.parametrize("head", [b"", bytes(511), A[:511], bytes(512) + b"x" * 512, b"instruction " * 50])
def test_does_not_look_like_tar(head: bytes) -> None:
    """Less than a block, zeros with something behind them, and text are no tar."""
    assert not looks_like_tar(head)


def test_modes_links_and_offsets() -> None:
    """Members say their permission bits, link target, and where their first header, extended ones included, begins."""
    raw = (
        A
        + pax((b"linkpath", b"target"))
        + header(b"s", 0, b"2", link=b"short", mode=b"0104755\0")
        + long(b"far" * 50, b"K")
        + header(b"h", 0, b"1", link=b"far")
        + END
    )
    found = [(member.name, member.mode, member.link, member.offset) for member in walk(raw).members]
    assert found == [("a", 0o644, "", 0), ("s", 0o4755, "target", 1024), ("h", 0o644, "far" * 50, 2560)]


def test_ordinary_headers_read_alike_on_both_paths() -> None:
    """One byte changed anywhere in a PAX header, its body or a header: the fast path and the careful one agree."""
    ordinary = pax((b"mtime", b"1711234567.1234567")) + A
    chance = random.Random(7)
    walk(ordinary * 3 + END)
    for at in range(len(ordinary)):
        raw = bytearray(ordinary * 3 + END)
        raw[len(ordinary) + at] ^= 1 << chance.randrange(8)
        assert walk(bytes(raw)) == walk(bytes(raw), 511), at


def test_unwanted_content_is_not_passed() -> None:
    """A sink that does not want a member's content gets no piece of it, but its end."""
    raw = file(b"a", b"1" * 600) + file(b"z", b"2" * 600) + END
    recorder = Recorder(wanted=False)
    walker = TarWalker(recorder, Limits())
    for at in range(0, len(raw), 100):
        walker.feed(raw, at, min(at + 100, len(raw)))
    walker.close()
    assert walker.finished
    assert [member.name for member in recorder.members] == ["a", "z"]
    assert recorder.contents == [b"", b""]


def test_members_before_a_limit_are_kept() -> None:
    """A header over the limit stops the row with a fault that says where; 0 switches the limit off."""
    raw = A + long(b"n" * 2000) + Z + END
    recorder = Recorder()
    with pytest.raises(RowStopped) as stop:
        TarWalker(recorder, Limits(header_bytes=1000)).feed(raw, 0, len(raw))
    assert (stop.value.fault.kind, stop.value.fault.offset) == ("limit:header", 1024)
    assert [member.name for member in recorder.members] == ["a"]
    assert walk(raw, limits=Limits(header_bytes=0)).listing == [("a", "file", 3), ("n" * 2000, "file", 3)]


def test_a_sparse_map_over_the_limit_is_left_unread() -> None:
    """The rest of an overlong map counts as content, with a fault; the next member is found all the same."""
    raw = pax(*SPARSE_10) + file(b"t", padded(b"999\n" + b"0\n0\n" * 999)) + A + END
    found = walk(raw, limits=Limits(header_bytes=1000))
    assert found.listing == [("s", "file", 9000), ("a", "file", 3)]
    assert found.damage == ["limit:header", "tar-bad-sparse"]
    assert walk(raw, 7, Limits(header_bytes=1000)) == found


def test_memos_are_bounded() -> None:
    """However many different headers go by, the hot path remembers a bounded number of their parts."""
    seen = Seen()
    for number in range(20_000):
        seen.learn_size(b"%011o\0" % number)
        seen.learn_checksum(b"%06o\0 " % number)
        seen.learn_head(b"%-124d" % number)
    assert max(len(seen.sizes), len(seen.checksums), len(seen.heads)) <= 1 << 14


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
members = st.lists(
    st.tuples(
        names,
        st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]),
        st.binary(max_size=1500),
        st.one_of(st.integers(0, 1 << 40), st.floats(0, 2e9)),
        names,
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(members, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(0, 2000))
def test_what_tarfile_writes_is_read(
    written: list[tuple[str, bytes, bytes, float, str]], form: int, chunk_bytes: int
) -> None:
    """Whatever tarfile writes in any format is listed as it lists it, with the contents, without a fault."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8") as archive:
        for name, flag, content, mtime, link in written:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.linkname = flag, mtime, link
            info.size = len(content) if flag == tarfile.REGTYPE else 0
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:  # ustar has no room for it
                continue
    with tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r:", encoding="utf-8") as archive:
        infos = archive.getmembers()
        expected = [(info.name, tarfile_kind(info), info.size if info.isreg() else 0) for info in infos]
    found = walk(out.getvalue(), chunk_bytes)
    assert found.listing == expected
    assert found.faults == []


blocks = st.lists(
    st.one_of(
        st.sampled_from([A, Z, END, bytes(512), *(case.raw for case in CASES.values() if len(case.raw) < 6000)]),
        st.binary(min_size=1, max_size=700),
        st.builds(
            lambda name, size, flag: header(name, size=size, flag=flag),
            st.binary(max_size=100),
            st.binary(min_size=12, max_size=12),
            st.binary(min_size=1, max_size=1),
        ),
        st.builds(file, st.just(b"x"), st.binary(max_size=600), st.sampled_from([b"x", b"g", b"L", b"S", b"X"])),
    ),
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(blocks, st.integers(1, 3000))
def test_anything_can_be_walked(parts: list[bytes], chunk_bytes: int) -> None:
    """Splices of sound, flawed and random blocks never raise, and give the same at any chunk size."""
    raw = b"".join(parts)
    assert walk(raw, chunk_bytes) == walk(raw)
