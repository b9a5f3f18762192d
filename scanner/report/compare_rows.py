"""Rows of two Runs matched and compared: a chunk at a time, keys and values by their 64-bit hash.

Hashes keep a row at some hundred bytes however long its path is; that two of a million rows share one by chance has a
likelihood of one in ten million. Memory is bounded whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from scanner.report.changes import Rows, SourceChange
from scanner.run import Run
from scanner.stats import OTHER_SOURCES, SourceStats, StatsFile

CHUNK_ROWS: Final = 300_000
"""Rows of both Runs together that are compared at a time."""

EXAMPLES: Final = 3


class Chunk(NamedTuple):
    """What is compared at a time: some sources whole, or one part of a large one."""

    sources: list[SourceChange]
    part: int = 0
    parts: int = 1
    """Rows whose hash leaves ``part`` when divided by it."""


def chunks(sources: Sequence[SourceChange], before: StatsFile, after: StatsFile) -> Iterator[Chunk]:
    """All sources in chunks of bounded size. The rows of sources without statistics of their own come as one."""
    held: list[SourceChange] = []
    held_rows = 0
    none = SourceStats()
    for source in sources:
        old_rows = before.sources.get(source.old_source or source.source, none).rows
        rows = old_rows + after.sources.get(source.source, none).rows
        if rows > CHUNK_ROWS or source.source == OTHER_SOURCES:
            parts = -(-rows // CHUNK_ROWS)
            yield from (Chunk([source], part, parts) for part in range(parts))
            continue
        if held and held_rows + rows > CHUNK_ROWS:
            yield Chunk(held)
            held, held_rows = [], 0
        held.append(source)
        held_rows += rows
    if held:
        yield Chunk(held)


def sides_of(old: Run, new: Run, chunk: Chunk) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of a chunk in the old Run and in the new one: what they are matched and compared by."""
    if chunk.sources[0].source == OTHER_SOURCES:
        left = _rows(old, chunk, ~pl.col("source").is_in(list(old.stats.sources)))
        right = _rows(new, chunk, ~pl.col("source").is_in(list(new.stats.sources)))
        other = pl.lit(OTHER_SOURCES).cast(pl.Categorical).alias("source")
        return left.with_columns(other), right.with_columns(other)
    renames = {each.old_source: each.source for each in chunk.sources if each.old_source}
    before = [each.old_source or each.source for each in chunk.sources if each.state != "added"]
    after = [each.source for each in chunk.sources if each.state != "removed"]
    left = _rows(old, chunk, pl.col("source").is_in(before), renames)
    return left, _rows(new, chunk, pl.col("source").is_in(after))


def _rows(run: Run, chunk: Chunk, wanted: pl.Expr, renames: Mapping[str, str] | None = None) -> pl.DataFrame:
    source = pl.col("source").replace(dict(renames)) if renames else pl.col("source")
    key = pl.struct(source, "path").hash()
    if chunk.parts > 1:
        wanted &= key % chunk.parts == chunk.part
    return (
        run.records()
        .with_row_index("at")
        .filter(wanted)
        .select(
            "at",
            source.cast(pl.Categorical),
            key.alias("key"),
            pl.col("content_id").hash().alias("content"),
            pl.col("blob_id").hash().alias("blob"),
        )
        .collect(engine="streaming")
    )


class Found:
    """What the chunks told so far."""

    def __init__(self, rows: dict[str, Rows]) -> None:
        self.rows = rows
        self.changed: list[pl.DataFrame] = [pl.DataFrame(schema={"old": pl.UInt32, "new": pl.UInt32})]
        """Positions of changed rows in both Runs."""
        self.examples: dict[str, list[int]] = {"added": [], "removed": [], "changed": []}

    def take(self, left: pl.DataFrame, right: pl.DataFrame) -> None:
        """Match the rows of one chunk and count their fates."""
        pairs = _paired(left, right)
        fate = (
            pl.when(pl.col("l").is_null())
            .then(pl.lit("added"))
            .when(pl.col("r").is_null())
            .then(pl.lit("removed"))
            .when(pl.col("content").ne_missing(pl.col("content_new")))
            .then(pl.lit("changed"))
            .when(pl.col("blob").ne_missing(pl.col("blob_new")))
            .then(pl.lit("repacked"))
            .otherwise(pl.lit("same"))
        )
        pairs = pairs.with_columns(fate=fate)
        for source, kind, n in pairs.group_by("source", "fate").len().iter_rows():
            setattr(self.rows[source], kind, getattr(self.rows[source], kind) + n)
        for kind, found in self.examples.items():
            side, index = (left, "l") if kind == "removed" else (right, "r")
            hits = pairs.filter(pl.col("fate") == kind)[index]
            self.examples[kind] = sorted([*found, *side["at"].gather(hits.sort().head(EXAMPLES)).to_list()])[:EXAMPLES]
        changed = pairs.filter(pl.col("fate") == "changed")
        self.changed.append(pl.DataFrame({"old": left["at"][changed["l"]], "new": right["at"][changed["r"]]}))


def _paired(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Rows of both sides with the same key, side by side; ``l`` and ``r`` are their positions, null where missing."""
    columns = ["source", "key", "content", "blob"]
    on = ["key"]
    a, b = left.select(columns).with_row_index("l"), right.select(columns).with_row_index("r")
    # Paths need not be unique in hostile data, and a join of n equal keys with m would make n * m rows.
    if any(side["key"].n_unique() < len(side) for side in (a, b)):
        nth = pl.int_range(pl.len(), dtype=pl.UInt32).over("key").alias("nth")
        a, b, on = a.with_columns(nth), b.with_columns(nth), ["key", "nth"]
    both = a.join(b, on=on, how="full", suffix="_new", coalesce=True)
    return both.with_columns(source=pl.coalesce(pl.col("source").cast(pl.String), pl.col("source_new").cast(pl.String)))
