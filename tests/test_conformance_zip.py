"""The zip walker against ``zipfile`` and libarchive: on others' odd archives, and on mutated ones."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from zip_oracle import HAS_LIBARCHIVE, Listing, ask
from zip_walks import Made, made, walk_of, zipped

from scanner.model import Member

CONFORMANCE = Path(__file__).parent.parent.parent / "shared" / "conformance"
needs_archives = pytest.mark.skipif(not CONFORMANCE.is_dir(), reason="the conformance archives are not here")
needs_libarchive = pytest.mark.skipif(not HAS_LIBARCHIVE, reason="libarchive is not installed")

CODE_PAGE = "not flagged as UTF-8: code page 437 as in zipfile and APPNOTE D.1; libarchive passes on the raw bytes"
BACKSLASH = "a backslash stays, as in zipfile on POSIX; libarchive makes it a slash for entries made on DOS"

OTHER_THAN_LIBARCHIVE = {
    "exe_with_z64": "ZIP64 behind a shell script; zipfile finds it, libarchive lists nothing",
    "test_read_format_zip_7075_utf8_paths.zip": (
        "the Unicode path is bound to the name in the directory; libarchive compares it with the local one"
    ),
    "test_read_format_zip_filename_cp866.zip": CODE_PAGE,
    "test_read_format_zip_filename_cp932.zip": CODE_PAGE,
    "test_read_format_zip_filename_koi8r.zip": CODE_PAGE,
    "test_read_format_zip_filename_utf8_ru2.zip": CODE_PAGE,
    "test_read_format_zip_msdos.zip": "directories by DOS attribute alone are files to zipfile, whose kinds ours are",
    "test_compat_zip_8.zip": BACKSLASH,
    "utf8-osx.zip": CODE_PAGE,
    "zip_cp437_header.zip": CODE_PAGE,
    "zipdir_backslash.zip": BACKSLASH,
}
"""Archives that libarchive lists to their end and we list otherwise, and why. There is no such table for ``zipfile``:
we differ from it only in knowing symlinks, which it lists as files of the length of their target."""


def _archives() -> list[Path]:
    def is_zip(path: Path) -> bool:
        data = path.read_bytes()
        return data.startswith(b"PK\3\4") or b"PK\5\6" in data

    return [path for path in sorted(CONFORMANCE.rglob("*")) if path.is_file() and is_zip(path)]


def _as_zipfile(members: list[Member]) -> Listing:
    """Our members without what ``zipfile`` does not know: it has files and directories, told by a slash."""
    return [(m.name, "dir" if m.name.endswith("/") else "file", m.size_bytes) for m in members]


@needs_archives
def test_lists_what_zipfile_lists() -> None:
    """Names, sizes and kinds are those of ``zipfile``; where it gives up, we list more and say what is wrong."""
    paths = _archives()
    assert len(paths) > 90
    for path, answer in zip(paths, ask("zipfile", (path.read_bytes() for path in paths)), strict=True):
        walk = walk_of(path.read_bytes()).walk
        if answer.error is not None:
            assert walk.damage, path.name
            assert len(walk.members) >= len(answer.members), path.name
            continue
        links = {index for index, member in enumerate(walk.members) if member.kind == "symlink"}
        for index, (ours, theirs) in enumerate(zip(_as_zipfile(walk.members), answer.members, strict=True)):
            assert ours[:2] == theirs[:2], path.name
            assert index in links or ours[2] == theirs[2], path.name


@needs_archives
@needs_libarchive
def test_lists_what_libarchive_lists() -> None:
    """The same for libarchive, except where a table says why ours is right."""
    paths = _archives()
    for path, answer in zip(paths, ask("libarchive", (path.read_bytes() for path in paths)), strict=True):
        walk = walk_of(path.read_bytes()).walk
        if answer.error is not None:
            assert walk.damage, path.name
            assert len(walk.members) >= len(answer.members), path.name
        elif path.name in OTHER_THAN_LIBARCHIVE:
            assert walk.listing != answer.members, f"{path.name} is alike now: take it out of the table"
            assert len(walk.members) >= len(answer.members), path.name
        else:
            assert walk.listing == answer.members, path.name


@needs_archives
def test_any_file_at_all() -> None:
    """No file of the collection, zip or not, raises or takes over a second of processor time."""
    for path in sorted(CONFORMANCE.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            started = time.process_time()
            walk_of(data)
            assert time.process_time() - started < 1, path.name


@needs_archives
def test_contents_are_sound() -> None:
    """What is listed without damage is read to its stated size."""
    for path in _archives():
        walk = walk_of(path.read_bytes()).walk
        if not walk.damage:
            for member, content in zip(walk.members, walk.contents, strict=True):
                assert content is not None, path.name
                assert len(content) == member.size_bytes, path.name


def _seeds() -> list[bytes]:
    own = [
        made(Made(), Made(b"d/", b"", 0), Made(b"b", bytes(500))),
        zipped(("a", b"a" * 300), ("b", b"b"), comment=b"a comment"),
        b"prefix" + made(Made(), Made(b"b.txt", method=0)),
    ]
    if not CONFORMANCE.is_dir():
        return own
    return own + [data for path in _archives() if len(data := path.read_bytes()) < 30_000]


def _mutated(n: int) -> Iterator[bytes]:
    """Bit flips, forged bytes, cuts, splices and doubled parts of valid archives, the same each time."""
    rng = random.Random(20)
    seeds = _seeds()
    for _ in range(n):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            match rng.randrange(5):
                case 0:
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at] = rng.choice((0, 0xFF, 0x50))
                case 2:
                    del data[at : at + rng.randint(1, 30)]
                case 3:
                    data[at:at] = data[rng.randrange(len(data)) :][: rng.randint(1, 60)]
                case _:
                    end = len(data) - rng.randrange(min(len(data), 120))
                    data[end:] = b""
            if not data:
                break
        yield bytes(data)


@pytest.mark.parametrize("who", ["zipfile", pytest.param("libarchive", marks=needs_libarchive)])
def test_mutated_archives(who: str) -> None:
    """On a thousand mutations never fewer members than the oracle lists, unless a fault says why."""
    mutated = list(_mutated(1000))
    for index, (data, answer) in enumerate(zip(mutated, ask(who, mutated), strict=True)):
        started = time.process_time()
        walk = walk_of(data, output_bytes=64 << 20).walk
        assert time.process_time() - started < 1, index
        why = walk.damage or "hidden-entry" in walk.kinds
        assert len(walk.members) >= len(answer.members) or why, (index, walk, answer)
