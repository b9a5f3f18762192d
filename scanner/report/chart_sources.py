"""Charts with a row per source: tasks, sizes, verifiers, duplicates. The largest sources; the page's table has all."""

from __future__ import annotations

from typing import Final

from scanner.report.chart_parts import (
    ANCHOR,
    Chart,
    Spec,
    Width,
    anchor_of,
    bar,
    bars,
    byte_axis,
    labels_of,
    largest,
    names_axis,
)
from scanner.report.figures import count, percent, size
from scanner.report.markup import visible
from scanner.report.palette import ACCENT, INK, KINDS, RATES, REST, SECOND, SURFACE
from scanner.stats import SourceStats, StatsFile

TOP_SOURCES: Final = 15
"""Sources a chart shows, the largest ones; the table of the page has all of them."""


def _shown(stats: StatsFile, width: Width) -> list[tuple[str, str, str, SourceStats]]:
    """The largest sources as (name, label, link, statistics)."""
    top = largest(stats)[:TOP_SOURCES]
    anchors = anchor_of(stats)
    labels = labels_of([name for name, _ in top], width)
    return [
        (visible(name, 120), label, ANCHOR + anchors[name], s) for (name, s), label in zip(top, labels, strict=True)
    ]


def _which(stats: StatsFile) -> str:
    n = len(stats.sources)
    return f"the {TOP_SOURCES} largest of {count(n)} sources" if n > TOP_SOURCES else ""


def _note(what: str, which: str) -> str:
    return f"{what}; {which}" if which else what


def tasks(stats: StatsFile, width: Width) -> Chart | None:
    """How many tasks each source has; the smaller sources together in one bar."""
    rows = stats.overall.rows
    if not rows:
        return None
    shown = _shown(stats, width)
    drawn = [
        bar(label, s.rows, count(s.rows), f"{name}: {count(s.rows)} tasks, {percent(s.rows, rows)}", href=link)
        for name, label, link, s in shown
    ]
    rest = rows - sum(s.rows for *_, s in shown)
    if rest:
        others = f"({count(len(stats.sources) - TOP_SOURCES)} smaller sources)"
        drawn.append(bar(others, rest, count(rest), f"{others}: {count(rest)} tasks", REST, ANCHOR + "sources"))
    sizes = [s.rows for _, s in largest(stats)]
    half = next(n for n in range(1, len(sizes) + 1) if 2 * sum(sizes[:n]) >= rows)
    if len(sizes) == 1:
        title = f"All {count(rows)} tasks are of one source"
    else:
        title = f"Half of the {count(rows)} tasks are in {half} of {count(len(sizes))} sources"
    return Chart("tasks-per-source", title, "Tasks per source", bars(drawn, width, "tasks (rows)"))


def means(stats: StatsFile, width: Width) -> Chart | None:
    """Mean compressed and raw size per source.

    Points joined by a line: a bar on a log axis has no zero to start from, its length would say nothing.
    """
    values: list[Spec] = []
    spans: list[Spec] = []
    for name, label, link, s in _shown(stats, width):
        packed, raw = s.compressed_size.mean(), s.raw_size.mean()
        about = f"{name}: {size(packed)} compressed, {size(raw)} raw a task"
        ends = [max(mean, 1.0) for mean in (packed, raw) if mean is not None]
        spans.append({"label": label, "low": min(ends, default=None), "high": max(ends, default=None)})
        for kind, mean in (("compressed", packed), ("raw (decompressed)", raw)):
            if mean is not None:
                values.append({"label": label, "kind": kind, "bytes": max(mean, 1.0), "about": about, "href": link})
    if not values:
        return None
    low, high = min(v["bytes"] for v in values) * 0.7, max(v["bytes"] for v in values) * 1.4
    scale, axis = byte_axis(low, high, width, "mean bytes a task (log axis)")
    y = {"field": "label", "type": "nominal", "sort": None, "axis": {**names_axis(width), "grid": True}}
    color = {"field": "kind", "scale": {"domain": ["compressed", "raw (decompressed)"], "range": [ACCENT, SECOND]}}
    spec: Spec = {
        "height": {"step": 20},
        "layer": [
            {
                "data": {"values": spans},
                "mark": {"type": "rule", "color": REST, "strokeWidth": 2},
                "encoding": {
                    "y": y,
                    "x": {"field": "low", "type": "quantitative", "scale": scale, "axis": axis},
                    "x2": {"field": "high"},
                },
            },
            {
                "data": {"values": values},
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {
                    "y": y,
                    "x": {"field": "bytes", "type": "quantitative"},
                    "color": color,
                    "description": {"field": "about"},
                    "href": {"field": "href"},
                },
            },
        ],
    }
    packed_sum, raw_sum = stats.overall.compressed_size.sum, stats.overall.raw_size.sum
    title = f"Tasks are {raw_sum / packed_sum:.1f} times as large once decompressed" if packed_sum else "Task sizes"
    return Chart("mean-sizes", title, _note("Mean size per source", _which(stats)), spec)


def rates(stats: StatsFile, width: Width) -> Chart | None:
    """Share of rows in which the heuristic sees a verifier, red to green."""
    if not stats.overall.rows:
        return None
    drawn = []
    for name, label, link, s in _shown(stats, width):
        rate = s.verifier_rate() or 0.0
        about = f"{name}: {count(s.heuristic_verifier)} of {count(s.rows)} rows"
        say = percent(s.heuristic_verifier, s.rows)
        drawn.append(bar(label, 100 * rate, say, about, RATES[min(4, int(rate * 5))], link))
    share = percent(stats.overall.heuristic_verifier, stats.overall.rows)
    title = f"The file-name heuristic finds a verifier in {share} of rows"
    spec = bars(drawn, width, "rows with a verifier (%)", most=100, axis={"values": [0, 25, 50, 75, 100]})
    return Chart("verifier-rate", title, _note("Heuristic verifier rate per source", _which(stats)), spec)


def kinds(stats: StatsFile, width: Width) -> Chart | None:
    """Kinds of verifier as shares of each source, strongest first."""
    rows = [(label, name, link, s) for name, label, link, s in _shown(stats, width) if s.verifier_kind]
    if not rows:
        return None
    used = [kind for kind in KINDS if stats.overall.verifier_kind.get(kind)]
    values = [
        {
            "label": label,
            "kind": kind,
            "share": s.verifier_kind[kind] / sum(s.verifier_kind.values()),
            "order": at,
            "href": link,
            "about": f"{name}: {kind} {count(s.verifier_kind[kind])} rows, {percent(s.verifier_kind[kind], s.rows)}",
        }
        for label, name, link, s in rows
        for at, kind in enumerate(used)
        if s.verifier_kind.get(kind)
    ]
    spec: Spec = {
        "data": {"values": values},
        "height": {"step": 20},
        "mark": {"type": "bar", "height": {"band": 0.72}, "stroke": SURFACE, "strokeWidth": 1},
        "encoding": {
            "y": {"field": "label", "type": "nominal", "sort": None, "axis": names_axis(width)},
            "x": {
                "field": "share",
                "type": "quantitative",
                "stack": "zero",
                "scale": {"domain": [0, 1]},
                "axis": {"title": "share of rows (%)", "labelExpr": "format(100 * datum.value, 'd')", "tickCount": 5},
            },
            "color": {
                "field": "kind",
                "scale": {"domain": used, "range": [KINDS[kind] for kind in used]},
                "legend": {"columns": max(1, (width.total - width.labels) // 115)},
            },
            "order": {"field": "order", "type": "quantitative"},
            "description": {"field": "about"},
            "href": {"field": "href"},
        },
    }
    first = max(used, key=lambda kind: stats.overall.verifier_kind[kind])
    share = percent(stats.overall.verifier_kind[first], sum(stats.overall.verifier_kind.values()))
    title = (
        f"The most frequent kind of verifier is {first}, {share} of rows"
        if first != "none"
        else f"{share} of rows have no verifier"
    )
    return Chart("verifier-kinds", title, _note("Kinds of verifier per source, strongest first", _which(stats)), spec)


def duplicates(stats: StatsFile, width: Width) -> Chart | None:
    """Rows that repeat another one, within each source and across sources; sources without any are left out."""
    values = []
    for name, label, link, s in _shown(stats, width):
        ids = s.distinct.get("content_id")
        if ids is None or not (ids.n - ids.distinct or ids.shared):
            continue
        for kind, n in ((_WITHIN, ids.n - ids.distinct), (_ACROSS, ids.shared)):
            about, say = f"{name}: {count(n)} rows, {kind}", percent(n, s.rows) if n else ""
            values.append({"label": label, "kind": kind, "share": n / s.rows, "say": say, "href": link, "about": about})
    if not values:
        return None
    y = {"field": "label", "type": "nominal", "sort": None, "axis": names_axis(width)}
    bar_y: Spec = {"y": y, "yOffset": {"field": "kind", "sort": [_WITHIN, _ACROSS]}}
    x = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1.15], "nice": False},
        "axis": {
            "title": "share of rows (%)",
            "values": [0, 0.25, 0.5, 0.75, 1],
            "labelExpr": "format(100 * datum.value, 'd')",
        },
    }
    color = {
        "field": "kind",
        "scale": {"domain": [_WITHIN, _ACROSS], "range": [ACCENT, SECOND]},
        "legend": {"columns": 1 if width.narrow else 2},
    }
    spec: Spec = {
        "data": {"values": values},
        "height": {"step": 13, "for": "offset"},
        "encoding": {**bar_y, "x": x},
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadiusEnd": 2},
                "encoding": {"color": color, "description": {"field": "about"}, "href": {"field": "href"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 10, "color": INK},
                "encoding": {"text": {"field": "say"}},
            },
        ],
    }
    overall = stats.overall.distinct["content_id"]
    repeats = overall.n - overall.distinct
    title = f"{count(repeats)} rows repeat the content of another row ({percent(repeats, overall.n)})"
    return Chart("duplicates", title, _note("Same files, whatever their order and packing", _which(stats)), spec)


_WITHIN: Final = "repeats a row of its own source"
_ACROSS: Final = "is also in another source"
