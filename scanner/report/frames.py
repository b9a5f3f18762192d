"""Tables for further work, as polars frames: a row a source, with the notebook's names, order and rounding."""

from __future__ import annotations

import os
from collections.abc import Mapping

import polars as pl

from scanner.stats import Histogram, SourceStats

_KB = 1_000


def summary_of(sources: Mapping[str, SourceStats]) -> pl.DataFrame:
    """The notebook's summary: a row a source, the largest first (ties by name), figures rounded to 2 digits.

    Columns: ``source``, ``n`` (rows), ``mean_compressed_kb``, ``mean_raw_kb`` (of 1,000 bytes; rows that could not be
    read are left out of the mean), ``mean_n_files``, ``verifier_rate`` (the heuristic's, 0 to 1).
    """
    ranked = sorted(sources.items(), key=lambda item: (-item[1].rows, item[0]))
    return pl.DataFrame(
        {
            "source": [name for name, _ in ranked],
            "n": [stats.rows for _, stats in ranked],
            "mean_compressed_kb": [_mean(stats.compressed_size, _KB) for _, stats in ranked],
            "mean_raw_kb": [_mean(stats.raw_size, _KB) for _, stats in ranked],
            "mean_n_files": [_mean(stats.n_files, 1) for _, stats in ranked],
            "verifier_rate": [round(stats.verifier_rate() or 0.0, 2) for _, stats in ranked],
        },
        schema={
            "source": pl.String,
            "n": pl.Int64,
            "mean_compressed_kb": pl.Float64,
            "mean_raw_kb": pl.Float64,
            "mean_n_files": pl.Float64,
            "verifier_rate": pl.Float64,
        },
    )


def composition_of(notebook_slice: str | os.PathLike[str]) -> pl.DataFrame:
    """What a slice of the notebook's seven columns consists of: a row a source, the largest first.

    Columns: ``source``, ``n``, ``n_verified``, ``mean_raw_kb``, ``mean_n_files``; means rounded to 2 digits.
    """
    rows = pl.scan_parquet(os.fspath(notebook_slice))
    by_source = rows.group_by("source").agg(
        n=pl.len(),
        n_verified=pl.col("is_verified").sum(),
        mean_raw_kb=pl.col("raw_kb").mean().round(2),
        mean_n_files=pl.col("n_files").mean().round(2),
    )
    return by_source.sort(["n", "source"], descending=[True, False]).collect()


def _mean(histogram: Histogram, unit: int) -> float | None:
    mean = histogram.mean()
    return None if mean is None else round(mean / unit, 2)
