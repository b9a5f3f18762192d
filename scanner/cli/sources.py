"""``scanner sources``: files, sources, rows and bytes of SOURCE, from listings and footers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scanner.cli.help import Command, option
from scanner.cli.rows import source_options
from scanner.cli.scan import NOT_REACHED
from scanner.errors import NoMatchError, UsageError

if TYPE_CHECKING:
    from scanner.sources import InputFile, Plan
    from scanner.sources.parquet import ParquetSource


@click.command(
    "sources",
    cls=Command,
    short_help="List files, sources, rows and bytes without reading a row",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner sources corpus",
        "scanner sources corpus --directories",
    ],
)
@click.argument("source")
@source_options
@option("--json", "as_json", section="What is shown", is_flag=True, help="One JSON document, with every file.")
@option("--files", "by_file", section="What is shown", is_flag=True, help="A line for each file.")
@option(
    "--directories", section="What is shown", is_flag=True, help="Only the names of source directories (ORG__NAME)."
)
def command(source: str, as_json: bool, by_file: bool, directories: bool, **options: Any) -> int:
    """List what SOURCE is made of: its sources with their files, rows, row groups and bytes.

    No row is read: names come from one listing, numbers from the footers. With --directories the footers are not read
    either. Retired sources (deprecated/) are left out unless --include names them. A file whose footer cannot be read
    is named on stderr, and the exit code is 3: the numbers are without its rows.
    """
    if as_json + by_file + directories > 1:
        raise UsageError("--json, --files and --directories are three ways to show the same: choose one")
    opened = _opened(source, options)
    if directories:
        for name in _directories(opened):
            click.echo(name)
        return 0
    plan = opened.plan()
    from scanner.report.terminal import safe

    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(_document(opened, plan)), indent=1))
    else:
        _show(plan, by_file=by_file)
    for file, reason in plan.unreadable.items():
        click.echo(f"scanner: {safe(file)} cannot be read: {safe(reason)}", err=True)
    return NOT_REACHED if plan.unreadable else 0


def _opened(source: str, options: dict[str, Any]) -> ParquetSource:
    from scanner.options import Options, Selection
    from scanner.progress import teller_for
    from scanner.sources.arrow import Columns
    from scanner.sources.opening import open_source
    from scanner.sources.parquet import ParquetSource

    columns = options.pop("columns", Columns())
    include, exclude = tuple(options.pop("include")), tuple(options.pop("exclude"))
    selection = Selection(include=include, exclude=exclude, **options)
    asked = Options(selection=selection, path_column=columns.path, blob_column=columns.blob)
    opened = open_source(source, asked, tell=teller_for("human"))
    if not isinstance(opened, ParquetSource):
        raise UsageError(f"{source} is streamed: how many rows it has is known when they are read; scan it")
    return opened


def _directories(opened: ParquetSource) -> list[str]:
    from scanner.sources.parquet import source_directory

    names = sorted({name for name in map(source_directory, opened.names) if "__" in name})
    if not names:
        raise NoMatchError(f"{opened.location} has no directory with __ in its name; `scanner sources` lists its files")
    return names


def _by_source(plan: Plan) -> dict[str, list[InputFile]]:
    from scanner.sources.parquet import source_directory

    found: dict[str, list[InputFile]] = {}
    for each in plan.inputs:
        found.setdefault(source_directory(each.file), []).append(each)
    return found


def _numbers(files: list[InputFile]) -> dict[str, int]:
    return {
        "files": len(files),
        "rows": sum(each.rows or 0 for each in files),
        "row_groups": sum(each.row_groups or 0 for each in files),
        "size_bytes": sum(each.size_bytes or 0 for each in files),
    }


def _document(opened: ParquetSource, plan: Plan) -> dict[str, Any]:
    import msgspec

    return {
        "source": opened.location,
        "revision": plan.revision,
        **_numbers(plan.inputs),
        "blob_bytes": plan.compressed_bytes,
        "unreadable": plan.unreadable,
        "sources": [{"source": name, **_numbers(files)} for name, files in _by_source(plan).items()],
        "inputs": msgspec.to_builtins(plan.inputs),
    }


def _show(plan: Plan, *, by_file: bool) -> None:
    from rich.table import Table

    from scanner.report.figures import counted, size
    from scanner.report.terminal import NARROW_CHARS, Cut, console

    groups = {each.file: [each] for each in plan.inputs} if by_file else _by_source(plan)
    lines = sorted(groups.items(), key=lambda item: (-_numbers(item[1])["rows"], item[0]))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_footer=len(lines) > 1)
    whole = _numbers(plan.inputs)
    table.add_column(counted(len(lines), "file" if by_file else "source"), footer="all")
    for title in () if by_file else ("files",):
        table.add_column(title, justify="right", footer=f"{whole['files']:,}")
    shown = console()
    columns = {"rows": "rows", "row_groups": "row groups"}
    if shown.width < NARROW_CHARS:
        del columns["row_groups"]
    for key, title in columns.items():
        table.add_column(title, justify="right", no_wrap=True, footer=f"{whole[key]:,}")
    table.add_column("size", justify="right", no_wrap=True, footer=size(whole["size_bytes"]))
    for name, files in lines:
        numbers = _numbers(files)
        counts = [] if by_file else [f"{numbers['files']:,}"]
        known = any(each.rows is not None for each in files)
        counts += [f"{numbers[key]:,}" if known else "unknown" for key in columns]
        table.add_row(Cut(name or "(no directory)"), *counts, size(numbers["size_bytes"]))
    shown.print(table)
    if plan.revision is not None:
        shown.print(f"at commit {plan.revision}")
