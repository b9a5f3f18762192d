"""The tar walker against ``tarfile`` and libarchive: on others' odd archives, on real tasks, on mutated tars."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tar_oracle import HAS_LIBARCHIVE, Listing, Oracle, tarfile_kind
from tar_walks import walk

from scanner.formats.tar import looks_like_tar
from scanner.options import Limits

SHARED = Path(__file__).parent.parent.parent / "shared"
ROOMY = Limits(header_bytes=64 << 20)
"""The oracles know no limit, or another one."""

OUTER_WINS = "of several extended headers the first wins, as in tarfile; libarchive 3.6 lets the last long name win"
GLOBAL_PATH = "an empty value deletes (POSIX) where tarfile lists nameless files; libarchive ignores global headers"
STORED_SIZE = "size is what is stored, GNU.sparse.realsize what it expands to, whichever record stands last"

BETTER_THAN_TARFILE = {
    "gnu-incremental.tar": "tarfile takes GNU's access time for a prefix of the name",
    "pax-global-records.tar": GLOBAL_PATH,
    "pax-nil-sparse-data.tar": STORED_SIZE,
    "pax-nil-sparse-hole.tar": STORED_SIZE,
    "pax-sparse-big.tar": STORED_SIZE,
}
"""Archives that tarfile lists to their end and we list otherwise, and why."""

OTHER_THAN_LIBARCHIVE = {
    "gnu-incremental.tar": "a GNU dump directory is `other` to tarfile, whose kinds ours are",
    "gnu-multi-hdrs.tar": OUTER_WINS,
    "invalid-go17.tar": "Go before 1.8 wrote a prefix under GNU's magic; tarfile and Go read it",
    "nil-uid.tar": "the size field says 14; libarchive 3.6 makes 2176 of it",
    "pax-bad-hdr-file.tar": "libarchive drops the path of a PAX header with a bad record; tarfile keeps it",
    "pax-global-records.tar": GLOBAL_PATH,
    "pax-multi-hdrs.tar": OUTER_WINS,
    "pax-nul-path.tar": "a NUL in a PAX path is kept, as in tarfile",
    "test_compat_solaris_tar_acl.tar": "Solaris ACL entries are members to tarfile, metadata to libarchive",
    "test_read_format_gtar_redundant_L.tar.Z": OUTER_WINS,
    "test_read_format_tar_V_negative_size.tar": "a volume label of negative size; libarchive skips it silently",
    "test_read_format_tar_empty_with_gnulabel.tar": "a volume label is a member to tarfile, none to libarchive",
}
"""Archives that libarchive lists to their end and we list otherwise, and why."""


def _uncompress(data: bytes) -> bytes:
    libarchive = pytest.importorskip("libarchive", reason="reading .Z takes libarchive")
    with libarchive.memory_reader(data, "raw", "compress") as archive:
        return b"".join(block for entry in archive for block in entry.get_blocks())


def _unzstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    out: bytes = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return out


def _unlz4(data: bytes) -> bytes:
    frame = pytest.importorskip("lz4.frame")
    out: bytes = frame.decompress(data)
    return out


DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tgz": gzip.decompress,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": _unzstd,
    ".lz4": _unlz4,
    ".Z": _uncompress,
}

NO_STREAM = {"test_compat_gzip_2.tgz", "test_compat_lz4_3.tar.lz4"}
"""Begin with a foreign prefix or frame: matters of the codec, not of the tar."""


def _archives() -> list[Path]:
    found = [path for path in (SHARED / "conformance").rglob("*") if ".tar" in path.name or path.suffix == ".tgz"]
    return sorted(path for path in found if path.suffix in DECOMPRESS and path.name not in NO_STREAM)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle() as asked:
        yield asked


def _bare(listing: Listing) -> Listing:
    """Without the trailing slash of directories, which libarchive keeps."""
    return [(name.rstrip("/") if kind == "dir" else name, kind, size) for name, kind, size in listing]


needs_conformance = pytest.mark.skipif(not _archives(), reason="no conformance archives beside the project")


@needs_conformance
@pytest.mark.parametrize("path", _archives(), ids=lambda path: path.name)
def test_lists_what_tarfile_lists(path: Path, oracle: Oracle) -> None:
    """What tarfile lists to the end is listed alike, but for the reasons given in the table; never less otherwise."""
    raw = DECOMPRESS[path.suffix](path.read_bytes())
    ours = walk(raw, limits=ROOMY)
    theirs = oracle.ask("tarfile", raw)
    if theirs.error is None:
        assert (ours.listing == theirs.members) is (path.name not in BETTER_THAN_TARFILE)
    else:
        assert len(ours.listing) >= len(theirs.members)


@needs_conformance
@pytest.mark.skipif(not HAS_LIBARCHIVE, reason="libarchive is not installed")
@pytest.mark.parametrize("path", _archives(), ids=lambda path: path.name)
def test_lists_what_libarchive_lists(path: Path, oracle: Oracle) -> None:
    """What libarchive (bsdtar) lists to the end is listed alike, but for the reasons given in the table."""
    raw = DECOMPRESS[path.suffix](path.read_bytes())
    ours = walk(raw, limits=ROOMY)
    theirs = oracle.ask("libarchive", raw)
    if theirs.error is None:
        assert (_bare(ours.listing) == _bare(theirs.members)) is (path.name not in OTHER_THAN_LIBARCHIVE)


@needs_conformance
@pytest.mark.parametrize("path", _archives(), ids=lambda path: path.name)
def test_nothing_hangs_or_raises(path: Path) -> None:
    """Each archive walks within a second under the default limits, the same at any chunk size."""
    raw = DECOMPRESS[path.suffix](path.read_bytes())
    began = time.process_time()
    expected = walk(raw)
    assert time.process_time() - began < 1
    for chunk_bytes in (511, 65_536) if len(raw) > 1 << 18 else (1, 7, 511, 65_536):
        assert walk(raw, chunk_bytes) == expected
    if expected.members:
        assert looks_like_tar(raw[:1024])


def _real_rows() -> Iterator[tuple[str, bytes]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    for file in sorted((SHARED / "corpora" / "real").glob("*/tasks.parquet")):
        for row, blob in enumerate(parquet.read_table(file, columns=["task_binary"])["task_binary"].to_pylist()):
            yield f"{file.parent.name}:{row}", gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob


@pytest.mark.skipif(not (SHARED / "corpora").exists(), reason="no corpora beside the project")
def test_real_tasks_list_and_read_as_tarfile_does() -> None:
    """Names, kinds, sizes, modes and contents of every real task are those of tarfile, without a fault."""
    rows = 0
    for where, raw in _real_rows():
        ours = walk(raw)
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            infos = archive.getmembers()
            contents = [archive.extractfile(info).read() if info.isreg() else b"" for info in infos]  # type: ignore[union-attr]
        sizes = [info.size if info.isreg() else 0 for info in infos]
        assert ours.listing == list(zip([info.name for info in infos], map(tarfile_kind, infos), sizes, strict=True)), (
            where
        )
        assert [(member.mode, member.offset) for member in ours.members] == [
            (info.mode & 0o7777, info.offset) for info in infos
        ], where
        assert ours.contents == contents, where
        assert ours.faults == [], where
        rows += 1
    assert rows


def _seed_tars() -> list[bytes]:
    """Small sound tars of each format that ``tarfile`` writes."""
    tars = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name, size in (
                ("dir", -1),
                ("a", 0),
                ("dir/b" + "x" * 90, 700),
                ("l", -2),
                ("h", -3),
                ("long/" * 25, 9),
            ):
                info = tarfile.TarInfo(name.rstrip("/"))
                info.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
                info.type = {-1: tarfile.DIRTYPE, -2: tarfile.SYMTYPE, -3: tarfile.LNKTYPE}.get(size, tarfile.REGTYPE)
                info.linkname = "a" if size < -1 else ""
                info.size = max(size, 0)
                archive.addfile(info, io.BytesIO(b"c" * info.size))
        tars.append(out.getvalue()[: 20 * 512])
    return tars


def _mutated(tars: list[bytes], chance: random.Random) -> bytes:
    raw = bytearray(chance.choice(tars))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        block = 512 * chance.randrange(max(len(raw) // 512, 1))
        match chance.randrange(6):
            case 0:
                raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            case 1:
                del raw[chance.randrange(1, len(raw)) :]
            case 2:
                other = chance.choice(tars)
                raw[block:block] = other[512 * chance.randrange(len(other) // 512) :][: 512 * chance.randrange(1, 4)]
            case 3:
                del raw[block : block + 512]
            case 4:
                forged = chance.choice(
                    (b"00000000000\0", b"00000001000\0", b"77777777777\0", b"\xff" * 12, b"\x80" + b"\xff" * 11)
                )
                raw[block + 124 : block + 136] = forged
                _sign(raw, block)
            case _:
                raw[block + 156 : block + 157] = bytes([chance.choice(b"01234567xgLKSVX\0\xff")])
                _sign(raw, block)
        if len(raw) < 512:
            break
    return bytes(raw)


def _sign(raw: bytearray, at: int) -> None:
    """Make the checksum of the header at ``at`` hold again."""
    if at + 512 <= len(raw):
        raw[at + 148 : at + 156] = b" " * 8
        raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])


def test_mutated_tars_never_lose_members_silently(oracle: Oracle) -> None:
    """On 2,000 damaged tars no fewer members than tarfile's, unless a damage fault says why; any chunk size agrees."""
    chance = random.Random(20_241)
    tars = _seed_tars()
    for number in range(2_000):
        raw = _mutated(tars, chance)
        ours = walk(raw)
        theirs = oracle.ask("tarfile", raw)
        assert len(ours.members) >= len(theirs.members) or ours.damage, number
        if theirs.error is None and not ours.damage:
            assert ours.listing[: len(theirs.members)] == theirs.members, number
        assert walk(raw, chance.choice((1, 7, 511, 1000))) == ours, number
