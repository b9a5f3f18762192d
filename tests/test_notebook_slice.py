"""``scanner slice --notebook``: its seven columns, against the notebook's own steps by the standard library."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import shutil
import tarfile
import zipfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
import zstandard
from lz4 import frame

import scanner
from scanner.cli import main
from scanner.corpus import make_corpus
from scanner.corpus.pack import gzip_blob, zip_blob
from scanner.errors import SourceError
from scanner.explore.notebook import longest_text
from scanner.explore.table import write_slice
from scanner.report.frames import composition_of
from scanner.run import Run
from scanner.task import open_task

COLUMNS = ["path", "source", "is_verified", "n_files", "compressed_kb", "raw_kb", "instruction_preview"]
WORDS = ["verifier", "verify", "grader", "judge", "score", "eval"]
KEYS = ["verifier", "verifier_config", "judge", "grader", "rubric", "test_patch", "FAIL_TO_PASS", "tests"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook") / "corpus"
    make_corpus(folder, rows=400, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Run:
    return scanner.scan(data, out=data.parent / "run", engine="serial")


# -- the notebook's way -----------------------------------------------------------------------------------------------


def coerced(blob: bytes | str | list[int]) -> bytes:
    return base64.b64decode(blob) if isinstance(blob, str) else bytes(blob)


def inflated(blob: bytes) -> bytes:
    if blob[:2] == b"\x1f\x8b":
        return gzip.decompress(blob)
    if blob[:4] == b"\x28\xb5\x2f\xfd":
        with zstandard.ZstdDecompressor().stream_reader(blob) as reader:
            return reader.read()
    if blob[:3] == b"BZh":
        return bz2.decompress(blob)
    if blob[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(blob)
    return bytes(frame.decompress(blob)) if blob[:4] == b"\x04\x22\x4d\x18" else blob


def files_of(raw: bytes) -> dict[str, bytes] | None:
    if raw[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            return {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}  # type: ignore[union-attr]
    except tarfile.ReadError:
        return None


def is_verified(name: str, data: bytes) -> bool:
    if any(word in name.lower() for word in WORDS):
        return True
    if not name.lower().endswith((".json", ".yaml", ".yml")):
        return False
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    has_key = isinstance(parsed, dict) and any(key in parsed for key in KEYS)
    return has_key or any(word in text.lower() for word in ("verifier", "test_patch"))


def by_the_notebook(blob: bytes, source: str) -> dict[str, object]:
    raw = inflated(blob)
    files = files_of(raw)
    if files is None:
        try:
            parsed = json.loads(raw)
        except ValueError:
            parsed = None
        verified = isinstance(parsed, dict) and any(key in parsed for key in KEYS)
    else:
        verified = any(is_verified(name, data) for name, data in files.items())
    texts = [data for name, data in (files or {}).items() if name.endswith((".json", ".md", ".txt"))]
    return {
        "is_verified": verified or "verifier" in source.lower(),
        "n_files": len(files or {}),
        "compressed_kb": len(blob) / 1000,
        "raw_kb": len(raw) / 1000,
        "instruction_preview": max(texts, key=len).decode("utf-8", "replace")[:300] if texts else None,
    }


# -- the same ---------------------------------------------------------------------------------------------------------


def test_every_row_is_what_the_notebook_makes_of_it(data: Path, run: Run, tmp_path: Path) -> None:
    """All seven columns of every row of the made corpus, in whatever it is packed."""
    n_rows = write_slice(run, tmp_path / "notebook.parquet", notebook=True)
    table = pq.read_table(tmp_path / "notebook.parquet")
    assert table.schema.names == COLUMNS
    records = run.records().select("path", "source", "file", "row").collect()
    assert n_rows == len(records)
    blobs: dict[str, list[bytes]] = {}
    for ours, (path, source, file, row) in zip(table.to_pylist(), records.iter_rows(), strict=True):
        if file not in blobs:
            blobs[file] = list(map(coerced, pq.read_table(data / file)["task_binary"].to_pylist()))
        assert ours == {"path": path, "source": source, **by_the_notebook(blobs[file][row], source)}, (file, row)
    assert table["instruction_preview"].null_count < n_rows


def test_what_it_consists_of_adds_up(run: Run, tmp_path: Path) -> None:
    """500 rows as in the notebook, then a row a source."""
    path = tmp_path / "notebook.parquet"
    assert write_slice(run, path, notebook=True, limit=300, where="n_files > 0") == 300
    composition = composition_of(path)
    assert composition.columns == ["source", "n", "n_verified", "mean_raw_kb", "mean_n_files"]
    assert composition["n"].sum() == 300
    assert composition["n_verified"].sum() == pl.read_parquet(path)["is_verified"].sum()


PREVIEWS: dict[str, tuple[dict[str, bytes], str | None]] = {
    "the longest": ({"a.md": b"short", "b/c.txt": b"much longer", "d.py": b"x" * 99}, "much longer"),
    "of equals the first": ({"b.txt": b"one", "a.txt": b"two"}, "one"),
    "an empty one": ({"a.json": b""}, ""),
    "none": ({"a.py": b"x"}, None),
    "capitals are another extension": ({"README.MD": b"x"}, None),
    "300 characters, not bytes": ({"a.txt": "\U0001f600".encode() * 400}, "\U0001f600" * 300),
    "not UTF-8": ({"a.txt": b"caf\xe9"}, "caf\ufffd"),
    "cut within a character": ({"a.txt": b"\xff" * 400}, "\ufffd" * 300),
}


@pytest.mark.parametrize(("files", "preview"), PREVIEWS.values(), ids=PREVIEWS)
def test_previews(files: dict[str, bytes], preview: str | None) -> None:
    """Which file is previewed, and how much of it."""
    assert longest_text(open_task(zip_blob(files)[0])) == preview
    assert by_the_notebook(zip_blob(files)[0], "")["instruction_preview"] == preview


def test_what_has_no_texts_has_no_preview() -> None:
    """JSON, text and damaged rows: nothing, and no error."""
    for blob in (b'{"a": 1}', b"words", gzip_blob(b"x")[:-9], None):
        assert longest_text(open_task(blob)) is None


def test_rows_that_are_not_there_any_more(run: Run, data: Path, tmp_path: Path) -> None:
    """A Run whose source has moved or changed cannot be previewed: one sentence, and nothing is written."""
    moved = tmp_path / "corpus"
    shutil.copytree(data, moved)
    other = scanner.scan(moved, out=tmp_path / "run", engine="serial", limit=5)
    target = tmp_path / "notebook.parquet"
    next(iter(sorted(moved.rglob("*.parquet")))).touch()
    with pytest.raises(SourceError, match="has changed since"):
        write_slice(other, target, notebook=True)
    shutil.rmtree(moved)
    assert main(["slice", str(tmp_path / "run"), "-o", str(target), "--notebook"]) == 2
    assert not target.exists()
    assert write_slice(other, target) == 5
