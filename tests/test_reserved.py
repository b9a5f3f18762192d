"""One writer a Run: a second scan, or a merge, into the same folder is told so, and what died is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from parquet_files import make_dataset

import scanner
from scanner.run import Run
from scanner.storage import LocalFolder, open_folder

pytest.importorskip("fcntl", reason="this system has no locks on folders")

HOLDER = """
import sys
from scanner.storage import open_folder
with open_folder(sys.argv[1]).reserved():
    print("reserved", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that writes to ``folder`` for as long as it lives."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"reserved\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rows of two sources."""
    return make_dataset(tmp_path_factory.mktemp("reserved") / "data", {"a__b": 5, "c__d": 6})


def test_two_scans_do_not_share_a_folder(dataset: Path, tmp_path: Path) -> None:
    """While another process scans into a folder, scan and merge refuse it in a sentence; once it is killed, they do."""
    part = scanner.scan(dataset, out=tmp_path / "part", shard=(1, 1), engine="serial")
    with held(tmp_path / "run") as other:
        for fresh in (False, True):
            with pytest.raises(scanner.OutputError, match="run: another scan is writing to it; choose another --out"):
                scanner.scan(dataset, out=tmp_path / "run", engine="serial", fresh=fresh)
            with pytest.raises(scanner.OutputError, match="run: another scan is writing to it; choose another -o"):
                scanner.merge([part.folder], tmp_path / "run", fresh=fresh)
        assert not list((tmp_path / "run").iterdir())
        other.kill()
        other.wait()
        assert scanner.scan(dataset, out=tmp_path / "run", engine="serial").account.is_whole
    assert scanner.merge([part.folder], tmp_path / "run", fresh=True).account.is_whole


def test_a_folder_is_free_again_after_any_end(dataset: Path, tmp_path: Path) -> None:
    """What fails gives the folder back, and takes one away that it made and nothing came of."""
    with pytest.raises(ZeroDivisionError), open_folder(tmp_path / "new").reserved():
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "thesis.tex").write_text("precious")
    with pytest.raises(scanner.OutputError, match="holds no Run"):
        scanner.scan(dataset, out=tmp_path / "old", engine="serial")
    (tmp_path / "old" / "thesis.tex").unlink()
    assert scanner.scan(dataset, out=tmp_path / "old", engine="serial").account.is_whole


def test_starting_over_never_leaves_shards_of_another_scan(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--fresh`` that fails before its first step is on disk: ``merge`` finds rows missing, not rows of before."""
    part = scanner.scan(dataset, out=tmp_path / "part", shard=(1, 1), engine="serial")

    def full(self: LocalFolder, name: str, data: bytes | bytearray) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "write", full)
        with pytest.raises(scanner.OutputError, match="No space left"):
            scanner.scan(dataset, out=part.folder, shard=(1, 1), limit=5, engine="serial", fresh=True)
    assert not list(part.folder.glob("shards/*/*"))
    merged = scanner.merge([part.folder], tmp_path / "run")
    assert merged.account.not_reached == merged.account.planned == 11
    assert Run(part.folder).manifest.arguments["limit"] is None
