"""A Run in a notebook's cell: a few lines of HTML, with its style in place and nothing to load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from scanner.report.figures import count, counted, percent, uncounted
from scanner.report.markup import Child, Markup, el, name
from scanner.run import Run
from scanner.stats import Histogram, SourceStats

SOURCES_SHOWN: Final = 10

_FRAME: Final = "font: 13px/1.5 system-ui, sans-serif; max-width: 60em; overflow-x: auto"
_FIGURE: Final = "text-align: right; padding: .1em .8em; font-variant-numeric: tabular-nums"
_TEXT: Final = "text-align: left; padding: .1em .8em .1em 0"
TABLE: Final = "font: inherit; border-collapse: collapse; margin: .4em 0"
_DIM: Final = "opacity: .65"


def run_html(run: Run) -> Markup:
    """The account of ``run`` and its largest sources."""
    account = run.account
    lines = [f"{count(account.ok)} ok", f"{count(account.degraded)} degraded", f"{count(account.failed)} failed"]
    lines += [f"{count(account.skipped)} skipped"] if account.skipped else []
    lines += [f"{count(account.not_reached)} not reached"] if account.not_reached else []
    lines += [uncounted(account.uncounted_files)] if account.uncounted_files else []
    by_rows = sorted(run.stats.sources.items(), key=lambda item: (-item[1].rows, item[0]))
    rows = [_row(source, stats) for source, stats in by_rows[:SOURCES_SHOWN]]
    rest = len(by_rows) - len(rows)
    return frame(
        el("strong", "Run "),
        name(run.location),
        el("div", f"{counted(account.planned, 'row')} of ", name(run.manifest.source), ": " + ", ".join(lines)),
        table(("source", "rows", "compressed kB", "raw kB", "files", "verifier by name"), rows),
        dim(f"and {counted(rest, 'more source')}") if rest else None,
    )


def _row(source: str, stats: SourceStats) -> list[Child]:
    verified = percent(stats.heuristic_verifier, stats.rows)
    means = (_mean(stats.compressed_size, 1000), _mean(stats.raw_size, 1000), _mean(stats.n_files, 1))
    return [name(source), count(stats.rows), *means, verified]


def _mean(histogram: Histogram, unit: int) -> str:
    mean = histogram.mean()
    return "-" if mean is None else f"{mean / unit:,.2f}"


def frame(*children: Child) -> Markup:
    """One cell."""
    return el("div", *children, style=_FRAME)


def dim(text: Child) -> Markup:
    """A remark."""
    return el("div", text, style=_DIM)


def table(titles: tuple[str, ...], rows: list[list[Child]], *, texts: tuple[int, ...] = (0,)) -> Markup:
    """A table of figures, but for the columns ``texts``."""
    styles = [_TEXT if at in texts else _FIGURE for at in range(len(titles))]

    def line(tag: str, cells: Iterable[Child]) -> Markup:
        return el("tr", *(el(tag, cell, style=style) for cell, style in zip(cells, styles, strict=True)))

    return el("table", el("thead", line("th", titles)), el("tbody", *(line("td", row) for row in rows)), style=TABLE)
