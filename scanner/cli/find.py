"""``scanner find``: the first rows that match an expression."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.help import Command, option
from scanner.cli.rows import source_options, workers_option
from scanner.errors import NoMatchError

if TYPE_CHECKING:
    from scanner.explore import Explorer
    from scanner.explore.find import Hit
    from scanner.run import Run


@click.command(
    cls=Command,
    short_help="Find the first rows that match an expression",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner find corpus --where \"layout = 'harbor' AND NOT harbor_loadable\" -n 3",
        "scanner scan corpus --out run",
        "scanner find corpus --run run --where \"array_contains(fault_kinds, 'crlf-script')\" --show",
    ],
)
@click.argument("source")
@option(
    "--where",
    section="Which rows",
    required=True,
    metavar="EXPR",
    help="SQL over the record columns and fault_kinds, a list.",
)
@option(
    "-n", section="Which rows", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="How many."
)
@option(
    "--run", section="Which rows", type=Path, metavar="RUN", help="Look in the records of this Run; nothing is scanned."
)
@option(
    "--show", "in_full", section="What is shown", is_flag=True, help="Also the two best verifier candidates of each."
)
@option("--json", "as_json", section="What is shown", is_flag=True, help="The records, one JSON object a line.")
@workers_option
@source_options
def command(
    source: str,
    where: str,
    n: int,
    run: Path | None,
    in_full: bool,
    as_json: bool,
    workers: int | None,
    **options: Any,
) -> None:
    """Find the first N rows of SOURCE for which EXPR holds. SOURCE may be a Run: its records are looked in then.

    Without a Run rows are scanned until there are enough, the first here and the others by workers; where you ask
    often, scan once and use --run. The columns are those of records.parquet. Exits with 4 where nothing matches.
    """
    from scanner.explore.hits import print_hits

    explorer, opened = _opened(source, run, options, with_rows=in_full)
    show = _shower(explorer) if explorer and in_full else None
    with closing(_hits(explorer, opened, where, workers)) as hits:  # ends the workers once there are enough
        n_found = print_hits(islice(hits, n), as_json=as_json, show=show)
    if not n_found:
        raise NoMatchError(f"no row of {source} matches {where!r}")


def _opened(
    source: str, run: Path | None, options: dict[str, Any], *, with_rows: bool
) -> tuple[Explorer | None, Run | None]:
    """What to look in. The rows themselves are opened only where no Run tells of them, or they are to be shown."""
    from scanner.explore import Explorer
    from scanner.explore.find import asked_of
    from scanner.run import Run

    given = {name: value for name, value in options.items() if value}
    if (Path(source) / "run.json").is_file():
        of_run = Run(source)
        opened = of_run if run is None else Run(run)
        with_rows = with_rows or bool(given) or run is not None
        return Explorer(of_run.manifest.source, **asked_of(of_run) | given) if with_rows else None, opened
    return Explorer(source, **options), None if run is None else Run(run)


def _hits(explorer: Explorer | None, run: Run | None, where: str, workers: int | None) -> Generator[Hit, None, None]:
    from scanner.explore.find import find_in_run

    if explorer is not None:
        return explorer.find(where, run=run, workers=workers)
    assert run is not None
    return find_in_run(run, where)


def _shower(explorer: Explorer) -> Callable[[Hit], None]:
    from scanner.explore.text import print_verifier
    from scanner.report.terminal import console
    from scanner.task import Task

    screen = console()

    def show(hit: Hit) -> None:
        blob = hit.blob or explorer.open(hit.record.row, file=hit.record.file).blob
        print_verifier(Task(blob, record=hit.record), hit.number, screen)

    return show
