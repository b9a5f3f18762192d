"""Disks that fill up, that cannot be written, that vanish; inputs that change meanwhile: an error that says so, and a
Run that the same command completes with the very bytes of an undisturbed one.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from parquet_files import make_dataset, task, write_rows

import scanner
from scanner.batch import Batch
from scanner.run import Run
from scanner.sources import arrow, parquet
from scanner.sources.parquet import ParquetSource
from scanner.tables import ROW_GROUP_ROWS

SOURCES = {"a__first": 2_500, "b__second": 2_500}
PLANNED = sum(SOURCES.values())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("disk") / "data", SOURCES, row_group_size=500)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The undisturbed scan."""
    return scanner.scan(data, out=tmp_path_factory.mktemp("whole") / "run", engine="serial")


def outputs(run: Run) -> list[bytes]:
    return [(run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def small_disk(where: Path, n_bytes: int) -> Iterator[None]:
    """A file system of so many bytes at ``where``; skips where mounting is not allowed."""
    where.mkdir()
    size = f"size={n_bytes}"
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", size, "tmpfs", where], check=False).returncode:
        pytest.skip("mounting a small file system takes root on Linux")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def scan(data: Path, out: Path, *options: str, **limits: Any) -> subprocess.CompletedProcess[str]:
    """``scanner scan`` as a person runs it."""
    command = [sys.executable, "-m", "scanner", "scan", str(data), "--out", str(out), "--format", "quiet", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **limits)


@pytest.mark.parametrize("options", [("--engine", "serial"), ("--workers", "2")], ids=["serial", "processes"])
@pytest.mark.parametrize("share", [0.15, 0.9])
def test_a_disk_that_fills_up(data: Path, whole: Run, tmp_path: Path, share: float, options: tuple[str, ...]) -> None:
    """Wherever it fills up: exit 3 and a sentence, whole shards only; with space the same command completes the Run."""
    disk = tmp_path / "disk"
    with small_disk(disk, int(size_of(whole.folder) * share)):
        ended = scan(data, disk / "run", *options)
        assert ended.returncode == 3, ended.stderr
        assert "No space left on device; free space and run the same command again" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not list(disk.rglob("*.part"))
        assert Run(disk / "run").manifest.state in {"running", "partial"}  # the latter where it still fitted in
        for records in disk.rglob("records.parquet"):  # then it was the next file that did not fit
            assert pq.read_metadata(records).num_rows <= PLANNED
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        ended = scan(data, disk / "run", *options)
        assert ended.returncode == 0, ended.stderr
        run = Run(disk / "run")
        assert run.manifest.reused_rows or share < 0.2
        assert outputs(run) == outputs(whole)


@pytest.mark.parametrize("n_bytes", [0, 4096])
def test_a_disk_that_is_full_from_the_start(data: Path, tmp_path: Path, n_bytes: int) -> None:
    """Where not even run.json fits, that is found before the work starts, or at its first write: never a traceback."""
    disk = tmp_path / "disk"
    with small_disk(disk, 64 << 10):
        (disk / "ballast").write_bytes(bytes((60 << 10) - n_bytes))
        ended = scan(data, disk / "run", "--engine", "serial")
        assert ended.returncode in {2, 3}, ended.stderr
        assert "No space left on device" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_limit_on_file_size(data: Path, whole: Run, tmp_path: Path) -> None:
    """Where files may not grow further (RLIMIT_FSIZE, a quota) the scan says so and can be completed."""

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))

    ended = scan(data, tmp_path / "run", "--engine", "serial", preexec_fn=small_files)
    assert ended.returncode == 3, ended.stderr
    assert "File too large" in ended.stderr
    assert outputs(scanner.scan(data, out=tmp_path / "run", engine="serial")) == outputs(whole)


def test_a_disk_that_fills_up_between_row_groups(tmp_path: Path) -> None:
    """With more rows than a row group the error comes from a thread, and more of them after it: still one sentence."""
    n_rows = 3 * ROW_GROUP_ROWS
    write_rows(tmp_path / "data" / "a.parquet", [b"%08x" % (row * 2654435761 % 2**32) for row in range(n_rows)])
    whole = scanner.scan(tmp_path / "data", out=tmp_path / "run", engine="serial")
    shutil.copytree(whole.folder, tmp_path / "whole")
    largest_shard = max(path.stat().st_size for path in whole.folder.glob("shards/*/*"))
    for name in ("records.parquet", "members.parquet", "stats.json"):
        (whole.folder / name).unlink()

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_shard + 100_000, resource.RLIM_INFINITY))

    ended = scan(tmp_path / "data", whole.folder, "--engine", "serial", preexec_fn=small_files)
    assert ended.returncode == 3, ended.stderr
    assert "File too large; free space and run the same command again" in ended.stderr
    assert sorted(path.name for path in whole.folder.iterdir()) == ["run.json", "shards"]
    again = scanner.scan(tmp_path / "data", out=whole.folder, engine="serial")
    assert outputs(again) == outputs(Run(tmp_path / "whole"))


def test_a_read_only_folder(data: Path, tmp_path: Path) -> None:
    """A folder on a read-only file system is found before the work starts: exit 2."""
    disk = tmp_path / "disk"
    with small_disk(disk, 1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        ended = scan(data, disk / "run")
        assert ended.returncode == 2, ended.stderr
        assert "Read-only file system; choose another --out" in ended.stderr


def test_a_disk_that_is_unmounted(data: Path, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that goes under a scan ends it with an error; whatever lies there then, the same command completes."""
    disk = tmp_path / "disk"
    with small_disk(disk, 100 << 20):
        after_batches(monkeypatch, 3, lambda: subprocess.run(["umount", "-l", disk], check=True))
        with pytest.raises(scanner.NotReachedError, match="cannot write"):
            scanner.scan(data, out=disk / "run", engine="serial")
        monkeypatch.undo()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
        assert outputs(scanner.scan(data, out=disk / "run", engine="serial")) == outputs(whole)


def test_a_folder_removed_meanwhile(data: Path, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Run folder that somebody removes under a scan is an error that says so; the same command starts over."""
    out = tmp_path / "run"
    after_batches(monkeypatch, 3, lambda: shutil.rmtree(out))
    with pytest.raises(scanner.NotReachedError, match="cannot write"):
        scanner.scan(data, out=out, engine="serial")
    monkeypatch.undo()
    assert outputs(scanner.scan(data, out=out, engine="serial")) == outputs(whole)


def after_batches(monkeypatch: pytest.MonkeyPatch, n: int, act: Any) -> None:
    """Have ``act`` done once, when so many batches were read."""
    read = ParquetSource.read

    def watched(self: ParquetSource, *arguments: Any) -> Iterator[Batch]:
        for number, batch in enumerate(read(self, *arguments), 1):
            yield batch
            if number == n:
                act()

    monkeypatch.setattr(ParquetSource, "read", watched)


def replaced(file: Path) -> None:
    """Another file of the same name, put in place as rsync does."""
    write_rows(file.with_suffix(".new"), [task(i, size=50) for i in range(90_000, 93_000)], row_group_size=500)
    file.with_suffix(".new").replace(file)


def overwritten(file: Path) -> None:
    """Other bytes in the same place."""
    write_rows(file.with_suffix(".new"), [task(i, size=50) for i in range(90_000, 93_000)], row_group_size=500)
    with file.open("r+b") as target:
        target.write(file.with_suffix(".new").read_bytes())
        target.truncate()
    file.with_suffix(".new").unlink()


def truncated(file: Path) -> None:
    """Cut to a third."""
    os.truncate(file, file.stat().st_size // 3)


def removed(file: Path) -> None:
    """Gone."""
    file.unlink()


def test_a_unit_read_while_its_file_changes_is_never_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file changes between the first byte of a Unit and its last, not one row of the Unit is recorded."""
    data = make_dataset(tmp_path / "data", SOURCES, row_group_size=500)
    to_batches, file = arrow.to_batches, data / "b__second" / "tasks.parquet"

    def harmed(unit: int, name: str, *arguments: Any) -> Iterator[Batch]:
        yield from to_batches(unit, name, *arguments)
        if name.startswith("b__second"):
            overwritten(file)

    monkeypatch.setattr(parquet, "to_batches", harmed)
    run = scanner.scan(data, out=tmp_path / "run", workers=2)
    assert run.stats.overall.rows == run.account.ok == SOURCES["a__first"]
    assert run.account.not_reached == SOURCES["b__second"]


@pytest.mark.parametrize("harm", [replaced, overwritten, truncated, removed])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_input_that_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Any, workers: int
) -> None:
    """Its rows are not reached, none of the new file is taken for old; the next scan reads what is there."""
    data = make_dataset(tmp_path / "data", SOURCES, row_group_size=500)
    file = data / "a__first" / "tasks.parquet"
    before = scanner.scan(data, out=tmp_path / "before", engine="serial").records().collect()
    sound = file.read_bytes()
    after_batches(monkeypatch, 1, lambda: harm(file))
    run = scanner.scan(data, out=tmp_path / "run", workers=workers)
    monkeypatch.undo()
    assert run.account.balances()
    assert run.account.not_reached
    assert run.manifest.state == "partial"
    assert list(run.manifest.not_reached) == ["a__first/tasks.parquet"]
    records = run.records().collect()
    assert records.equals(before.join(records.select("file", "row"), on=["file", "row"], how="semi"))
    if not file.exists():
        file.write_bytes(sound)
    if harm is truncated:
        without = scanner.scan(data, out=tmp_path / "run", workers=workers)
        assert (without.account.uncounted_files, list(without.manifest.not_reached)) == (1, ["a__first/tasks.parquet"])
        file.write_bytes(sound)
    again = scanner.scan(data, out=tmp_path / "run", workers=workers)
    assert outputs(again) == outputs(scanner.scan(data, out=tmp_path / "fresh", engine="serial"))
