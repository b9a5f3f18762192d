"""Sparse members as they are read and exported: expanded, the way tarfile and bsdtar unpack them."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import Limits, open_task
from scanner.corpus import hostile_cases
from scanner.corpus.hostile_tar import member
from scanner.corpus.pack import padded, pax_record
from scanner.errors import SourceError
from scanner.explore.export import export
from scanner.formats import tar_expand
from scanner.model import Blob

SOUND = ["tar-sparse-gnu", "tar-sparse-gnu-extended", "tar-sparse-pax-0.0", "tar-sparse-pax-0.1", "tar-sparse-pax-1.0"]
FLAWED = ["tar-sparse-gnu-overlapping", "tar-sparse-pax-1.0-bomb-map", "tar-sparse-pax-0.1-bad-map"]
HOSTILE = dict(hostile_cases())


def hostile(case: str) -> bytes:
    data = next(data for name, data in HOSTILE.items() if name.endswith(case))
    assert data is not None
    return gzip.decompress(data)


def by_tarfile(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}  # type: ignore[union-attr]


def exported(raw: bytes, folder: Path, limits: Limits | None = None) -> dict[str, bytes]:
    (line,) = export([Blob(memoryview(raw), "task", "", 0)], folder, limits=limits)
    root = folder / line.folder
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def packed(segments: list[tuple[int, bytes]], size: int, name: str = "s") -> bytes:
    """A tar of one sparse file in GNU's PAX form 1.0, and a plain file after it."""
    told = b"%d\n" % len(segments) + b"".join(b"%d\n%d\n" % (offset, len(data)) for offset, data in segments)
    records = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    pax = b"".join(pax_record(f"GNU.sparse.{key}", value) for key, value in records.items())
    content = padded(told) + b"".join(data for _, data in segments)
    return member("x", pax, kind=b"x") + member("GNUSparseFile.1/s", content) + member("z", b"last") + bytes(1024)


@pytest.mark.parametrize("case", SOUND)
def test_each_form_is_expanded_as_tarfile_does(case: str, tmp_path: Path) -> None:
    """All four forms of a map: what is read, and what is exported, is what the standard library extracts."""
    raw = hostile(case)
    wanted = by_tarfile(raw)
    assert any(len(data) == 5000 for data in wanted.values())
    task = open_task(raw)
    assert {name: task.read(name) for name in task.names()} == wanted
    assert exported(raw, tmp_path) == wanted


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="needs bsdtar")
@pytest.mark.parametrize("case", SOUND)
def test_each_form_is_expanded_as_bsdtar_does(case: str, tmp_path: Path) -> None:
    """The same against libarchive."""
    raw = hostile(case)
    (tmp_path / "oracle").mkdir()
    subprocess.run(["bsdtar", "-xf", "-", "-C", tmp_path / "oracle"], input=raw, check=True)
    root = tmp_path / "oracle"
    wanted = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert exported(raw, tmp_path / "ours") == wanted


@pytest.mark.skipif(not shutil.which("tar"), reason="needs GNU tar")
@pytest.mark.parametrize("form", ["gnu", "0.0", "0.1", "1.0"])
def test_what_gnu_tar_packs_comes_back(form: str, tmp_path: Path) -> None:
    """A file with 30 holes, packed by GNU tar in each form, is the same file again."""
    wanted = bytearray(30 * 65_536 + 12_345)
    (tmp_path / "in").mkdir()
    with (tmp_path / "in/holes.bin").open("wb") as file:
        for n in range(30):
            at = n * 65_536 + n
            wanted[at : at + 6] = b"%06d" % n
            file.seek(at)
            file.write(b"%06d" % n)
        file.truncate(len(wanted))
    how = ["--format=gnu"] if form == "gnu" else ["--format=pax", f"--sparse-version={form}"]
    made = subprocess.run(["tar", "-C", tmp_path / "in", "-cS", *how, "holes.bin"], capture_output=True, check=False)
    if made.returncode or len(made.stdout) > len(wanted) // 2:
        pytest.skip("this tar is not GNU's, or the file system keeps no holes")
    assert open_task(gzip.compress(made.stdout)).read("holes.bin") == wanted
    assert exported(made.stdout, tmp_path / "out") == {"holes.bin": wanted}


SEGMENTS = st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=40)), max_size=8)


@given(SEGMENTS, st.integers(0, 300))
def test_any_map_is_expanded_as_tarfile_does(runs: list[tuple[int, bytes]], tail: int) -> None:
    """Holes and segments of any size, empty ones included, and the file after it is still found."""
    segments, at = [], 0
    for hole, data in runs:
        segments.append((at + hole, data))
        at += hole + len(data)
    raw = packed(segments, at + tail)
    task = open_task(raw)
    assert {name: task.read(name) for name in ("s", "z")} == by_tarfile(raw)


@pytest.mark.parametrize("case", FLAWED)
def test_a_map_that_contradicts_itself_is_not_expanded(case: str, tmp_path: Path) -> None:
    """Such a file cannot be read and is left out of an export, which says so; the others are there."""
    raw = hostile(case)
    task = open_task(raw)
    with pytest.raises(SourceError, match="sparse"):
        task.read("sparse")
    (line,) = export([Blob(memoryview(raw), "task", "", 0)], tmp_path)
    assert [each.member for each in line.left_out] == ["sparse"]
    assert "tar-bad-sparse" in {fault.kind for fault in line.faults}
    assert line.n_files == len(task.names()) - 1


def test_expanding_keeps_to_the_limit_of_output(tmp_path: Path) -> None:
    """A file of 1 TiB out of 6 kB is left out with the reason; what follows it in the archive is exported."""
    raw = hostile("tar-sparse-of-1-tib")
    with pytest.raises(SourceError):
        open_task(raw).read("sparse")
    (line,) = export([Blob(memoryview(raw), "task", "", 0)], tmp_path)
    assert [each.member for each in line.left_out] == ["sparse"]
    assert "limit:output" in {fault.kind for fault in line.faults}
    small = packed([(0, b"a"), (5000, b"b")], 9000)
    assert exported(small, tmp_path / "small", Limits(output_bytes=8999)) == {"z": b"last"}
    assert set(exported(small, tmp_path / "fits", Limits(output_bytes=9000))) == {"s", "z"}


def test_many_holes_count_together(tmp_path: Path) -> None:
    """Zeros are output of the row: files that fit one by one stop it together."""
    raw = b"".join(packed([(4000, b"x")], 5000, name)[:-2048] for name in "abcd") + bytes(1024)
    (line,) = export([Blob(memoryview(raw), "task", "", 0)], tmp_path, limits=Limits(output_bytes=12_000))
    assert line.n_files < 4
    assert "limit:output" in {fault.kind for fault in line.faults}


def test_a_map_longer_than_what_is_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """More segments than are kept: the file is listed with its size and says why it cannot be read."""
    monkeypatch.setattr(tar_expand, "SEGMENTS_KEPT", 3)
    task = open_task(packed([(10 * n, b"x") for n in range(4)], 100))
    assert task.members()[0].size_bytes == 100
    with pytest.raises(SourceError, match="states 100"):
        task.read("s")
    assert task.read("z") == b"last"
