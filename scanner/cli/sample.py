"""``scanner sample``: a few rows drawn from all over a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scanner.cli.help import Command, option
from scanner.cli.rows import source_options
from scanner.errors import NoMatchError

if TYPE_CHECKING:
    from scanner.explore.find import Hit


@click.command(
    cls=Command,
    short_help="Show a few rows drawn at random",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner sample corpus -n 8 --seed 1",
        "scanner sample corpus -n 1 --source-filter pytest --show",
    ],
)
@click.argument("source")
@option(
    "-n", section="Which rows", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="How many."
)
@option(
    "--seed",
    section="Which rows",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="S",
    help="Another seed, other rows.",
)
@option("--show", "in_full", section="What is shown", is_flag=True, help="Each task as `scanner show` shows it.")
@option("--json", "as_json", section="What is shown", is_flag=True, help="The records, one JSON object a line.")
@source_options
def command(source: str, n: int, seed: int, in_full: bool, as_json: bool, **options: Any) -> None:
    """Show N rows of SOURCE, spread over its sources and their length: the same rows for a seed on every machine.

    Sources take turns, so that small ones are seen too; the first column is the number that `scanner show --row` takes.
    """
    from scanner.explore import Explorer
    from scanner.explore.hits import print_hits

    hits = Explorer(source, **options).sample_hits(n, seed=seed)
    if not print_hits(hits, as_json=as_json, show=_show if in_full else None):
        raise NoMatchError(f"{source} has no row, or none of a source that --source-filter matches")


def _show(hit: Hit) -> None:
    from scanner.task import Task

    assert hit.blob is not None
    Task(hit.blob, record=hit.record).show()
