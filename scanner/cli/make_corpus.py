"""``scanner make-corpus``: write the embedded sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scanner.cli.help import Command

if TYPE_CHECKING:
    from scanner.corpus import SourceInfo


@click.command("make-corpus", cls=Command, examples=["scanner make-corpus corpus --rows 2000"])
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--rows", type=click.IntRange(min=1), default=20_000, show_default=True, help="Rows of the live sources.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--hostile", is_flag=True, help="Add a source with one row of each hostile kind.")
def command(directory: str, rows: int, seed: int, hostile: bool) -> None:
    """Write a seeded look-alike of TaskTrove into DIR: the embedded sample.

    DIR must not exist, be empty, or hold an earlier corpus, whose files are replaced.
    """
    from time import perf_counter

    from scanner.corpus import make_corpus

    started = perf_counter()
    click.echo(f"{'source':<40}{'rows':>10}{'kB':>8}{'kB raw':>9}{'members':>9}")
    info = make_corpus(directory, rows=rows, seed=seed, hostile=hostile, on_source=_line)
    total, size = sum(source.n_rows for source in info.sources), sum(source.file_bytes for source in info.sources)
    seconds = perf_counter() - started
    click.echo(f"{total:,} rows, {size / 1e6:,.1f} MB in {seconds:,.1f} s ({total / seconds:,.0f} rows/s): {directory}")


def _line(source: SourceInfo) -> None:
    """Rows of a source, and per row the mean blob, the mean after the codec, the mean number of members."""
    n = source.n_rows
    raw = (
        f"{source.raw_bytes / n / 1000:>9.1f}{source.n_members / n:>9.1f}" if source.raw_bytes else f"{'-':>9}{'-':>9}"
    )
    click.echo(f"{source.name:<40}{n:>10,}{source.blob_bytes / n / 1000:>8.1f}{raw}")
