"""Ordinary rows: the compiled walker and templates make of a row what the probe makes of it, whatever lies between."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Sequence

import pytest
from codec_samples import ENCODERS
from compiler import where_compiled
from content_samples import zip_of
from corpus import cases
from hypothesis import example, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from scanner.collector import FAULTS_KEPT
from scanner.content import CONTENT_TYPES, TELLING_STARTS, content_type
from scanner.corpus.hostile_tar import END, TASK, member, pax
from scanner.corpus.pack import BLOCK, gzip_blob, pax_record
from scanner.formats.tar_quick import QuickWalker, Signatures, Walked, quick_walker
from scanner.model import Blob, Census, Reading, Record
from scanner.options import MAGIC_BYTES, SMALL_BYTES, Limits
from scanner.ordinary import Ordinary
from scanner.probe import Probe

FILES = {
    "task.toml": b'version = "1.0"\n[metadata]\nname = "a"\n',
    "instruction.md": b"Write it down.\n",
    "environment/Dockerfile": b"FROM python:3.12-slim\n",
    "tests/test.sh": b"#!/bin/bash\npytest\n",
    "tests/data.json": b'{"a": 1, "b": [2]}',
    "tests/empty": b"",
    "solution/solve.sh": b"echo 1 > out\n" * 90,
}


def task(
    files: dict[str, bytes] = FILES, *, dialect: int = tarfile.PAX_FORMAT, mtime: float = 1_700_000_000.25
) -> bytes:
    """A raw tar as Python writes it, directories included."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dialect) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.mtime = mtime  # a fraction is what makes a PAX header
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_of(*parts: bytes, end: bytes = END) -> bytes:
    """A raw tar of members."""
    return b"".join(parts) + end


def blobs_of(rows: Sequence[bytes | None]) -> list[Blob]:
    return [
        Blob(None if row is None else memoryview(row), f"task-{number}", "a__b/tasks.parquet", number)
        for number, row in enumerate(rows)
    ]


def plain(result: tuple[Record, Census]) -> tuple[object, ...]:
    """A result without the difference between lists and tuples."""
    record, census = result
    lists = (census.names, census.content_types, census.json_keys, census.lies)
    record.faults = tuple(record.faults)
    return (record, *map(tuple, lists), census.digests)


def scanned(rows: Sequence[bytes | None], limits: Limits | None = None) -> list[tuple[Blob, Reading]]:
    """Each row with what is said of it."""
    blobs = blobs_of(rows)
    return list(zip(blobs, Ordinary(Probe(limits or Limits()))(blobs), strict=True))


def assert_same(rows: Sequence[bytes | None], limits: Limits | None = None) -> None:
    limits = limits or Limits()
    expected = [plain(Probe(limits)(blob)) for blob in blobs_of(rows)]
    got = [plain((reading.record(blob), reading.census())) for blob, reading in scanned(rows, limits)]
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert one == other, f"row {number}"


SIGNATURES = Signatures(TELLING_STARTS, [b"#!/bin/bash\n", b"#!/bin/sh\n"], MAGIC_BYTES)


def walker_of(raw: bytes) -> QuickWalker:
    """The compiled walker, over an arena that begins with an archive and ends in other bytes."""
    walker = quick_walker(bytearray(raw + b"x" * BLOCK), SIGNATURES)
    assert walker is not None, "tar_quick.c was not compiled: is there a C compiler?"
    return walker


@where_compiled
@pytest.mark.parametrize("dialect", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("mtime", [1_700_000_000, 1_700_000_000.25])
def test_what_python_writes_is_ordinary(dialect: int, mtime: float) -> None:
    """Files and directories as ``tarfile`` writes them are walked, hashed and told apart by compiled code."""
    contents = {**FILES, "d/": b"", "d/picture.png": b"\x89PNG\r\n\x1a\n", "d/latin": b"caf\xe9", "d/nul": b"a\0b"}
    raw = task(contents, dialect=dialect, mtime=mtime)
    walker = walker_of(raw)
    walked = walker(len(raw))
    assert walked is not None
    numbers = memoryview(walked.members).cast("i").tolist()
    names = [walker.head(number >> 1)[:100].rstrip(b"\0").decode() for number in numbers]
    assert names == list(contents)
    assert [number & 1 for number in numbers] == [name.endswith("/") for name in contents]
    files = [data for name, data in contents.items() if not name.endswith("/")]
    assert [raw[start:end] for start, end in zip(walked.spans[::2], walked.spans[1::2], strict=True)] == files
    assert walked.digests == b"".join(map(xxh3_128_digest, files))
    assert walked.types == bytes([1, 1, 1, 3, 1, 2, 1, 0, 0, 0])
    assert (walked.largest, walked.largest_bytes) == (6, len(FILES["solution/solve.sh"]))


PIECES = [
    "a" * 64,
    "b",
    "\x00",
    "\u00e9",
    "\u4e2d",
    "\U0001f600",
    "\ufffd",
    "\u0800",
    "\U00010000",
    "\U0010ffff",
    "\ud800",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map(
    lambda pieces: "".join(pieces).encode(errors="surrogatepass")
)
BROKEN = st.sampled_from(
    [b"", b"\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5", b"\xff"]
)
STARTS = st.sampled_from([b"", *(row.signature for row in CONTENT_TYPES)])


@where_compiled
@settings(max_examples=1500, deadline=None)
@given(st.tuples(STARTS, TEXTS, BROKEN, TEXTS).map(b"".join), st.integers(0, 80) | st.just(0))
@example(b"a" * (MAGIC_BYTES - 1) + b"\xc3", 0)
@example(b"a" * (MAGIC_BYTES - 1) + b"\xc3\xa9", 0)
@example(b"a" * (MAGIC_BYTES - 2) + b"\xc3", 0)
@example(b"a" * (MAGIC_BYTES - 1) + b"\xe0\x80", 0)
@example(b"]", 0)
def test_types_that_are_settled(content: bytes, cut: int) -> None:
    """What compiled code settles by a file's first bytes is what the table of magic says of it, wherever it is cut."""
    content = content[: len(content) - cut]
    raw = tar_of(member("f", content))
    walked = walker_of(raw)(len(raw))
    assert walked is not None
    settled = ["text/utf-8", "empty", "script/shell", "script/shell"]
    assert not walked.types[0] or settled[walked.types[0] - 1] == content_type(content)
    if not walked.types[0]:
        padded = content + bytes(MAGIC_BYTES)  # as in the archive
        begins_so = padded.startswith(TELLING_STARTS.get(padded[:2]) or b"never")
        assert begins_so or b"\xef\xbf\xbd" in content or content_type(content) != "text/utf-8", "nearly all text is"


@where_compiled
def test_memory_beyond_the_archive_is_not_looked_at() -> None:
    """An archive that is cut anywhere, with what would follow it still behind, is refused or lies within its end."""
    raw = task()
    walker = walker_of(raw)
    for end in range(0, len(raw), 64):
        walked = walker(end)
        assert walked is None or max(walked.spans) <= end - 2 * BLOCK, end


@where_compiled
def test_the_arena_is_what_it_was() -> None:
    """No more than the arena is looked at, and it cannot be made another size under the walker."""
    arena = bytearray(task())
    walker = quick_walker(arena, SIGNATURES)
    assert walker is not None
    for end in (-1, len(arena) + 1):
        with pytest.raises(ValueError, match="of an arena of"):
            walker(end)
    with pytest.raises(BufferError):
        arena.clear()
    assert walker(len(arena)) is not None


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was compiled, or a library lacks a symbol, the probe reads every row, with the same records."""
    rows = [gzip_blob(task()), gzip_blob(ODD["a link"]), gzip_blob(task(mtime=1.5))]
    quick = [plain((reading.record(blob), reading.census())) for blob, reading in scanned(rows)]
    for module in ("scanner.no_such_module", "xxhash._xxhash"):
        monkeypatch.setattr("scanner.compiled.MODULE", module)
        assert quick_walker(bytearray(BLOCK), SIGNATURES) is None
        assert [plain((reading.record(blob), reading.census())) for blob, reading in scanned(rows)] == quick


def test_the_hostile_corpus_between_sound_rows() -> None:
    """Every hostile row, each after an ordinary one, gives the record that it gives alone."""
    sound = gzip_blob(task())
    for depth in (0, 3):
        rows = [row for case in cases() if case.depth == depth for row in (sound, case.blob)]
        assert_same(rows, Limits(depth=depth))


ODD = {
    "a link": tar_of(TASK, member("l", kind=b"2", link=b"task.toml")),
    "a long name in a record": tar_of(pax(pax_record("path", "n" * 120)), member("n", b"x")),
    "two records": tar_of(pax(pax_record("mtime", "1.5"), pax_record("comment", "c")), member("n", b"x")),
    "two PAX headers": tar_of(pax(pax_record("mtime", "1.5")), pax(pax_record("mtime", "1.5")), member("n", b"x")),
    "a PAX header last": tar_of(TASK, pax(pax_record("mtime", "1.5"))),
    "a global header": tar_of(pax(pax_record("mtime", "1.5"), kind=b"g"), TASK),
    "one block of zeros": tar_of(TASK, end=bytes(BLOCK)),
    "no end": tar_of(TASK, end=b""),
    "something behind the end": tar_of(TASK, end=END + TASK),
    "a zero block between": tar_of(TASK, bytes(BLOCK), TASK),
    "the same name twice": tar_of(TASK, TASK),
    "names that differ in case": tar_of(member("a", b"1"), member("A", b"2")),
    "a tar in a tar": tar_of(TASK, member("in.tar", tar_of(TASK))),
    "an unsafe name": tar_of(TASK, member("../a", b"x")),
    "set-user bits": tar_of(TASK, member("a", b"x", mode=0o4755)),
    "a lying extension": tar_of(TASK, member("a.png", b"no picture")),
    "a key": tar_of(TASK, member("id", b"-----BEGIN PRIVATE KEY-----\n")),
    "a link of 100 bytes first": tar_of(member("l", kind=b"2", link=b"t" * 100), TASK),
    "a file whose link field is full": tar_of(member("l", b"x", link=b"t" * 100), TASK),
    "only a directory": tar_of(member("d/", kind=b"5")),
    "nothing": END,
}


def test_what_is_not_ordinary() -> None:
    """One oddity each, between ordinary rows: the probe reads it, and its neighbours are none the worse."""
    sound = gzip_blob(task())
    assert_same([row for raw in ODD.values() for row in (gzip_blob(raw), sound)])


@pytest.mark.parametrize(
    "limits",
    [
        Limits(members=3),
        Limits(output_bytes=4096),
        Limits(output_bytes=0, members=0, seconds=0),
        Limits(seconds=0.5),
        Limits(depth=2),
        Limits(header_bytes=16),
    ],
)
def test_limits(limits: Limits) -> None:
    """Each limit ends the same rows at the same place."""
    rows = [
        task(),
        tar_of(TASK, member("in.tar.gz", gzip_blob(task()))),
        tar_of(*[member(f"{i}", b"") for i in range(9)]),
    ]
    assert_same([gzip_blob(row) for row in rows], limits)


@pytest.mark.parametrize("depth", [0, 1])
def test_archives_inside(depth: int) -> None:
    """Files that are archives are files like any other, until somebody asks to open them."""
    inside = {"a.tar.gz": gzip_blob(task()), "b.zip": zip_of("x"), "c.gz": gzip.compress(b"1")}
    rows = [
        gzip_blob(task({**FILES, **files})) for files in (inside, {"data.zip": zip_of("y")}, {"a.txt": zip_of("z")})
    ]
    assert_same(rows * 2, Limits(depth=depth))


def test_rows_that_fill_the_arena() -> None:
    """Rows that fill it to the last block, that fit in none, and small ones between."""
    sizes = [SMALL_BYTES // 3, SMALL_BYTES - 4 * BLOCK, SMALL_BYTES - 3 * BLOCK, SMALL_BYTES, 10]
    noise = random.Random(1).randbytes(max(sizes))
    rows = [gzip_blob(tar_of(member("noise", noise[:size]))) for size in sizes]
    assert_same([*rows, *reversed(rows)])


def test_a_header_in_the_last_block_of_the_arena() -> None:
    """Its file would begin where the arena ends: nothing is looked up there, whether it states a size or not."""
    noise = random.Random(2).randbytes(SMALL_BYTES - 2 * BLOCK)
    rows = [member("noise", noise) + member("last", content)[:BLOCK] for content in (b"", b"x")]
    assert {len(raw) for raw in rows} == {SMALL_BYTES}
    assert_same([gzip_blob(raw) for raw in (*rows, task())])


@where_compiled
def test_heads_that_share_a_slot() -> None:
    """Names by the thousand fill the table of heads; what finds no place in it is refused, and then all start over."""
    rows = [tar_of(*[member(f"{row}/{i}", b"") for i in range(400)]) for row in range(30)]
    walker = quick_walker(bytearray(len(rows[0])), SIGNATURES)
    assert walker is not None
    for raw in rows:
        walker.arena[:] = raw
        numbers = walker(len(raw))
        if numbers is None:
            assert walker.is_full()
            walker.start_over()
            numbers = walker(len(raw))
        assert numbers is not None
        heads = [walker.head(number >> 1) for number in memoryview(numbers.members).cast("i").tolist()]
        assert heads == [raw[at : at + 128] for at in range(0, 400 * BLOCK, BLOCK)]


@where_compiled
def test_a_defect_of_the_walker_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it fails the row is read another way, step by step or by the probe, and the next one is walked again."""
    walked, n_files = QuickWalker.walked, []

    def fails_at_times(self: QuickWalker, members: bytes, *of_files: int) -> Walked:
        n_files.append(of_files[0])
        if len(n_files) in {1, 2, 4}:
            raise IndexError("a defect")
        return walked(self, members, *of_files)

    monkeypatch.setattr(QuickWalker, "walked", fails_at_times)
    assert_same([gzip_blob(task(mtime=number + 0.5)) for number in range(4)])
    assert n_files == [len(FILES)] * 6, "the first row and the third are walked twice, and the probe reads the first"


@pytest.mark.parametrize("codec", ["none", *ENCODERS])
def test_any_codec(codec: str) -> None:
    """A tar is as ordinary in one codec as in another; rows of several that say the same have records of their own."""
    encode = ENCODERS.get(codec, bytes)
    rows = [encode(task(mtime=i + 0.5)) for i in range(3)]
    assert_same([*rows, gzip_blob(task()), *rows, encode(task())])


@where_compiled
def test_findings_do_not_make_a_row_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extensions that lie, private keys and the like are noted, as often as is kept, without the probe."""
    lies = {f"environment/{number}.png": b"no picture" for number in range(FAULTS_KEPT + 2)}
    others = {"a.parquet": b"version https://git-lfs.github.com/spec/v1\n", "key.pem": b"-----BEGIN PRIVATE KEY-----\n"}
    rows = [gzip_blob(task({**FILES, **lies, **others}, mtime=mtime)) for mtime in (1.5, 2.5)]
    assert_same(rows)
    monkeypatch.setattr(Probe, "scan", None)
    for _, reading in scanned(rows):
        assert [fault.kind for fault in reading.faults].count("lying-extension") == FAULTS_KEPT
        assert {"lfs-pointer", "private-key"} < {fault.kind for fault in reading.faults}


@pytest.mark.parametrize("name", sorted(ODD))
def test_nothing_but_odd_rows(name: str) -> None:
    """Without an ordinary row before it."""
    assert_same([gzip_blob(ODD[name])])


def test_more_names_than_are_remembered() -> None:
    """Six thousand distinct names make the memory of heads start over, and nothing else changes."""
    rows = [tar_of(*[member(f"{row}/{i}.txt", b"text") for i in range(60)]) for row in range(100)]
    assert_same([gzip_blob(row) for row in rows])


def test_a_size_that_lies_is_not_believed() -> None:
    """A trailer that states another size than came out is seen."""
    good = gzip_blob(task())
    forged = [good[:-4] + size.to_bytes(4, "little") for size in (0, 512, 1 << 20, (1 << 32) - 512)]
    assert_same([good, *forged, good])


def test_rows_that_are_no_tar_or_no_gzip() -> None:
    """JSON, text, zips, null rows and other codecs come out in their places."""
    rows = [
        gzip.compress(b'{"prompt": "x"}'),
        None,
        b"",
        b"text",
        gzip_blob(task()),
        gzip.compress(bytes(2048)),
        b"\x1f\x8b",
    ]
    assert_same([*rows, *rows])


FIELDS = [0, 99, 100, 106, 108, 124, 127, 130, 135, 136, 148, 154, 156, 157, 256, 257, 262, 263, 297, 345]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_edit_of_the_raw_tar(data: st.DataObject) -> None:
    """Bytes of headers overwritten, blocks dropped, doubled or blanked: the gzip is sound, the tar is not."""
    rows = []
    for _ in range(8):
        raw = bytearray(task(dialect=data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))))
        for _ in range(data.draw(st.integers(0, 3))):
            block = BLOCK * data.draw(st.integers(0, 30))
            what = data.draw(st.sampled_from(["field", "drop", "double", "blank", "checksummed"]))
            if what == "drop":
                del raw[block : block + BLOCK]
            elif what == "double":
                raw[block:block] = raw[block : block + BLOCK]
            elif what == "blank":
                raw[block : block + BLOCK] = bytes(BLOCK)
            else:
                at = block + data.draw(st.sampled_from(FIELDS))
                raw[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
                if what == "checksummed":
                    _sum_anew(raw, block)
        rows.append(gzip_blob(bytes(raw)))
    assert_same(rows)


def _sum_anew(raw: bytearray, block: int) -> None:
    """Put the right checksum into a header."""
    raw[block + 148 : block + 156] = b" " * 8
    raw[block + 148 : block + 156] = b"%06o\0 " % sum(raw[block : block + BLOCK])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(ODD)), max_size=40), st.randoms(use_true_random=False))
def test_any_order(names: list[str], chance: random.Random) -> None:
    """Ordinary and odd rows in any order."""
    rows = [gzip_blob(ODD[name]) for name in names] + [gzip_blob(task(mtime=i + 0.5)) for i in range(20)]
    chance.shuffle(rows)
    assert_same(rows)
