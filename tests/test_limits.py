"""The limits of a row: just under and just over each, off, and the memory of a worker that reads a bomb."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
from bombs import BOMBS
from codec_samples import skippable
from corpus import Case, scan
from parquet_files import tar_gz, write_rows

import scanner
from scanner import collector as collecting
from scanner.corpus.hostile_tar import END, TASK, member, pax, tar_of
from scanner.corpus.hostile_zip import SOUND, Entry, archive
from scanner.corpus.pack import COMPRESSORS, gzip_blob, pax_record
from scanner.errors import UsageError
from scanner.faults import FaultKind
from scanner.formats.zstd import LOOK_FRAMES
from scanner.model import Record
from scanner.options import MIB, SMALL_BYTES, Limits
from scanner.probe import Probe
from scanner.run import Run

WORKER_BYTES = 300 * 1_000_000
"""What a worker may take for any row, everything it holds otherwise included."""

BIG = 2 * SMALL_BYTES
"""A row of this size is streamed."""


def record_of(blob: bytes, limits: Limits) -> Record:
    return scan(Case("limited", blob), Probe(limits))


def kinds(record: Record) -> list[FaultKind]:
    return [fault.kind for fault in record.faults if fault.kind.startswith("limit:")]


def _tar(size: int) -> bytes:
    """A raw tar of exactly ``size`` bytes, a multiple of 512, with one file behind the sound task."""
    return TASK + member("data.bin", bytes(size - len(TASK) - 512 - len(END))) + END


@pytest.mark.parametrize("codec", [codec for codec in COMPRESSORS if codec != "none"])
@pytest.mark.parametrize("size", [64 << 10, BIG], ids=["in one call", "streamed"])
def test_output(codec: str, size: int) -> None:
    """Bytes that come out of any codec are counted: at the limit all is well, one under it the row is stopped."""
    blob = COMPRESSORS[codec](_tar(size))  # type: ignore[index]
    assert kinds(record_of(blob, Limits(output_bytes=size))) == []
    assert kinds(record_of(blob, Limits(output_bytes=0))) == []
    stopped = record_of(blob, Limits(output_bytes=size - 1))
    assert kinds(stopped) == ["limit:output"]
    assert stopped.status in {"degraded", "failed"}
    assert stopped.n_members in {0, 4, 5}


def test_members_before_the_output_limit_are_kept() -> None:
    """Of a row that inflates to too much, what came before the limit is in the record."""
    stopped = record_of(gzip_blob(_tar(BIG)), Limits(output_bytes=BIG // 2))
    assert (stopped.status, stopped.n_members) == ("degraded", 5)


@pytest.mark.parametrize("n_entries", [1, 3])
def test_output_of_zip_entries(n_entries: int) -> None:
    """What comes out of the entries of a zip counts alike, all together, whatever their sizes claim."""
    blob = archive(*(Entry(b"%d.bin" % i, bytes(50_000), size=1) for i in range(n_entries)))
    honest = archive(*(Entry(b"%d.bin" % i, bytes(50_000)) for i in range(n_entries)))
    total = 50_000 * n_entries
    assert kinds(record_of(honest, Limits(output_bytes=total))) == []
    assert kinds(record_of(honest, Limits(output_bytes=total - 1))) == ["limit:output"]
    assert "zip-bad-data" in [fault.kind for fault in record_of(blob, Limits(output_bytes=total)).faults]


def test_output_of_nested_archives() -> None:
    """One budget for the row: what nested archives inflate to counts on top of what the outer one does."""
    inner = gzip_blob(_tar(64 << 10))
    blob = tar_of(member("a.tar.gz", inner), member("b.tar.gz", inner))
    total = (record_of(blob, Limits()).raw_size or 0) + 2 * (64 << 10)
    assert kinds(record_of(blob, Limits(depth=1, output_bytes=total))) == []
    assert kinds(record_of(blob, Limits(depth=1, output_bytes=total - 1))) == ["limit:output"]
    assert kinds(record_of(blob, Limits(depth=0, output_bytes=total - 1))) == []


@pytest.mark.parametrize("make", [tar_gz, lambda files: archive(*_entries(files))], ids=["tar", "zip"])
def test_members(make: Callable[[dict[str, bytes]], bytes]) -> None:
    """As many members as allowed are listed; one more stops the row, those listed are kept; 0 is no limit."""
    blob = make({f"{i}": b"" for i in range(20)})
    for allowed, found in ((20, []), (0, []), (19, ["limit:members"])):
        record = record_of(blob, Limits(members=allowed))
        assert kinds(record) == found
        assert record.n_members == (allowed or 20)


def _entries(files: dict[str, bytes]) -> list[Entry]:
    return [Entry(name.encode(), data, method=0) for name, data in files.items()]


def test_members_of_nested_archives() -> None:
    """Members of nested archives count like any others."""
    blob = tar_of(member("a.zip", archive(*SOUND)))
    assert kinds(record_of(blob, Limits(depth=1, members=8))) == []
    assert kinds(record_of(blob, Limits(depth=1, members=7))) == ["limit:members"]


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers(kind: bytes) -> None:
    """A PAX or long-name header may be as large as the limit; a byte more stops the row, 0 is no limit."""
    body = pax_record("comment", "c" * 3000) if kind in b"xg" else b"n" * 3000
    blob = tar_of(member("header", body, kind=kind), member("last.txt", b"last"))
    for allowed, found in ((len(body), []), (0, []), (len(body) - 1, ["limit:header"])):
        record = record_of(blob, Limits(header_bytes=allowed))
        assert kinds(record) == found
        assert record.n_members == (4 if found else 5)


def test_headers_of_zip_entries() -> None:
    """So may a directory entry of a zip, its name and fields together."""
    blob = archive(Entry(b"n" * 2000))
    assert kinds(record_of(blob, Limits(header_bytes=2046))) == []
    assert kinds(record_of(blob, Limits(header_bytes=2045))) == ["limit:header"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_depth(depth: int) -> None:
    """Archives are opened as deep as allowed; one that lies deeper is reported, and not opened."""
    blob = b"the bottom"
    for level in range(depth):
        blob = archive(Entry(b"%d.zip" % level, blob))
    blob = tar_of(member("top.zip", blob))
    assert kinds(record_of(blob, Limits(depth=0))) == []
    assert kinds(record_of(blob, Limits(depth=depth))) == []
    if depth > 1:
        cut = record_of(blob, Limits(depth=depth - 1))
        assert (kinds(cut), cut.n_members) == (["limit:depth"], 4 + depth)


def test_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that takes longer than it may is stopped where the clock is looked at; 0 is no limit."""
    blob = gzip_blob(_tar(4 * BIG))
    assert kinds(record_of(blob, Limits(seconds=1e-9))) == ["limit:time"]
    assert kinds(record_of(blob, Limits(seconds=0))) == []
    many = tar_gz({f"{i}": b"" for i in range(2000)})
    clock = iter(range(10_000_000))
    for name in ("process_time", "monotonic"):
        monkeypatch.setattr(time, name, lambda: next(clock) / 1000)
    stopped = record_of(many, Limits(seconds=0.005))
    assert kinds(stopped) == ["limit:time"]
    assert 0 < stopped.n_members < 2000


def test_what_other_rows_took_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that only waits keeps its limit, however much the rows before it took that never came to the probe."""
    probe = Probe(Limits(seconds=5))
    clock = iter(range(10_000_000))
    monkeypatch.setattr(time, "process_time", lambda: 1e6)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    record = scan(Case("waits", tar_gz({f"{i}": b"" for i in range(2000)})), probe)
    assert (kinds(record), record.n_members) == ([], 2000)
    assert next(clock) > 5, "the clock on the wall was looked at, and had passed the limit"


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_processor_time_between_skippable_frames(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is looked at also while frames without content are skipped."""
    n_frames = 64 * LOOK_FRAMES
    blob = COMPRESSORS[codec](Random(1).randbytes(2000)) + skippable(b"") * n_frames  # type: ignore[index]
    assert kinds(record_of(blob, Limits())) == []
    clock = iter(range(10_000_000))
    for name in ("process_time", "monotonic"):
        monkeypatch.setattr(time, name, lambda: next(clock) / 1000)
    assert kinds(record_of(blob, Limits(seconds=0.05))) == ["limit:time"]


def test_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that the rules read are held up to a total; what is over it is listed, not read, and said so."""
    monkeypatch.setattr(collecting, "HELD_BYTES", 30_000)
    files = b"".join(member(f"{i}.json", b"[" + b" " * 9_998 + b"]") for i in range(4))
    blob = COMPRESSORS["xz"](files + member("big.bin", bytes(BIG)) + END)
    record = record_of(blob, Limits())
    assert [(fault.kind, fault.member) for fault in record.faults if fault.kind != "high-ratio"] == [
        ("limit:buffer", "3.json")
    ]
    assert record.n_members == 5


def test_long_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long names and link targets may take so much memory together; then the row stops, those listed are kept."""
    monkeypatch.setattr(collecting, "NAMES_BYTES", 10_000)
    links = b"".join(pax(pax_record("linkpath", "t" * 2000)) + member(f"l{i}", kind=b"2") for i in range(10))
    names = b"".join(pax(pax_record("path", f"{i}" + "n" * 2000)) + member("x") for i in range(10))
    for many in (links, names):
        record = record_of(gzip_blob(many + END), Limits())
        assert kinds(record) == ["limit:buffer"]
        assert record.n_members == 5


def test_the_defaults_are_those_of_the_documentation() -> None:
    """1 GiB of output, 100,000 members, headers of a MiB, nothing nested, 30 s of processor time."""
    assert msgspec.structs.astuple(Limits()) == (1 << 30, 100_000, MIB, 0, 30.0)


@pytest.mark.parametrize("name", BOMBS)
def test_memory_of_a_worker_on_a_bomb(name: str, tmp_path: Path) -> None:
    """The largest resident memory of a worker that scans a row of a GiB, by the kernel's own count, keeps the bound."""
    file = write_rows(tmp_path / "bomb.parquet", [BOMBS[name]()])
    run: Run = scanner.scan(file, out=tmp_path / "run", workers=1, limits=Limits(depth=3))
    assert run.account.not_reached == 0
    faults = run.stats.overall.faults
    assert not faults.get("worker-died")
    assert not faults.get("internal-error")
    assert 0 < run.manifest.engine["peak_worker_bytes"] < WORKER_BYTES


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, 1e15])
def test_what_is_no_limit_is_refused(seconds: float) -> None:
    """Timers take no number of any size; infinity made workers die one after the other."""
    with pytest.raises(UsageError, match="the limit seconds is"):
        Limits(seconds=seconds)
