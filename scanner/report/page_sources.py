"""Of the page: the table of sources, which sorts and filters, and a section for each of them."""

from __future__ import annotations

from collections.abc import Mapping

from scanner.report import facts, page_findings
from scanner.report.chart_parts import anchor_of, largest
from scanner.report.figures import count, percent, size
from scanner.report.markup import Markup, el, join, name
from scanner.run import Run
from scanner.stats import Distinct, SourceStats

_COLUMNS = (
    ("Source", "Directory of its Parquet files"),
    ("Tasks", "Rows of the source"),
    ("Read", "Rows read completely"),
    ("Harbor", "Rows that Harbor loads"),
    ("Runnable", "Rows with a verifier that a harness can run"),
    ("Heuristic", "Rows in which the file-name heuristic sees a verifier"),
    ("Solution", "Rows with a solution"),
    ("Packed", "Mean compressed size of a task"),
    ("Raw", "Mean size of a task once decompressed"),
    ("Files", "Mean number of files of a task"),
    ("Repeats", "Rows that repeat the content of another row of the source"),
)


def table(run: Run) -> Markup:
    """All sources, largest first. Without the script it is a plain table."""
    anchors = anchor_of(run.stats)
    heads = [
        el(
            "th",
            el("button", label, type="button"),
            scope="col",
            title=meaning,
            aria_sort="descending" if label == "Tasks" else None,
            class_=None if not at else "n",
        )
        for at, (label, meaning) in enumerate(_COLUMNS)
    ]
    rows = [_row(source, stats, anchors[source]) for source, stats in largest(run.stats)]
    n = count(len(rows))
    return join(
        el(
            "p",
            el(
                "label",
                "Filter ",
                el("input", type="search", id="filter", placeholder="part of a name", autocomplete="off"),
            ),
            " ",
            el("span", f"{n} of {n} sources", id="matched", role="status"),
            class_="filter live",
        ),
        el(
            "div",
            el("table", el("thead", el("tr", heads)), el("tbody", rows), id="table"),
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label="Table of sources",
        ),
    )


def _row(source: str, stats: SourceStats, anchor: str) -> Markup:
    content = stats.distinct.get("content_id", Distinct())
    repeats = content.n - content.distinct
    ok, runnable = stats.status.get("ok", 0), facts.runnable(stats)
    shares = (ok, stats.harbor_loadable, runnable, stats.heuristic_verifier, stats.has_solution)
    n_files = stats.n_files.mean()
    return el(
        "tr",
        el("th", el("a", name(source), href=f"#{anchor}"), scope="row"),
        _cell(count(stats.rows), stats.rows),
        [_cell(percent(n, stats.rows), n / stats.rows if stats.rows else -1) for n in shares],
        [
            _cell(size(mean), -1 if mean is None else mean)
            for mean in (stats.compressed_size.mean(), stats.raw_size.mean())
        ],
        _cell("n/a" if n_files is None else f"{n_files:.1f}", -1 if n_files is None else n_files),
        _cell(percent(repeats, stats.rows), repeats / stats.rows if stats.rows else -1),
    )


def _cell(said: str, value: float) -> Markup:
    return el("td", said, class_="n", data_v=f"{value:.6g}" if isinstance(value, float) else value)


def sections(run: Run) -> Markup:
    """A section of each source, closed until somebody comes to it."""
    anchors = anchor_of(run.stats)
    return join(_section(run, source, stats, anchors[source]) for source, stats in largest(run.stats))


def _section(run: Run, source: str, stats: SourceStats, anchor: str) -> Markup:
    lists = (
        _list("Status", stats.status, stats.rows),
        _list("Layouts", stats.layout, stats.rows),
        _list("Verifier kinds", stats.verifier_kind, stats.rows),
        _list("Formats", stats.format, stats.rows),
        _list("Codecs", stats.codec, stats.rows),
        _list("File names", dict(stats.names.top(10)), None),
        _list("Base images", dict(stats.base_images.top(5)), stats.rows),
        _list("Why Harbor would drop rows", dict(stats.harbor_reasons.top(5)), stats.rows),
        _list("Faults", stats.faults, stats.rows),
    )
    return el(
        "details",
        el("summary", el("b", name(source)), el("span", f"{count(stats.rows)} tasks", class_="n")),
        el("div", _sizes(stats), lists, id=anchor, class_="columns", tabindex=-1),
        [
            join(el("h4", "Examples of ", kind), page_findings.places(places))
            for kind, places in facts.examples_of(run, source).items()
        ],
        class_="source",
    )


def _sizes(stats: SourceStats) -> Markup:
    parts = (("Packed", stats.compressed_size, size), ("Raw", stats.raw_size, size), ("Files", stats.n_files, _plain))
    lines = [
        el(
            "tr",
            el("th", label, scope="row"),
            [el("td", say(value), class_="n") for value in (h.quantile(0.5), h.quantile(0.95), h.max)],
        )
        for label, h, say in parts
    ]
    head = el("tr", el("td"), [el("th", each, scope="col", class_="n") for each in ("median", "p95", "largest")])
    return el("div", el("h4", "Sizes of a task"), el("table", el("thead", head), el("tbody", lines), class_="plain"))


def _plain(value: int | None) -> str:
    return "n/a" if value is None else count(value)


def _list(title: str, counts: Mapping[str, int], whole: int | None) -> Markup | None:
    if not counts:
        return None
    lines = [
        el(
            "tr",
            el("th", name(kind, 60), scope="row"),
            el("td", count(n), class_="n"),
            el("td", percent(n, whole), class_="n") if whole else None,
        )
        for kind, n in counts.items()
    ]
    return el("div", el("h4", title), el("table", el("tbody", lines), class_="plain"))
