"""Rows that all suites share: a thousand of the main flavour, so that caches and memos are as full as in a scan."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from bench.corpora import Corpus, corpus
from scanner.batch import Batch
from scanner.model import Blob

ROWS = 1_000


@pytest.fixture(scope="session")
def rows() -> Corpus:
    return corpus("pax", ROWS)


@pytest.fixture(scope="session")
def blobs(rows: Corpus) -> list[Blob]:
    return [blob for packed in rows.packed for blob in Batch.unpack(packed)]


@pytest.fixture(scope="session")
def archives(blobs: list[Blob]) -> list[bytes]:
    """The same rows inflated."""
    return [gzip.decompress(blob.data) for blob in blobs if blob.data is not None]


@pytest.fixture
def per_row(benchmark: Any) -> Callable[[Callable[[], object], int], None]:
    """Run a call over so many rows; the figure of a row is kept with the result, in µs."""

    def run(call: Callable[[], object], n: int) -> None:
        benchmark.pedantic(call, rounds=7, warmup_rounds=1)
        benchmark.extra_info["us_per_row"] = benchmark.stats.stats.median / n * 1e6

    return run
