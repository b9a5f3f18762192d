"""What else people do to get the same answers: each a function of a corpus, measured in alternation with ours.

Every peer returns how many rows have a verifier by the notebook's rule (None where it cannot know): peers that
disagree with one another would not be doing the same work, so the table is refused then.
"""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.corpora import HOME, Corpus
from scanner.bench.floor import inflate_all
from scanner.bench.ratios import Cost
from scanner.bench.whole import Request, scan_once
from scanner.options import Options

NAME_WORDS: Final = ("verifier", "verify", "grader", "judge", "score", "eval")
KEYS: Final = ("verifier", "verifier_config", "judge", "grader", "rubric", "test_patch", "FAIL_TO_PASS", "tests")


class Answer(NamedTuple):
    """What a peer found, and what it took where that is not the cost of the call."""

    verified: int | None
    cost: Cost | None = None


# -- the notebook's way ------------------------------------------------------------------------------------------------


def notebook_row(blob: bytes) -> bool:
    """Gunzip, read every member with tarfile, look for a verifier: the notebook's rule on one row."""
    raw = gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:*") as archive:
        for member in archive.getmembers():
            if member.isfile():
                file = archive.extractfile(member)
                files[member.name] = file.read() if file is not None else b""
    return any(_tells(name, data) for name, data in files.items())


def _tells(name: str, data: bytes) -> bool:
    lower = name.lower()
    if any(word in lower for word in NAME_WORDS):
        return True
    if not lower.endswith((".json", ".yaml", ".yml")):
        return False
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    try:
        value = json.loads(text)
        if isinstance(value, dict) and any(key in value for key in KEYS):
            return True
    except ValueError:
        pass
    lower = text.lower()
    return "verifier" in lower or "test_patch" in lower


def notebook(corpus: Corpus, rows: int) -> Answer:
    """One process, rows read with pyarrow."""
    return Answer(sum(notebook_row(blob) for _, blob in corpus.rows(rows)))


def pool(corpus: Corpus, rows: int) -> Answer:
    """``multiprocessing.Pool`` of one process a core over the notebook's function."""
    with multiprocessing.get_context("fork").Pool(_cores()) as workers:
        blobs = (blob for _, blob in corpus.rows(rows))
        verified = sum(workers.imap_unordered(notebook_row, blobs, chunksize=32))
        workers.close()
        workers.join()
    return Answer(verified)


# -- datasets ----------------------------------------------------------------------------------------------------------


def streaming(corpus: Corpus, rows: int) -> Answer:
    """``load_dataset(..., streaming=True)``, one process, the notebook's function."""
    return Answer(sum(notebook_row(row["task_binary"]) for row in _datasets_stream(corpus).take(rows)))


def datasets_map(corpus: Corpus, rows: int) -> Answer:
    """``Dataset.map(num_proc=cores)`` with the notebook's function; preparing its Arrow cache is not counted."""
    done = _datasets_table(corpus, rows).map(
        _map_row, num_proc=_cores(), remove_columns=["task_binary"], load_from_cache_file=False
    )
    return Answer(sum(done["verified"]))


def _map_row(row: dict[str, Any]) -> dict[str, bool]:
    return {"verified": notebook_row(row["task_binary"])}


def _datasets() -> Any:
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    os.environ["HF_DATASETS_CACHE"] = str(HOME / "datasets")
    import datasets

    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    return datasets


def _datasets_stream(corpus: Corpus) -> Any:
    dataset = _datasets().load_dataset("parquet", data_files=corpus.files, split="train", streaming=True)
    return dataset.select_columns(["path", "task_binary"])


@lru_cache(maxsize=1)
def _datasets_table(corpus: Corpus, rows: int) -> Any:
    table = _datasets().load_dataset("parquet", data_files=corpus.files, split="train")
    return table.select_columns(["path", "task_binary"]).select(range(rows))


# -- libarchive --------------------------------------------------------------------------------------------------------


def libarchive_list(corpus: Corpus, rows: int) -> Answer:
    """libarchive listing the members and reading nothing: the least that any archive library does."""
    import libarchive

    members = 0
    for _, blob in corpus.rows(rows):
        with libarchive.memory_reader(blob) as archive:
            for _entry in archive:
                members += 1
    return Answer(None)


# -- ours --------------------------------------------------------------------------------------------------------------


def floor(corpus: Corpus, rows: int) -> Answer:  # noqa: ARG001 - all of them, or it would be no floor
    """Inflate alone, one call a blob, the fastest wheel."""
    inflate_all(corpus.packed)
    return Answer(None)


def ours(corpus: Corpus, workers: int) -> Answer:
    """A whole scan to a Run on disk: read, transport, scan, statistics, write. In a fresh process, imports done."""
    taken = scan_once(Request(str(corpus.folder), corpus.n_rows, workers, Options(), str(HOME)))
    return Answer(taken.verified, taken.cost)


def command(tree: Path, corpus: Corpus, rows: int) -> Answer:  # noqa: ARG001 - it scans all of them
    """``scanner scan`` of the version in the folder ``tree``, in one process, start-up included."""
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        line = [sys.executable, "-m", "scanner", "scan", str(corpus.folder), "--out", f"{folder}/run"]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        subprocess.run([*line, "--workers", "0", "--format", "quiet"], check=True, cwd=folder, env=environment)
    return Answer(None)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
