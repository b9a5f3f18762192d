"""What differs inside rows whose content changed: which columns of their records, and which of their files.

Only those rows are read, a bounded number at a time. Files are matched by name; of files that have one name in one
archive, the first is matched with the first. Contents are compared by the first 32 bits of their hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl

from scanner.members import DIGEST_BYTES
from scanner.report.changes import COLUMNS, FileChanges
from scanner.run import Run
from scanner.stats import NAME_CHARS

SPAN_ROWS: Final = 65_536
"""Rows of the newer Run that are looked at together."""

_Digests: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]


class Inside:
    """What changed in pairs of rows: ``columns`` and ``undescribed`` as in a Comparison, and ``files``.

    ``pairs`` are positions of one row in both Runs (``old``, ``new``).
    """

    def __init__(self, old: Run, new: Run, pairs: pl.DataFrame) -> None:
        self.columns = dict.fromkeys(COLUMNS, 0)
        self.undescribed = 0
        self.files = FileChanges() if old.has_members and new.has_members else None
        for _, some in pairs.sort("new").group_by(pl.col("new") // SPAN_ROWS, maintain_order=True):
            sides = [(old, some["old"]), (new, some["new"])]
            self._compare(*(_rows_at(run.records().select(list(COLUMNS)), at) for run, at in sides))
            if self.files is not None:
                _compare_files(self.files, *(_rows_at(run.members(), at) for run, at in sides))

    def _compare(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        differs = pl.DataFrame([before[name].ne_missing(after[name]).alias(name) for name in COLUMNS])
        for name in COLUMNS:
            self.columns[name] += int(differs[name].sum())
        self.undescribed += int((~differs.select(pl.any_horizontal(pl.all())).to_series()).sum())


def _rows_at(frame: pl.LazyFrame, at: pl.Series) -> pl.DataFrame:
    """The rows at these positions, in this order."""
    first, last = int(at.min()), int(at.max())  # type: ignore[arg-type]
    span = frame.slice(first, last - first + 1).with_row_index("at", offset=first)
    rows = span.filter(pl.col("at").is_in(at.implode())).collect(engine="streaming").sort("at")
    return rows[rows["at"].search_sorted(at)].drop("at")


def _compare_files(found: FileChanges, before: pl.DataFrame, after: pl.DataFrame) -> None:
    """Count rows by the name of what was added, removed and changed in them."""
    lists = pl.concat([before, after.select(pl.all().name.suffix("_new"))], how="horizontal").with_row_index("row")
    listed = lists.drop_nulls()
    found.unlisted += len(lists) - len(listed)
    alike = listed["names"] == listed["names_new"]
    old, new = map(
        pl.concat, zip(_where_they_differ(*_files(listed.filter(alike))), _files(listed.filter(~alike)), strict=True)
    )
    on = ["row", "name"]
    if any(side.select(on).is_duplicated().any() for side in (old, new)):
        nth = pl.int_range(pl.len(), dtype=pl.UInt32).over(on).alias("nth")
        old, new, on = old.with_columns(nth), new.with_columns(nth), [*on, "nth"]
    both = old.join(new, on=on, how="full", suffix="_new", coalesce=True)
    fates = {
        "added": pl.col("digest").is_null(),
        "removed": pl.col("digest_new").is_null(),
        "changed": pl.col("digest") != pl.col("digest_new"),
    }
    for fate, is_it in fates.items():
        rows = both.filter(is_it).select("row", _short(pl.col("name"))).unique()
        getattr(found, fate).add(dict(rows["name"].value_counts().iter_rows()))


def _files(lists: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The files of both sides, a row a file: ``row``, ``name``, ``digest``."""
    for suffix in ("", "_new"):
        digests = lists["digests" + suffix]
        names = pl.col("names" + suffix).str.split("\n").alias("name")
        files = lists.filter(digests.bin.size() > 0).select("row", names).explode("name")
        values: _Digests = np.frombuffer(b"".join(digests), np.dtype(f"<u{DIGEST_BYTES}"))
        yield files.with_columns(digest=pl.Series(values))


def _where_they_differ(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Without the files that are the same, of rows with the same names on both sides: nearly all, and quick."""
    differs = old["digest"] != new["digest"]
    return old.filter(differs), new.filter(differs)


def _short(name: pl.Expr) -> pl.Expr:
    """Of a length that can be shown, as counters of names have it."""
    return pl.when(name.str.len_chars() > NAME_CHARS).then(name.str.head(NAME_CHARS) + "…").otherwise(name)
