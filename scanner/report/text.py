"""A Run as text for a terminal: what is in it, what is broken, how it was scanned. Fits 40 columns and more.

Everything that comes from data passes :mod:`scanner.report.terminal`. Sections with nothing to say are left out.
1 kB is 1,000 bytes throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scanner.report.facts import asked_part
from scanner.report.figures import duration, percent, size, uncounted
from scanner.report.findings import duplicates, findings
from scanner.report.follow_up import HONEST, commands
from scanner.report.terminal import Cut, safe
from scanner.report.text_lists import kinds, lists
from scanner.report.text_tables import sizes, sources
from scanner.run import Run

WIDEST: Final = 140
"""Columns used at most: beyond, numbers drift away from their names."""


def print_summary(run: Run, console: Console, *, top: int = 10) -> None:
    """Print the summary of ``run``, where it lies and the commands that go on, each on one line to be copied."""
    console.print(render(run, top=top))
    console.print(f"\nThe Run is in {safe(run.location)}. To go on:", soft_wrap=True)
    for command in commands(run):
        console.print(f"  {safe(command)}", style="cyan", soft_wrap=True)


def render(run: Run, *, top: int = 10, width: int | None = None) -> Summary:
    """The summary of ``run``, to be printed by :func:`scanner.report.terminal.console`.

    Args:
        run: The Run; ``run.json`` and ``stats.json`` are read, the records are not.
        top: Entries of each list and sources in the table; the rest is counted in one line.
        width: Columns; those of the console by default.
    """
    return Summary(run, top, width)


class Summary:
    """The summary as a rich renderable."""

    def __init__(self, run: Run, top: int, width: int | None) -> None:
        self.run = run
        self.top = top
        self.width = width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Each section that has something to say, an empty line between."""
        width = min(self.width or options.max_width, options.max_width, WIDEST)
        inner = options.update(width=width)
        for section in _SECTIONS:
            part = section(self.run, self.top, width)
            if part is not None:
                yield from console.render(part, inner)
                yield Text()
        yield from console.render(Text(HONEST, "italic"), inner)


def _head(run: Run, top: int, width: int) -> RenderableType:  # noqa: ARG001 - all sections are called alike
    manifest = run.manifest
    name = f"{manifest.source}@{manifest.revision[:12]}" if manifest.revision else manifest.source
    state = {
        "complete": Text("complete", "green"),
        "partial": Text("partial: not every row was reached", "yellow"),
        "running": Text("not finished: the same scan command resumes it", "yellow"),
    }.get(manifest.state, Text(safe(manifest.state), "yellow"))
    asked = asked_part(manifest)
    part = [Cut(f"asked for: {asked}", style="yellow")] if asked else []
    return Group(Cut(name, style="bold"), *part, state)


def _account(run: Run, top: int, width: int) -> RenderableType:
    account = run.account
    lines = [
        ("=", account.ok, "ok", "green"),
        ("+", account.degraded, "degraded", "yellow"),
        ("+", account.failed, "failed", "red"),
        ("+", account.skipped, "skipped", "cyan"),
        ("+", account.not_reached, "not reached", "magenta"),
    ]
    grid = Table.grid(padding=(0, 1))
    for justify in ("left", "right", "left", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True)
    grid.add_row("", f"{account.planned:,}", "rows planned", "", "")
    for sign, n, name, style in lines if account.planned else ():
        bar = ProgressBar(account.planned, n, max(width - 44, 10), complete_style=style, finished_style=style)
        number = Text(f"{n:,}", style if n else "dim")
        grid.add_row(sign, number, Text(name, "" if n else "dim"), percent(n, account.planned), bar if n else "")
    parts: list[RenderableType] = [grid]
    if account.uncounted_files:
        parts.append(Text(f"+ {uncounted(account.uncounted_files)}", "magenta"))
    if not account.balances():
        parts.append(
            Text("The account does not balance: this is a fault of the scanner, please report it.", "bold red")
        )
    reasons = list(run.manifest.not_reached.items())
    parts += [Cut(*([file] if file != "*" else []), why, style="magenta") for file, why in reasons[:top]]
    if len(reasons) > top:
        parts.append(Text(f"… and {len(reasons) - top:,} more files", "dim"))
    return Group(*parts)


def _throughput(run: Run, top: int, width: int) -> RenderableType | None:  # noqa: ARG001 - as above
    manifest, counters = run.manifest, run.manifest.counters
    lines = []
    if counters.rows:
        workers = manifest.engine.get("workers")
        on = f" on {workers} worker{'s' if workers != 1 else ''}" if isinstance(workers, int) and workers else ""
        times = f" ({counters.raw_bytes / counters.blob_bytes:,.1f} times as much)" if counters.blob_bytes else ""
        lines.append(f"{size(counters.blob_bytes)} compressed, {size(counters.raw_bytes)} raw{times}")
        lines.append(f"{counters.rows:,} rows in {duration(manifest.wall_seconds)}{on}")
        speeds = [
            (manifest.throughput.get("rows_per_second"), "{:,.0f} rows/s"),
            (manifest.throughput.get("mb_per_second"), "{:,.1f} MB/s compressed"),
            (manifest.throughput.get("raw_mb_per_second"), "{:,.1f} MB/s raw"),
        ]
        lines.append(" · ".join(form.format(speed) for speed, form in speeds if speed is not None))
    if manifest.reused_rows:
        lines.append(f"{manifest.reused_rows:,} rows were on disk already, from a scan that was interrupted")
    lines += [f"{n:,} rows were taken from {safe(folder)}" for folder, n in manifest.reused_from.items()]
    return Group(*(Text(line) for line in lines if line)) if lines else None


_SECTIONS: Final[tuple[Callable[[Run, int, int], RenderableType | None], ...]] = (
    _head,
    _account,
    _throughput,
    sources,
    sizes,
    kinds,
    lists,
    findings,
    duplicates,
)
