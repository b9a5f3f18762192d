"""Options that all commands share that read rows of a SOURCE."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from scanner.cli.help import option


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what chooses and names the input: arguments of :class:`scanner.Explorer` of the same names."""

    @option("--split", section="Which files", metavar="S", help="Split, as `datasets` names it.")
    @option("--config", section="Which files", metavar="C", help="Configuration, as `datasets` names it.")
    @option("--revision", section="Which files", metavar="R", help="Branch, tag or commit on the Hub.  [default: main]")
    @option(
        "--include",
        section="Which files",
        metavar="GLOB",
        multiple=True,
        help="Read only files that match; may be repeated.",
    )
    @option(
        "--exclude",
        section="Which files",
        metavar="GLOB",
        multiple=True,
        help="Leave out files that match; wins over --include.",
    )
    @option("--source-filter", section="Which files", metavar="REGEX", help="Only sources that match.")
    @option("--column", section="Which files", metavar="path=NAME,blob=NAME", help="Names of the two columns.")
    @wraps(command)
    def with_columns(*args: Any, column: str | None, **options: Any) -> Any:
        if column is not None:
            from scanner.sources.arrow import read_columns

            options["columns"] = read_columns(column)
        return command(*args, **options)

    return with_columns


def workers_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``workers``: how many processes look for rows."""
    wrapped: Callable[..., Any] = option(
        "--workers",
        section="How it runs",
        type=click.IntRange(min=0),
        metavar="N",
        help="Processes that look for rows.  [default: one a core]",
    )(command)
    return wrapped
