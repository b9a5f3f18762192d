"""Sections of the text summary on what is wrong: faults by kind with an example each, and duplicates."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scanner.faults import FAULTS, Severity
from scanner.report.figures import percent
from scanner.report.terminal import Cut, safe
from scanner.run import Run
from scanner.stats import Example


def findings(run: Run, top: int, width: int) -> RenderableType | None:  # noqa: ARG001 - all sections are called alike
    """Fault kinds by rows, damage and notes apart, each with what it means and its first example."""
    overall = run.stats.overall
    if not overall.rows:
        return None
    if not overall.faults:
        return Text("No faults.", "green")
    damaged = run.account.degraded + run.account.failed
    parts: list[RenderableType] = []
    for severity, title, style in (
        ("damage", f"Damage: {damaged:,} row{'s' if damaged != 1 else ''} could not be read whole", "red"),
        ("note", "Notes: nothing is missing, but worth knowing", "yellow"),
    ):
        kinds = {kind: n for kind, n in overall.faults.items() if _severity(kind) == severity}
        if kinds:
            parts += [Text(title, f"bold {style}"), _by_kind(kinds, overall.examples, top), Text()]
    return Group(*parts[:-1])


def _severity(kind: str) -> Severity:
    about = FAULTS.get(kind)  # type: ignore[call-overload]
    return about.severity if about else "damage"  # a Run of a later version may know more kinds


def _by_kind(kinds: Mapping[str, int], examples: Mapping[str, list[Example]], top: int) -> RenderableType:
    ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", no_wrap=True, min_width=7)
    grid.add_column()
    for kind, n in ranked[:top]:
        about = FAULTS.get(kind)  # type: ignore[call-overload]
        line = Text(safe(kind), "bold")
        line.append(f"  {about.meaning}" if about else "", "not bold")
        shown = [Cut(*_where(example), style="dim") for example in examples.get(kind, [])[:1]]
        grid.add_row(f"{n:,}", Group(line, *shown))
    if len(ranked) > top:
        rows = sum(n for _, n in ranked[top:])
        grid.add_row("", Text(f"… and {len(ranked) - top:,} more kinds, {rows:,} times", "dim"))
    return grid


def _where(example: Example) -> list[str]:
    parts = [example.file, f"row {example.row}", example.path]
    return [*parts, example.member] if example.member is not None else parts


def duplicates(run: Run, top: int, width: int) -> RenderableType | None:  # noqa: ARG001 - as above
    """How many rows repeat another one: as bytes, as content, as instruction; within a source and across sources."""
    overall = run.stats.overall
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("Duplicates", vertical="bottom")
    for title in ("rows", "distinct", "repeats in\na source", "also in\nother sources"):
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    for column, name in (("blob_id", "blob"), ("content_id", "content"), ("instruction_id", "instruction")):
        whole = overall.distinct.get(column)
        if whole is None or not whole.n:
            continue
        each = [s.distinct[column] for s in run.stats.sources.values() if column in s.distinct]
        within = sum(one.n - one.distinct for one in each)
        table.add_row(
            name, f"{whole.n:,}", f"{whole.distinct:,}", _times(within, whole.n), _times(whole.shared, whole.n)
        )
    return table if table.row_count else None


def _times(n: int, rows: int) -> str:
    return f"{n:,} ({percent(n, rows)})" if n else "0"
