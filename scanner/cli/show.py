"""``scanner show``: one task, as a person wants to see it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.help import Command, option
from scanner.cli.rows import source_options
from scanner.errors import UsageError

if TYPE_CHECKING:
    from scanner.task import Task


@click.command(
    cls=Command,
    short_help="Show one task: its members, its metadata, its verifier",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner show corpus --row 1999",
        "scanner show corpus --row 0 --member instruction.md",
    ],
)
@click.argument("source")
@option(
    "--row",
    section="Which row",
    type=click.IntRange(min=0),
    metavar="N",
    help="By number, counted through all files.  [default: 0]",
)
@option("--path", section="Which row", metavar="PATH", help="By path.")
@option("--file", section="Which row", metavar="FILE", help="Count --row within this file, as the records do.")
@option("--member", section="What is shown", metavar="NAME", help="One file, as it is.")
@option("--json", "as_json", section="What is shown", is_flag=True, help="One JSON document.")
@source_options
def command(
    source: str, row: int | None, path: str | None, file: str | None, member: str | None, as_json: bool, **options: Any
) -> None:
    """Show one task of SOURCE: first bytes, sizes, verdicts, files, metadata, instruction, code and verifier.

    Only the row group that holds the row is read. What is too long for the terminal is cut, and what was cut is said.
    """
    from scanner.explore import Explorer

    if path is not None and (row is not None or file is not None):
        other = "--row" if row is not None else "--file"
        raise UsageError(f"--path and {other} both name a row: give one of them")
    explorer = Explorer(source, **options)
    with explorer.open(row or 0, file=file) if path is None else explorer.open(path=path) as task:
        if member is not None:
            _print_member(task, member)
        elif as_json:
            from scanner.explore.document import document

            click.echo(document(task))
        else:
            task.show()


def _print_member(task: Task, name: str) -> None:
    """One file on stdout: its very bytes, but on a terminal nothing that would act on it."""
    data = task.read(name)
    if sys.stdout.isatty():
        from scanner.report.terminal import safe

        click.echo(safe(data.decode("utf-8", "backslashreplace"), multiline=True), nl=not data.endswith(b"\n"))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
