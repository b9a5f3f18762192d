"""``scanner report``: a Run as text, JSON, a page, pictures or Markdown. Reads the Run, never the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.help import Command, option
from scanner.errors import UsageError

if TYPE_CHECKING:
    from scanner.run import Run

TOP = 10


def show(run: Run, *, as_json: bool = False, top: int = TOP) -> None:
    """Print ``run`` on stdout: the summary for a person, or one JSON document."""
    if as_json:
        from scanner.report.document import document

        click.echo(document(run))
    else:
        from scanner.report.terminal import console
        from scanner.report.text import print_summary

        print_summary(run, console(), top=top)


@click.command(
    cls=Command,
    short_help="Show a Run: as text, JSON, a page, pictures or Markdown",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner scan corpus --out run",
        "scanner report run --top 5",
        "scanner report run --html report.html --png plots",
    ],
)
@click.argument("run", metavar="RUN")
@option("--json", "as_json", section="On stdout", is_flag=True, help="One JSON document: manifest and aggregates.")
@option("--markdown", section="On stdout", is_flag=True, help="A summary to paste in a dataset card.")
@option(
    "--top",
    section="On stdout",
    type=click.IntRange(min=1),
    default=TOP,
    show_default=True,
    metavar="N",
    help="Sources and names to list.",
)
@option("--html", section="As files", metavar="FILE", type=Path, help="One self-contained page.")
@option("--png", section="As files", metavar="DIR", type=Path, help="The plots as pictures.")
@option("--against", section="Two Runs", metavar="OLD_RUN", help="What changed since OLD_RUN, in any of these faces.")
def command(
    run: str, as_json: bool, markdown: bool, top: int, html: Path | None, png: Path | None, against: str | None
) -> None:
    """Show what a Run found: as text, or as the faces that are asked for.

    RUN is the folder that `scanner scan --out RUN` wrote.
    """
    from scanner.run import Run

    if markdown and as_json:
        raise UsageError("--markdown and --json both go to stdout: leave one out")
    new = Run(run)
    old = Run(against) if against is not None else None
    for path in _written(new, old, html, png):
        click.echo(f"wrote {path}", err=True)
    if not (markdown or as_json) and (html is not None or png is not None):
        return
    if old is not None:
        _show_changes(new, old, as_json=as_json, markdown=markdown)
    elif markdown:
        from scanner.report.markdown import render

        click.echo(render(new), nl=False)
    else:
        show(new, as_json=as_json, top=top)


def _written(new: Run, old: Run | None, html: Path | None, png: Path | None) -> list[Path]:
    paths: list[Path] = []
    if html is not None:
        from scanner.report.html import write_html

        write_html(new, html, old)
        paths.append(html)
    if png is not None:
        from scanner.report.charts import write_pngs

        paths += write_pngs(new, png)
    return paths


def _show_changes(new: Run, old: Run, *, as_json: bool, markdown: bool) -> None:
    from scanner.report.compare import compare, render_text
    from scanner.report.compare_markdown import render_markdown
    from scanner.report.document import to_json

    changes = compare(new, old)
    if as_json:
        click.echo(to_json(changes))
    else:
        click.echo(render_markdown(changes) if markdown else render_text(changes), nl=False)
