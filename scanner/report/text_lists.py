"""Lists of the text summary: rows by kind, and the most frequent names side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scanner.report.figures import percent
from scanner.report.terminal import Cut, safe
from scanner.run import Run
from scanner.stats import Tally


def kinds(run: Run, top: int, width: int) -> RenderableType | None:  # noqa: ARG001 - all sections are called alike
    """Rows by format, codec, layout and verifier."""
    overall = run.stats.overall
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for title, kinds in (
        ("formats", overall.format),
        ("codecs", overall.codec),
        ("layouts", overall.layout),
        ("verifiers", overall.verifier_kind),
    ):
        if kinds:
            ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
            grid.add_row(title, _flow([f"{safe(k)} {n:,} ({percent(n, overall.rows)})" for k, n in ranked], width - 11))
    if overall.rows:
        grid.add_row("solutions", f"in {overall.has_solution:,} rows ({percent(overall.has_solution, overall.rows)})")
    return grid if grid.row_count else None


def _flow(items: Sequence[str], width: int) -> Text:
    """Items in lines that break between items only."""
    lines = [items[0]]
    for item in items[1:]:
        if len(lines[-1]) + 3 + len(item) <= width:
            lines[-1] += " · " + item
        else:
            lines.append(item)
    return Text("\n".join(lines))


def lists(run: Run, top: int, width: int) -> RenderableType | None:
    """The most frequent names of each sort, in as many columns as there is room for."""
    overall = run.stats.overall
    columns = 1 if width < 76 else 2 if width < 120 else 3
    each = (width - 3 * (columns - 1)) // columns
    tiles = [
        _tile(title, tally, top, each)
        for title, tally in (
            ("File names", overall.names),
            ("Extensions", overall.extensions),
            ("Content types, by magic", overall.content_types),
            ("JSON keys", overall.json_keys),
            ("Base images", overall.base_images),
            ("Extensions that lie", overall.lies),
        )
        if tally.counts
    ]
    grid = Table.grid(padding=(0, 3, 0, 0))
    for _ in range(columns):
        grid.add_column(width=each)
    for at in range(0, len(tiles), columns):
        if at:
            grid.add_row("")
        grid.add_row(*tiles[at : at + columns])
    parts: list[RenderableType] = [grid] if tiles else []
    if overall.harbor_reasons.counts:  # sentences: they want the whole width
        parts += [Text()] if parts else []
        parts.append(_tile("Why Harbor drops tasks, without a message", overall.harbor_reasons, top, width))
    return Group(*parts) if parts else None


def _tile(title: str, tally: Tally, top: int, width: int) -> RenderableType:
    names = tally.top(top)
    bars = width >= 44
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", no_wrap=True, min_width=7)
    if bars:
        grid.add_column(width=8)
    grid.add_column()
    for name, n in names:
        bar = [ProgressBar(names[0][1], n, 8, complete_style="blue", finished_style="blue")] if bars else []
        grid.add_row(f"{n:,}", *bar, Cut(name))
    left = len(tally.counts) - len(names) + tally.omitted_names
    rest = [f"… and {left:,} more"] if left else []
    rest += [f"(counts ± {tally.error:,})"] if tally.error else []
    if rest:
        grid.add_row("", *([""] if bars else []), Text(" ".join(rest), "dim"))
    return Group(Text(title, "bold"), grid)
