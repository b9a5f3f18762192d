"""Codecs: nothing is lost, nothing raises, memory is constant, and each flaw has its name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import NamedTuple, get_args

import lz4.frame
import pytest
import zstandard
from codec_samples import BY_NAME, CHUNKS, ENCODERS, RAW, Ear, flipped, gzip_member, hear, lz4_legacy, skippable
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.faults import FaultKind
from scanner.formats import Codec
from scanner.formats.gzip import GZIP, Gzip, InflateInto, fastest_inflate, zlib_ng_inflate
from scanner.formats.registry import CODECS, FORMATS
from scanner.formats.zstd import LOOK_FRAMES
from scanner.model import CodecName, FormatName

LIBARCHIVE = Path(__file__).parent.parent.parent / "shared" / "conformance" / "libarchive"
GZ, ZST, XZ, BZ2, LZ4 = (ENCODERS[name](RAW) for name in ("gzip", "zstd", "xz", "bzip2", "lz4"))
DICTIONARY = zstandard.ZstdCompressionDict(b"a dictionary of words" * 40)
WINDOWS = {"xz": 8 << 20}
"""What a reference encoder's stream asks for as its window, where Python sees the allocation."""
names = pytest.mark.parametrize("name", list(ENCODERS))


class Flaw(NamedTuple):
    """One flawed or odd blob, what comes out of it, and what is said."""

    codec: CodecName
    data: bytes
    out: bytes
    kinds: list[FaultKind]


FLAWS = {
    "gzip-empty-member": Flaw("gzip", gzip.compress(b""), b"", []),
    "gzip-several-members": Flaw("gzip", GZ + GZ + GZ, RAW * 3, ["several-codec-members"]),
    "gzip-zero-padding": Flaw("gzip", GZ + bytes(10_000), RAW, []),
    "gzip-padding-between-members": Flaw("gzip", GZ + bytes(5) + GZ, RAW * 2, ["several-codec-members"]),
    "gzip-trailing-data": Flaw("gzip", GZ + b"PK", RAW, ["trailing-data"]),
    "gzip-trailing-after-padding": Flaw("gzip", GZ + bytes(9) + b"x", RAW, ["trailing-data"]),
    "gzip-cut-in-header": Flaw("gzip", GZ[:7], b"", ["codec-truncated"]),
    "gzip-cut-in-name": Flaw("gzip", gzip_member(RAW, 8, b"name")[:14], b"", ["codec-truncated"]),
    "gzip-cut-in-extra": Flaw("gzip", gzip_member(RAW, 4, b"\xff\xff")[:40], b"", ["codec-truncated"]),
    "gzip-cut-in-trailer": Flaw("gzip", GZ[:-3], RAW, ["codec-truncated"]),
    "gzip-cut-before-trailer": Flaw("gzip", GZ[:-8], RAW, ["codec-truncated"]),
    "gzip-second-member-cut": Flaw("gzip", GZ + GZ[:5], RAW, ["codec-truncated"]),
    "gzip-wrong-crc": Flaw("gzip", flipped(GZ, -8), RAW, ["codec-checksum"]),
    "gzip-wrong-size": Flaw("gzip", flipped(GZ, -4), RAW, ["codec-checksum"]),
    "gzip-wrong-crc-first-of-two": Flaw(
        "gzip", flipped(GZ, -8) + GZ, RAW * 2, ["codec-checksum", "several-codec-members"]
    ),
    "gzip-name-comment-extra": Flaw("gzip", gzip_member(RAW, 28, b"\2\0xxname\0comment\0"), RAW, []),
    "gzip-long-name": Flaw("gzip", gzip_member(RAW, 8, b"n" * 5000 + b"\0"), RAW, []),
    "gzip-header-crc": Flaw(
        "gzip",
        gzip_member(RAW, 2, struct.pack("<H", zlib.crc32(gzip_member(b"", 2)[:10]) & 0xFFFF)),
        RAW,
        [],
    ),
    "gzip-wrong-header-crc": Flaw("gzip", gzip_member(RAW, 2, b"\1\2"), RAW, ["codec-checksum"]),
    "gzip-reserved-flags": Flaw("gzip", gzip_member(RAW, 0x80), RAW, ["codec-unsupported"]),
    "gzip-unknown-method": Flaw("gzip", gzip_member(RAW, method=9), b"", ["codec-unsupported"]),
    "gzip-bad-block-type": Flaw("gzip", GZ[:10] + b"\xff" + GZ[11:], b"", ["codec-corrupt"]),
    "zstd-several-frames": Flaw("zstd", ZST + ZST, RAW * 2, ["several-codec-members"]),
    "zstd-skippable-frames": Flaw("zstd", skippable(b"x" * 9) + ZST + skippable(b""), RAW, []),
    "zstd-cut-in-skippable": Flaw("zstd", ZST + skippable(b"x" * 9)[:-1], RAW, ["codec-truncated"]),
    "zstd-unknown-content-size": Flaw(
        "zstd", zstandard.ZstdCompressor(write_content_size=False).compress(RAW), RAW, []
    ),
    "zstd-trailing-data": Flaw("zstd", ZST + b"x", RAW, ["trailing-data"]),
    "zstd-wrong-checksum": Flaw("zstd", flipped(ZST, -1), RAW, ["codec-checksum"]),
    "zstd-cut-in-checksum": Flaw("zstd", ZST[:-1], RAW, ["codec-truncated"]),
    "zstd-cut-in-header": Flaw("zstd", ZST[:5], b"", ["codec-truncated"]),
    "zstd-magic-alone": Flaw("zstd", ZST[:4], b"", ["codec-truncated"]),
    "zstd-wide-window": Flaw("zstd", b"\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00", b"", ["codec-unsupported"]),
    "zstd-window-of-an-exabyte": Flaw(
        "zstd", b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x01\x00\x00", b"", ["codec-unsupported"]
    ),
    "zstd-reserved-bit": Flaw("zstd", b"\x28\xb5\x2f\xfd\x08\x00\x01\x00\x00", b"", ["codec-unsupported"]),
    "zstd-needs-dictionary": Flaw(
        "zstd", zstandard.ZstdCompressor(dict_data=DICTIONARY).compress(RAW), RAW, []
    ),  # a raw-content dictionary has no id, and nothing in it was of use
    "zstd-dictionary-id": Flaw("zstd", b"\x28\xb5\x2f\xfd\x21\x07\x00\x01\x00\x00", b"", ["codec-unsupported"]),
    "zstd-bad-block-type": Flaw("zstd", b"\x28\xb5\x2f\xfd\x00\x48\x07\x00\x00", b"", ["codec-corrupt"]),
    "xz-several-streams": Flaw("xz", XZ + XZ, RAW * 2, ["several-codec-members"]),
    "xz-padding": Flaw("xz", XZ + bytes(8) + XZ + bytes(4), RAW * 2, ["several-codec-members"]),
    "xz-crooked-padding": Flaw("xz", XZ + bytes(3), RAW, ["trailing-data"]),
    "xz-trailing-data": Flaw("xz", XZ + b"junk", RAW, ["trailing-data"]),
    "xz-wrong-footer": Flaw("xz", flipped(XZ, -1), RAW, ["codec-corrupt"]),
    "xz-wrong-check": Flaw("xz", flipped(XZ, -30), RAW, ["codec-corrupt"]),
    "xz-cut-in-footer": Flaw("xz", XZ[:-5], RAW, ["codec-truncated"]),
    "xz-level-9": Flaw("xz", lzma.compress(RAW, preset=9), RAW, []),
    "bzip2-several-streams": Flaw("bzip2", BZ2 + BZ2, RAW * 2, ["several-codec-members"]),
    "bzip2-empty": Flaw("bzip2", bz2.compress(b""), b"", []),
    "bzip2-trailing-data": Flaw("bzip2", BZ2 + bytes(4), RAW, ["trailing-data"]),
    "bzip2-wrong-stream-crc": Flaw("bzip2", flipped(BZ2, -2), RAW, ["codec-corrupt"]),
    "bzip2-wrong-block-crc": Flaw("bzip2", flipped(BZ2, 12), RAW[:-1], ["codec-corrupt"]),
    "bzip2-cut": Flaw("bzip2", BZ2[:-4], RAW, ["codec-truncated"]),
    "lz4-several-frames": Flaw("lz4", LZ4 + LZ4, RAW * 2, ["several-codec-members"]),
    "lz4-skippable-frames": Flaw("lz4", skippable(b"abc") + LZ4 + skippable(b""), RAW, []),
    "lz4-trailing-data": Flaw("lz4", LZ4 + b"junk", RAW, ["trailing-data"]),
    "lz4-wrong-checksum": Flaw("lz4", flipped(LZ4, -1), RAW, ["codec-checksum"]),
    "lz4-wrong-header-checksum": Flaw("lz4", flipped(LZ4, 6), b"", ["codec-checksum"]),
    "lz4-cut": Flaw("lz4", LZ4[:-6], RAW, ["codec-truncated"]),
    "lz4-dictionary": Flaw("lz4", LZ4[:4] + bytes([LZ4[4] | 1]) + LZ4[5:], b"", ["codec-unsupported"]),
    "lz4-linked-blocks": Flaw("lz4", lz4.frame.compress(RAW, block_linked=True), RAW, []),
    "lz4-legacy": Flaw("lz4", lz4_legacy(RAW), RAW, []),
    "lz4-legacy-cut": Flaw("lz4", lz4_legacy(RAW)[:-1], b"", ["codec-truncated"]),
    "lz4-legacy-then-frame": Flaw("lz4", lz4_legacy(RAW) + LZ4, RAW * 2, ["several-codec-members"]),
    "lz4-legacy-broken": Flaw("lz4", lz4_legacy(b"")[:4] + b"\1\0\0\0\xff", b"", ["codec-corrupt"]),
}


@names
@pytest.mark.parametrize("chunk_bytes", CHUNKS)
def test_round_trip(name: str, chunk_bytes: int) -> None:
    """What the reference encoder writes comes out whole and without a word, at any chunk size."""
    assert hear(name, ENCODERS[name](RAW), chunk_bytes) == (RAW, [])


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=list(FLAWS))
def test_flaws(flaw: Flaw) -> None:
    """Each flaw is named, and everything before it has come out."""
    heard = hear(flaw.codec, flaw.data)
    assert heard.kinds == flaw.kinds
    assert heard.out == flaw.out


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=list(FLAWS))
def test_flaws_at_any_chunk_size(flaw: Flaw) -> None:
    """Neither output nor faults, offsets included, depend on the chunk size."""
    assert hear(flaw.codec, flaw.data, 7) == hear(flaw.codec, flaw.data)


@pytest.mark.parametrize("flaw", FLAWS.values(), ids=list(FLAWS))
def test_offsets_lie_in_the_blob(flaw: Flaw) -> None:
    """A fault's offset counts in the compressed blob."""
    assert all(0 <= (fault.offset or 0) <= len(flaw.data) for fault in hear(flaw.codec, flaw.data).faults)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (GZ + b"junk", len(GZ)),
        (GZ + bytes(7) + b"junk", len(GZ) + 7),
        (GZ + GZ, len(GZ)),
        (flipped(GZ, -8), len(GZ) - 8),
    ],
    ids=["trailing", "behind padding", "second member", "checksum"],
)
def test_gzip_offsets(data: bytes, offset: int) -> None:
    """An offset points at the thing that is meant."""
    assert [fault.offset for fault in hear("gzip", data).faults] == [offset]


@names
@given(raw=st.binary(max_size=4000), chunk_bytes=st.sampled_from(CHUNKS))
@settings(deadline=None, max_examples=40)
def test_any_content_round_trips(name: str, raw: bytes, chunk_bytes: int) -> None:
    """Any content comes back as it was."""
    assert hear(name, ENCODERS[name](raw), chunk_bytes) == (raw, [])


@names
@given(data=st.data())
@settings(deadline=None, max_examples=80)
def test_truncated_anywhere(name: str, data: st.DataObject) -> None:
    """A stream that ends early gives a beginning of its content, and says so."""
    whole = ENCODERS[name](RAW)
    heard = hear(name, whole[: data.draw(st.integers(7, len(whole) - 1))])
    assert RAW.startswith(heard.out)
    assert heard.kinds == ["codec-truncated"]


@names
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_mutated_anywhere(name: str, data: st.DataObject) -> None:
    """Whatever the bytes are, nothing is raised, it ends, and the chunk size makes no difference."""
    blob = bytearray(ENCODERS[name](RAW[:30_000]))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    heard = hear(name, bytes(blob))
    assert heard == hear(name, bytes(blob), 511)


@names
@given(blob=st.binary(max_size=300))
@settings(deadline=None, max_examples=80)
def test_junk_behind_the_magic(name: str, blob: bytes) -> None:
    """Junk with the right magic neither raises nor hangs."""
    hear(name, ENCODERS[name](b"")[:6] + blob)


@names
def test_constant_memory(name: str) -> None:
    """Ninety-six megabytes of zeros pass through less than one, and the window."""
    blob = memoryview(ENCODERS[name](bytes(96 << 20)))
    tracemalloc.start()
    n_bytes = sum(len(piece) for piece in BY_NAME[name].stream(blob, Ear(), 65_536))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_bytes == 96 << 20
    assert peak < (1 << 20) + WINDOWS.get(name, 0)


@names
def test_empty_streams_still_yield(name: str) -> None:
    """A blob of empty streams gives empty pieces, so that its consumer can look at the clock."""
    pieces = list(BY_NAME[name].stream(memoryview(ENCODERS[name](b"") * 300), Ear(), 65_536))
    assert len(pieces) >= 300
    assert not any(pieces)


@pytest.mark.parametrize("name", ["zstd", "lz4"])
def test_skippable_frames_yield_now_and_then(name: str) -> None:
    """Frames to skip give empty pieces too, before, between and behind others, however many they are."""
    many = skippable(b"") * (3 * LOOK_FRAMES + 1)
    blob = many + ENCODERS[name](RAW) + many + ENCODERS[name](b"") + many
    pieces = list(BY_NAME[name].stream(memoryview(blob), Ear(), 65_536))
    assert b"".join(pieces) == RAW
    assert len(pieces) >= 9
    assert hear(name, blob).kinds == ["several-codec-members"]
    assert hear(name, blob[:-1]).kinds == ["several-codec-members", "trailing-data"]
    assert hear(name, blob + skippable(b"x")[:-1]).kinds == ["several-codec-members", "codec-truncated"]


def test_memory_limit_of_xz() -> None:
    """A stream that claims a larger dictionary than the limit is refused without allocating it."""
    blob = bytearray(lzma.compress(RAW, preset=0))
    assert blob[12:16] == b"\x02\x00\x21\x01"  # the block header: its size, one filter, LZMA2, one byte of properties
    blob[16] = 34  # 512 MiB
    blob[20:24] = struct.pack("<L", zlib.crc32(blob[12:20]))
    (fault,) = hear("xz", bytes(blob)).faults
    assert (fault.kind, fault.detail) == ("codec-unsupported", "Memory usage limit exceeded")


# -- inflate_into ----------------------------------------------------------------------------------------------------

INFLATERS = {"libdeflate": fastest_inflate(), "zlib-ng": zlib_ng_inflate}
inflaters = pytest.mark.parametrize("inflate", INFLATERS.values(), ids=list(INFLATERS))


@inflaters
def test_inflate_into_the_arena(inflate: InflateInto) -> None:
    """A sound member lands at the start of the arena; the rest of the arena is left alone."""
    arena = bytearray(b"\xaa" * (len(RAW) + 10))
    assert inflate(memoryview(GZ), arena) == len(RAW)
    assert arena == RAW + b"\xaa" * 10


@inflaters
@pytest.mark.parametrize("room", [0, 1, len(RAW) - 1])
def test_inflate_into_too_small_an_arena(inflate: InflateInto, room: int) -> None:
    """What does not fit is for the stream; an arena of exactly the size fits."""
    assert inflate(memoryview(GZ), bytearray(room)) is None
    assert inflate(memoryview(GZ), bytearray(len(RAW))) == len(RAW)


@inflaters
@pytest.mark.parametrize("case", [case for case, flaw in FLAWS.items() if flaw.codec == "gzip" and flaw.kinds])
def test_inflate_into_refuses_flaws(inflate: InflateInto, case: str) -> None:
    """Whatever the stream would report is None here."""
    flaw = FLAWS[case]
    assert inflate(memoryview(flaw.data), bytearray(4 * len(RAW))) is None


@inflaters
def test_inflate_from_a_read_only_mapping(inflate: InflateInto) -> None:
    """A slice of a read-only mapping is inflated in place, and the mapping can be closed afterwards."""
    with mmap.mmap(-1, len(GZ) + 20) as mapping:
        mapping[7 : 7 + len(GZ)] = GZ
        arena = bytearray(len(RAW))
        with memoryview(mapping) as view, view.toreadonly() as fixed, fixed[7 : 7 + len(GZ)] as blob:
            assert inflate(blob, arena) == len(RAW)
        assert arena == RAW


@inflaters
def test_the_arena_may_change_between_calls(inflate: InflateInto) -> None:
    """Nothing of the arena is remembered: it may grow, shrink or be another one."""
    arena = bytearray(len(RAW))
    for size in (len(RAW), 10 * len(RAW), len(RAW)):
        arena[:] = bytes(size)
        assert inflate(memoryview(GZ), arena) == len(RAW)
        assert arena[: len(RAW)] == RAW


@inflaters
@given(raw=st.binary(max_size=3000), junk=st.binary(max_size=40), at=st.integers(0, 3000))
@settings(deadline=None, max_examples=150)
def test_inflate_into_agrees_with_the_stream(inflate: InflateInto, raw: bytes, junk: bytes, at: int) -> None:
    """Where the fast way answers at all, the stream gives the same bytes."""
    blob = bytearray(gzip.compress(raw, mtime=0))
    blob[at % len(blob) : at % len(blob) + len(junk)] = junk
    arena = bytearray(8000)
    n_bytes = inflate(memoryview(blob), arena)
    if n_bytes is not None:
        assert hear("gzip", bytes(blob)).out == arena[:n_bytes]


@pytest.mark.parametrize("module", ["no_such_package.at_all", "no_such_module", "json", "zlib_ng.zlib_ng"])
def test_fallback(module: str) -> None:
    """Without the library, or without its symbols, zlib-ng does the work."""
    assert fastest_inflate(module) is zlib_ng_inflate
    assert Gzip(fastest_inflate(module)).inflate_into(memoryview(GZ), bytearray(len(RAW))) == len(RAW)


def test_libdeflate_is_there() -> None:
    """The wheel that is installed here exports the symbols, so the fast way is what runs."""
    assert GZIP.inflate_into is not zlib_ng_inflate


# -- the registry ----------------------------------------------------------------------------------------------------


def test_the_registry_lists_every_name_once() -> None:
    """Codecs and formats of the model are the listed ones, and each codec has a reference encoder here."""
    listed = [format_.name for format_ in FORMATS]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {*get_args(CodecName), *get_args(FormatName)} - {"none"}
    assert [codec.name for codec in CODECS] == listed[: len(CODECS)]
    assert {codec.name for codec in CODECS} == set(ENCODERS)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_codecs_match_their_own_only(codec: Codec) -> None:
    """A codec knows its own magic, from 32 bytes, and no other's."""
    for name, encode in ENCODERS.items():
        assert codec.matches(encode(RAW)[:32]) == (codec.name == name)
    assert not codec.matches(b"")
    assert not codec.matches(b"PK\x03\x04" + bytes(28))


BROKEN = {
    "test_read_format_mtree_crash747.mtree.bz2": "its checksum is wrong on purpose; bzip2 -t says so too",
}


@pytest.mark.skipif(not LIBARCHIVE.is_dir(), reason="the conformance archives are not here")
@pytest.mark.parametrize("suffix", ["lz4", "zst", "tgz", "bz2", "xz"])
def test_archives_of_others(suffix: str) -> None:
    """Streams of libarchive's own tests are decoded, and none raises."""
    found = sorted(LIBARCHIVE.parent.rglob(f"*{suffix}"))
    assert found
    for path in found:
        blob = path.read_bytes()
        codec = next((codec for codec in CODECS if codec.matches(blob[:32])), None)
        assert codec is not None, path.name
        heard = hear(codec.name, blob)
        assert heard.out, path.name
        assert set(heard.kinds) <= {"trailing-data", "several-codec-members"} or path.name in BROKEN, path.name
