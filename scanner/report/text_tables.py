"""Tables of the text summary: a line per source, and how large rows are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scanner.report.figures import percent
from scanner.report.terminal import NARROW_CHARS, Cut
from scanner.run import Run
from scanner.stats import Histogram, SourceStats

_TITLES: Final = ("rows", "verifier\nby name", "Harbor\nloads it", "compressed\nkB", "raw\nkB", "\nfiles")
_NARROW_TITLES: Final = ("rows", "verif.\nby name", "Harbor\nloads", "compr.\nkB", "raw\nkB", "files")
_NOTE: Final = "Verifier by name: file names and JSON keys."
_NOTE_ON_MEANS: Final = "Means per row, 1 kB = 1,000 bytes."


class _Row(NamedTuple):
    """A line of the table of sources, as sums."""

    name: str
    rows: int
    verified: int
    loadable: int
    compressed: tuple[int, int]
    raw: tuple[int, int]
    files: tuple[int, int]


def _row(name: str, stats: Sequence[SourceStats]) -> _Row:
    def sums(of: Callable[[SourceStats], Histogram]) -> tuple[int, int]:
        return sum(of(s).n for s in stats), sum(of(s).sum for s in stats)

    return _Row(
        name,
        sum(s.rows for s in stats),
        sum(s.heuristic_verifier for s in stats),
        sum(s.harbor_loadable for s in stats),
        sums(lambda s: s.compressed_size),
        sums(lambda s: s.raw_size),
        sums(lambda s: s.n_files),
    )


def sources(run: Run, top: int, width: int) -> RenderableType | None:
    """A line per source, the largest first, then the others together and the whole."""
    by_rows = sorted(run.stats.sources.items(), key=lambda item: (-item[1].rows, item[0]))
    if not by_rows:
        return Text("No row was scanned.")
    rows = [_row(name, [stats]) for name, stats in by_rows[:top]]
    rest = [stats for _, stats in by_rows[top:]]
    narrow = width < 76
    n_shown = 3 if width < NARROW_CHARS else len(_TITLES)
    table = Table(box=None, padding=(0, 1 if width < 100 else 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(f"{len(by_rows):,} source{'s' if len(by_rows) != 1 else ''}", vertical="bottom")
    for title in (_NARROW_TITLES if narrow else _TITLES)[:n_shown]:
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    for row in rows:
        table.add_row(Cut(row.name), *_cells(row)[:n_shown])
    if rest:
        table.add_row(Text(f"… and {len(rest):,} more", "dim"), *_cells(_row("", rest))[:n_shown])
    if len(by_rows) > 1:
        whole = _row("", [stats for _, stats in by_rows])
        table.add_row(Text("all", "bold"), *_cells(whole)[:n_shown], style="bold")
    notes = [_NOTE_ON_MEANS] if n_shown == len(_TITLES) else []
    return Group(table, Text(" ".join([*notes, _NOTE]), "dim"))


def _cells(row: _Row) -> list[RenderableType]:
    return [
        f"{row.rows:,}",
        percent(row.verified, row.rows),
        _rate(row.loadable, row.rows),
        *(_mean(n, total, 1_000) for n, total in (row.compressed, row.raw)),
        _mean(*row.files, 1),
    ]


def _rate(part: int, whole: int) -> Text:
    share = part / whole if whole else 0.0
    return Text(percent(part, whole), "green" if share >= 0.9 else "yellow" if share >= 0.5 else "red")


def _mean(n: int, total: int, unit: int) -> str:
    return f"{total / n / unit:,.1f}" if n else "-"


def sizes(run: Run, top: int, width: int) -> RenderableType | None:  # noqa: ARG001 - all sections are called alike
    """Least, median, mean, 95th percentile and most of a row's sizes."""
    overall = run.stats.overall
    table = Table(box=None, padding=(0, 1 if width < NARROW_CHARS else 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("a row holds", vertical="bottom")
    for title in ("least", "median", "mean", "p95", "most"):
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    lines = (("compressed kB", overall.compressed_size), ("raw kB", overall.raw_size), ("files", overall.n_files))
    for name, histogram in lines:
        values = (histogram.min, histogram.quantile(0.5), histogram.mean(), histogram.quantile(0.95), histogram.max)
        if histogram.n:
            form = _kb if name.endswith("kB") else _plain
            table.add_row(name, *(form(value) for value in values if value is not None))
    return table if table.row_count else None


def _kb(size_bytes: float) -> str:
    return f"{size_bytes / 1_000:,.1f}"


def _plain(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
