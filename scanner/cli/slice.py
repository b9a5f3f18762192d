"""``scanner slice``: the records of a Run as one analysis table."""

from __future__ import annotations

from pathlib import Path

import click

from scanner.cli.help import Command, option
from scanner.errors import UsageError


@click.command(
    cls=Command,
    short_help="Write the records of a Run as one analysis table",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner scan corpus --out run",
        "scanner slice run -o harbor.parquet --where \"layout = 'harbor'\" --columns path,source,raw_size",
        "scanner slice run -o notebook.parquet --notebook --limit 500",
    ],
)
@click.argument("run", metavar="RUN")
@option("-o", "--output", section="Where to", type=Path, required=True, metavar="FILE.parquet", help="The table.")
@option("--overwrite", section="Where to", is_flag=True, help="Replace FILE where it exists.")
@option("--where", section="Which records", metavar="EXPR", help="SQL over the record columns and fault_kinds, a list.")
@option("--limit", section="Which records", type=click.IntRange(min=1), metavar="N", help="The first N.")
@option("--columns", section="Which columns", metavar="A,B,…", help="These, in this order.  [default: all]")
@option("--notebook", section="Which columns", is_flag=True, help="The notebook's seven; reads the rows again.")
def command(
    run: str,
    output: Path,
    overwrite: bool,
    where: str | None,
    limit: int | None,
    columns: str | None,
    notebook: bool,
) -> None:
    """Write selected records of RUN to one Parquet file, which polars, pandas, DuckDB and `datasets` open.

    With --notebook the rows are read again, for the beginning of each one's longest text, so the source has to be there
    still; what they consist of is printed. Exits with 4 where no record matches.
    """
    from scanner.explore.table import write_slice
    from scanner.run import Run

    if notebook and columns is not None:
        raise UsageError("--notebook and --columns both choose the columns: give one of them")
    n_rows = write_slice(
        Run(run),
        output,
        where=where,
        columns=columns.split(",") if columns is not None else None,
        limit=limit,
        notebook=notebook,
        overwrite=overwrite,
    )
    click.echo(f"wrote {n_rows:,} records to {output}", err=True)
    if notebook:
        _print_composition(output)


def _print_composition(path: Path) -> None:
    from rich.table import Table

    from scanner.report.frames import composition_of
    from scanner.report.terminal import Cut, console

    frame = composition_of(path)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(frame.columns[0])
    for name in frame.columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    for source, *figures in frame.iter_rows():
        table.add_row(Cut(source), *map(_figure, figures))
    console().print(table)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
