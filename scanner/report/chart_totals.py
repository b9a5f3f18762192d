"""Charts of the whole Run: sizes, formats and layouts, most frequent names, faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from scanner.faults import FAULTS
from scanner.report.chart_parts import COUNTS, Chart, Spec, Width, bar, bars, byte_axis, labels_of, log_bins
from scanner.report.figures import count, percent, size
from scanner.report.markup import visible
from scanner.report.palette import ACCENT, BAD, SECOND
from scanner.stats import SourceStats, StatsFile, Tally

Maker: TypeAlias = Callable[[StatsFile, Width], Chart | None]

TOP_FAULTS: Final = 20
TOP_NAMES: Final = 12
"""Names a chart of names shows."""


def sizes(stats: StatsFile, width: Width) -> Chart | None:
    """Histogram of the compressed size of a task, with lines at the median and the 95th percentile."""
    histogram = stats.overall.compressed_size
    bins = log_bins(histogram)
    median, p95 = histogram.quantile(0.5), histogram.quantile(0.95)
    if not bins or median is None or p95 is None:
        return None
    zeros = histogram.buckets.get(0, 0)
    scale, axis = byte_axis(bins[0][0], bins[-1][1], width, "compressed size (log axis)")
    values = [
        {"low": low, "high": high, "n": n, "about": f"{size(low)} to {size(high)}: {count(n)} tasks"}
        for low, high, n in bins
    ]
    lines = [
        {"at": max(median, 1), "say": f"median {size(median)}", "align": "right"},
        {"at": max(p95, 1), "say": f"p95 {size(p95)}", "align": "left"},
    ]
    x = {"field": "low", "type": "quantitative", "scale": scale, "axis": axis}
    y = {
        "field": "n",
        "type": "quantitative",
        "axis": {"title": "tasks", "labelExpr": COUNTS, "tickCount": 5},
        "scale": {"domain": [0, 1.15 * max(n for *_, n in bins)], "nice": False},
    }
    marks: list[Spec] = [
        {
            "data": {"values": values},
            "mark": {"type": "bar", "binSpacing": 1, "color": ACCENT},
            "encoding": {
                "x": x,
                "x2": {"field": "high"},
                "y": y,
                "y2": {"datum": 0},
                "description": {"field": "about"},
            },
        },
        {
            "data": {"values": lines},
            "mark": {"type": "rule", "color": SECOND, "strokeWidth": 1.5, "strokeDash": [4, 3]},
            "encoding": {"x": {"field": "at", "type": "quantitative"}},
        },
    ]
    for line, shift in zip(lines, (-4, 4), strict=True):
        text = {"type": "text", "align": line["align"], "dx": shift, "baseline": "top", "y": 0}
        marks.append(
            {
                "data": {"values": [line]},
                "mark": text,
                "encoding": {"x": {"field": "at", "type": "quantitative"}, "text": {"field": "say"}},
            }
        )
    title = f"Half of the tasks are under {size(median)} compressed, one in twenty over {size(p95)}"
    note = "Compressed size of a task" + (f"; {count(zeros)} empty ones left out" if zeros else "")
    return Chart("compressed-size", title, note, {"layer": marks, "height": 240})


def closed(name: str, what: str, counts: Callable[[SourceStats], Mapping[str, int]]) -> Maker:
    """A chart of a closed list of kinds: rows of each."""

    def make(stats: StatsFile, width: Width) -> Chart | None:
        found = counts(stats.overall)
        total = sum(found.values())
        if not total:
            return None
        drawn = [
            bar(kind, n, f"{count(n)} ({percent(n, total)})", f"{kind}: {count(n)} rows") for kind, n in found.items()
        ]
        first, n = next(iter(found.items()))
        return Chart(
            name, f"{what}: {percent(n, total)} {first}", f"Rows by {what.lower()}", bars(drawn, width, "rows")
        )

    return make


def names(name: str, what: str, unit: str, tally: Callable[[SourceStats], Tally]) -> Maker:
    """A chart of the most frequent names of a counter."""

    def make(stats: StatsFile, width: Width) -> Chart | None:
        found = tally(stats.overall)
        top = found.top(TOP_NAMES)
        if not top:
            return None
        labels = labels_of([each for each, _ in top], width)
        drawn = [
            bar(label, n, count(n), f"{visible(each, 120)}: {count(n)} {unit}")
            for (each, n), label in zip(top, labels, strict=True)
        ]
        distinct = len(found.counts) + found.omitted_names
        note = f"The {len(top)} most frequent of {count(distinct)}" if distinct > len(top) else f"All {count(distinct)}"
        if found.error:
            note += f" (counts short by {count(found.error)} at most)"
        return Chart(name, what, note, bars(drawn, width, unit))

    return make


def faults(stats: StatsFile, width: Width) -> Chart | None:
    """Rows by kind of fault, damage first."""
    found = stats.overall.faults
    if not found:
        return None
    damage = {kind: _is_damage(kind) for kind in found}
    order = sorted(sorted(found, key=lambda kind: (-found[kind], kind))[:TOP_FAULTS], key=lambda kind: not damage[kind])
    drawn = [
        bar(
            kind, found[kind], count(found[kind]), f"{kind}: {count(found[kind])} rows", BAD if damage[kind] else SECOND
        )
        for kind in order
    ]
    hurt = sum(stats.overall.status.get(status, 0) for status in ("degraded", "failed"))
    title = f"{count(hurt)} of {count(stats.overall.rows)} rows are damaged" if hurt else "No row is damaged"
    note = "Rows by kind of fault; red: damage, orange: notes"
    if len(found) > TOP_FAULTS:
        note += f"; the {TOP_FAULTS} most frequent of {len(found)} kinds"
    return Chart("faults", title, note, bars(drawn, width, "rows"))


def _is_damage(kind: str) -> bool:
    about = FAULTS.get(kind)  # type: ignore[call-overload]
    return about is None or about.severity == "damage"
